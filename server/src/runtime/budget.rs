//! How long tasks have kept the shard from looking at the world.
//!
//! The lookout, and with it the executor, looks for I/O only when no task is runnable, so tasks
//! that always have something to do starve everything else on their core. Whoever finds the budget
//! spent waits until the world has been looked at ([`super::lookout::Lookout::breathe`]).

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Work between two looks.
const WORK_MAX: Duration = Duration::from_micros(500);

/// One per shard, shared by its tasks: it is the sum of their work that counts.
pub(super) struct Budget {
    since: Cell<Instant>,
    runs: Cell<u64>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { since: Cell::new(Instant::now()), runs: Cell::new(u64::MAX) }
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
    }

    pub(super) fn is_spent(&self) -> bool {
        self.since.get().elapsed() >= WORK_MAX
    }
}
