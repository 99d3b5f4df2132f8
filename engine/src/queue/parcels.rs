//! Octets by number, in memory or paged out: packed pieces of what the queues of a shard know. Who
//! has put them keeps the number, so that which of them are in memory is decided here.

use std::cell::Cell;

use super::pages::{Page, PageStore};

/// Names a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParcelId(u32);

/// Shorter ones are not worth a page: naming one takes nearly as much.
pub(super) const PAGE_MIN_BYTES: usize = 128;
/// These are paged out before shorter ones.
const LONG_BYTES: usize = 1024;

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
pub(super) struct Parcels {
    all: Vec<Held>,
    /// Free numbers, and some that are none any more.
    vacant: Vec<ParcelId>,
    /// Those that could be paged out, the latest ones last: long ones and short ones.
    here: [Vec<ParcelId>; 2],
    here_bytes: usize,
    store: Box<dyn PageStore>,
    paged: Paged,
    reads: Cell<u64>,
}

/// Among which it could be paged out.
fn list_of(length: usize) -> Option<usize> {
    match length {
        LONG_BYTES.. => Some(0),
        PAGE_MIN_BYTES.. => Some(1),
        _ => None,
    }
}

impl Parcels {
    pub(super) fn new(store: Box<dyn PageStore>) -> Self {
        Parcels {
            all: Vec::new(),
            vacant: Vec::new(),
            here: [Vec::new(), Vec::new()],
            here_bytes: 0,
            store,
            paged: Paged::default(),
            reads: Cell::new(0),
        }
    }

    /// Octets of memory of all of them.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Held>() + self.here_bytes
    }

    /// Of those, what is in them.
    pub(super) fn here_bytes(&self) -> usize {
        self.here_bytes
    }

    pub(super) fn paged(&self) -> Paged {
        Paged { store_bytes: self.store.bytes(), reads: self.reads.get(), ..self.paged }
    }

    pub(super) fn add(&mut self, octets: &[u8]) -> ParcelId {
        let parcel = self.free_number();
        self.hold(parcel, octets);
        parcel
    }

    fn free_number(&mut self) -> ParcelId {
        while let Some(parcel) = self.vacant.pop() {
            if matches!(self.all.get(parcel.0 as usize), Some(Held::Nothing)) {
                return parcel;
            }
        }
        self.all.push(Held::Nothing);
        ParcelId(self.all.len() as u32 - 1)
    }

    fn hold(&mut self, parcel: ParcelId, octets: &[u8]) {
        let at = list_of(octets.len()).map(|list| {
            self.here[list].push(parcel);
            self.here[list].len() as u32 - 1
        });
        self.here_bytes += octets.len();
        let here = Held::Here { octets: octets.into(), at };
        let before = std::mem::replace(self.held_mut(parcel), here);
        assert!(matches!(before, Held::Nothing), "{parcel:?} is held already");
    }

    /// It holds other octets from now on.
    pub(super) fn replace(&mut self, parcel: ParcelId, octets: &[u8]) {
        self.release(parcel);
        self.hold(parcel, octets);
    }

    /// Pages the latest one out, of the long ones first. False if there is none, or the store takes
    /// none.
    pub(super) fn page_out(&mut self) -> bool {
        let latest = self.here.iter().find_map(|list| list.last());
        let Some(&parcel) = latest else { return false };
        let Held::Here { octets, .. } = &self.all[parcel.0 as usize] else {
            unreachable!("{parcel:?} is not in memory")
        };
        let Some(page) = self.store.put(octets) else {
            self.paged.refusals += 1;
            return false;
        };
        self.paged.puts += 1;
        self.release(parcel);
        self.paged.pages += 1;
        self.paged.octets += page.length() as u64;
        *self.held_mut(parcel) = Held::Out(page);
        true
    }

    /// Gives up what is held of it. The number stays.
    fn release(&mut self, parcel: ParcelId) {
        match std::mem::replace(self.held_mut(parcel), Held::Nothing) {
            Held::Here { octets, at } => {
                self.here_bytes -= octets.len();
                if let (Some(at), Some(list)) = (at, list_of(octets.len())) {
                    self.here[list].swap_remove(at as usize);
                    if let Some(&moved) = self.here[list].get(at as usize) {
                        if let Held::Here { at: place, .. } = self.held_mut(moved) {
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
            Held::Nothing => unreachable!("{parcel:?} is no parcel"),
        }
    }

    /// Nobody wants it any more.
    pub(super) fn remove(&mut self, parcel: ParcelId) {
        self.release(parcel);
        self.vacant.push(parcel);
        // What millions of them have left is given back.
        while matches!(self.all.last(), Some(Held::Nothing)) {
            self.all.pop();
        }
        let count = self.all.len();
        if count < self.all.capacity() / 4 {
            self.all.shrink_to(2 * count);
            self.vacant.retain(|parcel| (parcel.0 as usize) < count);
            self.vacant.shrink_to(2 * count);
        }
    }

    /// Its octets, as `look` wants them.
    pub(super) fn look<T>(&self, parcel: ParcelId, look: impl FnOnce(&[u8]) -> T) -> T {
        match &self.all[parcel.0 as usize] {
            Held::Here { octets, .. } => look(octets),
            Held::Out(page) => {
                self.reads.set(self.reads.get() + 1);
                look(&self.store.read(page))
            }
            Held::Nothing => unreachable!("{parcel:?} is no parcel"),
        }
    }

    fn held_mut(&mut self, parcel: ParcelId) -> &mut Held {
        &mut self.all[parcel.0 as usize]
    }
}
