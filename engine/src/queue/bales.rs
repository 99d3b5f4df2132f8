//! The bales of all queues of a shard: many packed chunks in one parcel each. An index keeps the
//! number.
//!
//! A bale of which a message is looked for or changed is unpacked into a small cache, and packed
//! again when others have been needed since: its number stays. So a step of work costs one page
//! read at most, whichever messages it is about and however many bales there are, and needs no
//! more memory than the cache.

use super::pack::{pack_sparse, Unpack};
use super::parcels::{ParcelId, Parcels};
use super::slot::{Slot, State};

/// Names a bale.
pub(super) type BaleId = ParcelId;

/// A slot that is not dead and how many numbers it lies behind the first one of its bale.
pub(super) type Placed = (u32, Slot);

/// Unpacked bales kept at most, whatever memory there is.
const CACHE_MAX: usize = 64;

/// An unpacked bale.
#[derive(Debug)]
struct Unpacked {
    bale: BaleId,
    /// By their places.
    slots: Vec<Placed>,
    /// What is held of it is not so any more.
    has_changed: bool,
    used: u64,
}

impl Unpacked {
    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Placed>()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bales {
    parcels: Parcels,
    cache: Vec<Unpacked>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    /// Counts looks into the cache, and those that found nothing there.
    looks: u64,
    misses: u64,
    scratch: Vec<u8>,
}

impl Bales {
    pub(super) fn new(parcels: Parcels, cache_bytes_max: usize) -> Self {
        Bales {
            parcels,
            cache: Vec::new(),
            cache_bytes: 0,
            cache_bytes_max,
            looks: 0,
            misses: 0,
            scratch: Vec::new(),
        }
    }

    /// Octets of memory of all of them, and of other parcels.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.parcels.bytes() + self.cache_bytes
    }

    pub(super) fn parcels(&self) -> &Parcels {
        &self.parcels
    }

    pub(super) fn parcels_mut(&mut self) -> &mut Parcels {
        &mut self.parcels
    }

    /// How many have been unpacked for a look or a change.
    pub(super) fn unpacked(&self) -> u64 {
        self.misses
    }

    /// Nobody wants it any more.
    pub(super) fn remove(&mut self, bale: BaleId) {
        if let Some(at) = self.cached(bale) {
            self.cache_bytes -= self.cache.swap_remove(at).bytes();
        }
        self.parcels.remove(bale);
    }

    /// Its slots; it is no more.
    pub(super) fn take(&mut self, bale: BaleId) -> Vec<Placed> {
        let slots = match self.cached(bale) {
            Some(at) => {
                let mut unpacked = self.cache.swap_remove(at);
                self.cache_bytes -= unpacked.bytes();
                unpacked.slots.retain(is_alive);
                unpacked.slots
            }
            None => self.unpack(bale),
        };
        self.parcels.remove(bale);
        slots
    }

    /// Its slots, for who looks at all of them once.
    pub(super) fn slots(&self, bale: BaleId) -> Vec<Placed> {
        match self.cached(bale) {
            Some(at) => self.cache[at].slots.iter().copied().filter(is_alive).collect(),
            None => self.unpack(bale),
        }
    }

    fn unpack(&self, bale: BaleId) -> Vec<Placed> {
        self.parcels
            .look(bale, |octets| Unpack::new(octets).map(|(at, slot)| (at as u32, slot)).collect())
    }

    fn cached(&self, bale: BaleId) -> Option<usize> {
        self.cache.iter().position(|unpacked| unpacked.bale == bale)
    }

    /// Its slots, by their places, of which some may be dead.
    fn open(&mut self, bale: BaleId) -> &mut Unpacked {
        self.looks += 1;
        let at = self.cached(bale).unwrap_or_else(|| {
            self.misses += 1;
            let slots = self.unpack(bale);
            let unpacked = Unpacked { bale, slots, has_changed: false, used: 0 };
            self.cache_bytes += unpacked.bytes();
            while !self.cache.is_empty()
                && (self.cache_bytes > self.cache_bytes_max || self.cache.len() >= CACHE_MAX)
            {
                self.close_oldest();
            }
            self.cache.push(unpacked);
            self.cache.len() - 1
        });
        self.cache[at].used = self.looks;
        &mut self.cache[at]
    }

    /// Packs the one that has not been needed for longest. False if there is none.
    pub(super) fn close_oldest(&mut self) -> bool {
        let ages = self.cache.iter().enumerate().map(|(at, unpacked)| (unpacked.used, at));
        let Some((_, at)) = ages.min() else { return false };
        let Unpacked { bale, slots, has_changed, .. } = {
            let oldest = self.cache.swap_remove(at);
            self.cache_bytes -= oldest.bytes();
            oldest
        };
        if !has_changed {
            return true;
        }
        let mut octets = std::mem::take(&mut self.scratch);
        octets.clear();
        let live = slots.iter().copied().filter(is_alive);
        pack_sparse(live.map(|(at, slot)| (at as usize, slot)), &mut octets);
        self.parcels.replace(bale, &octets);
        self.scratch = octets;
        true
    }

    /// The slot at that place, if it is alive.
    pub(super) fn get(&mut self, bale: BaleId, place: u32) -> Option<Slot> {
        let slots = &self.open(bale).slots;
        let at = slots.binary_search_by_key(&place, |(at, _)| *at).ok()?;
        Some(slots[at].1).filter(|slot| slot.state() != State::Dead)
    }

    /// The first slot from that place on that is ready.
    pub(super) fn seek(&mut self, bale: BaleId, place: u32) -> Option<Placed> {
        let slots = &self.open(bale).slots;
        let from = slots.partition_point(|(at, _)| *at < place);
        slots[from..].iter().copied().find(|(_, slot)| slot.state() == State::Ready)
    }

    /// Changes the slot at that place, if it is alive. `change` says whether it has.
    pub(super) fn change(
        &mut self,
        bale: BaleId,
        place: u32,
        change: impl FnOnce(&mut Slot) -> bool,
    ) -> bool {
        let unpacked = self.open(bale);
        let Ok(at) = unpacked.slots.binary_search_by_key(&place, |(at, _)| *at) else {
            return false;
        };
        let slot = &mut unpacked.slots[at].1;
        let has_changed = slot.state() != State::Dead && change(slot);
        unpacked.has_changed |= has_changed;
        has_changed
    }

    /// Fills the dead slot at that place.
    ///
    /// # Panics
    /// If the slot lives: a message would be lost.
    pub(super) fn insert(&mut self, bale: BaleId, place: u32, slot: Slot) {
        let unpacked = self.open(bale);
        unpacked.has_changed = true;
        let before = unpacked.bytes();
        match unpacked.slots.binary_search_by_key(&place, |(at, _)| *at) {
            Ok(at) => {
                let there = std::mem::replace(&mut unpacked.slots[at].1, slot);
                assert!(there.state() == State::Dead, "{there:?} is being overwritten");
            }
            Err(at) => unpacked.slots.insert(at, (place, slot)),
        }
        let after = unpacked.bytes();
        self.cache_bytes = self.cache_bytes - before + after;
    }
}

fn is_alive((_, slot): &Placed) -> bool {
    slot.state() != State::Dead
}
