//! Parts of messages: those that hold references, until the record comes that they belong to, and
//! where all others are.
//!
//! Parts of several messages may lie between one another, so they are known by where they are.
//! Those of one message that hold references follow one another, and their record comes soon after:
//! others like it may lie between, of the same message for other queues. Of a segment that is read
//! by its index parts are not told: what a record names that comes later is there, as everything in
//! a segment before the newest is.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::log::geometry::Geometry;
use crate::log::record::{MessageView, PartEntry, PartView, PART_HEAD_BYTES, REFERENCE_BYTES};
use crate::log::Address;

/// What the first parts of a message have brought.
#[derive(Debug, Default)]
struct Beginning {
    /// Octets of content in its parts so far.
    bytes: u64,
    /// Octets of its content that hold references.
    wanted: usize,
    /// As much of the content as that.
    content: Vec<u8>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PendingParts {
    /// Octets of the record of each, in segments that were read in full.
    seen: FxHashMap<Address, u32>,
    /// Segments that were not.
    indexed: FxHashSet<u32>,
    /// Messages whose references have come, or some of them, and whose record has not, by the first
    /// part. What a crash has cut short stays.
    begun: FxHashMap<Address, Beginning>,
    /// The one of them that was begun last.
    latest: Option<Address>,
}

impl PendingParts {
    /// That segment is read by its index.
    pub(super) fn is_indexed(&mut self, segment: u32) {
        self.indexed.insert(segment);
    }

    /// A part; `content` is all of it, or what of it holds references.
    pub(super) fn add(&mut self, address: Address, length: u32, part: PartView<'_>) {
        self.seen.insert(address, length);
        if part.references == 0 {
            return;
        }
        if part.index == 0 {
            let wanted = part.references as usize * REFERENCE_BYTES;
            self.begun.insert(address, Beginning { wanted, ..Beginning::default() });
            self.latest = Some(address);
        }
        let Some(begun) = self.latest.and_then(|latest| self.begun.get_mut(&latest)) else {
            return;
        };
        begun.bytes += content_bytes(length);
        let missing = begun.wanted.saturating_sub(begun.content.len());
        begun.content.extend_from_slice(&part.content[..missing.min(part.content.len())]);
    }

    /// Octets of content that come before that part, if it holds references.
    pub(super) fn bytes_before(&self, part: &PartView<'_>) -> u64 {
        let latest = self.latest.filter(|_| part.index != 0);
        latest.and_then(|latest| self.begun.get(&latest)).map_or(0, |begun| begun.bytes)
    }

    /// What holds the references of the message with those parts; nothing if not all of it is there.
    pub(super) fn content_of(&self, entries: &[PartEntry]) -> &[u8] {
        let begun = entries.first().and_then(|first| self.begun.get(&first.address()));
        begun
            .filter(|begun| begun.content.len() >= begun.wanted)
            .map_or(&[], |begun| &begun.content)
    }

    /// The record of the message with those parts has come.
    pub(super) fn record_came(&mut self, entries: &[PartEntry]) {
        if let Some(first) = entries.first() {
            self.begun.remove(&first.address());
        }
    }

    /// True if all parts that the message's record names are there.
    pub(super) fn are_those_of(
        &self,
        message: &MessageView<'_>,
        entries: &[PartEntry],
        geometry: Geometry,
    ) -> bool {
        let is_there = |entry: &PartEntry| {
            self.seen.get(&entry.address()) == Some(&entry.length())
                || self.indexed.contains(&geometry.segment_of_address(entry.address()))
        };
        let bytes = entries.iter().map(PartEntry::content_bytes).sum();
        entries.iter().all(is_there) && message.content_bytes() == Some(bytes)
    }
}

/// Octets of content in a Part record of so many.
fn content_bytes(length: u32) -> u64 {
    u64::from(length).saturating_sub(PART_HEAD_BYTES as u64)
}
