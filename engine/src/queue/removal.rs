//! Messages leaving without a delivery: one by one, and by their expiry.

use super::pool::ChunkPool;
use super::slot::Slot;
use super::{seq_of, Queue, Removed};
use crate::ids::Seq;

impl Queue {
    #[inline]
    pub(super) fn remove_ready(
        &mut self,
        pool: &mut ChunkPool,
        lane: usize,
        number: u64,
    ) -> Option<Removed> {
        let slot = self.lanes[lane].remove_ready(pool, number)?;
        self.counts.ready -= 1;
        self.counts.ready_bytes -= slot.body_bytes();
        self.forget(seq_of(lane, number));
        Some(Removed { seq: seq_of(lane, number), slot })
    }

    /// Drops ready messages whose time is over, wherever they are in the queue, in queue order.
    /// About `limit` at a time: what is left is found the next time, for which the queue's
    /// deadline asks at once. `scratch` is working memory.
    pub fn expire(
        &mut self,
        pool: &mut ChunkPool,
        now_unix_ms: u64,
        limit: usize,
        scratch: &mut Vec<u64>,
        mut free: impl FnMut(Removed),
    ) {
        if self.due_times.is_some() {
            return self.let_go(pool, now_unix_ms, limit, free);
        }
        if self.next_expiry_unix_ms.is_none_or(|next| next >= now_unix_ms) {
            return;
        }
        let mut left = limit;
        let mut next_expiry: Option<u64> = None;
        for lane in 0..self.lanes.count() {
            scratch.clear();
            let is_all = self.lanes[lane].collect_expired(pool, now_unix_ms, left, scratch);
            left = if is_all { left.saturating_sub(scratch.len()) } else { 0 };
            for &number in scratch.iter() {
                if let Some(removed) = self.remove_ready(pool, lane, number) {
                    free(removed);
                }
            }
            let of_lane = self.lanes[lane].next_expiry_unix_ms();
            next_expiry = [next_expiry, of_lane].into_iter().flatten().min();
        }
        self.swept_unix_ms = if left > 0 { now_unix_ms } else { 0 };
        self.next_expiry_unix_ms = next_expiry;
    }

    /// Takes out up to `limit` messages that have been held back and are due, in the order in which
    /// they are.
    fn let_go(
        &mut self,
        pool: &mut ChunkPool,
        now_unix_ms: u64,
        limit: usize,
        mut free: impl FnMut(Removed),
    ) {
        for _ in 0..limit {
            let due = self.due_times.as_mut().and_then(|times| times.take_due(pool, now_unix_ms));
            let Some(number) = due else { return };
            if let Some(removed) = self.remove_ready(pool, 0, number) {
                free(removed);
            }
        }
    }

    /// Takes one message out, if it is ready.
    pub fn withdraw(&mut self, pool: &mut ChunkPool, seq: Seq) -> Option<Removed> {
        let (lane, number) = self.locate(seq)?;
        self.remove_ready(pool, lane, number)
    }

    /// There is no memory to spare for what is known of the messages: leaves nothing unpacked that
    /// can be packed. True: there is more to be done.
    pub fn condense(&mut self, pool: &mut ChunkPool) -> bool {
        let mut goes_on = false;
        for lane in self.lanes.iter_mut() {
            goes_on |= lane.condense(pool);
        }
        if let Some(due_times) = &mut self.due_times {
            goes_on |= due_times.condense(pool);
        }
        goes_on
    }

    /// Every message the queue holds, in whatever state.
    pub fn messages<'a>(&'a self, pool: &'a ChunkPool) -> impl Iterator<Item = (Seq, Slot)> + 'a {
        let lanes = self.lanes.iter().enumerate();
        lanes.flat_map(|(lane, messages)| {
            messages.iter(pool).map(move |(number, slot)| (seq_of(lane, number), slot))
        })
    }
}
