//! Slots by sequence number: a sparse, sorted directory of chunks.
//!
//! A chunk covers [`CHUNK`] consecutive numbers and exists only while a slot in it lives, so a
//! queue that shrinks gives its memory back wherever it shrinks, and numbers may have gaps of any
//! size. Chunks come from and go back to the shard's [`ChunkPool`]: an empty queue holds none.
//!
//! In a long queue, chunks between the front and the last one are packed: when a new chunk is
//! begun, the one before it is no longer written to. One that is needed after all is unpacked, and
//! packed again when a few others have been needed since. Packed chunks that stand together become a
//! bale, so that what is kept per chunk does not count. A bale that consumers come to is taken
//! apart; what is only looked for, moved or dropped in one is so by way of [`super::bales`].
//!
//! `tidy` packs and unpacks, `condense` packs when there is no memory to spare, `expiry` knows when
//! messages expire, `run` looks at messages that follow one another together.

mod condense;
mod expiry;
mod run;
mod tidy;

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use super::bales::BaleId;
use super::chunk::Chunk;
use super::pool::{ChunkPool, CHUNK};
use super::slot::{Slot, State, FAR_EXPIRY};

/// Chunks that there is room for however few there are, once there has been.
const ROOM_MIN: usize = 16;

/// What most indexes never need.
#[derive(Debug, Default)]
struct Rare {
    /// Keys of chunks unpacked lately, the oldest first.
    warm: VecDeque<u64>,
    /// Position of the chunk that is to be looked at next for being packed.
    hand: usize,
    /// The same for being condensed, and how many are to be looked at until all have been.
    sweep: usize,
    unswept: usize,
    /// Expiries that 32 bits cannot tell, by number.
    far: BTreeMap<u64, u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: VecDeque<Chunk>,
    rare: Option<Box<Rare>>,
    /// The number by which the pool knows the queue.
    queue: u32,
    /// Something has been left unpacked since it was condensed.
    is_loose: bool,
}

fn key(number: u64) -> u64 {
    number / CHUNK
}

fn offset(number: u64) -> usize {
    (number % CHUNK) as usize
}

/// Empties the slot, if a message in that state is in it.
#[inline]
fn take_from(slot: &mut Slot, state: State) -> Option<Slot> {
    let is_there = slot.state() == state && state != State::Dead;
    is_there.then(|| std::mem::replace(slot, Slot::DEAD))
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

    /// The slot of that number, which may be dead, wherever it is kept.
    #[inline]
    pub(super) fn get(&self, pool: &mut ChunkPool, number: u64) -> Option<Slot> {
        let at = self.position(key(number)).ok()?;
        let chunk = &self.chunks[at];
        Some(chunk.get(pool, (number - chunk.first()) as usize))
    }

    /// The bale that the number is in, and its place there.
    #[inline]
    fn baled(&self, number: u64) -> Option<(BaleId, u32)> {
        let chunk = &self.chunks[self.position(key(number)).ok()?];
        Some((chunk.as_bale()?, (number - chunk.first()) as u32))
    }

    /// Changes a slot that is alive, and not how it stands, wherever it is kept. `change` says
    /// whether it has.
    pub(super) fn change(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
        change: impl FnOnce(&mut Slot) -> bool,
    ) -> bool {
        if let Some((bale, place)) = self.baled(number) {
            return pool.bales().change(bale, place, change);
        }
        let slot = self.get_mut(pool, number);
        slot.is_some_and(|slot| slot.state() != State::Dead && change(slot))
    }

    /// For who is going to change how it stands: it is taken out of its bale.
    #[inline]
    pub(super) fn get_mut(&mut self, pool: &mut ChunkPool, number: u64) -> Option<&mut Slot> {
        let at = self.position_alone(pool, key(number)).ok()?;
        self.unpacked(pool, at).slot_mut(offset(number))
    }

    /// The chunk at that position, unpacked.
    #[inline]
    fn unpacked(&mut self, pool: &mut ChunkPool, at: usize) -> &mut Chunk {
        if self.chunks[at].is_packed() {
            self.unpack(pool, at);
        }
        &mut self.chunks[at]
    }

    /// The chunk with room for that number, or the bale that it is in, made if need be. Mostly it is the last one.
    #[inline]
    fn chunk_for(&mut self, pool: &mut ChunkPool, number: u64) -> &mut Chunk {
        let count = self.chunks.len();
        let has_room = |last: &Chunk| last.slot(offset(number)).is_some();
        let at = match self.chunks.back() {
            Some(last) if last.key == key(number) && has_room(last) => count - 1,
            _ => self.place_for(pool, number),
        };
        &mut self.chunks[at]
    }

    /// Makes room for another chunk.
    #[cold]
    fn grow(&mut self, pool: &mut ChunkPool) {
        let before = self.chunks.capacity();
        match before {
            // Most queues never have a second one.
            0 => self.chunks.reserve_exact(1),
            _ => self.chunks.reserve(1),
        }
        pool.note_directory(before, self.chunks.capacity());
    }

    #[cold]
    fn place_for(&mut self, pool: &mut ChunkPool, number: u64) -> usize {
        let (key, offset) = (key(number), offset(number));
        match self.position(key) {
            Ok(at) => {
                // The last one has a bale of its own, if it is in any.
                let is_last = at + 1 == self.chunks.len();
                if is_last && self.chunks[at].is_bale() && self.chunks[at].span() == 1 {
                    self.unbale(pool, at);
                }
                if !self.chunks[at].is_bale() {
                    self.unpacked(pool, at).make_room(pool, offset);
                }
                at
            }
            Err(at) => {
                let count = self.chunks.len();
                if count == self.chunks.capacity() {
                    self.grow(pool);
                }
                self.note_loose(pool);
                let chunk = Chunk::new(key, offset, pool);
                if at < count {
                    self.chunks.insert(at, chunk);
                    return at;
                }
                self.chunks.push_back(chunk);
                self.tidy(pool);
                self.chunks.len() - 1
            }
        }
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
        let chunk = self.chunk_for(pool, number);
        if let Some(expires) = expires_unix_ms {
            slot.set_expiry(chunk.expiry_of(expires, base_unix_ms));
        }
        chunk.live += 1;
        let first = chunk.first();
        if let Some(place) = chunk.slot_mut(offset(number)) {
            assert!(place.state() == State::Dead, "message number {number} is being overwritten");
            *place = slot;
        } else if let Some(bale) = chunk.as_bale() {
            pool.bales().insert(bale, (number - first) as u32, slot);
        } else {
            unreachable!("a chunk that is to be filled is packed");
        }
        if slot.expiry() == FAR_EXPIRY {
            let far = &mut self.rare.get_or_insert_default().far;
            far.extend(expires_unix_ms.map(|expires| (number, expires)));
        }
    }

    /// The place of a number that is to be filled now, with what does not expire. `None`, and nothing has been done: it
    /// is in a bale, and has to be inserted.
    ///
    /// # Panics
    /// If a slot lives there: a message would be lost.
    #[inline]
    pub(super) fn place(&mut self, pool: &mut ChunkPool, number: u64) -> Option<&mut Slot> {
        let chunk = self.chunk_for(pool, number);
        let (live, place) = chunk.place(offset(number))?;
        assert!(place.state() == State::Dead, "message number {number} is being overwritten");
        *live += 1;
        Some(place)
    }

    /// Empties a slot, if it is in that state, and gives back what was in it.
    #[inline]
    pub(super) fn kill(&mut self, pool: &mut ChunkPool, number: u64, state: State) -> Option<Slot> {
        let at = self.position(key(number)).ok()?;
        let slot = match self.chunks[at].slot_mut(offset(number)) {
            Some(slot) => take_from(slot, state)?,
            None => self.kill_packed(pool, at, number, state)?,
        };
        let chunk = &mut self.chunks[at];
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
    fn kill_packed(
        &mut self,
        pool: &mut ChunkPool,
        at: usize,
        number: u64,
        state: State,
    ) -> Option<Slot> {
        let Some(bale) = self.chunks[at].as_bale() else {
            return take_from(self.unpacked(pool, at).slot_mut(offset(number))?, state);
        };
        let place = (number - self.chunks[at].first()) as u32;
        let mut killed = None;
        pool.bales().change(bale, place, |slot| {
            killed = take_from(slot, state);
            killed.is_some()
        });
        killed
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
        let count = self.chunks.len();
        if count == 0 {
            self.rare = None;
        }
        if self.chunks.capacity() > ROOM_MIN && count < self.chunks.capacity() / 4 {
            self.shrink(pool, ROOM_MIN.max(2 * count));
        }
    }

    /// The first number from `from` to `to` whose message is ready, and the slot, wherever it is kept.
    pub(super) fn seek(&self, pool: &mut ChunkPool, from: u64, to: u64) -> Option<(u64, Slot)> {
        let (Ok(at) | Err(at)) = self.position(key(from));
        let near = self.chunks.range(at..).take_while(|chunk| chunk.first() <= to);
        let found = near.filter_map(|chunk| {
            let first = chunk.first();
            let (at, slot) = chunk.seek(pool, from.saturating_sub(first) as usize)?;
            Some((first + at as u64, slot))
        });
        found.take(1).find(|(number, _)| *number <= to)
    }

    /// The first number from `from` on whose slot lives, and the slot, for who is going to hand it
    /// out: chunks that it comes to are unpacked.
    #[inline]
    pub(super) fn next_live(&mut self, pool: &mut ChunkPool, from: u64) -> Option<(u64, Slot)> {
        let (at, start) = match self.position_alone(pool, key(from)) {
            Ok(at) => (at, offset(from)),
            Err(at) => (at, 0),
        };
        let chunk = self.chunks.get(at)?;
        if let Some(slot) = chunk.slot(start).filter(|slot| slot.state() != State::Dead) {
            return Some((chunk.first() + start as u64, *slot));
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
            if let Some((found, slot)) = chunk.find(start, |slot| slot.state() != State::Dead) {
                return Some((chunk.first() + found as u64, slot));
            }
            at += 1;
            start = 0;
        }
        None
    }

    /// Numbers and slots that live, in order.
    pub(super) fn iter<'a>(
        &'a self,
        pool: &'a ChunkPool,
    ) -> impl Iterator<Item = (u64, Slot)> + 'a {
        self.chunks.iter().flat_map(|chunk| {
            let first = chunk.first();
            chunk.iter(pool).map(move |(offset, slot)| (first + offset as u64, slot))
        })
    }

    /// How many slots live.
    pub(super) fn live(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.live)).sum()
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
        pool.note_directory(all.capacity(), 0);
        for chunk in all {
            let (kept, ready) = chunk.split(pool);
            self.chunks.extend(kept);
            taken.extend(ready);
        }
        pool.note_directory(0, self.chunks.capacity() + taken.capacity());
        self.note_loose(pool);
        if let Some(mut far) = rare.map(|rare| rare.far).filter(|far| !far.is_empty()) {
            far.retain(|number, _| {
                self.get(pool, *number).is_some_and(|slot| slot.state() != State::Dead)
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
        let all = std::mem::take(&mut self.chunks);
        pool.note_directory(all.capacity(), 0);
        for chunk in all {
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
