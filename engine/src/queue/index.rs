//! Slots by sequence number: a sparse, sorted directory of chunks.
//!
//! A chunk covers [`CHUNK`] consecutive numbers and exists only while a slot in it lives, so a
//! queue that shrinks gives its memory back wherever it shrinks, and numbers may have gaps of any
//! size. Chunks come from and go back to the shard's [`ChunkPool`]: an empty queue holds none.
//!
//! In a long queue, chunks between the front and the last one are packed: when a new chunk is
//! begun, the one before it is no longer written to. One that is needed after all is unpacked, and
//! packed again when a few others have been needed since. Packed chunks that stand together become a
//! bale, so that what is kept per chunk does not count; a bale that something in is needed of is
//! taken apart.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use super::chunk::{Chunk, NEVER};
use super::pool::{ChunkPool, CHUNK};
use super::slot::{Slot, State, FAR_EXPIRY};

/// Chunks that were unpacked and are not packed again yet.
const WARM_MAX: usize = 16;
/// Chunks before a place that are moved rather than those behind it.
const NEAR_FRONT: usize = 64;
/// Chunks looked at for each one that is added.
const LOOKS: usize = 8;

/// What most indexes never need.
#[derive(Debug, Default)]
struct Rare {
    /// Keys of chunks unpacked lately, the oldest first.
    warm: VecDeque<u64>,
    /// Position of the chunk that is to be looked at next for being packed.
    hand: usize,
    /// Expiries that 32 bits cannot tell, by number.
    far: BTreeMap<u64, u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: VecDeque<Chunk>,
    rare: Option<Box<Rare>>,
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
            Some(first) if (first.key..=first.last_key()).contains(&key) => Ok(0),
            Some(first) if first.key < key => self.position_behind(first.key, key),
            _ => Err(0),
        }
    }

    /// Numbers without gaps, from either end, are found without a search.
    fn position_behind(&self, first: u64, key: u64) -> Result<usize, usize> {
        let count = self.chunks.len();
        let last = self.chunks[count - 1].key;
        if key >= last {
            let is_there = key <= self.chunks[count - 1].last_key();
            return if is_there { Ok(count - 1) } else { Err(count) };
        }
        let from_front = (key - first) as usize;
        let from_back = (count - 1).checked_sub((last - key) as usize);
        for guess in [Some(from_front), from_back].into_iter().flatten() {
            if self.chunks.get(guess).is_some_and(|chunk| chunk.key == key) {
                return Ok(guess);
            }
        }
        self.chunks.binary_search_by(|chunk| match chunk.key.cmp(&key) {
            Ordering::Less if chunk.last_key() >= key => Ordering::Equal,
            order => order,
        })
    }

    /// As [`Index::position`], of a chunk by itself: a bale that it is in is taken apart.
    #[inline]
    fn position_alone(&mut self, pool: &mut ChunkPool, key: u64) -> Result<usize, usize> {
        match self.chunks.front() {
            // Most messages are taken here.
            Some(first) if first.key == key && !first.is_bale() => Ok(0),
            _ => self.position_apart(pool, key),
        }
    }

    #[cold]
    fn position_apart(&mut self, pool: &mut ChunkPool, key: u64) -> Result<usize, usize> {
        match self.position(key) {
            Ok(at) if self.chunks[at].is_bale() => {
                self.unbale(pool, at);
                self.position(key)
            }
            other => other,
        }
    }

    #[cold]
    fn unbale(&mut self, pool: &mut ChunkPool, at: usize) {
        let Some(bale) = self.chunks.remove(at) else { return };
        let alone = bale.unbale(pool);
        if at < NEAR_FRONT {
            // Consumers are here: only what is before it makes way.
            for chunk in alone.into_iter().rev() {
                self.chunks.insert(at, chunk);
            }
            return;
        }
        let behind = self.chunks.split_off(at);
        self.chunks.extend(alone);
        self.chunks.extend(behind);
    }

    /// Makes a bale of the packed chunks before `end`, if there are enough.
    fn bale(&mut self, pool: &mut ChunkPool, end: usize) {
        let Some(start) = end.checked_sub(pool.bale).filter(|start| *start >= pool.lead()) else {
            return;
        };
        let is_single = |chunk: &Chunk| chunk.is_packed() && !chunk.is_bale();
        // Far from each other they would take more of one than of many.
        let is_dense = |first: &Chunk, last: &Chunk| last.key - first.key < 4 * pool.bale as u64;
        let fits = end <= self.chunks.len()
            && self.chunks.range(start..end).rev().all(is_single)
            && is_dense(&self.chunks[start], &self.chunks[end - 1]);
        if !fits {
            return;
        }
        let Some(bale) = Chunk::bale(pool, &self.chunks, start..end) else { return };
        let behind = self.chunks.split_off(end);
        for chunk in self.chunks.drain(start..) {
            chunk.discard(pool);
        }
        self.chunks.push_back(bale);
        self.chunks.extend(behind);
    }

    /// The slot of that number, which may be dead, wherever it is kept.
    #[inline]
    pub(super) fn get(&self, number: u64) -> Option<Slot> {
        let at = self.position(key(number)).ok()?;
        let chunk = &self.chunks[at];
        Some(chunk.get((number - chunk.first()) as usize))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, pool: &mut ChunkPool, number: u64) -> Option<&mut Slot> {
        let at = self.position_alone(pool, key(number)).ok()?;
        self.unpacked(pool, at).slots_mut().map(|slots| &mut slots[offset(number)])
    }

    /// The chunk at that position, unpacked.
    #[inline]
    fn unpacked(&mut self, pool: &mut ChunkPool, at: usize) -> &mut Chunk {
        if self.chunks[at].is_packed() {
            self.unpack(pool, at);
        }
        &mut self.chunks[at]
    }

    #[cold]
    fn unpack(&mut self, pool: &mut ChunkPool, at: usize) {
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
    fn tidy(&mut self, pool: &mut ChunkPool) {
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

    /// The chunk of that key, made if need be. Mostly it is the last one.
    #[inline]
    fn chunk_for(&mut self, pool: &mut ChunkPool, key: u64) -> &mut Chunk {
        let count = self.chunks.len();
        let at = match self.chunks.back() {
            Some(last) if last.key == key => count - 1,
            _ => match self.position_alone(pool, key) {
                Ok(at) => at,
                Err(at) => {
                    self.chunks.insert(at, Chunk::new(key, pool.take()));
                    if at + 1 == self.chunks.len() {
                        self.tidy(pool);
                        self.chunks.len() - 1
                    } else {
                        at
                    }
                }
            },
        };
        self.unpacked(pool, at)
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
        if let Some(expires) = expires_unix_ms {
            slot.set_expiry(chunk.expiry_of(expires, base_unix_ms));
        }
        chunk.live += 1;
        let Some(slots) = chunk.slots_mut() else {
            unreachable!("a chunk that is to be filled is packed");
        };
        let place = &mut slots[offset(number)];
        assert!(place.state() == State::Dead, "message number {number} is being overwritten");
        *place = slot;
        if slot.expiry() == FAR_EXPIRY {
            let far = &mut self.rare.get_or_insert_default().far;
            far.extend(expires_unix_ms.map(|expires| (number, expires)));
        }
    }

    /// Empties a slot, if it is in that state, and gives back what was in it.
    #[inline]
    pub(super) fn kill(&mut self, pool: &mut ChunkPool, number: u64, state: State) -> Option<Slot> {
        let at = self.position_alone(pool, key(number)).ok()?;
        let chunk = self.unpacked(pool, at);
        let place = &mut chunk.slots_mut()?[offset(number)];
        if place.state() != state || state == State::Dead {
            return None;
        }
        let slot = std::mem::replace(place, Slot::DEAD);
        chunk.live -= 1;
        if chunk.live == 0 {
            self.drop_chunk(pool, at);
        }
        if slot.expiry() == FAR_EXPIRY {
            self.forget_far(number);
        }
        Some(slot)
    }

    #[cold]
    fn forget_far(&mut self, number: u64) {
        if let Some(rare) = &mut self.rare {
            rare.far.remove(&number);
        }
    }

    /// Once for many messages.
    #[cold]
    fn drop_chunk(&mut self, pool: &mut ChunkPool, at: usize) {
        let chunk = if at == 0 { self.chunks.pop_front() } else { self.chunks.remove(at) };
        if let Some(chunk) = chunk {
            chunk.discard(pool);
        }
        if self.chunks.is_empty() {
            self.rare = None;
        }
    }

    /// The first number from `from` on whose slot lives, and the slot.
    #[inline]
    pub(super) fn next_live(&mut self, pool: &mut ChunkPool, from: u64) -> Option<(u64, Slot)> {
        let (at, start) = match self.position_alone(pool, key(from)) {
            Ok(at) => (at, offset(from)),
            Err(at) => (at, 0),
        };
        let chunk = self.chunks.get(at)?;
        if let Some(slots) = chunk.slots() {
            let slot = slots[start];
            if slot.state() != State::Dead {
                return Some((chunk.first() + start as u64, slot));
            }
        }
        self.next_live_behind(pool, at, start)
    }

    fn next_live_behind(
        &mut self,
        pool: &mut ChunkPool,
        mut at: usize,
        mut start: usize,
    ) -> Option<(u64, Slot)> {
        while at < self.chunks.len() {
            if self.chunks[at].is_bale() {
                self.unbale(pool, at);
            }
            let chunk = self.unpacked(pool, at);
            let rest = &chunk.slots()?[start..];
            if let Some(found) = rest.iter().position(|slot| slot.state() != State::Dead) {
                return Some((chunk.first() + (start + found) as u64, rest[found]));
            }
            at += 1;
            start = 0;
        }
        None
    }

    /// Numbers and slots that live, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        self.chunks.iter().flat_map(|chunk| {
            let first = chunk.first();
            chunk.iter().map(move |(offset, slot)| (first + offset as u64, slot))
        })
    }

    /// How many slots live.
    pub(super) fn live(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.live)).sum()
    }

    /// When the message of that number expires; `slot` is its slot.
    #[inline]
    pub(super) fn expires_unix_ms(&self, number: u64, slot: &Slot) -> Option<u64> {
        match slot.expiry() {
            0 => None,
            FAR_EXPIRY => self.rare.as_ref()?.far.get(&number).copied(),
            _ => self.chunks[self.position(key(number)).ok()?].expires_unix_ms(slot),
        }
    }

    /// A message that came back counts for the next expiry again.
    pub(super) fn note_expiry(&mut self, number: u64, slot: &Slot) -> Option<u64> {
        let expires = self.expires_unix_ms(number, slot)?;
        let at = self.position(key(number)).ok()?;
        let chunk = &mut self.chunks[at];
        chunk.soonest_unix_ms = chunk.soonest_unix_ms.min(expires);
        Some(expires)
    }

    /// Lower bound of the expiry of all ready messages.
    pub(super) fn next_expiry_unix_ms(&self) -> Option<u64> {
        let soonest = self.chunks.iter().map(|chunk| chunk.soonest_unix_ms).min();
        soonest.filter(|soonest| *soonest != NEVER)
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
        let far = self.rare.as_ref().map(|rare| &rare.far);
        for chunk in &mut self.chunks {
            if expired.len() >= limit {
                return;
            }
            if chunk.soonest_unix_ms >= now_unix_ms {
                continue;
            }
            let mut soonest = NEVER;
            for (offset, slot) in chunk.iter() {
                let number = chunk.first() + offset as u64;
                if slot.state() != State::Ready || slot.expiry() == 0 {
                    continue;
                }
                let in_table = || far.and_then(|far| far.get(&number).copied());
                match chunk.expires_unix_ms(&slot).or_else(in_table) {
                    Some(expires) if expires < now_unix_ms => expired.push(number),
                    Some(expires) => soonest = soonest.min(expires),
                    None => {}
                }
            }
            chunk.soonest_unix_ms = soonest;
        }
    }

    /// Takes all ready slots out. `any_unacked`: there may be others.
    pub(super) fn take_ready(
        &mut self,
        pool: &mut ChunkPool,
        any_unacked: bool,
    ) -> VecDeque<Chunk> {
        let all = std::mem::take(&mut self.chunks);
        let rare = self.rare.take();
        if !any_unacked {
            return all;
        }
        let mut taken = VecDeque::new();
        for chunk in all {
            let (kept, ready) = chunk.split(pool);
            self.chunks.extend(kept);
            taken.extend(ready);
        }
        if let Some(mut far) = rare.map(|rare| rare.far).filter(|far| !far.is_empty()) {
            far.retain(|number, _| {
                self.get(*number).is_some_and(|slot| slot.state() != State::Dead)
            });
            self.rare.get_or_insert_default().far = far;
        }
        taken
    }

    pub(super) fn into_chunks(self) -> VecDeque<Chunk> {
        self.chunks
    }

    /// Gives all chunks back, with whatever they hold.
    pub(super) fn clear(&mut self, pool: &mut ChunkPool) {
        for chunk in std::mem::take(&mut self.chunks) {
            chunk.discard(pool);
        }
        self.rare = None;
    }

    /// How many bales it holds.
    #[cfg(test)]
    pub(super) fn bale_count(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.is_bale()).count()
    }

    /// How many chunks it holds, and how many of them are packed.
    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> (usize, usize) {
        let packed = self.chunks.iter().filter(|chunk| chunk.is_packed()).count();
        (self.chunks.len(), packed)
    }
}
