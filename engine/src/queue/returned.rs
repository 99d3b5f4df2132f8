//! Numbers of messages that came back to a queue, lowest first.
//!
//! Kept as ranges: a connection that dies with a hundred thousand unacked messages costs a few
//! entries, not a hundred thousand. There are no more than [`RANGES_MAX`] of them, so that those who
//! settle out of order do not make them many: beyond that the two with the fewest numbers between
//! them become one, and whoever takes the lowest number looks whether its message is ready.

use std::collections::BTreeMap;

/// Ranges that are told apart: about a kilobyte.
pub(super) const RANGES_MAX: usize = 32;

/// A set of numbers, and some others between them.
#[derive(Debug, Default)]
pub(super) struct Returned {
    /// Last number of each range to its first one, so that taking the lowest changes a value
    /// and no key. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Returned {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// First and last number of the lowest range.
    #[inline]
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.ranges.first_key_value().map(|(last, first)| (*first, *last))
    }

    /// Adds a number.
    pub(super) fn insert(&mut self, number: u64) {
        let mut first = number;
        if let Some(below) = number.checked_sub(1) {
            if let Some(start) = self.ranges.remove(&below) {
                first = start;
            }
        }
        match self.ranges.range_mut(number..).next() {
            Some((_, start)) if *start <= number + 1 => *start = first.min(*start),
            _ => {
                self.ranges.insert(number, first);
                self.merge_nearest();
            }
        }
    }

    /// Takes a number out; false if it was not in.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some((&last, start)) = self.ranges.range_mut(number..).next() else { return false };
        let first = *start;
        if first > number {
            return false;
        }
        if number == last {
            self.ranges.remove(&last);
        } else {
            *start = number + 1;
        }
        if first < number {
            self.ranges.insert(number - 1, first);
            self.merge_nearest();
        }
        true
    }

    /// No number below `number` is in any more.
    pub(super) fn remove_below(&mut self, number: u64) {
        while let Some(mut lowest) = self.ranges.first_entry() {
            if *lowest.key() >= number {
                *lowest.get_mut() = number.max(*lowest.get());
                return;
            }
            lowest.remove();
        }
    }

    fn merge_nearest(&mut self) {
        if self.ranges.len() <= RANGES_MAX {
            return;
        }
        let ranges = self.ranges.iter().map(|(last, first)| (*first, *last));
        let gaps = ranges.clone().zip(ranges.skip(1));
        let nearest = gaps.min_by_key(|((_, last), (first, _))| first - last);
        if let Some(((first, below), (_, last))) = nearest {
            self.ranges.remove(&below);
            self.ranges.insert(last, first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn spread(returned: &Returned) -> BTreeSet<u64> {
        returned.ranges.iter().flat_map(|(&last, &first)| first..=last).collect()
    }

    proptest! {
        #[test]
        fn ranges_behave_like_a_plain_set(
            steps in prop::collection::vec((any::<bool>(), 0_u64..40), 0..300),
        ) {
            let mut model = BTreeSet::new();
            let mut returned = Returned::default();
            for (add, number) in steps {
                if add && model.insert(number) {
                    returned.insert(number);
                } else if !add {
                    prop_assert_eq!(returned.remove(number), model.remove(&number));
                }
                prop_assert_eq!(returned.first().map(|(first, _)| first), model.first().copied());
                prop_assert_eq!(&spread(&returned), &model);
            }
        }

        #[test]
        fn no_number_is_missed_however_many_ranges_there_are(
            steps in prop::collection::vec((0_u8..4, 0_u64..4_000), 0..400),
        ) {
            let mut model = BTreeSet::new();
            let mut returned = Returned::default();
            for (kind, number) in steps {
                match kind {
                    0 => {
                        // What was below it and is not in the set was no message that is ready.
                        let first = model.first().copied().unwrap_or(0);
                        returned.remove_below(first);
                    }
                    1 => {
                        let some = model.range(number..).next().copied();
                        if let Some(some) = some {
                            model.remove(&some);
                            prop_assert!(returned.remove(some));
                        }
                    }
                    _ => {
                        model.insert(number);
                        returned.insert(number);
                    }
                }
                prop_assert!(returned.ranges.len() <= RANGES_MAX);
            }
            prop_assert!(spread(&returned).is_superset(&model));
        }
    }

    #[test]
    fn neighbours_share_one_range_in_whatever_order_they_come() {
        let mut returned = Returned::default();
        for number in [5, 3, 4, 7, 6] {
            returned.insert(number);
        }
        assert_eq!(returned.ranges.len(), 1);
    }
}
