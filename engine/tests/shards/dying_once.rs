//! What was on its way to another shard when the power went, as a dead letter, does not die a second time before the
//! next start has carried out what had been decided of it.

use std::sync::Arc;

use haremq_engine::ids::{QueueId, ShardId, Target};
use haremq_engine::mail::Command;
use haremq_engine::transaction::Transaction;

use crate::client::channel;
use crate::dead_letters::mortal_on;
use crate::long_transfers::take;
use crate::world::{message, World};

/// Octets of the message that dies: about as many as a block has room for, so that the settle of it often lies in
/// another block than the record that decides its move.
const SIZES: std::ops::Range<usize> = 15_700..16_384;

/// Dead messages of the first queue, on shard 1, go to the second one, on shard 0.
fn on_two_shards(limits: &[(&str, i64)]) -> (World, QueueId, QueueId) {
    let mut world = World::new(2, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal_on(&mut world, 1, "q", "heir", limits);
    assert_ne!(world.owner(queue), world.owner(heir));
    (world, queue, heir)
}

/// The first octets of what is in a queue.
fn names(world: &mut World, queue: QueueId) -> Vec<u8> {
    take(world, queue, 5).iter().map(|one| one.body[0]).collect()
}

fn first_message(size: usize) -> Vec<u8> {
    let mut octets = vec![b'.'; size];
    octets[0] = b'a';
    octets
}

/// The owner of the queue writes what it has to, but for the last so many writes, and the power goes.
fn cut_before_the_last(world: &mut World, writes: usize) {
    for _ in 0..10 {
        world.dispatch(1);
        world.poll(1);
        if world.under_way(1) <= writes {
            break;
        }
        world.complete(1, 0);
    }
    world.crash();
}

/// A start had found a queue with a message that was on its way to another shard, and had been asked to put one more
/// there, by a transaction, before it had read that this one was. To make room it let the same message die again: it
/// was in its next queue twice.
#[test]
fn a_message_that_has_made_room_does_not_make_room_again_when_the_next_start_puts_another() {
    let mut found = 0;
    for (at, size) in SIZES.step_by(12).enumerate() {
        let (mut world, queue, heir) = on_two_shards(&[("x-max-length", 2)]);
        let aside = world.durable_queue("aside");
        world.send_message(&[queue], message(&first_message(size), true), None);
        world.send(&[queue], "b", true);
        world.settle_down();
        // It is decided, and shard 1 does not hear of it.
        let mut transaction = Transaction::new();
        let targets = [(queue, ShardId(1)), (aside, ShardId(0))];
        let targets = targets.map(|(queue, shard)| Target { queue, shard });
        transaction.publish(&message(b"d", true), targets.into_iter());
        let transaction = Arc::new(transaction);
        world.command(ShardId(0), Command::Commit { channel: channel(0, 7), transaction });
        for _ in 0..3 {
            world.poll(0);
            while world.complete(0, 0) {}
        }
        world.send(&[queue], "c", true);
        cut_before_the_last(&mut world, at % 3);
        found += u64::from(world.counts(queue).0 == 3);
        // Shard 1 is slow to read what it had decided.
        for _ in 0..6 {
            world.poll(1);
            world.poll(0);
            while world.complete(0, 0) {}
            for (from, to) in [(0, 1), (1, 0)] {
                while world.carry(from, to) {}
            }
        }
        world.settle_down();
        assert!(world.is_resolved());
        world.settle_down();
        let (died, left) = (names(&mut world, heir), names(&mut world, queue));
        let all = [died, left].concat();
        assert!(all == b"abcd" || all == b"abd", "{size}: {:?}", String::from_utf8_lossy(&all));
    }
    assert!(found > 5, "after {found} crashes it was still in its first queue");
}

/// The same of one whose time was over.
#[test]
fn a_message_that_has_expired_does_not_expire_again_before_its_move_is_carried_out() {
    let mut found = 0;
    for (at, size) in SIZES.step_by(12).enumerate() {
        let (mut world, queue, heir) = on_two_shards(&[("x-message-ttl", 100)]);
        world.send_message(&[queue], message(&first_message(size), true), None);
        world.settle_down();
        world.pass_ms(200, 0);
        cut_before_the_last(&mut world, at % 3);
        found += u64::from(world.counts(queue).0 == 1);
        for _ in 0..6 {
            world.pass_ms(10, 0);
            world.poll(1);
            world.dispatch(1);
        }
        for _ in 0..3 {
            world.settle_down();
            world.pass_ms(10, 0);
        }
        assert_eq!((names(&mut world, queue), names(&mut world, heir)), (vec![], vec![b'a']));
    }
    assert!(found > 5, "after {found} crashes it was still in its first queue");
}
