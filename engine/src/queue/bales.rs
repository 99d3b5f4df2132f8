//! The bales of all queues of a shard: the octets of many packed chunks each, in memory or paged
//! out, by number. An index keeps the number, so that which of them are in memory is decided here.
//!
//! A bale of which a message is looked for or changed is unpacked into a small cache, and packed
//! again when others have been needed since: its number stays. So a step of work costs one page
//! read at most, whichever messages it is about and however many bales there are, and needs no
//! more memory than the cache.

use std::cell::Cell;

use super::pack::{pack_sparse, Unpack};
use super::pages::{Page, PageStore};
use super::slot::{Slot, State};

/// Names a bale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BaleId(u32);

/// A slot that is not dead and how many numbers it lies behind the first one of its bale.
pub(super) type Placed = (u32, Slot);

/// Shorter ones are not worth a page: a queue that has the log to itself takes some dozens.
const PAGE_MIN_BYTES: usize = 256;
/// Unpacked bales kept at most, whatever memory there is.
const CACHE_MAX: usize = 64;

#[derive(Debug)]
enum Held {
    /// The number is free.
    Nothing,
    /// Its place among those that could be paged out, if it is long enough for that.
    Here {
        octets: Box<[u8]>,
        at: Option<u32>,
    },
    Out(Page),
}

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

/// How much is paged out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Paged {
    pub pages: u64,
    /// Octets in them.
    pub octets: u64,
    /// Octets that the store takes for them.
    pub store_bytes: u64,
    /// Pages put, read, and refused by the store, since the start.
    pub puts: u64,
    pub reads: u64,
    pub refusals: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bales {
    all: Vec<Held>,
    vacant: Vec<BaleId>,
    /// Those that could be paged out, the latest ones last.
    here: Vec<BaleId>,
    here_bytes: usize,
    cache: Vec<Unpacked>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    /// Counts looks into the cache, and those that found nothing there.
    looks: u64,
    misses: u64,
    store: Box<dyn PageStore>,
    paged: Paged,
    reads: Cell<u64>,
    scratch: Vec<u8>,
}

impl Bales {
    pub(super) fn new(store: Box<dyn PageStore>, cache_bytes_max: usize) -> Self {
        Bales {
            all: Vec::new(),
            vacant: Vec::new(),
            here: Vec::new(),
            here_bytes: 0,
            cache: Vec::new(),
            cache_bytes: 0,
            cache_bytes_max,
            looks: 0,
            misses: 0,
            store,
            paged: Paged::default(),
            reads: Cell::new(0),
            scratch: Vec::new(),
        }
    }

    /// Octets of memory of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.all.len() * size_of::<Held>() + self.here_bytes + self.cache_bytes
    }

    /// Octets of packed ones in memory.
    pub(super) fn here_bytes(&self) -> usize {
        self.here_bytes
    }

    /// How many have been unpacked for a look or a change.
    pub(super) fn unpacked(&self) -> u64 {
        self.misses
    }

    pub(super) fn paged(&self) -> Paged {
        Paged { store_bytes: self.store.bytes(), reads: self.reads.get(), ..self.paged }
    }

    pub(super) fn add(&mut self, octets: &[u8]) -> BaleId {
        let bale = self.vacant.pop().unwrap_or_else(|| {
            self.all.push(Held::Nothing);
            BaleId(self.all.len() as u32 - 1)
        });
        self.hold(bale, octets);
        bale
    }

    fn hold(&mut self, bale: BaleId, octets: &[u8]) {
        let at = (octets.len() >= PAGE_MIN_BYTES).then(|| {
            self.here.push(bale);
            self.here.len() as u32 - 1
        });
        self.here_bytes += octets.len();
        let before =
            std::mem::replace(self.held_mut(bale), Held::Here { octets: octets.into(), at });
        assert!(matches!(before, Held::Nothing), "{bale:?} is held already");
    }

    /// Pages the latest one out. False if there is none, or the store takes none.
    pub(super) fn page_out(&mut self) -> bool {
        let Some(&bale) = self.here.last() else { return false };
        let Held::Here { octets, .. } = &self.all[bale.0 as usize] else {
            unreachable!("{bale:?} is not in memory")
        };
        let Some(page) = self.store.put(octets) else {
            self.paged.refusals += 1;
            return false;
        };
        self.paged.puts += 1;
        self.release(bale);
        self.paged.pages += 1;
        self.paged.octets += page.length() as u64;
        *self.held_mut(bale) = Held::Out(page);
        true
    }

    /// Gives up what is held of it. The number stays.
    fn release(&mut self, bale: BaleId) {
        match std::mem::replace(self.held_mut(bale), Held::Nothing) {
            Held::Here { octets, at } => {
                self.here_bytes -= octets.len();
                if let Some(at) = at {
                    self.here.swap_remove(at as usize);
                    if let Some(&moved) = self.here.get(at as usize) {
                        let held = self.held_mut(moved);
                        if let Held::Here { at: place, .. } = held {
                            *place = Some(at);
                        }
                    }
                }
            }
            Held::Out(page) => {
                self.paged.pages -= 1;
                self.paged.octets -= page.length() as u64;
                self.store.free(page);
            }
            Held::Nothing => unreachable!("{bale:?} is no bale"),
        }
    }

    /// Nobody wants it any more.
    pub(super) fn remove(&mut self, bale: BaleId) {
        if let Some(at) = self.cached(bale) {
            self.cache_bytes -= self.cache.swap_remove(at).bytes();
        }
        self.release(bale);
        self.vacant.push(bale);
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
        self.release(bale);
        self.vacant.push(bale);
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
        let unpack =
            |octets: &[u8]| Unpack::new(octets).map(|(at, slot)| (at as u32, slot)).collect();
        match &self.all[bale.0 as usize] {
            Held::Here { octets, .. } => unpack(octets),
            Held::Out(page) => {
                self.reads.set(self.reads.get() + 1);
                unpack(&self.store.read(page))
            }
            Held::Nothing => unreachable!("{bale:?} is no bale"),
        }
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

    /// Packs the one that has not been needed for longest.
    fn close_oldest(&mut self) {
        let ages = self.cache.iter().enumerate().map(|(at, unpacked)| (unpacked.used, at));
        let Some((_, at)) = ages.min() else { return };
        let Unpacked { bale, slots, has_changed, .. } = {
            let oldest = self.cache.swap_remove(at);
            self.cache_bytes -= oldest.bytes();
            oldest
        };
        if !has_changed {
            return;
        }
        let mut octets = std::mem::take(&mut self.scratch);
        octets.clear();
        let live = slots.iter().copied().filter(is_alive);
        pack_sparse(live.map(|(at, slot)| (at as usize, slot)), &mut octets);
        self.release(bale);
        self.hold(bale, &octets);
        self.scratch = octets;
    }

    /// The slot at that place, if it is alive.
    pub(super) fn get(&mut self, bale: BaleId, place: u32) -> Option<Slot> {
        let slots = &self.open(bale).slots;
        let at = slots.binary_search_by_key(&place, |(at, _)| *at).ok()?;
        Some(slots[at].1).filter(|slot| slot.state() != State::Dead)
    }

    /// The first slot from that place on that is alive.
    pub(super) fn seek(&mut self, bale: BaleId, place: u32) -> Option<Placed> {
        let slots = &self.open(bale).slots;
        let from = slots.partition_point(|(at, _)| *at < place);
        slots[from..].iter().copied().find(is_alive)
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

    fn held_mut(&mut self, bale: BaleId) -> &mut Held {
        &mut self.all[bale.0 as usize]
    }
}

fn is_alive((_, slot): &Placed) -> bool {
    slot.state() != State::Dead
}
