//! Numbers of messages that came back to a queue, lowest first.
//!
//! Kept as ranges: a connection that dies with a hundred thousand unacked messages costs a few
//! entries, not a hundred thousand.

use std::collections::BTreeMap;

/// A set of numbers.
#[derive(Debug, Default)]
pub(super) struct Returned {
    /// Last number of each range to its first one, so that taking the lowest changes a value
    /// and no key. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Returned {
    pub(super) fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(_, first)| *first)
    }

    /// Adds a number that is not in the set.
    pub(super) fn insert(&mut self, number: u64) {
        let mut first = number;
        if let Some(below) = number.checked_sub(1) {
            if let Some(start) = self.ranges.remove(&below) {
                first = start;
            }
        }
        match self.ranges.range_mut(number..).next() {
            Some((_, start)) if *start == number + 1 => *start = first,
            next => {
                debug_assert!(next.is_none_or(|(_, start)| *start > number), "returned twice");
                self.ranges.insert(number, first);
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
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_behave_like_a_plain_set(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 0..300)) {
            let mut model = BTreeSet::new();
            let mut returned = Returned::default();
            for (add, number) in steps {
                if add && model.insert(number) {
                    returned.insert(number);
                } else if !add {
                    prop_assert_eq!(returned.remove(number), model.remove(&number));
                }
                prop_assert_eq!(returned.first(), model.first().copied());
                let mut spread = BTreeSet::new();
                for (&last, &first) in &returned.ranges {
                    spread.extend(first..=last);
                }
                prop_assert_eq!(&spread, &model);
            }
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
