//! When messages of a queue that holds messages back are due: in order of time, then arrival.
//!
//! Chunks of sorted entries of 12 octets, found by their least one. A new entry costs a search
//! and the move of half a chunk at most; the first one is taken without any.

use std::collections::{BTreeMap, VecDeque};

/// Entries of a chunk; one that is full is cut in two, but at the end another one is begun.
const CHUNK: usize = 512;

/// 48 bits of time and 48 bits of number, so that the order of entries is that of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// See the module.
#[derive(Debug, Default)]
pub(super) struct DueTimes {
    /// By a lower bound of what is in it; none is empty.
    chunks: BTreeMap<Entry, VecDeque<Entry>>,
}

impl DueTimes {
    /// The message of that number, which counts arrivals, is due then.
    pub(super) fn insert(&mut self, unix_ms: u64, number: u64) {
        let entry = Entry::new(unix_ms, number);
        let at = self.chunks.range(..=entry).next_back().or_else(|| self.chunks.iter().next());
        let Some(at) = at.map(|(at, _)| *at) else {
            self.chunks.insert(entry, VecDeque::from([entry]));
            return;
        };
        let is_last = self.chunks.last_key_value().is_some_and(|(last, _)| *last == at);
        let Some(mut chunk) = self.chunks.remove(&at) else { return };
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
                self.chunks.insert(*first, rest);
            }
        } else {
            chunk.insert(place, entry);
        }
        self.chunks.insert(at.min(entry), chunk);
    }

    /// Time of the message that is due first.
    pub(super) fn first_unix_ms(&self) -> Option<u64> {
        let (_, chunk) = self.chunks.first_key_value()?;
        chunk.front().map(|entry| entry.unix_ms())
    }

    /// Takes the number of the message that is due first, if it is due by now.
    pub(super) fn take_due(&mut self, now_unix_ms: u64) -> Option<u64> {
        let mut first = self.chunks.first_entry()?;
        let entry = *first.get().front()?;
        if entry.unix_ms() > now_unix_ms {
            return None;
        }
        first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        Some(entry.number())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_in_order_of_time_then_arrival(
            steps in prop::collection::vec((0_u64..2000, 0_u64..4), 0..3000),
        ) {
            let (mut times, mut model) = (DueTimes::default(), BTreeSet::new());
            let mut now = 1_700_000_000_000;
            for (number, (delay, takes)) in steps.into_iter().enumerate() {
                let number = number as u64;
                times.insert(now + delay, number);
                model.insert((now + delay, number));
                prop_assert_eq!(times.first_unix_ms(), model.first().map(|first| first.0));
                now += 3;
                for _ in 0..takes.saturating_sub(2) {
                    let due = model.first().copied().filter(|first| first.0 <= now);
                    prop_assert_eq!(times.take_due(now), due.map(|due| due.1));
                    due.map(|due| model.remove(&due));
                }
            }
            for (_, number) in model {
                prop_assert_eq!(times.take_due(u64::MAX), Some(number));
            }
            prop_assert_eq!(times.first_unix_ms(), None);
            prop_assert!(times.chunks.is_empty());
        }
    }

    #[test]
    fn equal_delays_fill_chunks_and_mixed_ones_at_least_half() {
        let mut equal = DueTimes::default();
        (0..51_200).for_each(|number| equal.insert(1000 + number / 10, number));
        assert_eq!(equal.chunks.len(), 100);
        let mut mixed = DueTimes::default();
        (0..51_200).for_each(|number| mixed.insert(number * 7919 % 50_000, number));
        assert!(mixed.chunks.len() <= 200, "{}", mixed.chunks.len());
        assert_eq!(std::mem::size_of::<Entry>(), 12);
    }
}
