//! Of what queues know of their messages.

use super::{Judge, Mutant};

/// One of what queues know of their messages, so rarely of so many in a schedule.
const fn in_queues(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    let judge = Judge::LogTests("queue::");
    Mutant { name, judge, file, from, to }
}

pub(super) const QUEUES: &[Mutant] = &[
    in_queues(
        "only the ends of a long queue are packed when memory is short",
        "queue/index/condense.rs",
        "rare.unswept = count;",
        "rare.unswept = 0;",
    ),
    in_queues(
        "what came back is passed over among too many to be told apart",
        "queue/returned.rs",
        "self.ranges.insert(last, first);",
        "self.ranges.insert(last, first.max(below));",
    ),
    in_queues(
        "due times are packed as if messages came in the order in which they are due",
        "queue/due_times.rs",
        "entry.number().wrapping_sub(before.number());",
        "entry.number().saturating_sub(before.number());",
    ),
    in_queues(
        "due times of a queue that is gone are kept",
        "queue/due_times.rs",
        "pool.take_parcel(parcel, |_| ());",
        "let _ = parcel;",
    ),
];
