//! The clocks, read once per turn.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use haremq_engine::now::Now;

/// Both clocks of one shard. Monotonic time counts from the making of the first clock, so that
/// all shards speak of the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { start: Instant::now() }
    }

    pub(super) fn now(&self) -> Now {
        Now { unix_ms: unix_ms(), monotonic_us: self.start.elapsed().as_micros() as u64 }
    }
}

/// Wall clock, milliseconds since 1970; 0 for a clock set before that.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
