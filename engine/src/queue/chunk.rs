//! [`CHUNK`] consecutive numbers of a queue and their slots, packed or not; or a *bale* of several
//! packed ones, which take as little as one and need not be in memory.

use std::collections::VecDeque;
use std::ops::Range;

use super::bales::{BaleId, Placed};
use super::pack::{pack, pack_sparse, Unpack};
use super::pool::{ChunkPool, Slots, CHUNK};
use super::slot::{Slot, State, FAR_EXPIRY};
use super::window::{Place, Window};

/// `soonest_unix_ms` of a chunk in which nothing expires.
pub(super) const NEVER: u64 = u64::MAX;

/// A tag by itself is read in one step, and it is for each message.
#[derive(Debug)]
#[repr(u8)]
enum Content {
    Open(Slots),
    /// As open as that, with room for a part of them.
    Few(Window),
    /// See `pack`. `held`: some slots may be with consumers.
    Packed {
        octets: Box<[u8]>,
        held: bool,
    },
    /// As well.
    Baled {
        bale: BaleId,
        held: bool,
    },
}

impl Content {
    /// Gives its memory back. `holds_any`: some slots may not be dead.
    fn give_back(self, pool: &mut ChunkPool, holds_any: bool) {
        match self {
            Content::Open(mut slots) => {
                if holds_any {
                    slots.fill(Slot::DEAD);
                }
                pool.give_back(slots);
            }
            Content::Few(mut window) => {
                if holds_any {
                    window.clear();
                }
                pool.give_back_window(window);
            }
            Content::Packed { octets, .. } => pool.note_unpacked(octets.len()),
            Content::Baled { bale, .. } => pool.bales().remove(bale),
        }
    }
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
    /// With room for the slot at that offset.
    pub(super) fn new(key: u64, offset: usize, pool: &mut ChunkPool) -> Self {
        let content = match pool.take_freely() {
            Some(slots) => Content::Open(slots),
            None => Content::Few(pool.take_window(Place::first(offset))),
        };
        Chunk { key, span: 1, base_unix_ms: 0, soonest_unix_ms: NEVER, live: 0, content }
    }

    pub(super) fn first(&self) -> u64 {
        self.key * CHUNK
    }

    /// Keys that it covers.
    pub(super) fn span(&self) -> u64 {
        u64::from(self.span)
    }

    /// The last key that it covers.
    #[inline]
    pub(super) fn last_key(&self) -> u64 {
        self.key + u64::from(self.span) - 1
    }

    #[inline]
    pub(super) fn is_bale(&self) -> bool {
        matches!(self.content, Content::Baled { .. })
    }

    #[inline]
    pub(super) fn as_bale(&self) -> Option<BaleId> {
        match self.content {
            Content::Baled { bale, .. } => Some(bale),
            _ => None,
        }
    }

    /// The slot at that offset, if the chunk is not packed and has room for it.
    #[inline]
    pub(super) fn slot(&self, offset: usize) -> Option<&Slot> {
        match &self.content {
            Content::Open(slots) => slots.get(offset),
            Content::Few(window) => window.get(offset),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, offset: usize) -> Option<&mut Slot> {
        match &mut self.content {
            Content::Open(slots) => slots.get_mut(offset),
            Content::Few(window) => window.get_mut(offset),
            _ => None,
        }
    }

    /// The count of slots that are not dead, and the slot at that offset, as [`Chunk::slot_mut`].
    #[inline]
    pub(super) fn place(&mut self, offset: usize) -> Option<(&mut u32, &mut Slot)> {
        let place = match &mut self.content {
            Content::Open(slots) => slots.get_mut(offset),
            Content::Few(window) => window.get_mut(offset),
            _ => None,
        };
        Some((&mut self.live, place?))
    }

    /// Its slots from that offset on, as far as it has room for them; none if it is packed.
    #[inline]
    pub(super) fn slots_from(&mut self, offset: usize) -> &mut [Slot] {
        let slots = match &mut self.content {
            Content::Open(slots) => slots.get_mut(offset..),
            Content::Few(window) => window.slots_from(offset),
            _ => None,
        };
        slots.unwrap_or_default()
    }

    /// Makes room for the slot at that offset, unless the chunk is packed.
    pub(super) fn make_room(&mut self, pool: &mut ChunkPool, offset: usize) {
        let Content::Few(window) = &self.content else { return };
        if window.get(offset).is_some() {
            return;
        }
        match window.wider(offset) {
            Some(place) => {
                let mut wider = pool.take_window(place);
                wider.take_over(window);
                let narrow = std::mem::replace(&mut self.content, Content::Few(wider));
                narrow.give_back(pool, true);
            }
            None => self.open_all(pool),
        }
    }

    /// Makes room for all slots, unless the chunk is packed.
    fn open_all(&mut self, pool: &mut ChunkPool) {
        let Content::Few(window) = &self.content else { return };
        let mut all = pool.take();
        let (start, slots) = window.slots();
        all[start..start + slots.len()].copy_from_slice(slots);
        let few = std::mem::replace(&mut self.content, Content::Open(all));
        few.give_back(pool, true);
    }

    /// Slots that are not packed and where the first of them is.
    fn unpacked(&self) -> (usize, &[Slot]) {
        match &self.content {
            Content::Open(slots) => (0, &slots[..]),
            Content::Few(window) => window.slots(),
            _ => (0, &[]),
        }
    }

    /// The first offset from `start` on whose slot is so, of a chunk that is not packed.
    pub(super) fn find(
        &self,
        start: usize,
        is_so: impl Fn(&Slot) -> bool,
    ) -> Option<(usize, Slot)> {
        let (first, slots) = self.unpacked();
        let from = start.saturating_sub(first);
        let rest = slots.get(from..)?;
        let at = rest.iter().position(is_so)?;
        Some((first + from + at, rest[at]))
    }

    /// By itself or in a bale.
    pub(super) fn is_packed(&self) -> bool {
        !matches!(self.content, Content::Open(_) | Content::Few(_))
    }

    /// The slot at that offset, which may be dead.
    #[inline]
    pub(super) fn get(&self, pool: &mut ChunkPool, offset: usize) -> Slot {
        match &self.content {
            Content::Open(slots) => slots[offset],
            Content::Few(window) => window.get(offset).copied().unwrap_or(Slot::DEAD),
            Content::Packed { octets, .. } => {
                let mut from_there = Unpack::new(octets).skip_while(|(at, _)| *at < offset);
                let found = from_there.next().filter(|(at, _)| *at == offset);
                found.map_or(Slot::DEAD, |(_, slot)| slot)
            }
            Content::Baled { bale, .. } => {
                pool.bales().get(*bale, offset as u32).unwrap_or(Slot::DEAD)
            }
        }
    }

    /// The first offset from `start` on whose message is ready, and the slot.
    pub(super) fn seek(&self, pool: &mut ChunkPool, start: usize) -> Option<(usize, Slot)> {
        match &self.content {
            Content::Open(_) | Content::Few(_) => {
                self.find(start, |slot| slot.state() == State::Ready)
            }
            Content::Packed { octets, .. } => {
                Unpack::new(octets).find(|(at, slot)| *at >= start && slot.state() == State::Ready)
            }
            Content::Baled { bale, .. } => {
                let found = pool.bales().seek(*bale, u32::try_from(start).ok()?);
                found.map(|(at, slot)| (at as usize, slot))
            }
        }
    }

    /// Offsets and slots that live, in order.
    pub(super) fn iter(&self, pool: &ChunkPool) -> impl Iterator<Item = (usize, Slot)> + '_ {
        let (first, open) = self.unpacked();
        let (packed, baled): (&[u8], _) = match &self.content {
            Content::Open(_) | Content::Few(_) => (&[], Vec::new()),
            Content::Packed { octets, .. } => (octets, Vec::new()),
            Content::Baled { bale, .. } => (&[], pool.slots(*bale)),
        };
        let live = |(_, slot): &(usize, Slot)| slot.state() != State::Dead;
        let baled = baled.into_iter().map(|(at, slot)| (at as usize, slot));
        let open = open.iter().copied().enumerate().map(move |(at, slot)| (first + at, slot));
        open.filter(live).chain(Unpack::new(packed)).chain(baled)
    }

    /// Octets, if it is packed and in no bale.
    pub(super) fn packed_bytes(&self) -> Option<usize> {
        match &self.content {
            Content::Packed { octets, .. } => Some(octets.len()),
            _ => None,
        }
    }

    /// Some of its messages may be with consumers.
    fn may_be_held(&self) -> bool {
        match &self.content {
            Content::Open(slots) => slots.iter().any(|slot| slot.state() == State::Unacked),
            Content::Few(window) => window.any(State::Unacked),
            Content::Packed { held, .. } | Content::Baled { held, .. } => *held,
        }
    }

    /// Packs the slots, unless some are with consumers, who will want them soon. True if that has
    /// changed something.
    pub(super) fn pack(&mut self, pool: &mut ChunkPool) -> bool {
        !self.is_packed() && !self.may_be_held() && self.pack_all(pool)
    }

    /// Packs the slots, wherever the messages are. True if that has changed something.
    pub(super) fn pack_all(&mut self, pool: &mut ChunkPool) -> bool {
        if self.is_packed() {
            return false;
        }
        let held = self.may_be_held();
        let mut octets = std::mem::take(&mut pool.scratch);
        octets.clear();
        let (first, slots) = self.unpacked();
        pack(first, slots, &mut octets);
        let packed = Content::Packed { octets: octets.as_slice().into(), held };
        pool.note_packed(octets.len());
        pool.scratch = octets;
        std::mem::replace(&mut self.content, packed).give_back(pool, true);
        true
    }

    /// Unpacks the slots. True if they were packed.
    pub(super) fn unpack(&mut self, pool: &mut ChunkPool) -> bool {
        assert!(!self.is_bale(), "a bale has no room for its slots");
        let Content::Packed { octets, .. } = &self.content else { return false };
        let mut slots = pool.take();
        for (offset, slot) in Unpack::new(octets) {
            slots[offset] = slot;
        }
        pool.note_unpacked(octets.len());
        self.content = Content::Open(slots);
        true
    }

    /// One bale of packed chunks and bales, which are in order. `None` if an expiry would be too far from the
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
        let held = chunks.range(at.clone()).any(Chunk::may_be_held);
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
            let content = Content::Baled { bale: pool.add_parcel(&octets), held };
            Chunk { key, span, base_unix_ms, soonest_unix_ms, live, content }
        });
        pool.scratch = octets;
        bale
    }

    /// The chunks of a bale, packed each for itself.
    pub(super) fn unbale(self, pool: &mut ChunkPool) -> Vec<Chunk> {
        let Content::Baled { bale, .. } = self.content else { return vec![self] };
        let slots = pool.bales().take(bale);
        let key_of = |place: u32| u64::from(place) / CHUNK;
        let mut octets = std::mem::take(&mut pool.scratch);
        let mut chunks: Vec<Chunk> = Vec::new();
        for here in slots.chunk_by(|one, next| key_of(one.0) == key_of(next.0)) {
            let behind = here.first().map_or(0, |(place, _)| key_of(*place));
            let start = (behind * CHUNK) as usize;
            octets.clear();
            pack_sparse(here.iter().map(|(at, slot)| (*at as usize - start, *slot)), &mut octets);
            pool.note_packed(octets.len());
            let held = here.iter().any(|(_, slot)| slot.state() == State::Unacked);
            chunks.push(Chunk {
                key: self.key + behind,
                span: 1,
                base_unix_ms: self.base_unix_ms,
                // A lower bound.
                soonest_unix_ms: self.soonest_unix_ms,
                live: here.len() as u32,
                content: Content::Packed { octets: octets.as_slice().into(), held },
            });
        }
        pool.scratch = octets;
        chunks
    }

    /// Takes the ready slots out: all of it, or a chunk of their own if some are with consumers.
    /// What is left of it, and what was taken; `None`: nothing.
    pub(super) fn split(mut self, pool: &mut ChunkPool) -> (Option<Chunk>, Option<Chunk>) {
        if !self.may_be_held() {
            return (None, Some(self));
        }
        if let Content::Baled { bale, .. } = self.content {
            let slots = pool.bales().take(bale);
            let (ready, held): (Vec<Placed>, Vec<Placed>) =
                slots.into_iter().partition(|(_, slot)| slot.state() == State::Ready);
            return (self.part(pool, &held, true), self.part(pool, &ready, false));
        }
        let was_packed = self.unpack(pool);
        let (kept, taken) = self.split_open(pool);
        let mut both = [kept, taken];
        if was_packed {
            both.iter_mut().flatten().for_each(|chunk| {
                chunk.pack_all(pool);
            });
        }
        let [kept, taken] = both;
        (kept, taken)
    }

    /// A bale of these slots, which were in this one.
    fn part(&self, pool: &mut ChunkPool, slots: &[Placed], held: bool) -> Option<Chunk> {
        let live = slots.len() as u32;
        let mut octets = std::mem::take(&mut pool.scratch);
        octets.clear();
        pack_sparse(slots.iter().map(|(at, slot)| (*at as usize, *slot)), &mut octets);
        let part = (live > 0).then(|| {
            let content = Content::Baled { bale: pool.add_parcel(&octets), held };
            let soonest_unix_ms = if held { NEVER } else { self.soonest_unix_ms };
            let Chunk { key, span, base_unix_ms, .. } = *self;
            Chunk { key, span, base_unix_ms, soonest_unix_ms, live, content }
        });
        pool.scratch = octets;
        part
    }

    fn split_open(mut self, pool: &mut ChunkPool) -> (Option<Chunk>, Option<Chunk>) {
        self.open_all(pool);
        let Content::Open(slots) = &mut self.content else { return (None, Some(self)) };
        let count = |state| slots.iter().filter(|slot| slot.state() == state).count() as u32;
        let (ready, unacked) = (count(State::Ready), count(State::Unacked));
        if unacked == 0 {
            return (None, Some(self));
        }
        let Chunk { key, span, base_unix_ms, soonest_unix_ms, .. } = self;
        self.live = unacked;
        self.soonest_unix_ms = NEVER;
        if ready == 0 {
            return (Some(self), None);
        }
        let mut places = pool.take();
        for (slot, place) in slots.iter_mut().zip(places.iter_mut()) {
            if slot.state() == State::Ready {
                std::mem::swap(slot, place);
            }
        }
        let content = Content::Open(places);
        let taken = Chunk { key, span, base_unix_ms, soonest_unix_ms, live: ready, content };
        (Some(self), Some(taken))
    }

    /// Gives its memory back, with whatever it holds.
    pub(super) fn discard(self, pool: &mut ChunkPool) {
        self.content.give_back(pool, self.live > 0);
    }

    /// What to write into a slot whose message expires then, and that it counts for the next
    /// expiry. What cannot be told in 32 bits after the chunk's base is [`FAR_EXPIRY`].
    pub(super) fn expiry_of(&mut self, expires_unix_ms: u64, base_unix_ms: u64) -> u32 {
        if self.base_unix_ms == 0 {
            // Neighbours may expire as long before as after.
            let nearest = expires_unix_ms.saturating_sub(u64::from(FAR_EXPIRY) / 2);
            let base_unix_ms = base_unix_ms.min(expires_unix_ms).max(nearest);
            // One less, so that an expiry at the base itself is not 0, which says never.
            self.base_unix_ms = base_unix_ms.saturating_sub(1).max(1);
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
