//! Damage: what is detected, what is harmless, what is cut.

use super::disk::{Disk, Vectors};
use super::world::{read_back, World};
use super::{roomy, tiny};
use crate::ids::QueueId;
use crate::log::block::Block;
use crate::log::format::{FileHeader, BLOCK_HEADER_BYTES, PAGE_BYTES};
use crate::log::{FileId, LogEffect, LogError, Recovery};

use zerocopy::FromBytes;

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

pub(super) fn write_out(world: &mut World, count: usize, bytes: usize) {
    for _ in 0..count {
        world.append(&[Q], bytes);
        world.settle_down();
    }
}

/// A log of a few segments, one of them recycled and free.
pub(super) fn aged(messages: usize) -> World {
    let mut world = World::new(tiny(), 9);
    let kept = world.append(&[Q, R], 300);
    while world.log.segments.tail().number < 2 {
        let message = world.append(&[R], 3000)[0];
        world.settle_down();
        world.settle(message);
    }
    world.settle(kept[1]);
    world.define(200);
    world.settle_down();
    write_out(&mut world, messages, 200);
    world
}

/// Start, length and durable mark of the good blocks of a file.
pub(super) fn blocks(octets: &[u8]) -> Vec<(usize, usize, u64)> {
    let Ok((header, _)) = FileHeader::read_from_prefix(octets) else { return Vec::new() };
    let start = u64::from(header.segment.get()) * header.segment_bytes.get();
    let mut found = Vec::new();
    let mut at = PAGE_BYTES;
    while let Ok(block) =
        Block::open(&octets[at.min(octets.len())..], start + at as u64, Some(header.log.get()))
    {
        found.push((at, block.length(), block.header.durable.get()));
        at += block.length();
    }
    found
}

/// The highest durable mark on the disk.
fn mark(disk: &Disk) -> u64 {
    let all = disk.files.values().flat_map(|octets| blocks(octets));
    all.map(|(_, _, durable)| durable).max().unwrap_or(0)
}

/// Flips bits one after the other: each is found out at the start or when the message is read
/// back, or changes nothing that was promised. Returns how many were found when read back.
fn flip(world: &mut World, stride: usize) -> usize {
    let sound = world.disk.clone();
    let promised = mark(&sound);
    let held = world.held.clone();
    let (mut found, mut late, mut harmless) = (0, 0, 0);
    world.reads_in_full = false;
    for file in sound.files.keys() {
        let mut at = 0;
        let length = sound.files[file].len();
        while at < length {
            // Headers octet by octet, the rest in strides.
            let dense = at % PAGE_BYTES < BLOCK_HEADER_BYTES + 40;
            let bit = 1 << ((at / 3) % 8);
            world.disk.files.get_mut(file).expect("listed")[at] ^= bit;
            world.held.clone_from(&held);
            match world.recover() {
                Ok(()) => {
                    match world.is_intact() {
                        true => harmless += 1,
                        false => late += 1,
                    }
                    let end = world.log.durable().0;
                    assert!(end >= promised, "file {file} octet {at}: the log ends at {end}");
                }
                Err(_) => found += 1,
            }
            world.disk.files.get_mut(file).expect("listed")[at] ^= bit;
            at += if dense { 1 } else { stride };
        }
    }
    assert!(found > 100 && harmless > 100, "{found} found, {late} late, {harmless} harmless");
    late
}

/// A log whose first segment is sealed, has an index and is not empty.
pub(super) fn sealed() -> World {
    let mut world = World::new(tiny(), 12);
    let mut first = Vec::new();
    while world.log.segments.tail().number == 0 {
        first.push(world.append(&[Q], 150)[0]);
        first.push(world.append(&[Q, R], 2000)[1]);
        world.define(80);
        world.settle_down();
    }
    for message in first.into_iter().step_by(3) {
        world.settle(message);
    }
    write_out(&mut world, 2, 100);
    assert!(world.log.segments.iter().next().is_some_and(|first| first.index.is_some()));
    world
}

/// Bodies of sealed segments are not read at the start; what is wrong there is found when they
/// are. Everything else of the segment, its index too, is guarded as before.
#[test]
fn every_flipped_bit_of_a_sealed_segment_is_found_or_harmless() {
    let mut world = sealed();
    let late = flip(&mut world, 41);
    assert!(late > 100 && world.indexed > 100, "{late} found late, {} indexed", world.indexed);
}

/// An index that is not what the roster says is not believed, whatever became of it.
#[test]
fn a_damaged_index_is_not_believed() {
    let mut world = sealed();
    let piece = world.log.segments.iter().next().and_then(|first| first.index).expect("an index");
    let start = piece.address.block().0 as usize + piece.address.offset();
    let sound = world.disk.clone();
    let held = world.held.clone();
    for at in start..start + piece.length as usize {
        world.disk.files.get_mut(&1).expect("the first file")[at] ^= 1 << (at % 8);
        world.held.clone_from(&held);
        let error = world.recover().expect_err("the index lies in a block like any other");
        let block = piece.address.block().0;
        assert!(
            matches!(error, LogError::Rot { file: 1, offset, .. } if offset == block),
            "{error:?}"
        );
        world.disk.files.clone_from(&sound.files);
    }
    world.held.clone_from(&held);
    world.recover().expect("sound");
}

/// The index is believed by a sum that the roster has, so a block that is whole but not the one
/// that was meant is passed by.
#[test]
fn a_stale_index_is_not_believed() {
    let mut world = sealed();
    let piece = world.log.segments.iter().next().and_then(|first| first.index).expect("an index");
    let file = world.disk.files.get_mut(&1).expect("the first file");
    let at = piece.address.block().0 as usize;
    let length = {
        let block = Block::open(&file[at..], at as u64, None).expect("sound");
        block.octets().len()
    };
    // One octet of what the index says is another one, and the block's checksum is right.
    file[at + piece.address.offset() + 40] ^= 1;
    let sum = crc32fast::hash(&file[at + 8..at + length]);
    file[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    let before = world.indexed;
    world.recover().expect("read in full, which finds nothing wrong");
    assert_eq!(world.indexed, before, "read in full");
    world.compare_with_disk();
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    flip(&mut aged(3), 61);
}

/// The same for every octet of a log that is hardly more than begun.
#[test]
fn every_octet_of_a_young_log_is_guarded() {
    flip(&mut aged(1), 1);
}

#[test]
fn rot_below_the_durable_mark_is_named() {
    let mut world = World::new(tiny(), 2);
    write_out(&mut world, 5, 500);
    let listed = blocks(&world.disk.files[&1]);
    let (at, _, _) = listed[2];
    world.disk.files.get_mut(&1).expect("the first file")[at + 100] ^= 4;
    match world.recover() {
        Err(LogError::Rot { file: 1, offset, durable, .. }) => {
            assert_eq!(offset, at as u64);
            assert!(durable > offset);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_clean_stop_no_record_can_rot_unnoticed() {
    let mut world = World::new(tiny(), 2);
    write_out(&mut world, 3, 500);
    world.log.stop();
    world.settle_down();
    let listed = blocks(&world.disk.files[&1]);
    // All but the last block, which holds nothing but the mark.
    for (at, _, _) in &listed[..listed.len() - 1] {
        world.disk.files.get_mut(&1).expect("the first file")[at + 66] ^= 1;
        assert!(matches!(world.recover(), Err(LogError::Rot { .. })));
        world.disk.files.get_mut(&1).expect("the first file")[at + 66] ^= 1;
    }
    world.recover().expect("sound");
}

#[test]
fn rot_in_a_sealed_segment_is_named() {
    let mut world = World::new(tiny(), 2);
    while world.log.segments.tail().number == 0 {
        write_out(&mut world, 1, 2000);
    }
    let (at, _, _) = *blocks(&world.disk.files[&1]).last().expect("blocks");
    world.disk.files.get_mut(&1).expect("the first file")[at + 70] ^= 1;
    let error = world.recover().expect_err("rot");
    assert!(
        matches!(error, LogError::Rot { file: 1, offset, .. } if offset == at as u64),
        "{error:?}"
    );
}

#[test]
fn a_torn_end_is_cut_and_written_over() {
    let mut world = World::new(tiny(), 2);
    write_out(&mut world, 5, 500);
    let end = world.log.durable();
    world.append(&[Q], 9000);
    world.poll();
    let write = world.under_way.pop_front().expect("a write");
    if let LogEffect::Write { file, offset, buffer, .. } = &write {
        let file = world.disk.files.get_mut(&file.0).expect("it exists");
        let offset = *offset as usize;
        file[offset..offset + 4096].copy_from_slice(&buffer[..4096]);
    }
    world.recover().expect("torn, not rotten");
    assert_eq!(world.log.durable(), end);
    assert_eq!(world.torn_bytes, 3 * 4096);
    write_out(&mut world, 3, 500);
    world.crash();
    assert_eq!(world.held.len(), 8);
}

/// Writes N and N + 1 are under way, only N + 1 lands. After the crash something else becomes N:
/// the old N + 1 must not follow it.
#[test]
fn a_stale_block_does_not_come_back() {
    for same_length in [true, false] {
        let mut world = World::new(roomy(), 2);
        write_out(&mut world, 3, 500);
        for _ in 0..3 {
            world.append(&[Q], 255_000);
        }
        let writes = world.poll_writes();
        assert_eq!(writes.len(), 2);
        world.disk.carry_out(&writes[1]);
        world.recover().expect("torn");
        assert_eq!(world.held.len(), 3);
        world.append(&[Q], if same_length { 255_000 } else { 200_000 });
        world.settle_down();
        world.recover().expect("sound");
        assert_eq!(world.held.len(), 4);
    }
}

/// As before, but nothing is left of the run that wrote the stale block: neither epochs nor
/// anything else that recovery sees tells of it.
#[test]
fn a_stale_block_of_an_unseen_run_does_not_come_back() {
    let mut world = World::new(roomy(), 2);
    write_out(&mut world, 3, 500);
    world.crash();
    let before = world.disk.clone();
    let held = world.held.clone();
    // The unseen run writes two blocks; the second one lands.
    for _ in 0..3 {
        world.append(&[Q], 255_000);
    }
    let writes = world.poll_writes();
    assert_eq!(writes.len(), 2);
    // Another run with the same epoch, which did not see it.
    world.held.clone_from(&held);
    world.recover().expect("sound");
    world.append(&[Q], 255_000);
    world.settle_down();
    assert_ne!(before.files, world.disk.files);
    world.disk.carry_out(&writes[1]);
    world.recover().expect("sound");
    assert_eq!(world.held.len(), 4);
}

#[test]
fn a_lost_file_is_missed_and_a_free_one_is_not() {
    let mut world = aged(2);
    let live: Vec<u32> = world.log.segments.iter().map(|segment| segment.file.0).collect();
    let newest = *live.last().expect("a tail");
    let sound = world.disk.clone();
    let held = world.held.clone();
    let mut free = 0;
    for file in sound.files.keys().filter(|file| **file != newest) {
        world.disk.files.remove(file);
        world.held.clone_from(&held);
        let result = world.recover();
        if live.contains(file) {
            assert!(matches!(result, Err(LogError::Missing { .. })), "{file}: {result:?}");
        } else {
            assert_eq!(result, Ok(()));
            free += 1;
        }
        world.disk.files.clone_from(&sound.files);
    }
    assert!(free > 0 && live.len() > 1);
}

/// The newest segment is known by its header alone; without it, its blocks speak.
#[test]
fn a_newest_segment_without_header_is_rot() {
    let mut world = aged(2);
    let newest = world.log.segments.tail().file;
    for damage in [0, 9, 20, 44] {
        let sound = world.disk.clone();
        world.disk.files.get_mut(&newest.0).expect("it exists")[damage] ^= 0x10;
        let error = world.recover().expect_err("the newest segment is lost");
        let is_named = match error {
            LogError::Rot { file, offset: 0, .. } | LogError::NewerVersion { file, .. } => {
                file == newest.0
            }
            _ => false,
        };
        assert!(is_named, "{error:?}");
        world.disk = sound;
    }
}

/// A first page that was cleared as a whole looks like that of a file that was never used: the
/// segment was taken for one, and what it held was gone without a word.
#[test]
fn a_newest_segment_whose_first_page_is_cleared_is_rot() {
    for messages in [2, 60] {
        let mut world = aged(messages);
        world.log.stop();
        world.settle_down();
        let newest = world.log.segments.tail().file;
        world.disk.files.get_mut(&newest.0).expect("it exists")[..PAGE_BYTES].fill(0);
        let error = world.recover().expect_err("the newest segment is lost");
        assert!(matches!(error, LogError::Rot { file, offset: 0, .. } if file == newest.0));
    }
}

#[test]
fn a_log_of_one_segment_whose_first_page_is_cleared_is_not_an_empty_one() {
    let mut world = World::new(tiny(), 9);
    write_out(&mut world, 3, 200);
    assert_eq!(world.log.segments.tail().number, 0);
    world.disk.files.get_mut(&1).expect("it exists")[..PAGE_BYTES].fill(0);
    assert!(matches!(world.recover(), Err(LogError::Rot { file: 1, offset: 0, .. })));
}

/// Blocks of the first write of a segment that landed without the header: torn, and no rot.
#[test]
fn a_torn_first_write_whose_header_did_not_land_is_no_rot() {
    let mut world = World::new(tiny(), 4);
    let mut before = world.disk.clone();
    while world.log.segments.tail().number == 0 {
        before = world.disk.clone();
        write_out(&mut world, 1, 2000);
    }
    let file = world.log.segments.tail().file;
    let first = world.disk.files[&file.0].clone();
    assert!(!blocks(&first).is_empty());
    // The disk as it was before that write, but for the blocks of it.
    before.files.insert(file.0, first);
    before.files.get_mut(&file.0).expect("it exists")[..PAGE_BYTES].fill(0);
    world.disk = before;
    let mut recovery = Recovery::new(tiny(), Vectors, world.disk.listing());
    read_back(&mut recovery, &world.disk).expect("nobody was promised anything of it");
}

/// A crash in the very first write of a segment: the header lands, the roster does not. The file
/// was recycled by the segment before, whose roster still lists what it held.
#[test]
fn a_torn_first_write_of_a_segment_falls_back_to_the_roster_before() {
    for sectors in [1, 8, 9, 12] {
        let mut world = World::new(tiny(), 4);
        while world.log.segments.tail().number == 0 {
            write_out(&mut world, 1, 2000);
        }
        for message in world.unsettled() {
            if world.log.geometry.segment_of_address(world.held[&message].address) == 0 {
                world.settle(message);
            }
        }
        world.settle_down();
        assert!(world.log.segments.get(0).is_none(), "recycled");
        // The recycled file is used again.
        while world.log.segments.tail().file != FileId(1) {
            world.append(&[R], 2000);
            if world.log.segments.tail().file != FileId(1) {
                world.settle_down();
            }
        }
        let promised = loop {
            world.poll();
            let first = world.under_way.pop_front().expect("a write");
            if let LogEffect::Write { file: FileId(1), offset: 0, buffer, .. } = &first {
                let torn = sectors * 512;
                let file = world.disk.files.get_mut(&1).expect("it exists");
                file[..torn].copy_from_slice(&buffer[..torn]);
                break world.log.durable();
            }
            let completion = world.disk.carry_out(&first);
            world.complete(completion).expect("sound");
        };
        world.under_way.clear();
        world.recover().expect("torn, not rotten");
        assert!(world.log.durable() >= promised);
        assert!(!world.held.is_empty());
        write_out(&mut world, 3, 100);
        world.crash();
    }
}

#[test]
fn rot_found_when_reading_back_is_final() {
    let mut world = World::new(roomy(), 2);
    write_out(&mut world, 1500, 2000);
    let first = world.unsettled()[0];
    let held = world.held[&first].clone();
    let at = held.address.block().0 as usize + held.address.offset();
    world.disk.files.get_mut(&1).expect("the first file")[at + 300] ^= 1;
    assert!(matches!(world.log.fetch(held.address, held.length), crate::log::Fetch::Pending));
    world.poll();
    let read = world.under_way.pop_front().expect("a read");
    let completion = world.disk.carry_out(&read);
    let error = world.complete(completion).expect_err("rot");
    assert!(matches!(error, LogError::Rot { file: 1, .. }), "{error:?}");
    assert!(world.log.poll_effect(world.now).is_none());
}
