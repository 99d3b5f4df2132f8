//! [`CHUNK`] consecutive numbers of a queue and their slots, packed or not; or a *bale* of several
//! packed ones, which take as little as one and need not be in memory.

use std::collections::VecDeque;
use std::ops::Range;

use super::bales::BaleId;
use super::pack::{pack, pack_sparse, Unpack};
use super::pool::{ChunkPool, Slots, CHUNK};
use super::slot::{Slot, State, FAR_EXPIRY};

/// `soonest_unix_ms` of a chunk in which nothing expires.
pub(super) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
enum Content {
    Open(Slots),
    /// See `pack`. Every slot is ready or dead.
    Packed(Box<[u8]>),
    /// As well.
    Baled(BaleId),
}

#[derive(Debug)]
pub(super) struct Chunk {
    /// The first number it covers, divided by [`CHUNK`].
    pub(super) key: u64,
    /// Keys that it covers: 1, but for a bale.
    span: u32,
    /// Wall clock that slots' expiry counts from; 0: no slot expires yet.
    base_unix_ms: u64,
    /// Lower bound of the expiry of ready slots, or [`NEVER`].
    pub(super) soonest_unix_ms: u64,
    /// Slots that are not dead.
    pub(super) live: u32,
    content: Content,
}

impl Chunk {
    pub(super) fn new(key: u64, pool: &mut ChunkPool) -> Self {
        pool.note_held();
        let content = Content::Open(pool.take());
        Chunk { key, span: 1, base_unix_ms: 0, soonest_unix_ms: NEVER, live: 0, content }
    }

    pub(super) fn first(&self) -> u64 {
        self.key * CHUNK
    }

    /// The last key that it covers.
    #[inline]
    pub(super) fn last_key(&self) -> u64 {
        self.key + u64::from(self.span) - 1
    }

    #[inline]
    pub(super) fn is_bale(&self) -> bool {
        matches!(self.content, Content::Baled(_))
    }

    #[inline]
    pub(super) fn as_bale(&self) -> Option<BaleId> {
        match self.content {
            Content::Baled(bale) => Some(bale),
            _ => None,
        }
    }

    /// The slots, if they are not packed.
    #[inline]
    pub(super) fn slots(&self) -> Option<&Slots> {
        match &self.content {
            Content::Open(slots) => Some(slots),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn slots_mut(&mut self) -> Option<&mut Slots> {
        match &mut self.content {
            Content::Open(slots) => Some(slots),
            _ => None,
        }
    }

    /// By itself or in a bale.
    pub(super) fn is_packed(&self) -> bool {
        !matches!(self.content, Content::Open(_))
    }

    /// The slot at that offset, which may be dead.
    #[inline]
    pub(super) fn get(&self, pool: &mut ChunkPool, offset: usize) -> Slot {
        match &self.content {
            Content::Open(slots) => slots[offset],
            Content::Packed(octets) => {
                let mut from_there = Unpack::new(octets).skip_while(|(at, _)| *at < offset);
                let found = from_there.next().filter(|(at, _)| *at == offset);
                found.map_or(Slot::DEAD, |(_, slot)| slot)
            }
            Content::Baled(bale) => pool.bales().get(*bale, offset as u32).unwrap_or(Slot::DEAD),
        }
    }

    /// The first offset from `start` on whose slot lives, and the slot.
    pub(super) fn seek(&self, pool: &mut ChunkPool, start: usize) -> Option<(usize, Slot)> {
        match &self.content {
            Content::Open(slots) => {
                let rest = slots.get(start..)?;
                let at = rest.iter().position(|slot| slot.state() != State::Dead)?;
                Some((start + at, rest[at]))
            }
            Content::Packed(octets) => Unpack::new(octets).find(|(at, _)| *at >= start),
            Content::Baled(bale) => {
                let found = pool.bales().seek(*bale, u32::try_from(start).ok()?);
                found.map(|(at, slot)| (at as usize, slot))
            }
        }
    }

    /// Offsets and slots that live, in order.
    pub(super) fn iter(&self, pool: &ChunkPool) -> impl Iterator<Item = (usize, Slot)> + '_ {
        let (open, packed, baled): (&[Slot], &[u8], _) = match &self.content {
            Content::Open(slots) => (&slots[..], &[], Vec::new()),
            Content::Packed(octets) => (&[], octets, Vec::new()),
            Content::Baled(bale) => (&[], &[], pool.slots(*bale)),
        };
        let live = |(_, slot): &(usize, Slot)| slot.state() != State::Dead;
        let baled = baled.into_iter().map(|(at, slot)| (at as usize, slot));
        open.iter().copied().enumerate().filter(live).chain(Unpack::new(packed)).chain(baled)
    }

    /// Packs the slots, unless some are with consumers. True if that has changed something.
    pub(super) fn pack(&mut self, pool: &mut ChunkPool) -> bool {
        let Content::Open(slots) = &mut self.content else { return false };
        if slots.iter().any(|slot| slot.state() == State::Unacked) {
            return false;
        }
        let mut octets = std::mem::take(&mut pool.scratch);
        octets.clear();
        pack(&slots[..], &mut octets);
        slots.fill(Slot::DEAD);
        let packed: Box<[u8]> = octets.as_slice().into();
        pool.scratch = octets;
        pool.note_packed(packed.len());
        if let Content::Open(slots) = std::mem::replace(&mut self.content, Content::Packed(packed))
        {
            pool.give_back(slots);
        }
        true
    }

    /// Unpacks the slots. True if they were packed.
    pub(super) fn unpack(&mut self, pool: &mut ChunkPool) -> bool {
        assert!(!self.is_bale(), "a bale has no room for its slots");
        let Content::Packed(octets) = &self.content else { return false };
        let mut slots = pool.take();
        for (offset, slot) in Unpack::new(octets) {
            slots[offset] = slot;
        }
        pool.note_unpacked(octets.len());
        self.content = Content::Open(slots);
        true
    }

    /// One bale of packed chunks, which are in order. `None` if an expiry would be too far from the
    /// others to be told in one.
    pub(super) fn bale(
        pool: &mut ChunkPool,
        chunks: &VecDeque<Chunk>,
        at: Range<usize>,
    ) -> Option<Chunk> {
        let (first, last) = (chunks.get(at.start)?, chunks.get(at.end.checked_sub(1)?)?);
        let span = u32::try_from(last.last_key() - first.key + 1).ok()?;
        let bases = chunks.range(at.clone()).map(|chunk| chunk.base_unix_ms);
        let base_unix_ms = bases.filter(|base| *base != 0).min().unwrap_or(0);
        let (mut live, mut soonest_unix_ms, mut told) = (0, NEVER, true);
        let mut octets = std::mem::take(&mut pool.scratch);
        let slots = chunks.range(at).flat_map(|chunk| {
            live += chunk.live;
            soonest_unix_ms = soonest_unix_ms.min(chunk.soonest_unix_ms);
            let later = chunk.base_unix_ms.saturating_sub(base_unix_ms);
            let offset = chunk.first() - first.first();
            chunk.iter(pool).map(move |(at, slot)| (offset as usize + at, slot, later))
        });
        let slots = slots.map(|(at, mut slot, later)| {
            if slot.expiry() != 0 && slot.expiry() != FAR_EXPIRY {
                let after = u64::from(slot.expiry()) + later;
                let after = u32::try_from(after).ok().filter(|after| *after != FAR_EXPIRY);
                told &= after.is_some();
                slot.set_expiry(after.unwrap_or(FAR_EXPIRY));
            }
            (at, slot)
        });
        octets.clear();
        pack_sparse(slots, &mut octets);
        let key = first.key;
        let bale = told.then(|| {
            pool.note_held();
            let content = Content::Baled(pool.add_bale(&octets));
            Chunk { key, span, base_unix_ms, soonest_unix_ms, live, content }
        });
        pool.scratch = octets;
        bale
    }

    /// The chunks of a bale, packed each for itself.
    pub(super) fn unbale(self, pool: &mut ChunkPool) -> Vec<Chunk> {
        let Content::Baled(bale) = self.content else { return vec![self] };
        let slots = pool.bales().take(bale);
        pool.note_gone();
        let key_of = |place: u32| u64::from(place) / CHUNK;
        let mut octets = std::mem::take(&mut pool.scratch);
        let mut chunks: Vec<Chunk> = Vec::new();
        for here in slots.chunk_by(|one, next| key_of(one.0) == key_of(next.0)) {
            let behind = here.first().map_or(0, |(place, _)| key_of(*place));
            let start = (behind * CHUNK) as usize;
            octets.clear();
            pack_sparse(here.iter().map(|(at, slot)| (*at as usize - start, *slot)), &mut octets);
            pool.note_held();
            pool.note_packed(octets.len());
            chunks.push(Chunk {
                key: self.key + behind,
                span: 1,
                base_unix_ms: self.base_unix_ms,
                // A lower bound.
                soonest_unix_ms: self.soonest_unix_ms,
                live: here.len() as u32,
                content: Content::Packed(octets.as_slice().into()),
            });
        }
        pool.scratch = octets;
        chunks
    }

    /// Takes the ready slots out: all of it, or a chunk of their own if some are with consumers.
    /// What is left of it, and what was taken; `None`: nothing.
    pub(super) fn split(mut self, pool: &mut ChunkPool) -> (Option<Chunk>, Option<Chunk>) {
        let Content::Open(slots) = &mut self.content else { return (None, Some(self)) };
        let count = |state| slots.iter().filter(|slot| slot.state() == state).count() as u32;
        let (ready, unacked) = (count(State::Ready), count(State::Unacked));
        if unacked == 0 {
            return (None, Some(self));
        }
        let mut taken = Chunk::new(self.key, pool);
        taken.live = ready;
        if let Content::Open(places) = &mut taken.content {
            for (slot, place) in slots.iter_mut().zip(places.iter_mut()) {
                if slot.state() == State::Ready {
                    std::mem::swap(slot, place);
                }
            }
        }
        self.live = unacked;
        self.soonest_unix_ms = NEVER;
        if ready == 0 {
            taken.discard(pool);
            return (Some(self), None);
        }
        (Some(self), Some(taken))
    }

    /// Gives its memory back, with whatever it holds.
    pub(super) fn discard(self, pool: &mut ChunkPool) {
        pool.note_gone();
        match self.content {
            Content::Open(mut slots) => {
                if self.live > 0 {
                    slots.fill(Slot::DEAD);
                }
                pool.give_back(slots);
            }
            Content::Packed(octets) => pool.note_unpacked(octets.len()),
            Content::Baled(bale) => pool.bales().remove(bale),
        }
    }

    /// What to write into a slot whose message expires then, and that it counts for the next
    /// expiry. What cannot be told in 32 bits after the chunk's base is [`FAR_EXPIRY`].
    pub(super) fn expiry_of(&mut self, expires_unix_ms: u64, base_unix_ms: u64) -> u32 {
        if self.base_unix_ms == 0 {
            // One less, so that an expiry at the base itself is not 0, which says never.
            self.base_unix_ms = base_unix_ms.min(expires_unix_ms).saturating_sub(1).max(1);
        }
        self.soonest_unix_ms = self.soonest_unix_ms.min(expires_unix_ms);
        let after = expires_unix_ms.checked_sub(self.base_unix_ms).filter(|after| *after != 0);
        after.and_then(|after| u32::try_from(after).ok()).unwrap_or(FAR_EXPIRY)
    }

    /// When a slot of this chunk expires; `None` as well if that is in the table of far ones.
    #[inline]
    pub(super) fn expires_unix_ms(&self, slot: &Slot) -> Option<u64> {
        match slot.expiry() {
            0 | FAR_EXPIRY => None,
            after => Some(self.base_unix_ms + u64::from(after)),
        }
    }
}
