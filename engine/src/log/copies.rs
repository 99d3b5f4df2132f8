//! Copies: a record appended again for references that live, and the settles of the old ones in
//! the same block.
//!
//! Blocks are atomic, so after a crash a reference lies at the old place or at the new one. A
//! settle names the segment of what it settles and does not touch the copy.

use super::format::aligned_record;
use super::moving::message_bytes;
use super::record::{
    Attributes, DEFINITION_HEAD_BYTES, MESSAGE_HEAD_BYTES, PART_ENTRY_BYTES, SETTLE_BYTES,
};
use super::{Address, Log, Memory, Placed, Position, Settling, Stored};
use crate::ids::{QueueId, Seq};
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

impl<M: Memory> Log<M> {
    /// Appends a message again, for references that it has and that live, and settles the old
    /// ones. All that was known of it stays as it was. Several copies are made only if not all
    /// references and their settles fit one block.
    pub(super) fn append_copies(
        &mut self,
        now: Now,
        stored: &Stored<'_>,
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
            let fitting =
                |count: &usize| message_bytes(message, *count) + count * SETTLE_BYTES <= room;
            let whole = (1..=rest.len()).rev().find(fitting);
            let count = whole.unwrap_or_else(|| self.fitting_with_parts(stored, rest.len()));
            let (these, others) = rest.split_at(count);
            let references: Vec<(QueueId, Seq)> =
                these.iter().map(|held| (held.queue, held.seq)).collect();
            let placed = if whole.is_some() {
                let octets = message_bytes(message, count) + count * SETTLE_BYTES;
                self.keep_together(now, octets, count as u32);
                self.append_whole(now, message, attributes, &references)
            } else {
                let followed_by = count * SETTLE_BYTES;
                self.append_in_parts(now, message, attributes, &references, followed_by)
            };
            self.note_copied(placed.length);
            for (reference, held) in (placed.reference..).zip(these) {
                self.append_settle(now, *held);
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

    /// How many of so many references a copy in parts can have, with their settles beside its
    /// record.
    fn fitting_with_parts(&self, stored: &Stored<'_>, references: usize) -> usize {
        let room = self.geometry.record_bytes_max();
        let parts = message_bytes(&stored.message, references) / (room / 2) + 2;
        let record = MESSAGE_HEAD_BYTES + parts * PART_ENTRY_BYTES;
        (room.saturating_sub(record) / SETTLE_BYTES).clamp(1, references)
    }

    /// Appends a definition again, and settles the old record.
    pub(super) fn append_definition_copy(
        &mut self,
        now: Now,
        held: &Settling,
        payload: &[u8],
    ) -> Relocated {
        let urgent = self.urgent;
        let octets = aligned_record(DEFINITION_HEAD_BYTES + payload.len()) + SETTLE_BYTES;
        self.keep_together(now, octets, 1);
        let placed = self.append_definition(now, held.seq, payload);
        self.append_settle(now, *held);
        let block = self.batch.open_position();
        assert!(placed.address.block().0 == block, "a copy is torn between two blocks");
        self.urgent = urgent;
        let Placed { address, length, reference, end } = placed;
        Relocated { address, length, reference, end }
    }
}
