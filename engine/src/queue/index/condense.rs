//! Packing all that there is, when there is no memory to spare: what is open near the ends and what
//! consumers hold as well, and bales of few.
//!
//! What is left in memory of a queue is its chunks' directory: an entry for each bale, and what is
//! too short for one. Bales grow as they do in a binary counter, so that a queue that is condensed
//! again and again has few of them, and each message is packed a dozen times at most.

use super::Index;
use crate::queue::chunk::Chunk;
use crate::queue::parcels::PAGE_MIN_BYTES;
use crate::queue::pool::{ChunkPool, CHUNK};

/// Chunks looked at in one go, somewhere and at either end.
const WINDOW: usize = 64;
const AT_ENDS: usize = 16;
/// Chunks that a bale may be made of, if few messages are left in each.
const CHUNKS_MAX: u64 = 256;
/// Places in a bale are told in 32 bits.
const SPAN_MAX: u64 = 1 << 24;

impl Index {
    /// The number by which the pool knows the queue.
    pub(in crate::queue) fn belong_to(&mut self, queue: u32) {
        self.queue = queue;
    }

    /// There is something that can be condensed: the pool knows, until it has been.
    #[inline]
    pub(super) fn note_loose(&mut self, pool: &mut ChunkPool) {
        if !std::mem::replace(&mut self.is_loose, true) {
            pool.note_loose(self.queue);
        }
    }

    /// Leaves nothing unpacked. True: it has stopped before the end, and goes on the next time.
    pub(in crate::queue) fn condense(&mut self, pool: &mut ChunkPool) -> bool {
        let is_loose = std::mem::take(&mut self.is_loose);
        let count = self.chunks.len();
        if count <= WINDOW {
            if is_loose {
                self.condense_range(pool, 0, count);
            }
            self.shrink(pool, self.chunks.len());
            return false;
        }
        // What has been opened last is mostly there.
        self.condense_range(pool, count - AT_ENDS, count);
        self.condense_range(pool, 0, AT_ENDS);
        let count = self.chunks.len();
        let rare = self.rare.get_or_insert_default();
        if is_loose {
            rare.unswept = count;
        }
        let start = if rare.sweep < count { rare.sweep } else { 0 };
        let looks = rare.unswept.min(WINDOW);
        rare.unswept -= looks;
        let goes_on = rare.unswept > 0;
        let sweep = self.condense_range(pool, start, count.min(start + looks));
        self.rare.get_or_insert_default().sweep = sweep;
        goes_on
    }

    /// Gives up room for more chunks than so many.
    pub(super) fn shrink(&mut self, pool: &mut ChunkPool, count: usize) {
        let before = self.chunks.capacity();
        self.chunks.shrink_to(count);
        pool.note_directory(before, self.chunks.capacity());
    }

    /// Packs chunks and makes bales of them. Gives the place behind.
    fn condense_range(&mut self, pool: &mut ChunkPool, start: usize, mut end: usize) -> usize {
        for chunk in self.chunks.range_mut(start..end) {
            chunk.pack_all(pool);
        }
        let mut at = start;
        while at < end {
            if self.chunks[at].is_bale() {
                at += 1;
                continue;
            }
            let stop = self.run(pool, at, end);
            let first = self.with_smaller(pool, at, stop);
            let is_long =
                |chunk: &Chunk| chunk.packed_bytes().is_some_and(|bytes| bytes >= PAGE_MIN_BYTES);
            let gone = match stop - first {
                1 => 0,
                _ => self.merge(pool, first, stop),
            };
            if gone == 0 {
                // Alone, or they expire at times that are too far from each other to be told in one.
                for alone in first..stop {
                    if is_long(&self.chunks[alone]) {
                        self.merge(pool, alone, alone + 1);
                    }
                }
            }
            end -= gone;
            at = stop - gone;
        }
        end
    }

    /// End of the run of chunks from there on that go into one bale. The last one is in none but its
    /// own, since the next message goes there; so is the first one while consumers are in it.
    fn run(&self, pool: &ChunkPool, at: usize, end: usize) -> usize {
        let last = self.chunks.len() - 1;
        let is_begun = |chunk: &Chunk| u64::from(chunk.live) < CHUNK;
        let mut stop = at + 1;
        if at == 0 && is_begun(&self.chunks[0]) {
            return stop;
        }
        while stop < end.min(last) && !self.chunks[stop].is_bale() && self.fits(pool, at, stop + 1)
        {
            stop += 1;
        }
        stop
    }

    /// Takes bales before it along that are not longer than what is added to them.
    fn with_smaller(&self, pool: &ChunkPool, at: usize, stop: usize) -> usize {
        let live = |from: usize, to: usize| -> u64 {
            self.chunks.range(from..to).map(|chunk| u64::from(chunk.live)).sum()
        };
        let mut first = at;
        if stop == self.chunks.len() {
            return first;
        }
        let is_begun = |chunk: &Chunk| u64::from(chunk.live) < CHUNK;
        while first > 0
            && self.chunks[first - 1].is_bale()
            && !(first == 1 && is_begun(&self.chunks[0]))
            && live(first - 1, first) <= live(first, stop)
            && self.fits(pool, first - 1, stop)
        {
            first -= 1;
        }
        first
    }

    /// These may be one bale.
    fn fits(&self, pool: &ChunkPool, from: usize, to: usize) -> bool {
        let (first, last) = (&self.chunks[from], &self.chunks[to - 1]);
        let all = self.chunks.range(from..to);
        let live: u64 = all.clone().map(|chunk| u64::from(chunk.live)).sum();
        let keys: u64 = all.map(|chunk| chunk.span().min(u64::from(chunk.live))).sum();
        live <= pool.bale() as u64 * CHUNK
            && keys <= CHUNKS_MAX
            && last.last_key() - first.key < SPAN_MAX
    }

    /// Makes a bale of these. Gives how many fewer chunks there are for it.
    pub(super) fn merge(&mut self, pool: &mut ChunkPool, start: usize, stop: usize) -> usize {
        let Some(bale) = Chunk::bale(pool, &self.chunks, start..stop) else { return 0 };
        let mut bale = Some(bale);
        let count = stop - start;
        for chunk in self.chunks.range_mut(start..start + 1) {
            if let Some(bale) = bale.take() {
                std::mem::replace(chunk, bale).discard(pool);
            }
        }
        for chunk in self.chunks.drain(start + 1..stop) {
            chunk.discard(pool);
        }
        count - 1
    }
}
