//! One page of the arena: entries one after the other, and how many of them live.

use super::entry::{Entry, HEAD_BYTES, REFERENCES_AT};
use crate::log::Stored;
use crate::message::MessageRef;

#[derive(Debug)]
pub(super) struct Page {
    octets: Vec<u8>,
    /// Entries that somebody still holds.
    live: u32,
}

impl Page {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Page { octets: Vec::with_capacity(bytes), live: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    pub(super) fn free(&self) -> usize {
        self.octets.capacity() - self.octets.len()
    }

    /// Forgets all entries; they must be dead.
    pub(super) fn clear(&mut self) {
        assert_eq!(self.live, 0, "a page with live messages is being cleared");
        self.octets.clear();
    }

    /// Appends an entry, for which there is room, and says where it is.
    #[inline]
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        message: &MessageRef<'_>,
        references: u32,
    ) -> u32 {
        let offset = self.octets.len() as u32;
        self.octets.extend_from_slice(&entry.encode(references));
        self.octets.extend_from_slice(message.exchange);
        self.octets.extend_from_slice(message.routing_key);
        self.octets.extend_from_slice(message.properties);
        self.octets.extend_from_slice(message.body);
        self.live += 1;
        offset
    }

    /// Goes on with the body of the entry appended last.
    pub(super) fn extend(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    #[inline]
    pub(super) fn get(&self, offset: usize) -> Stored<'_> {
        let (head, octets) = match self.octets[offset..].split_first_chunk::<HEAD_BYTES>() {
            Some(parts) => parts,
            None => panic!("no arena entry at {offset}"),
        };
        Entry::decode(head).message(octets)
    }

    /// True if nobody holds anything in the page.
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Drops one reference. True if it was the entry's last one.
    #[inline]
    pub(super) fn release(&mut self, offset: usize) -> bool {
        let at = offset + REFERENCES_AT;
        let mut octets = [0; 4];
        octets.copy_from_slice(&self.octets[at..at + 4]);
        let references = u32::from_le_bytes(octets);
        assert!(references > 0, "an arena entry was released once too often");
        self.octets[at..at + 4].copy_from_slice(&(references - 1).to_le_bytes());
        let dead = references == 1;
        if dead {
            self.live -= 1;
        }
        dead
    }
}
