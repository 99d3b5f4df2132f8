//! Messages that a queue has let go all at once, by a purge or its own end, and that are to be
//! freed: a few at a time, however many there are.

use std::collections::VecDeque;

use super::chunk::Chunk;
use super::due_times::DueTimes;
use super::pool::ChunkPool;
use super::slot::Slot;
use super::{seq_of, Queue};
use crate::ids::{QueueId, Seq};

/// See the module.
#[derive(Debug)]
pub struct Remains {
    queue: QueueId,
    must_settle: bool,
    /// Levels and what is left of them; the last one goes first.
    lanes: Vec<(usize, VecDeque<Chunk>)>,
    /// Of a queue that held messages back, and is gone.
    due_times: Option<Box<DueTimes>>,
}

impl Remains {
    /// The queue they were in.
    pub fn queue(&self) -> QueueId {
        self.queue
    }

    /// The queue is still there, and survives a restart: each message needs a record of its end.
    pub fn must_settle(&self) -> bool {
        self.must_settle
    }

    /// Hands out about `limit` messages, in whatever state they were. True when none is left.
    pub fn free(
        &mut self,
        pool: &mut ChunkPool,
        limit: usize,
        mut free: impl FnMut(Seq, &Slot),
    ) -> bool {
        if let Some(due_times) = &mut self.due_times {
            if !due_times.clear(pool, limit) {
                return false;
            }
            self.due_times = None;
        }
        let mut freed = 0;
        while let Some((lane, chunks)) = self.lanes.last_mut() {
            while let Some(chunk) = chunks.pop_front() {
                if chunk.is_bale() {
                    let before = chunks.capacity();
                    for alone in chunk.unbale(pool).into_iter().rev() {
                        chunks.push_front(alone);
                    }
                    pool.note_directory(before, chunks.capacity());
                    continue;
                }
                let first = chunk.first();
                for (offset, slot) in chunk.iter(pool) {
                    free(seq_of(*lane, first + offset as u64), &slot);
                    freed += 1;
                }
                chunk.discard(pool);
                if freed >= limit {
                    return false;
                }
            }
            pool.note_directory(chunks.capacity(), 0);
            self.lanes.pop();
        }
        true
    }
}

impl Queue {
    /// Lets every ready message go and keeps the unacked ones (behaviour A78). Gives their number
    /// and themselves.
    pub fn purge(&mut self, pool: &mut ChunkPool) -> (u64, Remains) {
        let any_unacked = self.counts.unacked > 0;
        let lanes = self.lanes.iter_mut().enumerate();
        let lanes = lanes.map(|(lane, held)| (lane, held.take_ready(pool, any_unacked))).collect();
        let purged = self.counts.ready;
        (self.counts.ready, self.counts.ready_bytes) = (0, 0);
        self.next_expiry_unix_ms = None;
        if let Some(mut comebacks) = self.comebacks.take() {
            comebacks.retain(|seq, _| self.state(pool, *seq) != super::State::Dead);
            self.comebacks = Some(comebacks).filter(|comebacks| !comebacks.is_empty());
        }
        if let Some(mut present) = self.present.take() {
            present.retain(|seq| self.state(pool, seq) != super::State::Dead);
            self.present = Some(present);
        }
        let must_settle = self.settings.survives_restart;
        (purged, Remains { queue: self.id, must_settle, lanes, due_times: None })
    }

    /// The queue is gone; its messages, in whatever state, are left.
    pub fn into_remains(self) -> Remains {
        let lanes = self.lanes.into_all().map(|lane| lane.into_chunks()).enumerate();
        let (lanes, due_times) = (lanes.collect(), self.due_times);
        Remains { queue: self.id, must_settle: false, lanes, due_times }
    }
}
