//! One priority level of a queue: first in, first out, with returns in their old places.
//!
//! Every slot at or after `cursor` is ready or dead; a ready slot before it is in `returned`.

use std::collections::VecDeque;

use super::chunk::Chunk;
use super::index::Index;
use super::pool::ChunkPool;
use super::returned::Returned;
use super::run::RunTaker;
use super::seq_of;
use super::slot::{Place, Slot, State};

#[derive(Debug, Default)]
pub(super) struct Lane {
    index: Index,
    /// The number of the next message to come in.
    next: u64,
    /// Messages before it have been delivered at least once, or are gone.
    cursor: u64,
    returned: Returned,
    ready: u64,
}

impl Lane {
    /// A number for a new message.
    #[inline]
    pub(super) fn assign(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// The place for a ready message at an assigned number. It must be filled before anything else is done to the
    /// lane. `None`: [`Lane::push`] has to be asked.
    #[inline]
    pub(super) fn place(&mut self, pool: &mut ChunkPool, number: u64) -> Option<&mut Slot> {
        let place = self.index.place(pool, number)?;
        self.ready += 1;
        Some(place)
    }

    /// Puts a ready message at an assigned number.
    #[inline]
    pub(super) fn push(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
        slot: Slot,
        expires_unix_ms: Option<u64>,
        base_unix_ms: u64,
    ) {
        self.index.insert(pool, number, slot, expires_unix_ms, base_unix_ms);
        self.ready += 1;
    }

    /// No message has ever come in.
    pub(super) fn is_unused(&self) -> bool {
        self.next == 0
    }

    /// A lane as recovery found it: everything is ready, numbers before `next` have been used.
    pub(super) fn recovered(index: Index, next: u64) -> Self {
        let ready = index.live();
        Lane { index, next, cursor: 0, returned: Returned::default(), ready }
    }

    pub(super) fn ready(&self) -> u64 {
        self.ready
    }

    /// See the module.
    #[inline]
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The first ready message from that number on.
    pub(super) fn next_ready(&self, pool: &mut ChunkPool, from: u64) -> Option<(u64, Slot)> {
        self.index.seek(pool, from, u64::MAX)
    }

    pub(super) fn get(&self, pool: &mut ChunkPool, number: u64) -> Option<Slot> {
        self.index.get(pool, number).filter(|slot| slot.state() != State::Dead)
    }

    /// The ready message that is due.
    #[inline]
    pub(super) fn peek(&mut self, pool: &mut ChunkPool) -> Option<(u64, Slot)> {
        if let Some((number, last)) = self.returned.first() {
            return self.peek_returned(pool, number, last);
        }
        if self.ready == 0 {
            return None;
        }
        let (number, slot) = self.index.next_live(pool, self.cursor)?;
        self.cursor = number;
        Some((number, slot))
    }

    /// The first ready message among those that came back. Their lowest range is this one.
    #[cold]
    fn peek_returned(
        &mut self,
        pool: &mut ChunkPool,
        first: u64,
        last: u64,
    ) -> Option<(u64, Slot)> {
        match self.index.seek(pool, first, last) {
            Some((number, _)) => {
                self.returned.remove_below(number);
                self.index.get_mut(pool, number).map(|slot| (number, *slot))
            }
            None => {
                self.returned.remove_below(last.saturating_add(1));
                self.peek(pool)
            }
        }
    }

    /// Makes the message that `peek` showed unacked.
    #[inline]
    pub(super) fn deliver(&mut self, pool: &mut ChunkPool, number: u64) -> Option<Slot> {
        let slot = self.index.get_mut(pool, number).filter(|slot| slot.state() == State::Ready)?;
        slot.deliver();
        let slot = *slot;
        self.pass(number);
        Some(slot)
    }

    /// Removes a ready message.
    #[inline]
    pub(super) fn remove_ready(&mut self, pool: &mut ChunkPool, number: u64) -> Option<Slot> {
        let slot = self.index.kill(pool, number, State::Ready)?;
        self.pass(number);
        Some(slot)
    }

    /// A ready message leaves that state.
    #[inline]
    fn pass(&mut self, number: u64) {
        self.ready -= 1;
        if number < self.cursor {
            let was_in = self.returned.remove(number);
            debug_assert!(was_in, "a ready message before the cursor is not among the returned");
        } else if number == self.cursor {
            self.cursor += 1;
        }
    }

    /// Removes an unacked message.
    #[inline]
    pub(super) fn remove_unacked(&mut self, pool: &mut ChunkPool, number: u64) -> Option<Slot> {
        self.index.kill(pool, number, State::Unacked)
    }

    /// As `remove_unacked`, of the messages from that number on, `limit` at most, as far as they are found by one
    /// look. `take` gets their slots. Gives how many there were.
    #[inline]
    pub(super) fn remove_unacked_run(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
        limit: usize,
        take: impl FnOnce(&[Slot]),
    ) -> usize {
        self.index.kill_run(pool, number, limit, State::Unacked, take)
    }

    /// Hands out ready messages that follow one another, `limit` at most, as far as they are found by one look, none
    /// of them has come back or expires, and `taker` takes them. Without `acks` they are gone. Gives how many there
    /// were, and the octets of their bodies.
    #[inline]
    pub(super) fn hand_out_run(
        &mut self,
        pool: &mut ChunkPool,
        level: usize,
        limit: usize,
        acks: bool,
        taker: &mut impl RunTaker,
    ) -> (usize, u64) {
        if !self.returned.is_empty() || self.ready == 0 {
            return (0, 0);
        }
        let first = self.cursor;
        let (mut count, mut bytes) = (0, 0);
        for slot in self.index.slots_from(first).iter_mut().take(limit) {
            let is_plain = slot.state() == State::Ready && slot.expiry() == 0;
            if !is_plain || !taker.give(seq_of(level, first + count as u64), slot) {
                break;
            }
            bytes += slot.body_bytes();
            count += 1;
            if acks {
                slot.deliver();
            }
        }
        if !acks && count > 0 {
            let free = |slots: &[Slot]| taker.free(seq_of(level, first), slots);
            let gone = self.index.kill_run(pool, first, count, State::Ready, free);
            assert!(gone == count, "of {count} messages handed out for good {gone} are gone");
        }
        self.ready -= count as u64;
        self.cursor += count as u64;
        (count, bytes)
    }

    /// An unacked message is ready again, at its old place. Gives its slot and expiry.
    pub(super) fn give_back(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
    ) -> Option<(Slot, Option<u64>)> {
        let slot =
            self.index.get_mut(pool, number).filter(|slot| slot.state() == State::Unacked)?;
        slot.give_back();
        let slot = *slot;
        self.ready += 1;
        self.returned.insert(number);
        Some((slot, self.index.note_expiry(number, &slot)))
    }

    #[inline]
    pub(super) fn expires_unix_ms(&self, number: u64, slot: &Slot) -> Option<u64> {
        self.index.expires_unix_ms(number, slot)
    }

    /// The message lies elsewhere now. False if it did not lie where it was thought to.
    pub(super) fn relocate(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
        from: Place,
        to: Place,
    ) -> bool {
        self.index.change(pool, number, |slot| slot.relocate(from, to))
    }

    /// Somebody may have seen the message.
    pub(super) fn note_seen(&mut self, pool: &mut ChunkPool, number: u64) {
        self.index.change(pool, number, |slot| {
            slot.note_seen();
            true
        });
    }

    pub(super) fn next_expiry_unix_ms(&self) -> Option<u64> {
        self.index.next_expiry_unix_ms()
    }

    pub(super) fn collect_expired(
        &mut self,
        pool: &ChunkPool,
        now_unix_ms: u64,
        limit: usize,
        expired: &mut Vec<u64>,
    ) -> bool {
        self.index.collect_expired(pool, now_unix_ms, limit, expired)
    }

    /// Takes all ready messages out. `any_unacked`: there may be others.
    pub(super) fn take_ready(
        &mut self,
        pool: &mut ChunkPool,
        any_unacked: bool,
    ) -> VecDeque<Chunk> {
        if self.ready == 0 {
            return VecDeque::new();
        }
        self.ready = 0;
        self.cursor = self.next;
        self.returned = Returned::default();
        self.index.take_ready(pool, any_unacked)
    }

    pub(super) fn into_chunks(self) -> VecDeque<Chunk> {
        self.index.into_chunks()
    }

    /// As [`Index::condense`].
    pub(super) fn condense(&mut self, pool: &mut ChunkPool) -> bool {
        self.index.condense(pool)
    }

    /// The number by which the pool knows the queue.
    pub(super) fn belong_to(&mut self, queue: u32) {
        self.index.belong_to(queue);
    }

    /// Live messages, in order.
    pub(super) fn iter<'a>(
        &'a self,
        pool: &'a ChunkPool,
    ) -> impl Iterator<Item = (u64, Slot)> + 'a {
        self.index.iter(pool)
    }

    #[cfg(test)]
    pub(super) fn bale_count(&self) -> usize {
        self.index.bale_count()
    }

    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> (usize, usize) {
        self.index.chunk_count()
    }
}
