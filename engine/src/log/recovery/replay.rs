//! Reading the live segments in order, and telling the shard what is in them.
//!
//! What it builds on the way is what the log goes on with: how many references each segment has,
//! which segments hold settles of which, which messages are in parts.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::walk::Walk;
use super::{unknown_record, Recovered, RecoveryRead};
use crate::ids::{QueueId, Seq};
use crate::log::bitmap::Bitmap;
use crate::log::block::Block;
use crate::log::format::{aligned_record, FileHeader, BLOCK_HEADER_BYTES, SEGMENT_REFERENCES_MAX};
use crate::log::geometry::Geometry;
use crate::log::parts::{Multiparts, Pinned};
use crate::log::record::{
    DefinitionView, LivenessView, Malformed, MessageView, PartEntry, PartView, Payload, Record,
    REFERENCE_BYTES,
};
use crate::log::segment::Segment;
use crate::log::segments::Segments;
use crate::log::{Address, FileId, LogError};

/// A live segment that is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub file: FileId,
    pub header: FileHeader,
    /// Position up to which every block is good.
    pub end: u64,
    /// It takes no more records.
    pub is_sealed: bool,
}

/// The parts of a message, until its record comes.
#[derive(Debug, Default)]
struct PendingParts {
    /// Address and record length of each.
    seen: Vec<(Address, u32)>,
    /// Octets of content in them.
    bytes: u64,
    /// Octets of content that hold references.
    wanted: usize,
    /// As much of the content as that.
    content: Vec<u8>,
}

impl PendingParts {
    fn add(&mut self, address: Address, length: u32, part: PartView<'_>) {
        if part.index == 0 {
            self.seen.clear();
            self.content.clear();
            self.bytes = 0;
            self.wanted = part.references as usize * REFERENCE_BYTES;
        }
        self.seen.push((address, length));
        self.bytes += part.content.len() as u64;
        let missing = self.wanted.saturating_sub(self.content.len());
        self.content.extend_from_slice(&part.content[..missing.min(part.content.len())]);
    }

    /// True if these are the parts that the message's record names.
    fn are_those_of(&self, message: &MessageView<'_>, entries: &[PartEntry]) -> bool {
        let named = entries.iter().map(|entry| (entry.address(), entry.length()));
        named.eq(self.seen.iter().copied()) && message.content_bytes() == Some(self.bytes)
    }
}

#[derive(Debug)]
pub(super) struct Replay {
    geometry: Geometry,
    /// The first one is being read.
    planned: VecDeque<Planned>,
    walk: Option<Walk>,
    found: Found,
}

/// What is in the segments.
#[derive(Debug)]
struct Found {
    geometry: Geometry,
    segments: Segments,
    multiparts: Multiparts,
    dead: FxHashMap<u32, Bitmap>,
    parts: PendingParts,
    references: Vec<(QueueId, Seq)>,
}

impl Replay {
    /// `planned`: ascending. `dead`: references known to be dead by Liveness records.
    pub(super) fn new(
        geometry: Geometry,
        planned: VecDeque<Planned>,
        dead: FxHashMap<u32, Bitmap>,
    ) -> Self {
        let found = Found {
            geometry,
            segments: Segments::default(),
            multiparts: Multiparts::default(),
            dead,
            parts: PendingParts::default(),
            references: Vec::new(),
        };
        let mut replay = Replay { geometry, planned, walk: None, found };
        replay.begin();
        replay
    }

    /// Begins the first planned segment that has anything in it.
    fn begin(&mut self) {
        while let Some(planned) = self.planned.front() {
            let number = planned.header.segment.get();
            let mut segment = Segment::new(number, planned.file);
            segment.sealed_end = planned.is_sealed.then_some(planned.end);
            self.found.segments.push(segment);
            let walk = Walk::new(planned.file, &planned.header, self.geometry, planned.end);
            if walk.next_read().is_some() {
                self.walk = Some(walk);
                return;
            }
            self.planned.pop_front();
        }
        self.walk = None;
    }

    /// What was found, when all is read.
    pub(super) fn found(self) -> (Segments, Multiparts) {
        (self.found.segments, self.found.multiparts)
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        self.walk.as_ref()?.next_read()
    }

    pub(super) fn supply(
        &mut self,
        octets: &[u8],
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), LogError> {
        let (Some(walk), Some(planned)) = (&mut self.walk, self.planned.front()) else {
            return Ok(());
        };
        let (geometry, found) = (self.geometry, &mut self.found);
        let rot = |position, what| LogError::Rot {
            file: planned.file.0,
            offset: geometry.offset(position),
            durable: planned.end,
            what,
        };
        let mut on_block = |position: u64, block: &Block<'_>| {
            let known = found.block(position, block, visit);
            match known.map_err(|Malformed(what)| rot(position, what))? {
                true => Ok(()),
                false => {
                    let offset = geometry.offset(position);
                    Err(unknown_record(planned.file, &planned.header, offset))
                }
            }
        };
        if let Some(stop) = walk.supply(octets, &mut on_block)? {
            return Err(rot(stop.position, stop.what));
        }
        if walk.next_read().is_none() {
            self.planned.pop_front();
            self.begin();
        }
        Ok(())
    }
}

impl Found {
    /// False: a record that this version may not pass over.
    fn block(
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
                Record::Part(part) => self.parts.add(address, length, part),
                Record::Definition(definition) => {
                    self.definition(address, length, definition, visit)?;
                }
                Record::Settle(settle) => {
                    let holder = self.segments.tail().number;
                    if let Some(segment) = self.segments.get_mut(settle.segment) {
                        segment.note_holder(holder);
                    }
                    let (queue, first, last) = (settle.queue, settle.first, settle.last());
                    let among = self.geometry.addresses(settle.segment);
                    visit(Recovered::Settled { queue, first, last, among });
                }
                Record::Liveness(liveness) => self.liveness(address, length, liveness),
                Record::Roster(_) | Record::Recycled(_) | Record::Mark | Record::Skipped => {}
                Record::Unknown => return Ok(false),
            }
        }
        Ok(true)
    }

    fn liveness(&mut self, address: Address, length: u32, liveness: LivenessView<'_>) {
        let holder = self.segments.tail().number;
        if let Some(segment) = self.segments.get_mut(liveness.segment) {
            segment.note_liveness(address, length, holder);
        }
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

    fn is_known_dead(&self, reference: u32) -> bool {
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
        if !self.is_known_dead(reference) {
            let DefinitionView { seq, payload } = definition;
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
        let first = self.number(message.references())?;
        if !message.is_persistent() {
            return Ok(());
        }
        self.references.clear();
        match message.payload {
            Payload::Inline(content) => {
                let entries = message.references_in(content)?;
                self.references.extend(entries.iter().map(|entry| entry.get()));
            }
            Payload::Parts(entries) => {
                let parts = std::mem::take(&mut self.parts);
                if !parts.are_those_of(&message, entries) {
                    // Segments of parts are given back only when every reference is dead.
                    return Ok(());
                }
                let content = message.references_in(&parts.content)?;
                self.references.extend(content.iter().map(|entry| entry.get()));
                self.multiparts.add(address, 0, self.pinned_by(entries));
            }
        }
        self.visit_live(address, length, first, &message, visit);
        Ok(())
    }

    /// The segments that those parts lie in, as far as they are there.
    fn pinned_by(&self, parts: &[PartEntry]) -> Pinned {
        let pinned = parts.iter().map(|part| {
            let octets = aligned_record(part.length() as usize) as u64;
            (self.geometry.segment_of_address(part.address()), octets)
        });
        pinned.filter(|(number, _)| self.segments.get(*number).is_some()).collect()
    }

    /// Tells of each stretch of references that are not known to be dead.
    fn visit_live(
        &self,
        address: Address,
        length: u32,
        first: u32,
        message: &MessageView<'_>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) {
        let mut at = 0;
        while at < self.references.len() {
            let is_dead = |index: usize| self.is_known_dead(first + index as u32);
            if is_dead(at) {
                at += 1;
                continue;
            }
            let mut end = at + 1;
            while end < self.references.len() && !is_dead(end) {
                end += 1;
            }
            visit(Recovered::Message {
                address,
                length,
                reference: first + at as u32,
                references: &self.references[at..end],
                expires_unix_ms: message.expires_unix_ms(),
                priority: message.priority(),
                body_bytes: message.body_bytes(),
            });
            at = end;
        }
    }
}
