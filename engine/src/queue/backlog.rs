//! A queue's messages while the log is being read back, before it is known whether the queue
//! still exists and how it was declared.
//!
//! Messages and settles come in log order and go straight into the index the queue will have,
//! packed as it goes, so recovery needs no more memory than the queues themselves.

use super::index::Index;
use super::lane::Lane;
use super::pool::ChunkPool;
use super::slot::{Place, Slot, State};
use super::{seq_of, LANE_SHIFT};
use crate::ids::Seq;

#[derive(Debug, Default)]
struct Level {
    index: Index,
    next: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    levels: Vec<Level>,
    /// The number by which the pool knows it.
    slot: u32,
    /// Octets of bodies.
    body_bytes: u64,
}

const NUMBER: u64 = (1 << LANE_SHIFT) - 1;

impl Backlog {
    /// One that the pool knows by that number.
    pub fn new(slot: u32) -> Self {
        Backlog { slot, ..Backlog::default() }
    }

    /// As [`Queue::condense`](super::Queue::condense).
    pub fn condense(&mut self, pool: &mut ChunkPool) -> bool {
        let mut goes_on = false;
        for level in &mut self.levels {
            goes_on |= level.index.condense(pool);
        }
        goes_on
    }

    fn level(&mut self, seq: Seq) -> (&mut Level, u64) {
        let lane = (seq.0 >> LANE_SHIFT) as usize;
        if lane >= self.levels.len() {
            self.levels.resize_with(lane + 1, Level::default);
            self.levels.iter_mut().for_each(|level| level.index.belong_to(self.slot));
        }
        (&mut self.levels[lane], seq.0 & NUMBER)
    }

    /// A message of this queue lies there. One found again lies where it was found last.
    ///
    /// It comes back marked as redelivered: deliveries are not logged, so any of them may have
    /// been seen before the restart (behaviour A102, D8).
    pub fn found(
        &mut self,
        pool: &mut ChunkPool,
        seq: Seq,
        place: Place,
        body_bytes: u64,
        expires_unix_ms: Option<u64>,
    ) {
        let slot = Slot::ready(place, body_bytes, true);
        self.body_bytes += slot.body_bytes();
        let (level, number) = self.level(seq);
        let again = match number < level.next {
            true => level.index.kill(pool, number, State::Ready),
            false => None,
        };
        level.next = level.next.max(number + 1);
        level.index.insert(pool, number, slot, expires_unix_ms, 0);
        self.body_bytes -= again.map_or(0, |slot| slot.body_bytes());
    }

    /// `first..=last` are settled, as far as `is_meant` says so of what is known of them.
    pub fn settled(
        &mut self,
        pool: &mut ChunkPool,
        first: Seq,
        last: Seq,
        is_meant: impl Fn(&Slot) -> bool,
    ) {
        let lanes = (first.0 >> LANE_SHIFT)..=(last.0 >> LANE_SHIFT);
        for lane in lanes {
            let from = first.max(Seq(lane << LANE_SHIFT));
            let to = last.min(Seq((lane << LANE_SHIFT) | NUMBER)).0 & NUMBER;
            let (level, from) = self.level(from);
            // A number is never given twice, even if nothing but its settle is left of it.
            level.next = level.next.max(to + 1);
            let mut gone_bytes = 0;
            let mut next = level.index.seek(pool, from, to);
            while let Some((number, slot)) = next {
                if is_meant(&slot) {
                    level.index.kill(pool, number, State::Ready);
                    gone_bytes += slot.body_bytes();
                }
                next = if number < to { level.index.seek(pool, number + 1, to) } else { None };
            }
            self.body_bytes -= gone_bytes;
        }
    }

    /// Octets of bodies of messages found and not settled.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.index.live() == 0)
    }

    /// Messages found and not settled, in queue order.
    pub fn messages<'a>(&'a self, pool: &'a ChunkPool) -> impl Iterator<Item = (Seq, Slot)> + 'a {
        let levels = self.levels.iter().enumerate();
        levels.flat_map(|(lane, level)| {
            level.index.iter(pool).map(move |(number, slot)| (seq_of(lane, number), slot))
        })
    }

    /// The chunks of a queue that is no more go back to the pool.
    pub fn discard(mut self, pool: &mut ChunkPool) {
        for level in &mut self.levels {
            level.index.clear(pool);
        }
    }

    pub(super) fn into_lanes(self) -> Vec<Lane> {
        self.levels.into_iter().map(|level| Lane::recovered(level.index, level.next)).collect()
    }
}
