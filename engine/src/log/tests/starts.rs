//! What a start reads.

use super::disk::Vectors;
use super::roomy;
use super::world::World;
use crate::ids::QueueId;
use crate::log::{Recovered, Recovery};

const MESSAGES: u64 = 20_000;
const BODY_OCTETS: usize = 1000;

/// Octets that a recovery reads, and messages that it tells of.
fn read(world: &World, mut recovery: Recovery<Vectors>) -> (u64, u64) {
    let (mut octets, mut told) = (0, 0);
    while let Some(read) = recovery.next_read() {
        octets += read.length as u64;
        let found = world.disk.read_for(read);
        let result = recovery.supply(found, &mut |found| {
            told += u64::from(matches!(found, Recovered::Message { .. }));
        });
        result.expect("a sound disk");
    }
    (octets, told)
}

#[test]
fn a_start_reads_indexes_and_the_newest_segment_and_no_other_bodies() {
    let mut world = World::new(roomy(), 1);
    world.settle_down();
    for number in 0..MESSAGES {
        world.append(&[QueueId(1 + number % 7)], BODY_OCTETS);
        if number % 100 == 0 {
            world.settle_down();
        }
    }
    world.settle_down();
    let recovery = || Recovery::new(roomy(), Vectors, world.disk.listing());
    let bodies = MESSAGES * BODY_OCTETS as u64;
    let (octets, told) = read(&world, recovery());
    assert_eq!(told, MESSAGES);
    // The newest segment is gone through twice: to find its end, and for what is in it.
    let bound = 2 * roomy().segment_bytes + bodies / 32;
    assert!(octets < bound, "{octets} octets were read, more than {bound}");
    // As it is without the indexes.
    let (octets, told) = read(&world, recovery().in_full());
    assert_eq!(told, MESSAGES);
    assert!(octets > bodies);
}
