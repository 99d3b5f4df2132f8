//! Files of other logs, shards and versions, and settings that have changed.

use super::damage::{aged, blocks, write_out};
use super::disk::Vectors;
use super::tiny;
use super::world::World;
use crate::ids::ShardId;
use crate::log::block::{seal, Block, Census, Stamp};
use crate::log::format::{FileHeader, BLOCK_HEADER_BYTES, PAGE_BYTES};
use crate::log::{LogError, Recovery};

use zerocopy::{FromBytes, IntoBytes};

fn change_header(world: &mut World, change: impl Fn(&mut FileHeader)) {
    for octets in world.disk.files.values_mut() {
        let (mut header, _) = FileHeader::read_from_prefix(octets).expect("long enough");
        if header.magic == crate::log::format::FILE_MAGIC {
            change(&mut header);
            header.checksum.set(header.sum());
            octets[..size_of::<FileHeader>()].copy_from_slice(header.as_bytes());
        }
    }
}

#[test]
fn files_of_others_are_refused() {
    let mut world = aged(1);
    let sound = world.disk.clone();
    world.config.shard = ShardId(4);
    assert!(matches!(world.recover(), Err(LogError::Foreign { shard: 4, .. })));
    world.config.shard = ShardId(3);

    let mut other = World::new(tiny(), 77);
    write_out(&mut other, 1, 10);
    let stranger = other.disk.files.remove(&1).expect("a segment");
    world.disk.files.insert(99, stranger);
    assert!(matches!(world.recover(), Err(LogError::Foreign { .. })));

    world.disk.clone_from(&sound);
    let twin = world.disk.files[&world.log.segments.tail().file.0].clone();
    world.disk.files.insert(99, twin);
    assert!(matches!(world.recover(), Err(LogError::Foreign { .. })));

    world.disk.clone_from(&sound);
    change_header(&mut world, |header| header.version.set(2));
    let known = 1;
    let error = world.recover().expect_err("a later format");
    assert!(matches!(error, LogError::NewerVersion { version: 2, known: k, .. } if k == known));
}

/// A block with one record of an unknown kind at the end of the log.
fn append_unknown(world: &mut World, flags: u8) {
    let (file, end) = (world.log.segments.tail().file, world.log.durable().0);
    let octets = world.disk.files.get_mut(&file.0).expect("it exists");
    let listed = blocks(octets);
    let (last, _, _) = *listed.last().expect("blocks");
    let at = (end % world.config.segment_bytes) as usize;
    let header = Block::open(&octets[last..], end - (at - last) as u64, None).expect("valid");
    let mut stamp = Stamp {
        log: header.header.log.get(),
        epoch: header.header.epoch.get(),
        durable: 0,
        previous: header.header.checksum.get(),
    };
    let mut block = vec![0; PAGE_BYTES];
    let record = &mut block[BLOCK_HEADER_BYTES..];
    (record[0], record[1], record[4]) = (200, flags, 16);
    let references = world.log.segments.tail().references();
    let census = Census { end: BLOCK_HEADER_BYTES + 16, records: 1, first_reference: references };
    seal(&mut block, end, census, &mut stamp);
    octets[at..at + PAGE_BYTES].copy_from_slice(&block);
}

#[test]
fn records_of_later_versions_are_passed_over_only_if_they_allow_it() {
    let mut world = World::new(tiny(), 2);
    write_out(&mut world, 2, 100);
    let sound = world.disk.clone();
    append_unknown(&mut world, 0);
    world.recover().expect("it may be passed over");
    assert_eq!(world.held.len(), 2);

    world.disk.clone_from(&sound);
    world.recover().expect("sound");
    append_unknown(&mut world, 0x80);
    assert!(matches!(world.recover(), Err(LogError::Rot { .. })), "no such kind in this version");
    change_header_version(&mut world);
    assert!(matches!(world.recover(), Err(LogError::NewerVersion { version: 7, .. })));
}

/// The segment may hold records of version 7. Its first block follows the header, so the chain
/// of checksums is made anew.
fn change_header_version(world: &mut World) {
    change_header(world, |header| header.records_version.set(7));
    let octets = world.disk.files.get_mut(&1).expect("the first file");
    let (header, _) = FileHeader::read_from_prefix(octets).expect("long enough");
    let mut previous = header.sum();
    for (at, _, _) in blocks(octets) {
        let known = *Block::open(&octets[at..], at as u64, None).expect("valid").header;
        let census = Census {
            end: BLOCK_HEADER_BYTES + known.payload.get() as usize,
            records: known.records.get(),
            first_reference: known.first_reference.get(),
        };
        let (log, epoch, durable) = (known.log.get(), known.epoch.get(), known.durable.get());
        let mut stamp = Stamp { log, epoch, durable, previous };
        seal(&mut octets[at..], at as u64, census, &mut stamp);
        previous = stamp.previous;
    }
}

#[test]
fn a_directory_of_rubbish_is_refused() {
    let mut world = World::new(tiny(), 2);
    world.disk.files.insert(1, vec![0xab; 64 * 1024]);
    assert!(matches!(world.recover(), Err(LogError::Foreign { file: 1, .. })));
    world.disk.files.insert(1, vec![0xab; 100]);
    world.recover().expect("too short for anything: made anew");
    let mut recovery = Recovery::new(tiny(), Vectors, world.disk.listing());
    assert!(recovery.next_read().is_none());
}

#[test]
fn a_log_keeps_the_segment_size_that_it_began_with() {
    let mut world = World::new(tiny(), 2);
    write_out(&mut world, 40, 2000);
    world.config.segment_bytes *= 2;
    world.recover().expect("sound");
    assert_eq!(world.held.len(), 40);
    world.config.segment_bytes /= 2;
    write_out(&mut world, 40, 2000);
    world.crash();
    assert_eq!(world.held.len(), 80);
}
