//! Arbitrary octets as segment files: recovery must refuse them or make sense of them, and what
//! it makes sense of must be readable. It must never panic.
//!
//! Raw octets hardly ever get past a checksum, so most inputs are framed first: the input is the
//! records, this program adds file header, block headers and checksums (docs/log-format.md,
//! "File" and "Block"). Some inputs are the entries of a segment's index ("SegmentIndex"), named by
//! a roster with the right sum: what they tell of need not be there, so it is not fetched.
#![no_main]

use std::collections::BTreeMap;

use haremq_engine::ids::ShardId;
use haremq_engine::log::{
    Address, Fetch, FileId, Log, LogCompletion, LogConfig, LogEffect, Memory, Recovered, Recovery,
    SegmentFile,
};
use haremq_engine::now::Now;
use libfuzzer_sys::fuzz_target;

const SEGMENT_BYTES: usize = 64 * 1024;
const PAGE_BYTES: usize = 4096;
const LOG: u64 = 0x1122_3344_5566_7788;

struct Vectors;

impl Memory for Vectors {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }
}

type Files = BTreeMap<u32, Vec<u8>>;

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    match mode % 5 {
        0 => recover(&raw(rest), true),
        4 => recover(&indexed(rest), false),
        files => recover(&framed(rest, u32::from(files)), true),
    }
});

/// Two files, as they come.
fn raw(input: &[u8]) -> Files {
    let (first, second) = input.split_at(input.len() / 2);
    [(1, file(first)), (2, file(second))].into()
}

fn file(octets: &[u8]) -> Vec<u8> {
    let mut file = octets.to_vec();
    file.resize(SEGMENT_BYTES, 0);
    file
}

/// `count` segments; the input is cut into blocks, each after a length of two octets.
fn framed(input: &[u8], count: u32) -> Files {
    let mut rest = input;
    let mut files = Files::new();
    let mut previous_end = 0;
    for segment in 0..count {
        let start = u64::from(segment) * SEGMENT_BYTES as u64;
        let mut file = file_header(segment, previous_end);
        let mut previous = u32::from_le_bytes([file[8], file[9], file[10], file[11]]);
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_le_bytes(*length) & 0x3fff).min(after.len());
            let (records, after) = after.split_at(length);
            rest = after;
            let position = start + file.len() as u64;
            let durable = if records.first() == Some(&0xff) { position } else { start };
            let block = block(records, position, durable, previous);
            previous = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
            if file.len() + block.len() > SEGMENT_BYTES {
                break;
            }
            file.extend_from_slice(&block);
            if records.len() % 7 == 6 {
                break;
            }
        }
        previous_end = start + file.len() as u64;
        file.resize(SEGMENT_BYTES, 0);
        files.insert(segment + 1, file);
    }
    files
}

/// Two segments; the first one's index consists of the input, behind two octets that say how many
/// references there are.
fn indexed(input: &[u8]) -> Files {
    let Some((references, stream)) = input.split_first_chunk::<2>() else { return Files::new() };
    let references = u32::from(u16::from_le_bytes(*references));
    let stream = &stream[..stream.len().min(12 * 1024)];
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let mut index = words(&[18, 24 + stream.len() as u32, 0, 0, references, 0]);
    index.extend_from_slice(stream);
    let sum = crc32fast::hash(&index);
    let length = index.len() as u32;
    let mut first = file_header(0, 0);
    let previous = u32::from_le_bytes([first[8], first[9], first[10], first[11]]);
    index.insert(0, 0);
    first.extend_from_slice(&block(&index, PAGE_BYTES as u64, 0, previous));
    let end = first.len() as u32;
    first.resize(SEGMENT_BYTES, 0);

    // A roster of one entry: segment 0 in file 1; address 1 << 20 | 64 is that of its first record.
    let mut roster = words(&[0x8006, 64, 1, 0, 0, 1, end, 0, 0, 0, 0, references]);
    roster.extend_from_slice(&words(&[1 << 20 | 64, 0, length, sum]));
    roster.insert(0, 0);
    let mut second = file_header(1, u64::from(end));
    let previous = u32::from_le_bytes([second[8], second[9], second[10], second[11]]);
    let position = (SEGMENT_BYTES + PAGE_BYTES) as u64;
    second.extend_from_slice(&block(&roster, position, position, previous));
    second.resize(SEGMENT_BYTES, 0);
    [(1, first), (2, second)].into()
}

fn file_header(segment: u32, previous_end: u64) -> Vec<u8> {
    let mut page = b"HareMQsg\0\0\0\0".to_vec();
    page.extend_from_slice(&1u32.to_le_bytes());
    page.extend_from_slice(&LOG.to_le_bytes());
    page.extend_from_slice(&(SEGMENT_BYTES as u64).to_le_bytes());
    page.extend_from_slice(&previous_end.to_le_bytes());
    page.extend_from_slice(&segment.to_le_bytes());
    page.extend_from_slice(&1u32.to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(&1u32.to_le_bytes());
    page.extend_from_slice(&[0; 8]);
    assert_eq!(page.len(), 64);
    let sum = crc32fast::hash(&page[12..]);
    page[8..12].copy_from_slice(&sum.to_le_bytes());
    page.resize(PAGE_BYTES, 0);
    page
}

/// The first octet of the input says how many references were numbered before.
fn block(input: &[u8], position: u64, durable: u64, previous: u32) -> Vec<u8> {
    let (first_reference, records) = match input.split_first() {
        Some((first, records)) => (u32::from(*first), records),
        None => (0, input),
    };
    let length = (64 + records.len()).next_multiple_of(PAGE_BYTES);
    let mut block = b"HqBl\0\0\0\0".to_vec();
    block.extend_from_slice(&LOG.to_le_bytes());
    block.extend_from_slice(&position.to_le_bytes());
    block.extend_from_slice(&durable.to_le_bytes());
    block.extend_from_slice(&1u32.to_le_bytes());
    block.extend_from_slice(&(length as u32).to_le_bytes());
    block.extend_from_slice(&(records.len() as u32).to_le_bytes());
    block.extend_from_slice(&1u32.to_le_bytes());
    block.extend_from_slice(&first_reference.to_le_bytes());
    block.extend_from_slice(&previous.to_le_bytes());
    block.extend_from_slice(&[0; 8]);
    assert_eq!(block.len(), 64);
    block.extend_from_slice(records);
    let sum = crc32fast::hash(&block[8..]);
    block[4..8].copy_from_slice(&sum.to_le_bytes());
    block.resize(length, 0);
    block
}

fn recover(files: &Files, fetches: bool) {
    let config = LogConfig {
        shard: ShardId(0),
        segment_bytes: SEGMENT_BYTES as u64,
        buffer_bytes: 16 * 1024,
        writes_in_flight_max: 1,
        cache_bytes: 16 * 1024,
        settle_delay_us: 1,
    };
    let listing = files
        .iter()
        .map(|(file, octets)| SegmentFile { file: FileId(*file), bytes: octets.len() as u64 });
    let mut recovery = Recovery::new(config, Vectors, listing.collect());
    let mut messages: Vec<(Address, u32, u32)> = Vec::new();
    while let Some(read) = recovery.next_read() {
        let octets = part(files, read.file, read.offset, read.length);
        let result = recovery.supply(octets, &mut |found| {
            if let Recovered::Message { address, length, reference, .. } = found {
                messages.push((address, length, reference));
            }
        });
        if result.is_err() {
            return;
        }
    }
    // As a shard does: what was copied elsewhere is not held any more.
    messages.retain(|(address, _, reference)| !recovery.is_copied(*address, *reference));
    for (address, length, reference) in &messages {
        recovery.keep(*address, *length, *reference);
    }
    let now = Now { unix_ms: 1, monotonic_us: 1 };
    let Ok(mut log) = recovery.finish(now) else { return };
    for (address, length, _) in messages.into_iter().filter(|_| fetches) {
        fetch(&mut log, files, now, address, length);
    }
}

fn part(files: &Files, file: FileId, offset: u64, length: usize) -> &[u8] {
    let Some(octets) = files.get(&file.0) else { return &[] };
    let offset = (offset as usize).min(octets.len());
    &octets[offset..(offset + length).min(octets.len())]
}

fn fetch(log: &mut Log<Vectors>, files: &Files, now: Now, address: Address, length: u32) {
    for _ in 0..1000 {
        if let Fetch::Ready(_) = log.fetch(address, length) {
            return;
        }
        while let Some(effect) = log.poll_effect(now) {
            if let LogEffect::Read { ticket, file, offset, length } = effect {
                let buffer = part(files, file, offset, length).to_vec();
                log.complete(now, LogCompletion::Read { ticket, buffer }).expect("it was good");
            }
        }
    }
    panic!("{address:?} is never ready");
}
