//! Virtual time. It passes when the schedule says so, and never by itself.
//!
//! The wall clock may be set, forwards and back, as operators and time servers do; the monotonic
//! clock only grows while the broker runs, and starts anywhere when it starts.

use haremq_engine::now::Now;

use crate::random::Random;

/// Where the wall clock of every schedule begins, so that nothing depends on the day.
const EPOCH_UNIX_MS: u64 = 1_700_000_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Now,
}

impl Clock {
    pub fn new() -> Self {
        Clock { now: Now { unix_ms: EPOCH_UNIX_MS, monotonic_us: 1_000_000 } }
    }

    pub fn now(&self) -> Now {
        self.now
    }

    pub fn pass_us(&mut self, us: u64) {
        let before_ms = self.now.monotonic_us / 1000;
        self.now.monotonic_us += us;
        self.now.unix_ms += self.now.monotonic_us / 1000 - before_ms;
    }

    /// Somebody sets the wall clock.
    pub fn set_by_ms(&mut self, change_ms: i64) {
        self.now.unix_ms = self.now.unix_ms.saturating_add_signed(change_ms);
    }

    /// The machine starts again: some time has passed, and the monotonic clock knows nothing of
    /// before.
    pub fn restart(&mut self, random: &mut Random) {
        self.now.unix_ms += 1 + random.below(5_000) as u64;
        if random.one_in(8) {
            self.set_by_ms(-(random.below(20_000) as i64));
        }
        self.now.monotonic_us = 1 + random.below(1 << 40) as u64;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}
