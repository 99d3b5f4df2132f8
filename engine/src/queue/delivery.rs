//! Messages going out: which one is due, to whom, and what their settles do.

use super::slot::{Place, Slot, State};
use super::{seq_of, ChunkPool, ConsumerSlot, PendingGet, Queue, Removed, Unused};
use crate::ids::{ConsumerKey, Seq};
use crate::mail::Outcome;

/// The next ready message.
#[derive(Clone, Copy, Debug)]
pub enum Due {
    Nothing,
    /// Its time is over: it has been taken out and is to be freed; ask again.
    Expired(Removed),
    Message {
        seq: Seq,
        slot: Slot,
    },
}

/// What a settle did.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    /// No such delivery: nothing has changed.
    Unknown,
    /// Ready again.
    Requeued,
    /// Gone from the queue; its place is to be freed.
    Removed(Slot),
    /// It has come back more often than the queue allows: gone, as if removed.
    Exhausted(Slot),
}

impl Queue {
    /// The ready message in front.
    #[inline]
    pub(super) fn head(&mut self, pool: &mut ChunkPool) -> Option<(usize, u64, Slot)> {
        if self.counts.ready == 0 {
            return None;
        }
        while self.top < self.lanes.count() {
            if let Some((number, slot)) = self.lanes[self.top].peek(pool) {
                return Some((self.top, number, slot));
            }
            self.top += 1;
        }
        unreachable!("queue {:?} counts ready messages and has none", self.id)
    }

    /// The message to be delivered next, at that time.
    #[inline]
    pub fn due(&mut self, pool: &mut ChunkPool, now_unix_ms: u64) -> Due {
        let Some((lane, number, slot)) = self.head(pool) else { return Due::Nothing };
        let expires = match slot.expiry() {
            0 => None,
            _ => self.lanes[lane].expires_unix_ms(number, &slot),
        };
        if expires.is_some_and(|expires| expires < now_unix_ms) {
            if let Some(removed) = self.remove_ready(pool, lane, number) {
                return Due::Expired(removed);
            }
        }
        Due::Message { seq: seq_of(lane, number), slot }
    }

    /// Takes out a message that is ready and whose time is over: it is to be freed.
    pub fn take_lapsed(
        &mut self,
        pool: &mut ChunkPool,
        seq: Seq,
        now_unix_ms: u64,
    ) -> Option<Removed> {
        let slot = self.ready(pool, seq).filter(|slot| slot.expiry() != 0)?;
        let (lane, number) = self.locate(seq)?;
        let expires = self.lanes[lane].expires_unix_ms(number, &slot)?;
        (expires <= now_unix_ms).then(|| self.remove_ready(pool, lane, number)).flatten()
    }

    /// The basic.get to be served next.
    pub fn next_get(&self) -> Option<PendingGet> {
        self.gets.as_ref()?.0.front().copied()
    }

    /// That basic.get has its answer, which is no message.
    pub fn get_answered(&mut self) {
        self.take_get();
    }

    fn take_get(&mut self) -> Option<PendingGet> {
        let gets = &mut self.gets.as_mut()?.0;
        let get = gets.pop_front();
        if gets.is_empty() {
            self.gets = None;
        }
        get
    }

    /// True if something could be delivered, or a basic.get waits for its answer.
    #[inline]
    pub fn has_work(&self) -> bool {
        if self.closed {
            return false;
        }
        self.gets.is_some() || (self.counts.ready > 0 && self.consumers().any_serving())
    }

    /// The consumer in front takes the message that is due. True if nobody is going to settle
    /// it: it has left the queue.
    #[inline]
    pub fn serve(&mut self, pool: &mut ChunkPool, consumer: ConsumerSlot, seq: Seq) -> bool {
        let no_ack = self.consumers.as_mut().is_some_and(|consumers| consumers.serve(consumer));
        self.hand_out(pool, seq, no_ack);
        no_ack
    }

    /// The basic.get in front takes the message that is due. True as for `serve`.
    pub fn answer_get(&mut self, pool: &mut ChunkPool, seq: Seq) -> bool {
        let no_ack = self.take_get().is_some_and(|get| get.no_ack);
        self.hand_out(pool, seq, no_ack);
        no_ack
    }

    /// The message that is due leaves the ready ones: for good if nobody is going to settle it.
    #[inline]
    fn hand_out(&mut self, pool: &mut ChunkPool, seq: Seq, no_ack: bool) {
        let Some((lane, number)) = self.locate(seq) else { return };
        self.traffic.deliveries += 1;
        if no_ack {
            let removed = self.remove_ready(pool, lane, number);
            debug_assert!(removed.is_some(), "the message that was due is not ready");
            return;
        }
        let delivered = self.lanes[lane].deliver(pool, number);
        debug_assert!(delivered.is_some(), "the message that was due is not ready");
        if let Some(slot) = delivered {
            self.counts.ready -= 1;
            self.counts.ready_bytes -= slot.body_bytes();
            self.counts.unacked += 1;
            self.counts.unacked_bytes += slot.body_bytes();
        }
    }

    /// The consumer in front lacks credit: true if its channel is to be asked for a grant.
    pub fn rest(&mut self, consumer: ConsumerSlot) -> bool {
        self.consumers.as_mut().is_some_and(|consumers| consumers.rest(consumer))
    }

    /// The consumer in front waits for its connection's window.
    pub fn await_window(&mut self, consumer: ConsumerSlot) {
        if let Some(consumers) = &mut self.consumers {
            consumers.await_window(consumer);
        }
    }

    /// Grants that cannot be used now go back to the channels.
    pub fn hand_back_grants(&mut self, unused: impl FnMut(Unused)) {
        if let Some(consumers) = &mut self.consumers {
            consumers.hand_back_grants(self.counts.ready > 0, unused);
        }
    }

    /// A delivery is settled. One that is not unacked (the number is wrong, or it was settled
    /// before) changes nothing.
    pub fn settle(
        &mut self,
        pool: &mut ChunkPool,
        seq: Seq,
        consumer: Option<ConsumerKey>,
        outcome: Outcome,
    ) -> Release {
        let Some((lane, number)) = self.locate(seq) else { return Release::Unknown };
        let release = match outcome {
            Outcome::Ack | Outcome::Reject => {
                let Some(slot) = self.lanes[lane].remove_unacked(pool, number) else {
                    return Release::Unknown;
                };
                self.no_longer_unacked(slot);
                self.forget(seq);
                self.traffic.acks += u64::from(outcome == Outcome::Ack);
                Release::Removed(slot)
            }
            Outcome::Requeue if self.has_come_back_too_often(seq) => {
                let Some(slot) = self.lanes[lane].remove_unacked(pool, number) else {
                    return Release::Unknown;
                };
                self.no_longer_unacked(slot);
                self.forget(seq);
                Release::Exhausted(slot)
            }
            Outcome::Requeue => {
                let Some((slot, expires)) = self.lanes[lane].give_back(pool, number) else {
                    return Release::Unknown;
                };
                self.no_longer_unacked(slot);
                self.count_comeback(seq);
                self.counts.ready += 1;
                self.counts.ready_bytes += slot.body_bytes();
                self.top = self.top.min(lane);
                self.note_expiry(expires);
                Release::Requeued
            }
        };
        self.note_settled(consumer, 1);
        release
    }

    /// A delivery is acked, and the message has left the queue. `None` if it is not unacked. Whose
    /// delivery it was is still to be told to [`Queue::note_settled`].
    #[inline]
    pub fn ack(&mut self, pool: &mut ChunkPool, seq: Seq) -> Option<Slot> {
        let (lane, number) = self.locate(seq)?;
        let slot = self.lanes[lane].remove_unacked(pool, number)?;
        self.no_longer_unacked(slot);
        self.forget(seq);
        self.traffic.acks += 1;
        Some(slot)
    }

    /// So many deliveries of a consumer have been settled; `None`: they came by gets.
    #[inline]
    pub fn note_settled(&mut self, consumer: Option<ConsumerKey>, count: u32) {
        if let (Some(key), Some(consumers)) = (consumer, &mut self.consumers) {
            consumers.settled(key, count);
        }
    }

    fn no_longer_unacked(&mut self, slot: Slot) {
        self.counts.unacked -= 1;
        self.counts.unacked_bytes -= slot.body_bytes();
    }

    /// The message lies elsewhere now, with as many octets. False, and nothing has changed, if it
    /// does not lie at `from`.
    pub fn relocate(&mut self, pool: &mut ChunkPool, seq: Seq, from: Place, to: Place) -> bool {
        let Some((lane, number)) = self.locate(seq) else { return false };
        self.lanes[lane].relocate(pool, number, from, to)
    }

    /// Somebody may have seen that message: its next delivery says so.
    pub fn note_seen(&mut self, pool: &mut ChunkPool, seq: Seq) {
        if let Some((lane, number)) = self.locate(seq) {
            self.lanes[lane].note_seen(pool, number);
        }
    }

    /// Where the message of that number lies; `None` if the queue does not have it.
    pub fn place(&self, pool: &mut ChunkPool, seq: Seq) -> Option<Place> {
        let (lane, number) = self.locate(seq)?;
        self.lanes[lane].get(pool, number).map(|slot| slot.place())
    }

    /// How a message stands; dead if the queue does not have it.
    pub fn state(&self, pool: &mut ChunkPool, seq: Seq) -> State {
        let slot = self.locate(seq).and_then(|(lane, number)| self.lanes[lane].get(pool, number));
        slot.map_or(State::Dead, |slot| slot.state())
    }
}
