//! Settles: saying that references are done with, and what follows from it for their segments.
//!
//! Whoever settles many messages of a queue at once, as an ack of several does, has them looked at
//! together: they lie in one segment, mostly, and one record says all of it.

use super::format::aligned_record;
use super::record::{Settle, SETTLE_BYTES};
use super::{Address, Log, Memory, Position, Settling};
use crate::ids::{QueueId, Seq};
use crate::now::Now;

impl<M: Memory> Log<M> {
    /// Records that the reference is settled and frees it. Rides the next commit, or makes one
    /// after `settle_delay_us`. Returns the position at which the settle is durable.
    pub fn append_settle(&mut self, now: Now, settled: Settling) -> Position {
        self.append_settles(now, settled.queue, settled.seq, 1, |_| settled);
        self.end()
    }

    /// As [`Log::append_settle`], of `count` messages of a queue whose numbers follow one another
    /// from `first` on: `settled` says where each of them lies.
    #[inline]
    pub fn append_settles(
        &mut self,
        now: Now,
        queue: QueueId,
        first: Seq,
        count: usize,
        settled: impl Fn(usize) -> Settling,
    ) {
        let mut at = 0;
        while at < count {
            let seq = Seq(first.0 + at as u64);
            at += self.settle_alike(now, queue, seq, count - at, |index| settled(at + index));
        }
    }

    /// Settles the first ones of them, as many as one record can tell of. Gives how many there are
    /// no more to be looked at.
    #[inline]
    fn settle_alike(
        &mut self,
        now: Now,
        queue: QueueId,
        first: Seq,
        count: usize,
        settled: impl Fn(usize) -> Settling,
    ) -> usize {
        let segment = self.geometry.segment_of_address(settled(0).address);
        let addresses = self.geometry.addresses(segment);
        let Some(held) = self.segments.get(segment) else { return 1 };
        let mut newest = Address(0);
        let mut run = 0;
        while run < count {
            let Settling { address, reference, .. } = settled(run);
            if !addresses.contains(&address) || held.is_dead(reference) {
                break;
            }
            newest = newest.max(address);
            run += 1;
        }
        if run == 0 {
            return 1;
        }
        let settle = Settle { queue, first, segment, count: run as u32 };
        if !self.batch.merge_settle(&settle, newest) {
            let (at, _) = self.claim(now, SETTLE_BYTES, 0);
            self.batch.write_settle(at, settle);
            self.note_end();
        }
        self.settles_since_us.get_or_insert(now.monotonic_us);
        self.index.settle(settle, |index| settled(index).reference);
        let holder = self.segments.tail().number;
        if let Some(held) = self.segments.get_mut(segment) {
            held.note_holder(holder);
        }
        self.let_go(segment, run, settled);
        run
    }

    /// Frees a reference without a record: its queue's id is gone for ever, which says it all.
    /// `length`: octets of the message's record.
    pub fn release(&mut self, address: Address, length: u32, reference: u32) {
        let number = self.geometry.segment_of_address(address);
        let (queue, seq) = (QueueId(0), Seq(0));
        let settled = Settling { queue, seq, address, length, reference };
        self.let_go(number, 1, |_| settled);
    }

    /// So many references in one segment are wanted no more.
    #[inline]
    fn let_go(&mut self, number: u32, count: usize, settled: impl Fn(usize) -> Settling) {
        if !self.multiparts.is_empty() {
            return self.let_go_with_parts(number, count, settled);
        }
        let Some(segment) = self.segments.get_mut(number) else { return };
        let mut freed = 0;
        let mut any = false;
        for index in 0..count {
            let Settling { length, reference, .. } = settled(index);
            if let Some(octets) = segment.kill(reference, octets(length), || false) {
                freed += octets;
                any = true;
            }
        }
        if any && segment.is_done() {
            self.reclaim.done(number);
        }
        self.space.freed(freed);
    }

    /// The same, where some of the messages may be in parts.
    #[cold]
    fn let_go_with_parts(
        &mut self,
        number: u32,
        count: usize,
        settled: impl Fn(usize) -> Settling,
    ) {
        for index in 0..count {
            let Settling { address, length, reference, .. } = settled(index);
            let Some(segment) = self.segments.get_mut(number) else { return };
            let is_in_parts = || self.multiparts.record(address).is_some();
            let Some(freed) = segment.kill(reference, octets(length), is_in_parts) else {
                continue;
            };
            if segment.is_done() {
                self.reclaim.done(number);
            }
            self.space.freed(freed);
            if let Some(parts) = self.multiparts.release(address) {
                self.assemblies.drop(address);
                self.let_go_parts(&parts);
            }
        }
    }
}

/// Octets that a record of that length takes in its block.
#[inline]
fn octets(length: u32) -> u64 {
    aligned_record(length as usize) as u64
}
