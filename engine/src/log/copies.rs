//! Copies: a record appended again for references that live, and in the same block the word that
//! the old ones are dead (a Copied record).
//!
//! Blocks are atomic, so after a crash a reference lies at the old place or at the new one. A
//! Copied record names references by their numbers in their segment and does not touch the copy.
//! It is a run, which what was dead before does not break: one record is enough for all that is
//! copied into a block, as a rule.

use super::format::aligned_record;
use super::moving::message_bytes;
use super::record::{
    Attributes, Copied, PartEntry, COPIED_BYTES, DEFINITION_HEAD_BYTES, MESSAGE_HEAD_BYTES,
    PART_ENTRY_BYTES,
};
use super::{Address, Log, Memory, Placed, Position, Settling, Stored};
use crate::ids::{QueueId, Seq};
use crate::message::MessageRef;
use crate::now::Now;

/// Where a reference lies after it has been copied.
#[derive(Clone, Copy, Debug)]
pub struct Relocated {
    pub address: Address,
    /// Octets of the record.
    pub length: u32,
    pub reference: u32,
    /// Durable once [`Log::durable`] has reached this.
    pub end: Position,
}

/// Octets of a definition's copy, with what is said of the old one.
pub(super) fn definition_copy_bytes(payload: &[u8]) -> usize {
    aligned_record(DEFINITION_HEAD_BYTES + payload.len()) + COPIED_BYTES
}

impl<M: Memory> Log<M> {
    /// Appends a message again, for references of one record that live, and says that the old ones
    /// are dead. All that was known of it stays as it was. Several copies are made only if not all
    /// references and what is said of the old ones fit one block. `body`: the parts of one that
    /// `stored` does not have.
    pub(super) fn append_copies(
        &mut self,
        now: Now,
        (stored, body): (&Stored<'_>, Option<&[PartEntry]>),
        expires_unix_ms: Option<u64>,
        moving: &[Settling],
        mut moved: impl FnMut(&Settling, Relocated),
    ) {
        let received_unix_ms = stored.received_unix_ms;
        let attributes = Attributes { received_unix_ms, expires_unix_ms };
        let message = &stored.message;
        let urgent = self.urgent;
        let room = self.geometry.record_bytes_max();
        let mut rest = moving;
        while !rest.is_empty() {
            let notes = self.runs(rest) * COPIED_BYTES;
            let fitting = |count: &usize| message_bytes(message, *count) + notes <= room;
            let whole = (1..=rest.len()).rev().find(fitting).filter(|_| body.is_none());
            let parts = body.map_or(0, <[PartEntry]>::len);
            let count = whole.unwrap_or_else(|| self.fitting_with_parts(stored, parts, rest.len()));
            let (these, others) = rest.split_at(count);
            let references: Vec<(QueueId, Seq)> =
                these.iter().map(|held| (held.queue, held.seq)).collect();
            let placed = if whole.is_some() {
                self.keep_together(now, message_bytes(message, count) + notes, count as u32);
                self.append_whole(now, message, attributes, &references)
            } else {
                let followed_by = self.runs(these) * COPIED_BYTES;
                match body {
                    None => {
                        self.append_in_parts(now, message, attributes, &references, followed_by)
                    }
                    Some(parts) => {
                        let body = self.open_shared(parts.to_vec());
                        self.append_named(now, message, attributes, body, &references, followed_by)
                    }
                }
            };
            self.note_copied(placed.length);
            for (reference, held) in (placed.reference..).zip(these) {
                self.append_copied(now, held);
                let Placed { address, length, end, .. } = placed;
                moved(held, Relocated { address, length, reference, end });
            }
            let block = self.batch.open_position();
            assert!(placed.address.block().0 == block, "a copy is torn between two blocks");
            rest = others;
        }
        // Nobody waits for a copy.
        self.urgent = urgent;
    }

    /// Octets of a copy for these references, with what is said of the old ones.
    pub(super) fn copies_bytes(&self, message: &MessageRef<'_>, moving: &[Settling]) -> usize {
        message_bytes(message, moving.len()) + self.runs(moving) * COPIED_BYTES
    }

    /// How many of so many references a copy in parts can have, with what is said of the old ones
    /// beside its record.
    fn fitting_with_parts(&self, stored: &Stored<'_>, parts: usize, references: usize) -> usize {
        let room = self.geometry.record_bytes_max();
        let parts = parts + message_bytes(&stored.message, references) / (room / 2) + 2;
        let record = MESSAGE_HEAD_BYTES + parts * PART_ENTRY_BYTES;
        (room.saturating_sub(record) / COPIED_BYTES).clamp(1, references)
    }

    /// Appends a definition again, and says that the old record is dead.
    pub(super) fn append_definition_copy(
        &mut self,
        now: Now,
        held: &Settling,
        payload: &[u8],
    ) -> Relocated {
        let urgent = self.urgent;
        self.keep_together(now, definition_copy_bytes(payload), 1);
        let placed = self.append_definition(now, held.seq, payload);
        self.append_copied(now, held);
        let block = self.batch.open_position();
        assert!(placed.address.block().0 == block, "a copy is torn between two blocks");
        self.urgent = urgent;
        let Placed { address, length, reference, end } = placed;
        Relocated { address, length, reference, end }
    }

    /// Copied records at most that so many references of one record need: others that live stand
    /// between them.
    fn runs(&self, held: &[Settling]) -> usize {
        let breaks = held.windows(2).filter(|pair| {
            let number = self.geometry.segment_of_address(pair[0].address);
            let between = (pair[0].reference + 1, pair[1].reference);
            self.segments.get(number).is_none_or(|old| !old.are_dead(between.0, between.1))
        });
        1 + breaks.count()
    }

    /// Says that a reference is dead, of which a copy lies before in the open block.
    fn append_copied(&mut self, now: Now, held: &Settling) {
        let Settling { address, length, reference, .. } = *held;
        let segment = self.geometry.segment_of_address(address);
        let Some(old) = self.segments.get(segment) else { return };
        let first = self.copying.run_start(segment, reference, old);
        let copied = Copied { segment, first, count: reference + 1 - first };
        self.copying.note_run(&copied);
        if !self.batch.merge_copied(&copied) {
            let (at, _) = self.claim(now, COPIED_BYTES, 0);
            self.batch.write_copied(at, copied);
            self.note_end();
        }
        self.settles_since_us.get_or_insert(now.monotonic_us);
        self.index.copied(copied);
        let holder = self.segments.tail().number;
        if let Some(old) = self.segments.get_mut(segment) {
            old.note_holder(holder);
        }
        self.release(address, length, reference);
    }
}
