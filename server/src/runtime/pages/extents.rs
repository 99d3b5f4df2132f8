//! Which parts of a file are free: units of space, taken and given back in runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// See the module. Neighbouring free runs are one.
#[derive(Debug, Default)]
pub(super) struct Extents {
    /// First unit to number of units.
    free: BTreeMap<u32, u32>,
    /// Number of units and the first one.
    by_length: BTreeSet<(u32, u32)>,
    /// Behind the last unit that is taken.
    end: u32,
    taken: u32,
}

impl Extents {
    /// Units that are taken.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// No unit from here on is taken.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Takes a run where one fits best, and the first one of several. `None` if the numbers are used up.
    pub(super) fn take(&mut self, units: u32) -> Option<u32> {
        let found = self.by_length.range((units, 0)..).next().copied();
        let first = match found {
            Some((length, first)) => {
                self.forget(first, length);
                if length > units {
                    self.note(first + units, length - units);
                }
                first
            }
            None => {
                let first = self.end;
                self.end = first.checked_add(units)?;
                first
            }
        };
        self.taken += units;
        Some(first)
    }

    /// Gives a run back, and says which free run it is in now.
    ///
    /// # Panics
    /// If some of it is free: two pages would lie in one place.
    pub(super) fn give(&mut self, first: u32, units: u32) -> Range<u32> {
        let (mut start, mut stop) = (first, first + units);
        assert!(stop <= self.end, "units from {first} on are given back and lie behind the end");
        self.taken -= units;
        if let Some((&before, &length)) = self.free.range(..=first).next_back() {
            assert!(before + length <= first, "units from {first} on are given back twice");
            if before + length == first {
                self.forget(before, length);
                start = before;
            }
        }
        if let Some((&behind, &length)) = self.free.range(first..).next() {
            assert!(behind >= stop, "units from {first} on are given back twice");
            if behind == stop {
                self.forget(behind, length);
                stop = behind + length;
            }
        }
        match stop == self.end {
            true => self.end = start,
            false => self.note(start, stop - start),
        }
        start..stop
    }

    fn note(&mut self, first: u32, units: u32) {
        self.free.insert(first, units);
        self.by_length.insert((units, first));
    }

    fn forget(&mut self, first: u32, units: u32) {
        self.free.remove(&first);
        self.by_length.remove(&(units, first));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No unit is in two runs, and what is free at the end is not there any more.
        #[test]
        fn runs_never_overlap_and_all_space_comes_back(
            steps in prop::collection::vec((any::<bool>(), 1_u32..9, any::<usize>()), 1..300),
        ) {
            let (mut extents, mut held) = (Extents::default(), Vec::<(u32, u32)>::new());
            for (takes, units, pick) in steps {
                if takes || held.is_empty() {
                    let first = extents.take(units).expect("space");
                    for &(other, length) in &held {
                        prop_assert!(first + units <= other || other + length <= first);
                    }
                    held.push((first, units));
                } else {
                    let (first, units) = held.swap_remove(pick % held.len());
                    let free = extents.give(first, units);
                    prop_assert!(free.start <= first && first + units <= free.end);
                    for &(other, length) in &held {
                        prop_assert!(free.end <= other || other + length <= free.start);
                    }
                }
                let end = held.iter().map(|(first, units)| first + units).max().unwrap_or(0);
                let taken: u32 = held.iter().map(|(_, units)| units).sum();
                prop_assert_eq!((extents.end(), extents.taken()), (end, taken));
                let free: u32 = extents.free.values().sum();
                prop_assert_eq!(free, end - taken);
                prop_assert_eq!(extents.free.len(), extents.by_length.len());
            }
            for (first, units) in held {
                extents.give(first, units);
            }
            prop_assert_eq!((extents.end(), extents.taken(), extents.free.len()), (0, 0, 0));
        }
    }

    #[test]
    fn what_was_given_back_is_taken_before_the_file_grows() {
        let mut extents = Extents::default();
        let runs: Vec<u32> = (0..10).map(|_| extents.take(3).expect("space")).collect();
        extents.give(runs[2], 3);
        extents.give(runs[4], 3);
        extents.give(runs[3], 3);
        assert_eq!(extents.take(9), Some(runs[2]), "neighbours are one");
        assert_eq!(extents.take(1), Some(30));
        extents.give(runs[0], 3);
        assert_eq!((extents.take(2), extents.take(1)), (Some(0), Some(2)));
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn nothing_is_given_back_twice() {
        let mut extents = Extents::default();
        let (first, _) = (extents.take(4).expect("space"), extents.take(1));
        extents.give(first, 4);
        extents.give(first + 2, 1);
    }
}
