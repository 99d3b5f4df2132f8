//! The notes about the open segment, taken while records are appended.
//!
//! Messages that continue a run cost a few comparisons; whatever else is written into a stream.
//! Memory is bounded: when the notes get long, they are written out as a piece of the index, and
//! if they get too long for that, the segment will have no index and is read in full.

use rustc_hash::FxHashSet;

use super::writer::Writer;
use super::{Run, Spot};
use crate::ids::{QueueId, Seq};
use crate::log::format::aligned_record;
use crate::log::geometry::Geometry;
use crate::log::record::{Copied, IndexPiece, PartEntry, Settle, REFERENCE_BYTES};
use crate::log::Address;

/// Runs of settles that may still be made longer. A power of two.
const SETTLE_SLOTS: usize = 16;
/// A segment that needs more pieces than this has no index.
pub(super) const PIECES_MAX: usize = 64;
/// Octets that a message, a definition or a part may add to its references or payload.
const ENTRY_BYTES: usize = 128;

/// A part whose message's record has not come yet.
#[derive(Clone, Debug)]
pub(super) struct OpenPart {
    pub address: Address,
    pub length: u32,
    pub index: u32,
    pub references: u32,
    pub content: Vec<u8>,
}

impl OpenPart {
    /// Octets of its entry at most.
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.content.len()
    }
}

#[derive(Clone, Debug)]
pub(in crate::log) struct Builder {
    pub(super) geometry: Geometry,
    pub(super) segment: u32,
    /// Notes since the last piece.
    pub(super) notes: Writer,
    /// The run that may go on; `run.count` is 0 if there is none.
    run: Run,
    /// Address and sequence number of the message that would make the run longer.
    next: Address,
    next_seq: u64,
    settles: [Settle; SETTLE_SLOTS],
    /// The run of references made anew that may still be made longer.
    copied: Option<Copied>,
    pub(super) parts: Vec<OpenPart>,
    /// Octets of content in these parts.
    part_bytes: usize,
    /// Written so far.
    pub(super) pieces: Vec<IndexPiece>,
    /// Number of the first reference since the last piece.
    pub(super) first_reference: u32,
    /// Something has been noted since the last piece.
    is_fresh: bool,
    /// The notes tell of segments that may be gone by the time of the piece.
    pub(super) names_others: bool,
    /// The segment will have no index.
    pub(super) is_abandoned: bool,
    /// Piece being composed.
    pub(super) composed: Option<Writer>,
}

const NO_RUN: Run = Run {
    address: Address(0),
    length: 0,
    body_bytes: 0,
    expires_unix_ms: None,
    reference: 0,
    queue: QueueId(0),
    first: Seq(0),
    count: 0,
};
const NO_SETTLE: Settle = Settle { queue: QueueId(0), first: Seq(0), segment: 0, count: 0 };

impl Builder {
    pub(in crate::log) fn new(geometry: Geometry, segment: u32) -> Self {
        Builder {
            geometry,
            segment,
            notes: Writer::new(geometry, segment),
            run: NO_RUN,
            next: Address(0),
            next_seq: 0,
            settles: [NO_SETTLE; SETTLE_SLOTS],
            copied: None,
            parts: Vec::new(),
            part_bytes: 0,
            pieces: Vec::new(),
            first_reference: 0,
            is_fresh: false,
            names_others: false,
            is_abandoned: false,
            composed: None,
        }
    }

    /// The segment that the notes are about.
    pub(in crate::log) fn segment(&self) -> u32 {
        self.segment
    }

    /// Starts over with another segment, keeping the memory.
    pub(in crate::log) fn restart(&mut self, segment: u32) {
        self.segment = segment;
        self.pieces.clear();
        self.is_abandoned = false;
        self.parts.clear();
        self.part_bytes = 0;
        self.forget_notes(0);
    }

    fn forget_notes(&mut self, references: u32) {
        self.run = NO_RUN;
        self.next = Address(0);
        self.settles = [NO_SETTLE; SETTLE_SLOTS];
        self.copied = None;
        self.first_reference = references;
        self.is_fresh = false;
        self.names_others = false;
        self.notes.restart(self.geometry, self.segment, references);
    }

    /// The notes are so long that they should be written out.
    #[inline]
    pub(in crate::log) fn is_full(&self) -> bool {
        self.notes.octets().len() > self.geometry.index_bytes_max() / 2 && !self.is_abandoned
    }

    /// Nothing that matters has been appended since the last piece, which so is the whole index.
    pub(in crate::log) fn index(&self) -> Option<IndexPiece> {
        let is_whole = !self.is_fresh && self.parts.is_empty() && !self.is_abandoned;
        self.pieces.last().copied().filter(|_| is_whole)
    }

    /// The pieces written so far.
    pub(in crate::log) fn pieces(&self) -> &[IndexPiece] {
        &self.pieces
    }

    /// A piece with everything noted so far lies there, and `references` had been numbered.
    pub(in crate::log) fn piece_written(&mut self, piece: IndexPiece, references: u32) {
        self.pieces.push(piece);
        self.is_abandoned |= self.pieces.len() > PIECES_MAX;
        self.forget_notes(references);
    }

    /// No index for this segment.
    pub(in crate::log) fn abandon(&mut self) {
        self.is_abandoned = true;
        self.parts = Vec::new();
        self.forget_notes(self.first_reference);
    }

    /// False, once and for all, if there is no room for so many octets more.
    fn has_room(&mut self, octets: usize) -> bool {
        if self.is_abandoned {
            return false;
        }
        self.is_fresh = true;
        if self.notes.octets().len() + octets > self.geometry.index_bytes_max() {
            self.abandon();
        }
        !self.is_abandoned
    }

    /// A message that lies in one record.
    #[inline]
    pub(in crate::log) fn message(
        &mut self,
        spot: Spot,
        body_bytes: usize,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
    ) {
        if let [(queue, seq)] = *references {
            let run = &mut self.run;
            let goes_on = spot.address == self.next
                && queue == run.queue
                && seq.0 == self.next_seq
                && spot.length == run.length
                && body_bytes as u32 == run.body_bytes
                && expires_unix_ms == run.expires_unix_ms;
            if goes_on {
                run.count += 1;
                self.next.0 += aligned_record(run.length as usize) as u64;
                self.next_seq += 1;
                return;
            }
        }
        self.other_message(spot, body_bytes, expires_unix_ms, references);
    }

    fn other_message(
        &mut self,
        spot: Spot,
        body_bytes: usize,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
    ) {
        let Spot { address, length, reference } = spot;
        match *references {
            [(queue, first)] => {
                self.flush_run();
                if !self.has_room(ENTRY_BYTES) {
                    return;
                }
                let body_bytes = body_bytes as u32;
                let count = 1;
                self.run = Run {
                    address,
                    length,
                    body_bytes,
                    expires_unix_ms,
                    reference,
                    queue,
                    first,
                    count,
                };
                // Numbers that are nearly used up, as only damage has them, are left alone.
                if first.0 < u64::MAX / 2 {
                    self.next = Address(address.0 + aligned_record(length as usize) as u64);
                    self.next_seq = first.0 + 1;
                }
            }
            _ => {
                let body_bytes = body_bytes as u64;
                self.whole_message(spot, body_bytes, expires_unix_ms, references, &[]);
            }
        }
    }

    /// A message whose content lies in parts, which are noted already.
    pub(in crate::log) fn message_in_parts(
        &mut self,
        spot: Spot,
        body_bytes: u64,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
        parts: &[PartEntry],
    ) {
        self.forget_parts(parts);
        self.whole_message(spot, body_bytes, expires_unix_ms, references, parts);
    }

    /// The record that names those parts is there: those that are noted need no note of their own.
    pub(in crate::log) fn forget_parts(&mut self, parts: &[PartEntry]) {
        if self.parts.is_empty() {
            return;
        }
        let named: FxHashSet<Address> = parts.iter().map(PartEntry::address).collect();
        self.parts.retain(|noted| !named.contains(&noted.address));
        self.part_bytes = self.parts.iter().map(OpenPart::bytes).sum();
    }

    fn whole_message(
        &mut self,
        spot: Spot,
        body_bytes: u64,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
        parts: &[PartEntry],
    ) {
        self.flush_run();
        if self.has_room(ENTRY_BYTES + references.len() * 21 + parts.len() * 16) {
            let (references, parts) = (references.iter().copied(), parts.iter().copied());
            self.notes.message(spot, body_bytes, expires_unix_ms, references, None, parts);
        }
    }

    /// A part; `before`: octets of the message's content in the parts before it.
    pub(in crate::log) fn part(
        &mut self,
        address: Address,
        length: u32,
        index: u32,
        references: u32,
        content: &[u8],
        before: u64,
    ) {
        let wanted = u64::from(references) * REFERENCE_BYTES as u64;
        let wanted = wanted.saturating_sub(before).min(content.len() as u64) as usize;
        self.part_bytes += ENTRY_BYTES + wanted;
        if self.has_room(self.part_bytes) {
            let content = content[..wanted].to_vec();
            self.parts.push(OpenPart { address, length, index, references, content });
        }
    }

    pub(in crate::log) fn definition(&mut self, spot: Spot, seq: Seq, payload: &[u8]) {
        self.flush_run();
        if self.has_room(ENTRY_BYTES + payload.len()) {
            self.notes.definition(spot, seq, payload);
        }
    }

    /// Messages are settled, of which `reference` says the number in their segment. It matters if some
    /// index tells of the message already: one of an older segment, or a piece of this one. What
    /// else lives, the segment knows when the piece is composed.
    #[inline]
    pub(in crate::log) fn settle(&mut self, settle: Settle, reference: impl Fn(usize) -> u32) {
        if settle.segment < self.segment {
            return self.settle_run(settle);
        }
        if self.first_reference == 0 {
            return;
        }
        let Settle { queue, first, segment, count } = settle;
        for index in 0..count {
            if reference(index as usize) < self.first_reference {
                let first = Seq(first.0 + u64::from(index));
                self.settle_run(Settle { queue, first, segment, count: 1 });
            }
        }
    }

    /// As [`Builder::settle`], for a run of which the references are not known.
    pub(in crate::log) fn settle_found(&mut self, settle: Settle) {
        let is_own = settle.segment == self.segment;
        if settle.segment < self.segment || (is_own && !self.pieces.is_empty()) {
            self.settle_run(settle);
        }
    }

    #[inline]
    fn settle_run(&mut self, settle: Settle) {
        let Settle { queue, first: seq, segment, count } = settle;
        self.names_others = true;
        let held = &mut self.settles[queue.0 as usize % SETTLE_SLOTS];
        let goes_on = held.queue == queue
            && held.segment == segment
            && held.first.0.checked_add(u64::from(held.count)) == Some(seq.0)
            && held.count != 0
            && held.count <= u32::MAX - count;
        if goes_on {
            held.count += count;
            return;
        }
        let before = std::mem::replace(held, settle);
        if self.has_room(ENTRY_BYTES) && before.count != 0 {
            self.notes.settle(before);
        }
    }

    /// References have been made anew.
    pub(in crate::log) fn copied(&mut self, copied: Copied) {
        if self.copied.as_mut().is_some_and(|run| run.extend(&copied)) {
            return;
        }
        let before = self.copied.replace(copied);
        self.names_others = true;
        if self.has_room(ENTRY_BYTES) {
            before.into_iter().for_each(|before| self.notes.copied(before));
        }
    }

    pub(in crate::log) fn liveness(&mut self, segment: u32, address: Address, length: u32) {
        self.names_others = true;
        if self.has_room(ENTRY_BYTES) {
            self.notes.liveness(segment, address, length);
        }
    }

    fn flush_run(&mut self) {
        let run = std::mem::replace(&mut self.run, NO_RUN);
        self.next = Address(0);
        if run.count != 0 {
            self.notes.run(&run, None);
        }
    }

    /// Brings everything into the notes.
    pub(super) fn flush(&mut self) {
        self.flush_run();
        for slot in 0..SETTLE_SLOTS {
            let settle = std::mem::replace(&mut self.settles[slot], NO_SETTLE);
            if settle.count != 0 {
                self.notes.settle(settle);
            }
        }
        self.copied.take().into_iter().for_each(|copied| self.notes.copied(copied));
    }
}
