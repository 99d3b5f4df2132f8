use std::collections::BTreeMap;

use super::reader::{is_set, Entry, Reader};
use super::writer::Writer;
use super::{Builder, Spot};
use crate::ids::{QueueId, Seq};
use crate::log::format::{BLOCK_HEADER_BYTES, BLOCK_TARGET_BYTES, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::record::{IndexPiece, IndexScope, Settle};
use crate::log::segment::Segment;
use crate::log::segments::Segments;
use crate::log::{Address, FileId};

const SEGMENT: u32 = 3;

fn geometry() -> Geometry {
    Geometry::new(32 << 20).expect("a size")
}

/// Address, length, reference, octets of body and expiry of a message.
type Known = (Address, u32, u32, u64, Option<u64>);

/// Records at plausible places, as a log would append them.
struct Author {
    builder: Builder,
    segments: Segments,
    block: u64,
    offset: usize,
    /// What is alive: place, body and expiry of each message.
    live: BTreeMap<(QueueId, Seq), Known>,
    /// Streams of the pieces so far, and what they are about.
    pieces: Vec<(Vec<u8>, IndexScope)>,
}

impl Author {
    fn new() -> Self {
        let mut segments = Segments::default();
        segments.push(Segment::new(1, FileId(1)));
        segments.push(Segment::new(SEGMENT, FileId(3)));
        let block = geometry().start(SEGMENT) + PAGE_BYTES as u64;
        Author {
            builder: Builder::new(geometry(), SEGMENT),
            segments,
            block,
            offset: BLOCK_HEADER_BYTES,
            live: BTreeMap::new(),
            pieces: Vec::new(),
        }
    }

    fn spot(&mut self, length: u32, references: u32) -> Spot {
        let need = (length as usize).next_multiple_of(8);
        if self.offset + need > BLOCK_TARGET_BYTES {
            self.next_block();
        }
        let address = Address::new(self.block, self.offset);
        self.offset += need;
        Spot { address, length, reference: self.segments.tail_mut().add_live(references, 64) }
    }

    fn next_block(&mut self) {
        self.block += self.offset.next_multiple_of(PAGE_BYTES) as u64;
        self.offset = BLOCK_HEADER_BYTES;
    }

    fn append(&mut self, references: &[(u64, u64)], body: usize, expires: Option<u64>) {
        let references: Vec<_> =
            references.iter().map(|(queue, seq)| (QueueId(*queue), Seq(*seq))).collect();
        let spot = self.spot(60 + body as u32, references.len() as u32);
        self.builder.message(spot, body, expires, &references);
        for (index, key) in references.iter().enumerate() {
            let Spot { address, length, reference } = spot;
            let known = (address, length, reference + index as u32, body as u64, expires);
            self.live.insert(*key, known);
        }
    }

    fn settle(&mut self, queue: u64, seq: u64) {
        let key = (QueueId(queue), Seq(seq));
        let (_, _, reference, ..) = self.live.remove(&key).expect("alive");
        self.segments.tail_mut().kill(reference, 64, || false);
        let settle = Settle { queue: key.0, first: key.1, segment: SEGMENT, count: 1 };
        self.builder.settle(settle, |_| reference);
    }

    /// Octets of the piece.
    fn piece(&mut self) -> usize {
        let length = self.builder.compose(&self.segments, true).expect("a piece");
        let scope = self.builder.scope(&self.segments);
        let stream = self.builder.composed().to_vec();
        self.pieces.push((stream, scope));
        let piece = IndexPiece { address: Address(0), length: length as u32, sum: 0 };
        self.builder.piece_written(piece, scope.references_end);
        length
    }

    /// What the pieces say is what is alive.
    fn check(&self) {
        let mut found = BTreeMap::new();
        for (stream, scope) in &self.pieces {
            let mut entries = Reader::new(stream, geometry(), *scope);
            while let Some(entry) = entries.next().expect("a good stream") {
                match entry {
                    Entry::Run(run, dead) => {
                        let each = u64::from(run.length).next_multiple_of(8);
                        for index in (0..run.count).filter(|index| !is_set(dead, *index as usize)) {
                            let address = Address(run.address.0 + u64::from(index) * each);
                            let (reference, body) = (run.reference + index, run.body_bytes.into());
                            let known = (address, run.length, reference, body, run.expires_unix_ms);
                            found.insert((run.queue, Seq(run.first.0 + u64::from(index))), known);
                        }
                    }
                    Entry::Message(message) => {
                        for (index, key) in entries.references.iter().enumerate() {
                            if is_set(message.dead, index) {
                                continue;
                            }
                            let reference = message.reference + index as u32;
                            let known = (
                                message.address,
                                message.length,
                                reference,
                                message.body_bytes,
                                message.expires_unix_ms,
                            );
                            found.insert(*key, known);
                        }
                    }
                    Entry::Settle(settle) => {
                        for seq in settle.first.0..=settle.last().0 {
                            found.remove(&(settle.queue, Seq(seq)));
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(found == self.live);
    }
}

#[test]
fn a_steady_queue_takes_a_tenth_of_an_octet_a_message() {
    let mut author = Author::new();
    for seq in 0..20_000 {
        author.append(&[(7, seq)], 1024, None);
    }
    let length = author.piece();
    assert!(length < 2_000, "{length} octets");
    author.check();
}

#[test]
fn interleaved_queues_take_a_few_octets_a_message() {
    let mut author = Author::new();
    for number in 0..20_000u64 {
        author.append(&[(100 + number % 50, 5_000_000 + number / 50)], 1024, None);
    }
    let length = author.piece();
    assert!(length < 20_000 * 3, "{length} octets");
    author.check();
}

/// A piece that is the notes as they are says what one would say that has been made by going through them.
#[test]
fn a_piece_of_nothing_but_living_messages_is_the_same_either_way() {
    let mut author = Author::new();
    for number in 0..40_000u64 {
        let queue = number % 300;
        match number % 77 {
            0 => author.append(&[(queue, number), (queue + 1, number)], 70, None),
            1 => author.append(&[(queue, number)], 3000, Some(1_700_000_000_000 + number)),
            _ => author.append(&[(queue, number)], 200, None),
        }
        if number % 20_000 == 19_999 {
            author.builder.flush();
            let scope = author.builder.scope(&author.segments);
            let mut filtered = Writer::new(geometry(), SEGMENT);
            filtered.restart(geometry(), SEGMENT, scope.first_reference);
            author.builder.filter(&author.segments, scope, &mut filtered).expect("good notes");
            author.piece();
            let (stream, _) = author.pieces.last().expect("a piece");
            assert!(stream.as_slice() == filtered.octets());
        }
    }
    // One that has gone is left out, though it is the only one.
    author.append(&[(7, 1)], 200, None);
    author.append(&[(8, 1)], 200, None);
    author.settle(7, 1);
    author.piece();
    author.check();
}

#[test]
fn what_is_drained_takes_nothing() {
    let mut author = Author::new();
    for seq in 0..20_000 {
        author.append(&[(7, seq)], 100 + seq as usize % 90, Some(1_700_000_000_000 + seq));
        if seq >= 10 {
            author.settle(7, seq - 10);
        }
    }
    assert!(author.piece() < 200);
    author.check();
}

#[test]
fn holes_expiries_lengths_and_fanout_are_kept() {
    let mut author = Author::new();
    let mut state = 88_172_645_463_325_252u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut next = [1u64; 5];
    for round in 0..30_000u64 {
        let queue = random(5);
        let body = if random(3) == 0 { random(3000) } else { 200 };
        let expires = (random(4) == 0).then(|| 1_700_000_000_000 + random(100_000));
        let mut references = vec![(queue + 1, next[queue as usize])];
        next[queue as usize] += 1;
        if random(10) == 0 {
            let other = (queue + 1) % 5;
            references.push((other + 1, next[other as usize]));
            next[other as usize] += 1;
        }
        author.append(&references, body as usize, expires);
        if random(40) == 0 {
            author.next_block();
        }
        if random(3) == 0 {
            let count = author.live.len() as u64;
            let chosen = author.live.keys().nth(random(count) as usize).copied();
            let (queue, seq) = chosen.expect("something lives");
            author.settle(queue.0, seq.0);
        }
        if round % 7_000 == 6_999 {
            author.piece();
        }
    }
    author.piece();
    assert!(author.pieces.len() > 4);
    author.check();
}

/// Whatever the octets are: an error or entries, never a panic, and places within the segment.
#[test]
fn any_octets_are_refused_or_make_sense() {
    let mut author = Author::new();
    for seq in 0..40 {
        author.append(&[(1 + seq % 3, seq), (9, seq)], 100, Some(5));
        author.append(&[(1 + seq % 3, 1000 + seq)], 100, None);
    }
    author.piece();
    let (stream, scope) = author.pieces.remove(0);
    let mut refused = 0;
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut octets = stream.clone();
            octets[at] ^= 1 << bit;
            let mut entries = Reader::new(&octets, geometry(), scope);
            loop {
                match entries.next() {
                    Ok(Some(Entry::Run(run, _))) => {
                        let segment = geometry().segment_of_address(run.address);
                        assert_eq!(segment, SEGMENT);
                        assert!(run.reference + run.count <= scope.references_end);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => {
                        refused += 1;
                        break;
                    }
                }
            }
        }
        let mut cut = Reader::new(&stream[..at], geometry(), scope);
        while let Ok(Some(_)) = cut.next() {}
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn notes_that_get_too_long_are_given_up() {
    let mut author = Author::new();
    let mut seq = 0;
    while !author.builder.is_abandoned {
        seq += 1;
        author.append(&[(seq % 1000, seq * 7)], 100, Some(seq * 977));
        assert!(seq < 1_000_000, "the notes grow for ever");
    }
    assert!(author.builder.notes.octets().len() <= geometry().index_bytes_max());
    assert!(author.builder.index().is_none() && !author.builder.is_full());
}
