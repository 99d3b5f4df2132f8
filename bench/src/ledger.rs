//! Which messages came: an exact set of sequence numbers per stream, so that loss and duplication are found
//! even where they cancel out in the counts.
//!
//! Messages mostly come in order, so a set keeps the run it is in as two numbers and writes runs into a
//! bitmap only when they break: about a nanosecond per message, one bit of memory at most. Pure.

use serde::Serialize;

/// Sequence numbers from here on cannot be genuine; they are counted and not stored, since the bitmap would
/// grow to meet whatever number a broken message claims.
const IMPLAUSIBLE: u64 = 1 << 33;

/// The sequence numbers that one consumer got of one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct SequenceSet {
    run_start: u64,
    run_end: u64,
    bitmap: Vec<u64>,
    highest_end: u64,
    repeated: u64,
    inversions: u64,
    implausible: u64,
}

impl SequenceSet {
    /// Notes the arrival of `sequence`. A redelivered message may come out of order.
    #[inline]
    pub(crate) fn insert(&mut self, sequence: u64, redelivered: bool) {
        if sequence == self.run_end {
            self.run_end += 1;
            if self.run_end > self.highest_end {
                self.highest_end = self.run_end;
            }
        } else {
            self.insert_elsewhere(sequence, redelivered);
        }
    }

    fn insert_elsewhere(&mut self, sequence: u64, redelivered: bool) {
        if sequence >= IMPLAUSIBLE {
            self.implausible += 1;
            return;
        }
        self.end_run();
        if sequence < self.highest_end && !redelivered {
            self.inversions += 1;
        }
        self.run_start = sequence;
        self.run_end = sequence + 1;
        self.highest_end = self.highest_end.max(self.run_end);
    }

    /// Writes the open run into the bitmap.
    fn end_run(&mut self) {
        self.repeated += insert_range(&mut self.bitmap, self.run_start, self.run_end);
        self.run_start = self.run_end;
    }

    /// Adds what another consumer of the same queue got; both having it makes it a duplicate.
    pub(crate) fn merge(&mut self, mut other: SequenceSet) {
        self.end_run();
        other.end_run();
        self.repeated += other.repeated;
        self.inversions += other.inversions;
        self.implausible += other.implausible;
        self.highest_end = self.highest_end.max(other.highest_end);
        if self.bitmap.len() < other.bitmap.len() {
            self.bitmap.resize(other.bitmap.len(), 0);
        }
        for (mine, theirs) in self.bitmap.iter_mut().zip(other.bitmap) {
            self.repeated += u64::from((*mine & theirs).count_ones());
            *mine |= theirs;
        }
    }

    /// Compares with what was sent: sequences `0..sent`.
    pub(crate) fn audit(mut self, sent: u64) -> Audit {
        self.end_run();
        let present: u64 = self.bitmap.iter().map(|word| u64::from(word.count_ones())).sum();
        let expected: u64 = (0..sent.div_ceil(64))
            .map(|word| {
                let mask = mask(0, sent.saturating_sub(word * 64).min(64));
                let have = self.bitmap.get(word as usize).copied().unwrap_or(0);
                u64::from((have & mask).count_ones())
            })
            .sum();
        Audit {
            lost: sent - expected,
            duplicated: self.repeated,
            never_sent: present - expected + self.implausible,
            out_of_order: self.inversions,
        }
    }
}

/// Sets the bits `start..end` and returns how many were set before.
fn insert_range(bitmap: &mut Vec<u64>, start: u64, end: u64) -> u64 {
    let words = end.div_ceil(64) as usize;
    if start < end && bitmap.len() < words {
        bitmap.resize(words, 0);
    }
    let mut repeated = 0;
    let mut from = start;
    while from < end {
        let word = from / 64;
        let to = end.min((word + 1) * 64);
        let bits = mask(from % 64, to - word * 64);
        let slot = &mut bitmap[word as usize];
        repeated += u64::from((*slot & bits).count_ones());
        *slot |= bits;
        from = to;
    }
    repeated
}

/// The bits `from..to` of a word, `to` at most 64.
fn mask(from: u64, to: u64) -> u64 {
    let below = |end: u64| if end >= 64 { u64::MAX } else { (1 << end) - 1 };
    below(to) & !below(from)
}

/// What a comparison of sent and received found. All zero is a clean run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// Sent, but never received.
    pub(crate) lost: u64,
    /// Received more than once.
    pub(crate) duplicated: u64,
    /// Received, but never sent in this run.
    pub(crate) never_sent: u64,
    /// Received after a later message of the same stream by the same consumer, not marked redelivered.
    pub(crate) out_of_order: u64,
}

impl Audit {
    /// Adds another queue's findings.
    pub(crate) fn add(&mut self, other: Audit) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.never_sent += other.never_sent;
        self.out_of_order += other.out_of_order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(sequences: &[u64]) -> SequenceSet {
        let mut set = SequenceSet::default();
        sequences.iter().for_each(|sequence| set.insert(*sequence, false));
        set
    }

    #[test]
    fn all_in_order_is_clean() {
        let all: Vec<u64> = (0..1000).collect();
        assert_eq!(set(&all).audit(1000), Audit::default());
        assert_eq!(set(&[]).audit(0), Audit::default());
    }

    #[test]
    fn loss_and_duplication_are_found_although_the_count_is_right() {
        let audit = set(&[0, 1, 2, 2, 4]).audit(5);
        assert_eq!(audit, Audit { lost: 1, duplicated: 1, never_sent: 0, out_of_order: 1 });
    }

    #[test]
    fn a_tail_that_never_came_is_lost() {
        assert_eq!(set(&[0, 1, 2]).audit(200).lost, 197);
        assert_eq!(set(&[]).audit(3).lost, 3);
    }

    #[test]
    fn messages_that_nobody_sent_are_told() {
        let audit = set(&[0, 1, 900, u64::MAX >> 16]).audit(2);
        assert_eq!(audit, Audit { never_sent: 2, ..Audit::default() });
    }

    #[test]
    fn a_redelivery_may_come_late_and_is_a_duplicate_only_if_it_came_before() {
        let mut set = set(&[0, 2]);
        set.insert(1, true);
        assert_eq!(set.audit(3), Audit::default());
    }

    #[test]
    fn two_consumers_that_got_the_same_message_are_found_out() {
        let mut one = set(&[0, 2, 4]);
        one.merge(set(&[1, 3, 4, 5]));
        assert_eq!(one.audit(6), Audit { duplicated: 1, ..Audit::default() });
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            arrivals in prop::collection::vec((0u64..300, 0usize..3), 0..600),
            sent in 0u64..300,
        ) {
            let mut consumers = vec![SequenceSet::default(); 3];
            let mut seen = std::collections::BTreeSet::new();
            let mut duplicated = 0;
            for (sequence, consumer) in &arrivals {
                consumers[*consumer].insert(*sequence, false);
                duplicated += u64::from(!seen.insert(*sequence));
            }
            let mut merged = SequenceSet::default();
            consumers.into_iter().for_each(|consumer| merged.merge(consumer));
            let audit = merged.audit(sent);
            prop_assert_eq!(audit.lost, (0..sent).filter(|s| !seen.contains(s)).count() as u64);
            prop_assert_eq!(audit.never_sent, seen.range(sent..).count() as u64);
            prop_assert_eq!(audit.duplicated, duplicated);
        }
    }
}
