//! How long tasks have kept the reactor from looking at the world.
//!
//! The executor looks for I/O only when no task is runnable, so tasks that always have something
//! to do starve everything else on their core. Whoever finds the budget spent sleeps for a moment,
//! which is the one way to yield that lets the reactor in.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Work between two looks of the reactor.
const WORK_MAX: Duration = Duration::from_micros(500);
/// The shortest sleep that lets the reactor in; zero would not.
const PAUSE: Duration = Duration::from_micros(20);

/// One per shard, shared by its tasks: it is the sum of their work that counts.
pub(super) struct Budget {
    since: Cell<Instant>,
    runs: Cell<u64>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { since: Cell::new(Instant::now()), runs: Cell::new(u64::MAX) }
    }

    /// To be called by a task when it begins to run. Notices whether the reactor has been
    /// running since the last call.
    pub(super) fn enter(&self) {
        let runs = glommio::executor().executor_stats().scheduler_runs();
        if self.runs.replace(runs) != runs {
            self.since.set(Instant::now());
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.since.get().elapsed() >= WORK_MAX
    }

    /// Lets the reactor look.
    pub(super) async fn pause() {
        glommio::timer::sleep(PAUSE).await;
    }
}
