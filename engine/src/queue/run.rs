//! Messages that follow one another going out or being acked together: what is the same for all of them is done once.
//!
//! A run is what can be found by one look and asks for nothing special; whoever gets none, or not all, goes on one by
//! one.

use super::{seq_of, ChunkPool, Consumer, ConsumerSlot, Queue, Slot};
use crate::ids::Seq;

/// Takes the messages of a run.
pub trait RunTaker {
    /// The message is due. False: it is not taken, and nothing has been done.
    fn give(&mut self, seq: Seq, slot: &Slot) -> bool;
    /// Nobody is going to settle these of the messages given, from `first` on: they have left the queue.
    fn free(&mut self, first: Seq, slots: &[Slot]);
}

impl Queue {
    /// As [`Queue::ack`], of the deliveries from `first` on, `limit` at most, as far as they are a run. `free` gets
    /// the slots of the messages, which have left the queue. Gives how many there were.
    #[inline]
    pub fn ack_run(
        &mut self,
        pool: &mut ChunkPool,
        first: Seq,
        limit: usize,
        free: impl FnOnce(&[Slot]),
    ) -> usize {
        let Some((lane, number)) = self.locate(first) else { return 0 };
        let mut bytes = 0;
        let count = self.lanes[lane].remove_unacked_run(pool, number, limit, |slots| {
            bytes = slots.iter().map(Slot::body_bytes).sum();
            free(slots);
        });
        self.counts.unacked -= count as u64;
        self.counts.unacked_bytes -= bytes;
        self.traffic.acks += count as u64;
        self.forget_run(first, count);
        count
    }

    /// The consumer that gets all that is due as long as its credit lasts; `None`: there are others, or basic.gets, or
    /// each delivery says something of its own.
    #[inline]
    pub fn sole_consumer(&self) -> Option<(ConsumerSlot, &Consumer)> {
        let is_simple = self.gets.is_none() && self.settings.delivery_limit.is_none();
        self.consumers.as_ref().filter(|_| is_simple)?.sole()
    }

    /// The [sole consumer](Queue::sole_consumer) takes messages that are due, `limit` at most and no more than it has
    /// credit for, as far as they are a run and `taker` takes them. Gives the first one and how many there were.
    #[inline]
    pub fn serve_run(
        &mut self,
        pool: &mut ChunkPool,
        consumer: ConsumerSlot,
        limit: usize,
        taker: &mut impl RunTaker,
    ) -> (Seq, usize) {
        let level = self.top;
        let consumers = self.consumers.as_mut().filter(|_| level < self.lanes.count());
        let Some(consumers) = consumers else { return (Seq(0), 0) };
        let lane = &mut self.lanes[level];
        let acks = consumers.get(consumer).is_some_and(|consumer| !consumer.no_ack());
        let first = seq_of(level, lane.cursor());
        let (count, bytes) = lane.hand_out_run(pool, level, limit, acks, taker);
        if count == 0 {
            return (first, 0);
        }
        consumers.serve_run(consumer, count as u32);
        self.counts.ready -= count as u64;
        self.counts.ready_bytes -= bytes;
        self.traffic.deliveries += count as u64;
        if acks {
            self.counts.unacked += count as u64;
            self.counts.unacked_bytes += bytes;
        } else {
            self.forget_run(first, count);
        }
        (first, count)
    }

    /// The messages have left the queue.
    #[inline]
    fn forget_run(&mut self, first: Seq, count: usize) {
        if self.present.is_some() || self.comebacks.is_some() {
            (first.0..).take(count).for_each(|seq| self.forget(Seq(seq)));
        }
    }
}
