//! Appending: records into the open batch, batches into segments.

use std::rc::Rc;

use super::cache::{References, Window};
use super::commit::Closed;
use super::format::{aligned_record, whole_pages, BLOCK_HEADER_BYTES, PAGE_BYTES};
use super::index::Spot;
use super::record::{self, Attributes, DEFINITION_HEAD_BYTES, MESSAGE_HEAD_BYTES};
use super::{Log, Memory, Placed, Position};
use crate::ids::{QueueId, Seq};
use crate::message::MessageRef;
use crate::now::Now;

impl<M: Memory> Log<M> {
    /// Appends a message once for all the queues of this shard that take it.
    ///
    /// # Panics
    /// If exchange or routing key are longer than 65535 octets, or the message has more parts
    /// than that (tens of GiB with segments of a usual size).
    #[inline]
    pub fn append_message(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
    ) -> Placed {
        let attributes = Attributes { received_unix_ms: now.unix_ms, expires_unix_ms };
        self.append_whole(now, message, attributes, references)
    }

    /// Appends a message of which that is known, in one record if it fits one.
    #[inline]
    pub(super) fn append_whole(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        attributes: Attributes,
        references: &[(QueueId, Seq)],
    ) -> Placed {
        let content = record::content_bytes(message, references.len());
        let length = MESSAGE_HEAD_BYTES + content;
        if length > self.geometry.record_bytes_max() {
            return self.append_in_parts(now, message, attributes, references, 0);
        }
        let count = references.len() as u32;
        let (at, octets) = self.claim(now, length, count);
        let body_bytes = message.body.len() as u64;
        let count_of = references.len();
        let rest = record::write_message_head(
            octets, length, attributes, message, body_bytes, count_of, 0,
        );
        record::write_message_content(rest, message, references);
        self.holds_messages = true;
        let placed = self.place(at, length, count);
        // What has been spilled ends with the process: no index need tell of it.
        if message.persistent {
            let expires_unix_ms = attributes.expires_unix_ms;
            self.index.message(spot(&placed), message.body.len(), expires_unix_ms, references);
        }
        placed
    }

    /// As [`Log::append_message`] for a message that is not persistent and comes here for want of
    /// memory: nobody waits for it, so it makes no commit of its own, and recovery drops it.
    pub fn append_spilled(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        expires_unix_ms: Option<u64>,
        references: &[(QueueId, Seq)],
    ) -> Placed {
        let urgent = self.urgent;
        let placed = self.append_message(now, message, expires_unix_ms, references);
        self.urgent = urgent;
        placed
    }

    /// A durable definition: a live message of [`QueueId::DEFINITIONS`] until settled.
    ///
    /// # Panics
    /// If the payload is longer than [`Log::definition_bytes_max`].
    pub fn append_definition(&mut self, now: Now, seq: Seq, payload: &[u8]) -> Placed {
        let length = DEFINITION_HEAD_BYTES + payload.len();
        assert!(length <= self.geometry.record_bytes_max(), "a definition of {length} octets");
        let (at, octets) = self.claim(now, length, 1);
        record::write_definition(octets, now.unix_ms, seq, payload);
        let placed = self.place(at, length, 1);
        self.index.definition(spot(&placed), seq, payload);
        placed
    }

    /// A record has been written into the batch.
    #[inline]
    pub(super) fn note_end(&mut self) {
        self.end = self.batch.end();
        self.is_unmarked = true;
    }

    /// Numbers the references of the record written at `at`.
    #[inline]
    pub(super) fn place(&mut self, at: usize, length: usize, references: u32) -> Placed {
        self.urgent = true;
        self.note_end();
        let octets = aligned_record(length) as u64;
        self.space.taken(octets);
        Placed {
            address: self.batch.address(at),
            length: length as u32,
            reference: self.segments.tail_mut().add_live(references, octets),
            end: Position(self.end),
        }
    }

    /// Room for a record of `length` octets that makes `references` references: its offset in
    /// the open batch, and its octets. Padding is zeroed already.
    #[inline]
    pub(super) fn claim(&mut self, now: Now, length: usize, references: u32) -> (usize, &mut [u8]) {
        let need = aligned_record(length);
        let at = self.reserve(now, need, references);
        let octets = self.batch.octets_mut(at, need);
        // Padding is at most the last 7 octets; eight are cheaper to clear than a few.
        octets[need - 8..].copy_from_slice(&[0; 8]);
        (at, &mut octets[..length])
    }

    #[inline]
    pub(super) fn reserve(&mut self, now: Now, need: usize, references: u32) -> usize {
        let numbered = self.segments.tail().references();
        if u64::from(numbered) + u64::from(references) <= u64::from(self.geometry.references_max())
        {
            if let Some(at) = self.batch.reserve(need, numbered, &mut self.stamp) {
                return at;
            }
        }
        self.reserve_in_another_batch(now, need, references)
    }

    #[cold]
    fn reserve_in_another_batch(&mut self, now: Now, need: usize, references: u32) -> usize {
        let numbered = self.segments.tail().references();
        let next = self.batch.start() + self.batch.used() as u64;
        let room = self.room(next);
        let fits = whole_pages(BLOCK_HEADER_BYTES + need) as u64 <= room
            && u64::from(numbered) + u64::from(references)
                <= u64::from(self.geometry.references_max());
        if fits {
            self.close_batch(next, room, 0, need);
        } else {
            self.seal_segment(now, need);
        }
        let numbered = self.segments.tail().references();
        match self.batch.reserve(need, numbered, &mut self.stamp) {
            Some(at) => at,
            // The roster of a new segment may have left too little of the buffer.
            None => self.reserve_in_another_batch(now, need, references),
        }
    }

    /// Octets from `next` to where the segment's last ordinary block must end.
    pub(super) fn room(&self, next: u64) -> u64 {
        self.geometry.limit(self.segments.tail().number).saturating_sub(next)
    }

    /// Closes the open batch and begins another one at `start`, for a record of `need` octets.
    pub(super) fn close_batch(&mut self, start: u64, room: u64, skip: usize, need: usize) {
        self.drop_settled_windows();
        let closed_start = self.batch.start();
        let used = self.batch.close(&mut self.stamp);
        let bytes = self.config.buffer_bytes.max(skip + whole_pages(BLOCK_HEADER_BYTES + need));
        let buffer = match self.cache.spare() {
            Some(buffer) if buffer.as_ref().len() >= bytes => buffer,
            _ => self.memory.allocate(bytes),
        };
        let reference = self.segments.tail().references();
        let buffer = self.batch.replace(buffer, start, room, skip, reference);
        self.hand_over(buffer, closed_start, used);
    }

    /// Closes the open batch though it is not full: nothing is in flight, so it need not wait.
    pub(super) fn close_partial_batch(&mut self) {
        let start = self.batch.start();
        let used = self.batch.used();
        let next = start + used as u64;
        let room = self.room(next);
        if used * 2 >= self.batch.octets().len() {
            self.close_batch(next, room, 0, 0);
            return;
        }
        self.drop_settled_windows();
        // A small one is copied, so that the cache holds blocks and not the rest of a buffer.
        self.batch.close(&mut self.stamp);
        let mut buffer = self.memory.allocate(used);
        buffer.as_mut()[..used].copy_from_slice(&self.batch.octets()[..used]);
        self.batch.restart(next, room, self.segments.tail().references());
        self.hand_over(buffer, start, used);
    }

    /// Memory of messages that are settled is used again for those to come.
    fn drop_settled_windows(&mut self) {
        let Log { segments, cache, memo, commit, .. } = self;
        let is_settled = |window: &Window<M::Buffer>| {
            window.held.as_ref().is_some_and(|References { segment, numbers }| {
                let segment = segments.get(*segment);
                segment.is_none_or(|segment| segment.are_dead(numbers.start, numbers.end))
            })
        };
        if memo.as_ref().is_some_and(|(_, window)| is_settled(window)) {
            *memo = None;
        }
        cache.drop_settled(commit.durable(), is_settled);
    }

    /// Gives a closed batch to commit and cache.
    fn hand_over(&mut self, mut buffer: M::Buffer, start: u64, used: usize) {
        self.urgent = false;
        self.settles_since_us = None;
        let numbered = self.segments.tail().references();
        let first_reference = std::mem::replace(&mut self.batch_reference, numbered);
        let holds_parts = std::mem::take(&mut self.holds_parts);
        if used == 0 {
            return;
        }
        let number = self.geometry.segment_of(start);
        let segment = self.segments.get(number);
        let segment = segment.expect("a segment lives while it has batches to be written");
        let (file, numbers) = (segment.file, first_reference..segment.references());
        let end = start + used as u64;
        self.memory.trim(&mut buffer, used);
        let buffer = Rc::new(buffer);
        if std::mem::take(&mut self.holds_messages) {
            let page = start / PAGE_BYTES as u64;
            let mut window = Window::written(Rc::clone(&buffer), page, end);
            window.held = (!holds_parts).then_some(References { segment: number, numbers });
            self.cache.insert(window, self.commit.durable());
        }
        let offset = self.geometry.offset(start);
        self.commit.push(Closed { segment: number, file, offset, end, buffer, length: used });
    }
}

pub(super) fn spot(placed: &Placed) -> Spot {
    Spot { address: placed.address, length: placed.length, reference: placed.reference }
}
