//! Slots by sequence number: a sparse, sorted directory of chunks.
//!
//! A chunk covers [`CHUNK`] consecutive numbers and exists only while a slot in it lives, so a
//! queue that shrinks gives its memory back wherever it shrinks, and numbers may have gaps of any
//! size. Chunks come from and go back to the shard's [`ChunkPool`]: an empty queue holds none.

use std::collections::VecDeque;

use super::slot::{Slot, State};

/// Slots in a chunk: 3 KiB.
pub(super) const CHUNK: u64 = 128;
type Slots = Box<[Slot; CHUNK as usize]>;

/// Free chunks kept for the next burst, of all queues of a shard.
const SPARE_CHUNKS_MAX: usize = 256;

/// Chunks without a queue. Every slot in them is dead.
#[derive(Debug, Default)]
pub struct ChunkPool {
    spare: Vec<Slots>,
}

impl ChunkPool {
    fn take(&mut self) -> Slots {
        self.spare.pop().unwrap_or_else(|| Box::new([Slot::DEAD; CHUNK as usize]))
    }

    fn give_back(&mut self, slots: Slots) {
        if self.spare.len() < SPARE_CHUNKS_MAX {
            self.spare.push(slots);
        }
    }
}

#[derive(Debug)]
struct Chunk {
    /// The numbers it covers, divided by [`CHUNK`].
    key: u64,
    /// Wall clock that slots' expiry counts from; 0: no slot expires yet.
    base_unix_ms: u64,
    /// Lower bound of the expiry of ready slots; `u32::MAX`: none.
    soonest: u32,
    live: u32,
    slots: Slots,
}

impl Chunk {
    fn new(key: u64, slots: Slots) -> Self {
        Chunk { key, base_unix_ms: 0, soonest: u32::MAX, live: 0, slots }
    }

    fn first(&self) -> u64 {
        self.key * CHUNK
    }

    /// What to write into a slot whose message expires then. Half a hundred days can be told
    /// within a chunk; what is farther off than that never expires, rather than too early.
    fn expiry_of(&mut self, expires_unix_ms: u64, base_unix_ms: u64) -> u32 {
        if self.base_unix_ms == 0 {
            // One less, so that an expiry at the base itself is not 0, which says never.
            self.base_unix_ms = base_unix_ms.min(expires_unix_ms).saturating_sub(1).max(1);
        } else if expires_unix_ms <= self.base_unix_ms {
            self.lower_base(expires_unix_ms.saturating_sub(1).max(1));
        }
        let after = expires_unix_ms.saturating_sub(self.base_unix_ms).max(1);
        let after = u32::try_from(after).unwrap_or(0);
        if after != 0 {
            self.soonest = self.soonest.min(after);
        }
        after
    }

    /// Counts all expiries from an earlier time.
    fn lower_base(&mut self, base_unix_ms: u64) {
        let by = self.base_unix_ms.saturating_sub(base_unix_ms);
        self.base_unix_ms = base_unix_ms;
        self.soonest = u32::MAX;
        for slot in self.slots.iter_mut().filter(|slot| slot.expiry() != 0) {
            let after = u32::try_from(u64::from(slot.expiry()) + by).unwrap_or(0);
            slot.set_expiry(after);
            if after != 0 {
                self.soonest = self.soonest.min(after);
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: VecDeque<Chunk>,
}

fn key(number: u64) -> u64 {
    number / CHUNK
}

fn offset(number: u64) -> usize {
    (number % CHUNK) as usize
}

impl Index {
    /// Position of the chunk of that key, or where it would go.
    #[inline]
    fn position(&self, key: u64) -> Result<usize, usize> {
        // A short queue has one or two chunks, and consumers are at the front.
        match self.chunks.front() {
            Some(first) if first.key == key => Ok(0),
            Some(first) if first.key < key => self.position_behind(first.key, key),
            _ => Err(0),
        }
    }

    /// Numbers without gaps, from either end, are found without a search.
    fn position_behind(&self, first: u64, key: u64) -> Result<usize, usize> {
        let count = self.chunks.len();
        let last = self.chunks[count - 1].key;
        if key >= last {
            return if key == last { Ok(count - 1) } else { Err(count) };
        }
        let from_front = (key - first) as usize;
        let from_back = (count - 1).checked_sub((last - key) as usize);
        for guess in [Some(from_front), from_back].into_iter().flatten() {
            if self.chunks.get(guess).is_some_and(|chunk| chunk.key == key) {
                return Ok(guess);
            }
        }
        self.chunks.binary_search_by_key(&key, |chunk| chunk.key)
    }

    #[inline]
    pub(super) fn get(&self, number: u64) -> Option<&Slot> {
        let at = self.position(key(number)).ok()?;
        Some(&self.chunks[at].slots[offset(number)])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Slot> {
        let at = self.position(key(number)).ok()?;
        Some(&mut self.chunks[at].slots[offset(number)])
    }

    /// False if the number's chunk is so old that the expiry cannot be told from its base.
    pub(super) fn can_hold(&self, number: u64, expires_unix_ms: u64) -> bool {
        match self.position(key(number)) {
            Ok(at) => {
                let base = self.chunks[at].base_unix_ms;
                base == 0 || expires_unix_ms.saturating_sub(base) < u64::from(u32::MAX)
            }
            Err(_) => true,
        }
    }

    /// The chunk of that key, made if need be. Mostly it is the last one.
    #[inline]
    fn chunk_for(&mut self, pool: &mut ChunkPool, key: u64) -> &mut Chunk {
        let count = self.chunks.len();
        let at = match self.chunks.back() {
            Some(last) if last.key == key => count - 1,
            _ => match self.position(key) {
                Ok(at) => at,
                Err(at) => {
                    self.chunks.insert(at, Chunk::new(key, pool.take()));
                    at
                }
            },
        };
        &mut self.chunks[at]
    }

    /// Fills a dead slot. `base_unix_ms` is a time that expiries of this number's neighbours are
    /// expected to lie behind.
    ///
    /// # Panics
    /// If the slot lives: a message would be lost.
    #[inline]
    pub(super) fn insert(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
        mut slot: Slot,
        expires_unix_ms: Option<u64>,
        base_unix_ms: u64,
    ) {
        let chunk = self.chunk_for(pool, key(number));
        let vacant = chunk.slots[offset(number)].state() == State::Dead;
        assert!(vacant, "message number {number} is being overwritten");
        if let Some(expires) = expires_unix_ms {
            slot.set_expiry(chunk.expiry_of(expires, base_unix_ms));
        }
        chunk.slots[offset(number)] = slot;
        chunk.live += 1;
    }

    /// Empties a slot, if it is in that state, and gives back what was in it.
    #[inline]
    pub(super) fn kill(&mut self, pool: &mut ChunkPool, number: u64, state: State) -> Option<Slot> {
        let at = self.position(key(number)).ok()?;
        let chunk = &mut self.chunks[at];
        let place = &mut chunk.slots[offset(number)];
        if place.state() != state || state == State::Dead {
            return None;
        }
        let slot = std::mem::replace(place, Slot::DEAD);
        chunk.live -= 1;
        if chunk.live == 0 {
            self.drop_chunk(pool, at);
        }
        Some(slot)
    }

    fn drop_chunk(&mut self, pool: &mut ChunkPool, at: usize) {
        let chunk = if at == 0 { self.chunks.pop_front() } else { self.chunks.remove(at) };
        if let Some(chunk) = chunk {
            pool.give_back(chunk.slots);
        }
    }

    /// The first number from `from` on whose slot lives, and the slot.
    #[inline]
    pub(super) fn next_live(&self, from: u64) -> Option<(u64, Slot)> {
        let (at, start) = match self.position(key(from)) {
            Ok(at) => (at, offset(from)),
            Err(at) => (at, 0),
        };
        let chunk = self.chunks.get(at)?;
        let slot = chunk.slots[start];
        if slot.state() != State::Dead {
            return Some((chunk.first() + start as u64, slot));
        }
        self.next_live_behind(at, start)
    }

    fn next_live_behind(&self, mut at: usize, mut start: usize) -> Option<(u64, Slot)> {
        while let Some(chunk) = self.chunks.get(at) {
            let live = chunk.slots[start..].iter().position(|slot| slot.state() != State::Dead);
            if let Some(found) = live {
                let offset = start + found;
                return Some((chunk.first() + offset as u64, chunk.slots[offset]));
            }
            at += 1;
            start = 0;
        }
        None
    }

    /// Numbers and slots that live, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Slot)> {
        self.chunks.iter().flat_map(|chunk| {
            let numbers = chunk.first()..;
            numbers.zip(chunk.slots.iter()).filter(|(_, slot)| slot.state() != State::Dead)
        })
    }

    /// When the slot's message expires.
    pub(super) fn expires_unix_ms(&self, number: u64) -> Option<u64> {
        let chunk = &self.chunks[self.position(key(number)).ok()?];
        match chunk.slots[offset(number)].expiry() {
            0 => None,
            after => Some(chunk.base_unix_ms + u64::from(after)),
        }
    }

    /// A message that came back counts for the next expiry again.
    pub(super) fn note_expiry(&mut self, number: u64) -> Option<u64> {
        let at = self.position(key(number)).ok()?;
        let chunk = &mut self.chunks[at];
        match chunk.slots[offset(number)].expiry() {
            0 => None,
            after => {
                chunk.soonest = chunk.soonest.min(after);
                Some(chunk.base_unix_ms + u64::from(after))
            }
        }
    }

    /// Lower bound of the expiry of all ready messages.
    pub(super) fn next_expiry_unix_ms(&self) -> Option<u64> {
        let expiring = self.chunks.iter().filter(|chunk| chunk.soonest != u32::MAX);
        expiring.map(|chunk| chunk.base_unix_ms + u64::from(chunk.soonest)).min()
    }

    /// Adds the numbers of ready messages whose time was before `now_unix_ms` to `expired`, and
    /// forgets that these were to expire: the caller kills them. Stops behind the chunk in which
    /// there are `limit` of them.
    pub(super) fn collect_expired(
        &mut self,
        now_unix_ms: u64,
        limit: usize,
        expired: &mut Vec<u64>,
    ) {
        for chunk in &mut self.chunks {
            if expired.len() >= limit {
                return;
            }
            let base = chunk.base_unix_ms;
            if chunk.soonest == u32::MAX || base + u64::from(chunk.soonest) >= now_unix_ms {
                continue;
            }
            chunk.soonest = u32::MAX;
            let first = chunk.first();
            for (number, slot) in (first..).zip(chunk.slots.iter()) {
                if slot.state() != State::Ready || slot.expiry() == 0 {
                    continue;
                }
                if base + u64::from(slot.expiry()) < now_unix_ms {
                    expired.push(number);
                } else {
                    chunk.soonest = chunk.soonest.min(slot.expiry());
                }
            }
        }
    }

    /// Gives all chunks back, with whatever they hold.
    pub(super) fn clear(&mut self, pool: &mut ChunkPool) {
        for mut chunk in self.chunks.drain(..) {
            if chunk.live > 0 {
                chunk.slots.fill(Slot::DEAD);
            }
            pool.give_back(chunk.slots);
        }
        self.chunks.shrink_to_fit();
    }

    /// How many chunks it holds.
    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}
