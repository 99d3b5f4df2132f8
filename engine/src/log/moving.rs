//! Moving a message from one queue of the shard to others: it is neither lost nor doubled.
//!
//! A move is a Message record with the new references and a Settle record of the old one, in one
//! block. Blocks are atomic: a checksum covers each, and recovery takes it whole or not at all. So
//! after a crash either both records are there or none is. No record kind of its own is needed,
//! and recovery knows nothing of moves.

use super::format::aligned_record;
use super::record::{self, Attributes, MESSAGE_HEAD_BYTES, SETTLE_BYTES};
use super::{Log, Memory, Placed, Settling};
use crate::ids::{QueueId, Seq};
use crate::message::MessageRef;
use crate::now::Now;

impl<M: Memory> Log<M> {
    /// As [`Log::append_message`], and settles `from` by the same stroke: after a crash either the
    /// message is at its new references, or `from` is not settled.
    pub fn append_move(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
        from: Settling,
    ) -> Placed {
        let length = message_bytes(message, references.len());
        let placed = if length + SETTLE_BYTES > self.geometry.record_bytes_max() {
            let attributes = Attributes { received_unix_ms: now.unix_ms, expires_unix_ms };
            self.append_in_parts(now, message, attributes, references, SETTLE_BYTES)
        } else {
            self.keep_together(now, length + SETTLE_BYTES, references.len() as u32);
            self.append_message(now, message, expires_unix_ms, references)
        };
        self.append_settle(now, from);
        let block = self.batch.open_position();
        assert!(placed.address.block().0 == block, "a move is torn between two blocks");
        placed
    }

    /// Makes room in one block for that message once for each number of references in `groups`,
    /// and for one settle. False: no block is as large as that.
    pub fn make_room_for_all(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        groups: impl Iterator<Item = usize> + Clone,
    ) -> bool {
        let bytes: usize = groups.clone().map(|count| message_bytes(message, count)).sum();
        let fits = bytes + SETTLE_BYTES <= self.geometry.record_bytes_max();
        if fits {
            let references: usize = groups.sum();
            self.keep_together(now, bytes + SETTLE_BYTES, references as u32);
        }
        fits
    }

    /// The next `octets` of records, that make `references` references, will lie in one block.
    pub(super) fn keep_together(&mut self, now: Now, octets: usize, references: u32) {
        self.reserve(now, octets, references);
        self.batch.unreserve(octets);
    }
}

/// Octets that the record of a whole message takes in a block.
pub(super) fn message_bytes(message: &MessageRef<'_>, references: usize) -> usize {
    aligned_record(MESSAGE_HEAD_BYTES + record::content_bytes(message, references))
}
