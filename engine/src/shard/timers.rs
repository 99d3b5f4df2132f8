//! When queues want to be looked at: message expiry and `x-expires`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::queues::QueueSlot;

/// Times by queue, soonest first. A queue that sets its timer earlier leaves the old entry
/// behind; whoever takes an entry checks it against the queue.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, QueueSlot)>>,
}

impl Timers {
    pub(super) fn set(&mut self, unix_ms: u64, queue: QueueSlot) {
        self.heap.push(Reverse((unix_ms, queue)));
    }

    /// The next timer that has gone off.
    pub(super) fn take_due(&mut self, now_unix_ms: u64) -> Option<(u64, QueueSlot)> {
        let Reverse((at, _)) = *self.heap.peek()?;
        if at > now_unix_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn next_unix_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
