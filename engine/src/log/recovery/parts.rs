//! Parts of a message, until the record comes that they belong to.

use crate::log::record::{MessageView, PartEntry, PartView, PART_HEAD_BYTES, REFERENCE_BYTES};
use crate::log::Address;

/// The parts of a message, until its record comes.
#[derive(Debug, Default)]
pub(super) struct PendingParts {
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
    /// A part; `content` is all of it.
    pub(super) fn add(&mut self, address: Address, length: u32, part: PartView<'_>) {
        let bytes = part.content.len() as u64;
        self.note((address, length), part, bytes);
    }

    /// A part that an index tells of; its content is what holds references.
    pub(super) fn add_indexed(&mut self, address: Address, length: u32, part: PartView<'_>) {
        let bytes = u64::from(length).saturating_sub(PART_HEAD_BYTES as u64);
        self.note((address, length), part, bytes);
    }

    fn note(&mut self, at: (Address, u32), part: PartView<'_>, bytes: u64) {
        if part.index == 0 {
            self.seen.clear();
            self.content.clear();
            self.bytes = 0;
            self.wanted = part.references as usize * REFERENCE_BYTES;
        }
        self.seen.push(at);
        self.bytes += bytes;
        let missing = self.wanted.saturating_sub(self.content.len());
        self.content.extend_from_slice(&part.content[..missing.min(part.content.len())]);
    }

    /// Octets of content in the parts so far, if one of that index follows them.
    pub(super) fn bytes_before(&self, index: u32) -> u64 {
        if index == 0 {
            0
        } else {
            self.bytes
        }
    }

    /// As much of the content as holds references.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// As [`PendingParts::content`], if the first part is the first of `entries`; else nothing.
    pub(super) fn content_of(&self, entries: &[PartEntry]) -> &[u8] {
        let first = entries.first().map(|entry| (entry.address(), entry.length()));
        let is_first = first.is_some() && self.seen.first().copied() == first;
        if is_first && self.content.len() >= self.wanted {
            &self.content
        } else {
            &[]
        }
    }

    /// True if these are the parts that the message's record names.
    pub(super) fn are_those_of(&self, message: &MessageView<'_>, entries: &[PartEntry]) -> bool {
        let named = entries.iter().map(|entry| (entry.address(), entry.length()));
        named.eq(self.seen.iter().copied()) && message.content_bytes() == Some(self.bytes)
    }
}
