//! What recovery finds in the live segments: it tells the shard, and keeps what the log goes on
//! with.

use std::ops::{Range, RangeInclusive};

use rustc_hash::FxHashMap;

use super::parts::PendingParts;
use super::Recovered;
use crate::ids::{QueueId, Seq};
use crate::log::bitmap::Bitmap;
use crate::log::block::Block;
use crate::log::format::{BLOCK_HEADER_BYTES, SEGMENT_REFERENCES_MAX};
use crate::log::geometry::Geometry;
use crate::log::index::{Builder, Spot};
use crate::log::parts::Multiparts;
use crate::log::record::{
    record_at, Copied, DefinitionView, IndexPiece, Malformed, MessageView, PartEntry, PartView,
    Payload, Record, Settle,
};
use crate::log::segment::Segment;
use crate::log::segments::Segments;
use crate::log::Address;

/// What is in the segments.
#[derive(Debug)]
pub(super) struct Found {
    pub geometry: Geometry,
    pub segments: Segments,
    pub multiparts: Multiparts,
    pub dead: FxHashMap<u32, Bitmap>,
    /// References that later records say to be dead, made anew by copies.
    pub copied: FxHashMap<u32, Bitmap>,
    pub parts: PendingParts,
    references: Vec<(QueueId, Seq)>,
    /// Messages whose parts are not there though their segments are: only damage does that.
    pub broken: Vec<Broken>,
    /// Where the pieces of the index of the segment that is being read in full lie.
    pub pieces: Vec<Address>,
    /// Notes about the segment that is being read in full.
    pub index: Builder,
}

impl Found {
    pub(super) fn new(geometry: Geometry, dead: FxHashMap<u32, Bitmap>) -> Self {
        Found {
            geometry,
            segments: Segments::default(),
            multiparts: Multiparts::default(),
            dead,
            copied: FxHashMap::default(),
            parts: PendingParts::default(),
            references: Vec::new(),
            broken: Vec::new(),
            pieces: Vec::new(),
            index: Builder::new(geometry, 0),
        }
    }

    /// What follows is in that segment.
    pub(super) fn begin(&mut self, segment: Segment) {
        self.index.restart(segment.number);
        self.pieces.clear();
        self.segments.push(segment);
    }

    /// False: a record that this version may not pass over.
    pub(super) fn block(
        &mut self,
        position: u64,
        block: &Block<'_>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<bool, Malformed> {
        if block.header.first_reference.get() != self.segments.tail().references() {
            return Err(Malformed("a block whose references are numbered wrongly"));
        }
        for record in block.records() {
            let (offset, length, record) = record?;
            debug_assert!(offset >= BLOCK_HEADER_BYTES);
            let address = Address::new(position, offset);
            match record {
                Record::Message(message) => self.message(address, length, message, visit)?,
                Record::Part(part) => self.part(address, length, part),
                Record::Definition(definition) => {
                    self.definition(address, length, definition, visit)?;
                }
                Record::Settle(settle) => {
                    self.index.settle_found(settle);
                    self.settle(settle, self.geometry.addresses(settle.segment), visit);
                }
                Record::Copied(copied) => {
                    self.index.copied(copied);
                    self.copied(copied);
                }
                Record::Liveness(liveness) => {
                    self.index.liveness(liveness.segment, address, length);
                    self.liveness(liveness.segment, address, length);
                }
                Record::SegmentIndex => {
                    self.pieces.push(address);
                    let (_, octets) = record_at(block.octets(), offset)?;
                    let sum = crc32fast::hash(octets);
                    let references = self.segments.tail().references();
                    self.index.piece_written(IndexPiece { address, length, sum }, references);
                }
                Record::Gone(references) => {
                    self.number(references)?;
                }
                Record::Roster(_) | Record::Recycled(_) | Record::Mark | Record::Skipped => {}
                Record::Unknown => return Ok(false),
            }
        }
        Ok(true)
    }

    /// `among`: where the messages lie that it is about.
    pub(super) fn settle(
        &mut self,
        settle: Settle,
        among: Range<Address>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) {
        let holder = self.segments.tail().number;
        if let Some(segment) = self.segments.get_mut(settle.segment) {
            segment.note_holder(holder);
        }
        let (queue, first, last) = (settle.queue, settle.first, settle.last());
        if !self.broken.is_empty() {
            self.broken.retain_mut(|broken| !broken.is_settled(queue, first..=last, &among));
        }
        visit(Recovered::Settled { queue, first, last, among });
    }

    /// References are dead. What lived of them has been told of and will be again, unless it is dead
    /// by now.
    pub(super) fn copied(&mut self, copied: Copied) {
        let Copied { segment, first, count } = copied;
        let holder = self.segments.tail().number;
        if let Some(old) = self.segments.get_mut(segment) {
            old.note_holder(holder);
            self.copied.entry(segment).or_default().set_run(first, count);
        }
    }

    /// There is a Liveness record about that segment.
    pub(super) fn liveness(&mut self, segment: u32, address: Address, length: u32) {
        let holder = self.segments.tail().number;
        if let Some(segment) = self.segments.get_mut(segment) {
            segment.note_liveness(address, length, holder);
        }
    }

    fn part(&mut self, address: Address, length: u32, part: PartView<'_>) {
        let before = self.parts.bytes_before(&part);
        let PartView { index, references, content } = part;
        if references > 0 {
            self.index.part(address, length, index, references, content, before);
        }
        self.parts.add(address, length, part);
    }

    /// Numbers references of the segment that is being read.
    fn number(&mut self, count: u32) -> Result<u32, Malformed> {
        let tail = self.segments.tail_mut();
        let first = tail.references();
        if u64::from(first) + u64::from(count) > u64::from(SEGMENT_REFERENCES_MAX) {
            return Err(Malformed("more references than a segment can have"));
        }
        tail.add_dead(count);
        tail.note_record(first, count);
        Ok(first)
    }

    pub(super) fn is_known_dead(&self, reference: u32) -> bool {
        let dead = self.dead.get(&self.segments.tail().number);
        dead.is_some_and(|dead| dead.get(reference))
    }

    fn definition(
        &mut self,
        address: Address,
        length: u32,
        definition: DefinitionView<'_>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), Malformed> {
        let reference = self.number(1)?;
        let DefinitionView { seq, payload } = definition;
        self.index.definition(Spot { address, length, reference }, seq, payload);
        if !self.is_known_dead(reference) {
            visit(Recovered::Definition { address, length, reference, seq, payload });
        }
        Ok(())
    }

    fn message(
        &mut self,
        address: Address,
        length: u32,
        message: MessageView<'_>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), Malformed> {
        let reference = self.number(message.references())?;
        if !message.is_persistent() {
            if let Payload::Parts(entries) = message.payload {
                self.index.forget_parts(entries);
                self.parts.record_came(entries);
            }
            return Ok(());
        }
        let spot = Spot { address, length, reference };
        let expires_unix_ms = message.expires_unix_ms();
        let mut references = std::mem::take(&mut self.references);
        references.clear();
        match message.payload {
            Payload::Inline(content) => {
                let entries = message.references_in(content)?;
                references.extend(entries.iter().map(|entry| entry.get()));
                let body_bytes = message.body_bytes() as usize;
                self.index.message(spot, body_bytes, expires_unix_ms, &references);
            }
            Payload::Parts(entries) => {
                if self.parts.are_those_of(&message, entries, self.geometry) {
                    let content = message.references_in(self.parts.content_of(entries))?;
                    references.extend(content.iter().map(|entry| entry.get()));
                    let body_bytes = message.body_bytes();
                    let index = &mut self.index;
                    index.message_in_parts(spot, body_bytes, expires_unix_ms, &references, entries);
                    self.multiparts.add(address, (length, reference), 0, self.parts_there(entries));
                } else {
                    // It is dead as a whole, as a rule: segments of parts are given back only when
                    // every reference is dead.
                    self.note_broken(spot, &message, entries);
                }
                self.parts.record_came(entries);
            }
        }
        let found = FoundMessage { spot, expires_unix_ms, body_bytes: message.body_bytes() };
        self.visit_live(found, &references, |_| false, visit);
        self.references = references;
        Ok(())
    }

    /// Those of its parts that were found may name its queues.
    fn note_broken(&mut self, spot: Spot, message: &MessageView<'_>, parts: &[PartEntry]) {
        let is_there = |part: &PartEntry| {
            self.segments.get(self.geometry.segment_of_address(part.address())).is_some()
        };
        let wanted = spot.reference..spot.reference.saturating_add(message.references());
        if !parts.iter().all(is_there) || wanted.clone().all(|number| self.is_known_dead(number)) {
            return;
        }
        let known = message.references_in(self.parts.content_of(parts)).unwrap_or_default();
        let lives = wanted.zip(known).filter(|(number, _)| !self.is_known_dead(*number));
        let references = lives.map(|(number, entry)| (number, entry.get())).collect();
        let (address, body_bytes) = (spot.address, message.body_bytes());
        let count = message.references();
        self.broken.push(Broken { address, body_bytes, count, references });
    }

    /// Those of the parts whose segments are there.
    pub(super) fn parts_there(&self, parts: &[PartEntry]) -> Vec<PartEntry> {
        let is_there = |part: &&PartEntry| {
            self.segments.get(self.geometry.segment_of_address(part.address())).is_some()
        };
        parts.iter().filter(is_there).copied().collect()
    }

    /// Tells of each stretch of references that are not known to be dead.
    #[inline]
    pub(super) fn visit_live(
        &self,
        message: FoundMessage,
        references: &[(QueueId, Seq)],
        is_dead: impl Fn(usize) -> bool,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) {
        let FoundMessage { spot, expires_unix_ms, body_bytes } = message;
        let Spot { address, length, reference: first } = spot;
        let dead = self.dead.get(&self.segments.tail().number);
        let is_known_dead = |number: u32| dead.is_some_and(|dead| dead.get(number));
        let lives = |index: usize| !is_dead(index) && !is_known_dead(first + index as u32);
        let mut at = 0;
        while at < references.len() {
            if !lives(at) {
                at += 1;
                continue;
            }
            let mut end = at + 1;
            while end < references.len() && lives(end) {
                end += 1;
            }
            visit(Recovered::Message {
                address,
                length,
                reference: first + at as u32,
                references: &references[at..end],
                expires_unix_ms,
                body_bytes,
            });
            at = end;
        }
    }
}

/// A message of which parts are missing.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub address: Address,
    pub body_bytes: u64,
    /// References that it has.
    pub count: u32,
    /// Those that live, by their numbers, if the first part is there to tell.
    pub references: Vec<(u32, (QueueId, Seq))>,
}

impl Broken {
    /// Those of that queue are settled. True if that was all that lived.
    fn is_settled(
        &mut self,
        queue: QueueId,
        run: RangeInclusive<Seq>,
        among: &Range<Address>,
    ) -> bool {
        if self.references.is_empty() || !among.contains(&self.address) {
            return false;
        }
        self.references.retain(|(_, (of, seq))| *of != queue || !run.contains(seq));
        self.references.is_empty()
    }
}

/// A message as recovery tells of it, without its references.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundMessage {
    pub spot: Spot,
    pub expires_unix_ms: Option<u64>,
    pub body_bytes: u64,
}
