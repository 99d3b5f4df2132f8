//! How long tasks have kept the shard from looking at the world.
//!
//! The lookout, and with it the executor, looks for I/O only when no task is runnable, so tasks
//! that always have something to do starve everything else on their core. Whoever finds the budget
//! spent waits until the world has been looked at ([`super::lookout::Lookout::breathe`]).

use std::cell::Cell;
use std::time::{Duration, Instant};

use haremq_engine::log::LogEffect;

/// Work between two looks.
const WORK_MAX: Duration = Duration::from_micros(500);
/// A write of so many octets is worth a look by itself. It goes to the device when the executor looks, and
/// a device that waits for it for half a millisecond could have written it meanwhile. Shorter ones gather
/// more until there is time: with each of them the device costs more than it does for its octets.
pub const URGENT_WRITE_BYTES_MIN: usize = 128 << 10;

/// One per shard, shared by its tasks: it is the sum of their work that counts.
pub(super) struct Budget {
    since: Cell<Instant>,
    runs: Cell<u64>,
    /// The executor should look, whatever the time.
    is_look_due: Cell<bool>,
}

impl Budget {
    pub(super) fn new() -> Self {
        let (since, runs) = (Cell::new(Instant::now()), Cell::new(u64::MAX));
        Budget { since, runs, is_look_due: Cell::new(false) }
    }

    /// To be called when a task begins to run. Notices whether the executor has looked since the
    /// last call.
    pub(super) fn enter(&self) {
        let runs = glommio::executor().executor_stats().scheduler_runs();
        if self.runs.replace(runs) != runs {
            self.refresh();
        }
    }

    /// The world has been looked at.
    pub(super) fn refresh(&self) {
        self.since.set(Instant::now());
        self.is_look_due.set(false);
    }

    /// The executor has been given this to be begun.
    pub(super) fn note_begun<B>(&self, effect: &LogEffect<B>) {
        let is_long = |length| length >= URGENT_WRITE_BYTES_MIN;
        if matches!(effect, LogEffect::Write { length, .. } if is_long(*length)) {
            self.is_look_due.set(true);
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_look_due.get() || self.since.get().elapsed() >= WORK_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haremq_engine::log::FileId;
    use std::rc::Rc;

    #[test]
    fn a_long_write_is_worth_a_look_and_a_short_one_waits_for_it() {
        let budget = Budget::new();
        budget.since.set(Instant::now() + WORK_MAX * 1000);
        let write = |length| {
            let buffer = Rc::new(());
            LogEffect::Write { ticket: 1, file: FileId(0), offset: 0, buffer, length }
        };
        budget.note_begun(&write(URGENT_WRITE_BYTES_MIN - 4096));
        assert!(!budget.is_spent());
        budget.note_begun(&write(URGENT_WRITE_BYTES_MIN));
        assert!(budget.is_spent());
        budget.refresh();
        assert!(!budget.is_spent());
    }
}
