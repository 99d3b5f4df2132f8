//! Packing what nobody needs, baling what is packed, and undoing both.

use super::Index;
use crate::queue::chunk::Chunk;
use crate::queue::pool::ChunkPool;

/// Chunks that were unpacked and are not packed again yet.
const WARM_MAX: usize = 16;
/// Chunks before a place that are moved rather than those behind it.
const NEAR_FRONT: usize = 64;
/// Chunks looked at for each one that is added.
const LOOKS: usize = 8;

impl Index {
    #[cold]
    pub(super) fn unbale(&mut self, pool: &mut ChunkPool, at: usize) {
        let Some(bale) = self.chunks.remove(at) else { return };
        let alone = bale.unbale(pool);
        let before = self.chunks.capacity();
        if at < NEAR_FRONT {
            // Consumers are here: only what is before it makes way.
            for chunk in alone.into_iter().rev() {
                self.chunks.insert(at, chunk);
            }
        } else {
            let behind = self.chunks.split_off(at);
            self.chunks.extend(alone);
            self.chunks.extend(behind);
        }
        pool.note_directory(before, self.chunks.capacity());
        self.note_loose(pool);
    }

    /// Makes a bale of the packed chunks before `end`, if there are enough.
    fn bale(&mut self, pool: &mut ChunkPool, end: usize) {
        let Some(start) = end.checked_sub(pool.bale()).filter(|start| *start >= pool.lead()) else {
            return;
        };
        let is_single = |chunk: &Chunk| chunk.is_packed() && !chunk.is_bale();
        // Far from each other they would take more of one than of many.
        let is_dense = |first: &Chunk, last: &Chunk| last.key - first.key < 4 * pool.bale() as u64;
        let fits = end <= self.chunks.len()
            && self.chunks.range(start..end).rev().all(is_single)
            && is_dense(&self.chunks[start], &self.chunks[end - 1]);
        if !fits {
            return;
        }
        self.merge(pool, start, end);
    }

    #[cold]
    pub(super) fn unpack(&mut self, pool: &mut ChunkPool, at: usize) {
        self.note_loose(pool);
        let chunk = &mut self.chunks[at];
        chunk.unpack(pool);
        let warm = &mut self.rare.get_or_insert_default().warm;
        warm.push_back(chunk.key);
        if warm.len() > WARM_MAX {
            let coldest = warm.pop_front().map(|key| self.position(key));
            if let Some(Ok(coldest)) = coldest.filter(|cold| *cold != Ok(at)) {
                self.pack(pool, coldest);
            }
        }
    }

    /// Packs the chunk at that position if it is between the front and the last one. True if that
    /// has changed something.
    fn pack(&mut self, pool: &mut ChunkPool, at: usize) -> bool {
        at >= pool.lead() && at + 1 < self.chunks.len() && self.chunks[at].pack(pool)
    }

    /// A chunk has been added at the end. Looks at a few more chunks: those that could not be
    /// packed in their time, because messages in them were with consumers, have their turn here.
    #[cold]
    pub(super) fn tidy(&mut self, pool: &mut ChunkPool) {
        let count = self.chunks.len();
        let lead = pool.lead();
        if count < lead + 2 {
            return;
        }
        self.pack(pool, count - 2);
        self.bale(pool, count - 1);
        let count = self.chunks.len();
        let mut hand = self.rare.get_or_insert_default().hand;
        for _ in 0..LOOKS {
            hand = if (lead..count).contains(&hand) { hand } else { lead };
            hand += 1;
            if self.pack(pool, hand - 1) {
                self.bale(pool, hand);
                break;
            }
        }
        self.rare.get_or_insert_default().hand = hand;
    }
}
