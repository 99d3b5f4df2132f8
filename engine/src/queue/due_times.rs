//! When messages of a queue that holds messages back are due: in order of time, then arrival.
//!
//! Chunks of sorted entries of 12 octets, found by their least one. A new entry costs a search
//! and the move of half a chunk at most; the first one is taken without any. When there is no memory
//! to spare, chunks are packed into parcels, which may be paged out; one that an entry goes into, or
//! whose time has come, is unpacked.

use std::collections::{BTreeMap, VecDeque};

use super::pack::{fold, read_number, unfold, write_number};
use super::parcels::{ParcelId, PAGE_MIN_BYTES};
use super::pool::ChunkPool;

/// Entries of a chunk; one that is full is cut in two, but at the end another one is begun.
const CHUNK: usize = 512;
/// Chunks looked at in one go for being packed.
const WINDOW: usize = 64;

/// 48 bits of time and 48 bits of number, so that the order of entries is that of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Entry([u32; 3]);

const HALF_MAX: u64 = (1 << 48) - 1;

impl Entry {
    fn new(unix_ms: u64, number: u64) -> Self {
        let (unix_ms, number) = (unix_ms.min(HALF_MAX), number.min(HALF_MAX));
        let middle = ((unix_ms & 0xffff) << 16) | (number >> 32);
        Entry([(unix_ms >> 16) as u32, middle as u32, number as u32])
    }

    fn unix_ms(self) -> u64 {
        (u64::from(self.0[0]) << 16) | u64::from(self.0[1] >> 16)
    }

    fn number(self) -> u64 {
        (u64::from(self.0[1] & 0xffff) << 32) | u64::from(self.0[2])
    }
}

#[derive(Debug)]
enum Content {
    Open(VecDeque<Entry>),
    /// Its key is its first entry.
    Packed(ParcelId),
}

/// Octets that such a chunk takes beside what is in a parcel.
fn bytes_of(content: &Content) -> usize {
    let entries = match content {
        Content::Open(entries) => entries.capacity(),
        Content::Packed(_) => 0,
    };
    size_of::<(Entry, Content)>() + entries * size_of::<Entry>()
}

fn pack(entries: &VecDeque<Entry>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut before = Entry::default();
    for entry in entries {
        write_number(entry.unix_ms() - before.unix_ms(), &mut octets);
        let step = entry.number().wrapping_sub(before.number());
        write_number(fold(step as i64), &mut octets);
        before = *entry;
    }
    octets
}

fn unpack(mut octets: &[u8]) -> VecDeque<Entry> {
    let mut entries = VecDeque::new();
    let (mut unix_ms, mut number) = (0, 0_u64);
    while !octets.is_empty() {
        unix_ms += read_number(&mut octets);
        number = number.wrapping_add(unfold(read_number(&mut octets)) as u64);
        entries.push_back(Entry::new(unix_ms, number));
    }
    entries
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct DueTimes {
    /// By a lower bound of what is in it; none is empty.
    chunks: BTreeMap<Entry, Content>,
    /// The number by which the pool knows the queue.
    queue: u32,
    /// Something has been left unpacked since it was condensed.
    is_loose: bool,
    /// The chunk to be looked at next for being packed, and how many are to be until all have been.
    hand: Entry,
    unswept: usize,
}

impl DueTimes {
    pub(super) fn belong_to(&mut self, queue: u32) {
        self.queue = queue;
    }

    /// The entries of a chunk; it is there no more.
    fn take(&mut self, pool: &mut ChunkPool, key: Entry) -> Option<VecDeque<Entry>> {
        let content = self.chunks.remove(&key)?;
        pool.note_room(bytes_of(&content), 0);
        Some(match content {
            Content::Open(entries) => entries,
            Content::Packed(parcel) => pool.take_parcel(parcel, unpack),
        })
    }

    fn put(&mut self, pool: &mut ChunkPool, key: Entry, entries: VecDeque<Entry>) {
        let content = Content::Open(entries);
        pool.note_room(0, bytes_of(&content));
        let before = self.chunks.insert(key, content);
        assert!(before.is_none(), "two chunks of due times begin alike");
        self.is_loose = true;
        pool.note_loose(self.queue);
    }

    /// The message of that number, which counts arrivals, is due then.
    pub(super) fn insert(&mut self, pool: &mut ChunkPool, unix_ms: u64, number: u64) {
        let entry = Entry::new(unix_ms, number);
        let at = self.chunks.range(..=entry).next_back().or_else(|| self.chunks.iter().next());
        let Some(at) = at.map(|(at, _)| *at) else {
            return self.put(pool, entry, VecDeque::from([entry]));
        };
        let is_last = self.chunks.last_key_value().is_some_and(|(last, _)| *last == at);
        let Some(mut chunk) = self.take(pool, at) else { return };
        let place = chunk.partition_point(|other| *other < entry);
        if chunk.len() >= CHUNK {
            let cut = if is_last && place == chunk.len() { place } else { chunk.len() / 2 };
            let mut rest = chunk.split_off(cut);
            if place >= cut {
                rest.insert(place - cut, entry);
            } else {
                chunk.insert(place, entry);
            }
            if let Some(first) = rest.front() {
                self.put(pool, *first, rest);
            }
        } else {
            chunk.insert(place, entry);
        }
        self.put(pool, at.min(entry), chunk);
    }

    /// Time of the message that is due first.
    pub(super) fn first_unix_ms(&self) -> Option<u64> {
        let (key, content) = self.chunks.first_key_value()?;
        match content {
            Content::Open(entries) => entries.front().map(|entry| entry.unix_ms()),
            Content::Packed(_) => Some(key.unix_ms()),
        }
    }

    /// Takes the number of the message that is due first, if it is due by now.
    pub(super) fn take_due(&mut self, pool: &mut ChunkPool, now_unix_ms: u64) -> Option<u64> {
        if self.first_unix_ms()? > now_unix_ms {
            return None;
        }
        let (&key, content) = self.chunks.first_key_value()?;
        if let Content::Packed(_) = content {
            let entries = self.take(pool, key)?;
            self.put(pool, key, entries);
        }
        let mut first = self.chunks.first_entry()?;
        let Content::Open(entries) = first.get_mut() else { return None };
        let entry = entries.pop_front()?;
        if entries.is_empty() {
            pool.note_room(bytes_of(&first.remove()), 0);
        }
        Some(entry.number())
    }

    /// Packs what is open, a few chunks at a time. True if there is more to be looked at.
    pub(super) fn condense(&mut self, pool: &mut ChunkPool) -> bool {
        if std::mem::take(&mut self.is_loose) {
            self.unswept = self.chunks.len();
        }
        let looks = self.unswept.min(WINDOW);
        self.unswept -= looks;
        let from_hand = self.chunks.range(self.hand..).chain(self.chunks.range(..self.hand));
        let keys: Vec<Entry> = from_hand.take(looks + 1).map(|(key, _)| *key).collect();
        for key in keys.iter().take(looks) {
            self.pack(pool, *key);
        }
        self.hand = keys.get(looks).or(keys.first()).copied().unwrap_or_default();
        self.unswept > 0
    }

    /// Packs a chunk that is long enough for it.
    fn pack(&mut self, pool: &mut ChunkPool, key: Entry) {
        let Some(Content::Open(entries)) = self.chunks.get_mut(&key) else { return };
        let octets = pack(entries);
        if octets.len() < PAGE_MIN_BYTES {
            let before = entries.capacity();
            entries.shrink_to_fit();
            let after = entries.capacity();
            return pool.note_room(before * size_of::<Entry>(), after * size_of::<Entry>());
        }
        let Some(first) = entries.front().copied() else { return };
        let Some(before) = self.chunks.remove(&key) else { return };
        pool.note_room(bytes_of(&before), 0);
        drop(before);
        let content = Content::Packed(pool.add_parcel(&octets));
        pool.note_room(0, bytes_of(&content));
        self.chunks.insert(first, content);
    }

    /// Gives up to `limit` chunks back, with whatever they hold. True when none is left.
    pub(super) fn clear(&mut self, pool: &mut ChunkPool, limit: usize) -> bool {
        for _ in 0..limit {
            let Some((_, content)) = self.chunks.pop_first() else { return true };
            pool.note_room(bytes_of(&content), 0);
            if let Content::Packed(parcel) = content {
                pool.take_parcel(parcel, |_| ());
            }
        }
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::pages::NoPages;
    use super::super::pool::Packing;
    use super::*;

    proptest! {
        #[test]
        fn messages_come_in_order_of_time_then_arrival(
            steps in prop::collection::vec((0_u64..2000, 0_u64..4, 0_u32..20), 0..3000),
        ) {
            let packing = Packing { open_freely: 0, bale: 2, bytes_max: 0 };
            let mut pool = ChunkPool::new(packing, Box::new(NoPages));
            let (mut times, mut model) = (DueTimes::default(), BTreeSet::new());
            let mut now = 1_700_000_000_000;
            for (number, (delay, takes, condenses)) in steps.into_iter().enumerate() {
                let number = number as u64;
                times.insert(&mut pool, now + delay, number);
                model.insert((now + delay, number));
                prop_assert_eq!(times.first_unix_ms(), model.first().map(|first| first.0));
                if condenses == 0 {
                    while times.condense(&mut pool) {}
                    prop_assert_eq!(times.first_unix_ms(), model.first().map(|first| first.0));
                }
                now += 3;
                for _ in 0..takes.saturating_sub(2) {
                    let due = model.first().copied().filter(|first| first.0 <= now);
                    prop_assert_eq!(times.take_due(&mut pool, now), due.map(|due| due.1));
                    due.map(|due| model.remove(&due));
                }
            }
            for (_, number) in model {
                prop_assert_eq!(times.take_due(&mut pool, u64::MAX), Some(number));
            }
            prop_assert_eq!(times.first_unix_ms(), None);
            prop_assert!(times.chunks.is_empty());
            // Room for the names of a few parcels.
            prop_assert!(pool.bytes() < 300);
        }
    }

    #[test]
    fn equal_delays_fill_chunks_and_mixed_ones_at_least_half() {
        let mut pool = ChunkPool::default();
        let mut equal = DueTimes::default();
        (0..51_200).for_each(|number| equal.insert(&mut pool, 1000 + number / 10, number));
        assert_eq!(equal.chunks.len(), 100);
        let mut mixed = DueTimes::default();
        (0..51_200).for_each(|number| mixed.insert(&mut pool, number * 7919 % 50_000, number));
        assert!(mixed.chunks.len() <= 200, "{}", mixed.chunks.len());
        assert_eq!(std::mem::size_of::<Entry>(), 12);
    }
}
