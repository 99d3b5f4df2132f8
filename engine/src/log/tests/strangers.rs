//! Files of other logs, shards and versions, and settings that have changed.

use super::damage::{aged, blocks, write_out};
use super::disk::Vectors;
use super::tiny;
use super::world::World;
use crate::ids::{QueueId, ShardId};
use crate::log::block::{seal, Block, Census, Stamp};
use crate::log::format::{FileHeader, BLOCK_HEADER_BYTES, PAGE_BYTES};
use crate::log::record::Record;
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
    change_records_version(&mut world, 7);
    assert!(matches!(world.recover(), Err(LogError::NewerVersion { version: 7, .. })));
}

/// The segments may hold records of that version. Their first blocks follow the headers, so the
/// chains of checksums are made anew.
fn change_records_version(world: &mut World, version: u32) {
    change_header(world, |header| header.records_version.set(version));
    for octets in world.disk.files.values_mut() {
        let (header, _) = FileHeader::read_from_prefix(octets).expect("long enough");
        let start = u64::from(header.segment.get()) * header.segment_bytes.get();
        let mut previous = header.sum();
        for (at, _, _) in blocks(octets) {
            let position = start + at as u64;
            let known = *Block::open(&octets[at..], position, None).expect("valid").header;
            let census = Census {
                end: BLOCK_HEADER_BYTES + known.payload.get() as usize,
                records: known.records.get(),
                first_reference: known.first_reference.get(),
            };
            let (log, epoch, durable) = (known.log.get(), known.epoch.get(), known.durable.get());
            let mut stamp = Stamp { log, epoch, durable, previous };
            seal(&mut octets[at..], position, census, &mut stamp);
            previous = stamp.previous;
        }
    }
}

/// Copied records in that file.
fn copied_records(world: &World, file: u32) -> usize {
    let octets = &world.disk.files[&file];
    let (header, _) = FileHeader::read_from_prefix(octets).expect("long enough");
    let start = u64::from(header.segment.get()) * header.segment_bytes.get();
    let block = |at: usize| Block::open(&octets[at..], start + at as u64, None).expect("valid");
    let in_block = |at| {
        let records = block(at).records().map(|record| record.expect("sound").2);
        records.filter(|record| matches!(record, Record::Copied(_))).count()
    };
    blocks(octets).into_iter().map(|(at, _, _)| in_block(at)).sum()
}

/// An earlier version must be able to tell a segment with Copied records from a damaged one.
#[test]
fn a_segment_begun_by_an_earlier_version_gets_no_records_that_it_does_not_know() {
    let mut world = World::new(tiny(), 4);
    for _ in 0..12 {
        write_out(&mut world, 2, 2000);
        for message in world.fill_segment(QueueId(2)) {
            world.settle(message);
        }
    }
    world.settle_down();
    change_records_version(&mut world, 1);
    world.recover().expect("an earlier version");
    let (old, file) = (world.log.segments.tail().number, world.log.segments.tail().file);
    for _ in 0..30 {
        world.copy_forward();
        world.settle_down();
        if world.log.segments.get(old).is_some() {
            assert_eq!(copied_records(&world, file.0), 0);
        }
    }
    assert!(world.log.space().copied_octets > 0 && world.log.segments.tail().number > old);
    let files: Vec<u32> = world.log.segments.iter().map(|segment| segment.file.0).collect();
    assert!(files.into_iter().any(|file| copied_records(&world, file) > 0));
    world.crash();
    assert_eq!(world.held.len(), 24);
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
