//! Of settles, and of segments in which all is settled. The tests of a log see each by itself: in a schedule two crashes must
//! come just then, or what goes wrong is no more than memory.

use super::{judged, Mutant, LOG_TESTS};

pub(super) const SETTLES: &[Mutant] = &[
    judged(
        LOG_TESTS,
        "a segment is given back before its record has room",
        "log/reclaim.rs",
        "        let (_, octets) = self.claim(now, RECYCLED_BYTES, 0);",
        "        self.segments.remove(number);
        let (_, octets) = self.claim(now, RECYCLED_BYTES, 0);",
    ),
    judged(
        LOG_TESTS,
        "a settle is told of before its message",
        "log/batch.rs",
        "|| newest >= Address::new(block, slot.at - offset)",
        "|| newest == Address::new(block, slot.at - offset)",
    ),
    judged(
        LOG_TESTS,
        "settles of many end at one that is settled already",
        "log/settling.rs",
        "        if run == 0 {
            return 1;
        }",
        "        if run == 0 {
            return count;
        }",
    ),
    judged(
        LOG_TESTS,
        "settles of many are said to lie in the segment of the first one",
        "log/settling.rs",
        "if !addresses.contains(&address) || held.is_dead(reference) {",
        "if (!addresses.contains(&address) && run == 0) || held.is_dead(reference) {",
    ),
    judged(
        LOG_TESTS,
        "memory is used again though a message in it is wanted",
        "log/append.rs",
        "segment.are_dead(numbers.start, numbers.end)",
        "segment.are_dead(numbers.start, numbers.start + 1)",
    ),
    judged(
        LOG_TESTS,
        "memory of settled messages is not used again",
        "log/append.rs",
        "cache.drop_settled(commit.durable(), is_settled);",
        "cache.drop_settled(0, is_settled);",
    ),
];
