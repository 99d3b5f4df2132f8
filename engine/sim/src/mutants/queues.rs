//! Of what queues know of their messages.

use super::{judged, Judge, Mutant};

/// What queues know of their messages, so rarely of so many in a schedule, and runs, which schedules would see as well.
const QUEUE_TESTS: Judge = Judge::UnitTests("queue::");

pub(super) const QUEUES: &[Mutant] = &[
    judged(
        QUEUE_TESTS,
        "only the ends of a long queue are packed when memory is short",
        "queue/index/condense.rs",
        "rare.unswept = count;",
        "rare.unswept = 0;",
    ),
    judged(
        QUEUE_TESTS,
        "what came back is passed over among too many to be told apart",
        "queue/returned.rs",
        "self.ranges.insert(last, first);",
        "self.ranges.insert(last, first.max(below));",
    ),
    judged(
        QUEUE_TESTS,
        "due times are packed as if messages came in the order in which they are due",
        "queue/due_times.rs",
        "entry.number().wrapping_sub(before.number());",
        "entry.number().saturating_sub(before.number());",
    ),
    judged(
        QUEUE_TESTS,
        "due times of a queue that is gone are kept",
        "queue/due_times.rs",
        "pool.take_parcel(parcel, |_| ());",
        "let _ = parcel;",
    ),
    judged(
        QUEUE_TESTS,
        "a run goes past a message that has come back",
        "queue/lane.rs",
        "if !self.returned.is_empty() || self.ready == 0 {",
        "if self.ready == 0 {",
    ),
    judged(
        QUEUE_TESTS,
        "a run takes what may have expired",
        "queue/lane.rs",
        "slot.state() == State::Ready && slot.expiry() == 0;",
        "slot.state() == State::Ready;",
    ),
    judged(
        QUEUE_TESTS,
        "a run takes more than there is credit for",
        "queue/consumers.rs",
        "        consumer.allowance.spend(count);
        if",
        "        consumer.allowance.spend(1);
        if",
    ),
    judged(
        QUEUE_TESTS,
        "an ack of many takes what is not held",
        "queue/index/run.rs",
        "slot.state() == state && slot.expiry()",
        "slot.state() != State::Dead && slot.expiry()",
    ),
    judged(
        QUEUE_TESTS,
        "what a run takes for good is not given back",
        "queue/index/run.rs",
        "        if chunk.live == 0 {
            self.drop_chunk(pool, at);
        }",
        "        if chunk.live == 0 && count == 0 {
            self.drop_chunk(pool, at);
        }",
    ),
];
