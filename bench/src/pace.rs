//! An open-loop schedule: message k is due at start + k / rate, whatever happened to the messages before it.
//!
//! This is what makes latencies free of coordinated omission: a message that goes out late, because the
//! broker or the window held the producer up, still carries the time at which it was due. Pure.

/// When each message of one producer is due.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    start_ns: f64,
    interval_ns: f64,
    taken: u64,
}

impl Pace {
    /// `rate` messages per second from `start_ns` on. Producers that share a rate start `offset` intervals
    /// (0 to 1) apart, so that they do not all send at once.
    pub(crate) fn new(start_ns: u64, rate: f64, offset: f64) -> Pace {
        let interval_ns = 1e9 / rate;
        Pace { start_ns: start_ns as f64 + offset * interval_ns, interval_ns, taken: 0 }
    }

    /// Messages due by `now_ns` and not yet taken.
    pub(crate) fn due(&self, now_ns: u64) -> u64 {
        let elapsed = now_ns as f64 - self.start_ns;
        if elapsed < 0.0 {
            return 0;
        }
        ((elapsed / self.interval_ns) as u64 + 1).saturating_sub(self.taken)
    }

    /// When the message `ahead` places after the last one taken is due.
    pub(crate) fn due_at_ns(&self, ahead: u64) -> u64 {
        (self.start_ns + (self.taken + ahead) as f64 * self.interval_ns) as u64
    }

    /// Counts `messages` as sent.
    pub(crate) fn take(&mut self, messages: u64) {
        self.taken += messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Recorder;

    #[test]
    fn messages_become_due_at_the_rate_and_not_before_the_start() {
        let mut pace = Pace::new(1_000_000, 1_000.0, 0.0);
        assert_eq!(pace.due(999_999), 0);
        assert_eq!(pace.due(1_000_000), 1);
        assert_eq!(pace.due(3_500_000), 3);
        pace.take(3);
        assert_eq!(pace.due(3_500_000), 0);
        assert_eq!(pace.due_at_ns(0), 4_000_000);
        assert_eq!(Pace::new(0, 1_000.0, 0.5).due_at_ns(0), 500_000);
    }

    /// A broker that answers in 10 us, but stands still for one second out of ten: a closed loop would see
    /// one bad message in a hundred thousand, an honest one sees that a tenth of all messages came late.
    #[test]
    fn a_stall_counts_for_every_message_that_was_due_during_it() {
        let rate = 10_000.0;
        let mut pace = Pace::new(0, rate, 0.0);
        let mut recorder = Recorder::default();
        let mut now_ns = 0;
        while now_ns < 10_000_000_000 {
            let stalled = (4_000_000_000..5_000_000_000).contains(&now_ns);
            let answered_ns = if stalled { 5_000_000_000 } else { now_ns } + 10_000;
            for ahead in 0..pace.due(now_ns) {
                recorder.record(answered_ns - pace.due_at_ns(ahead), 1);
            }
            pace.take(pace.due(now_ns));
            now_ns = if stalled { 5_000_000_000 } else { now_ns + 100_000 };
        }
        let summary = recorder.summary();
        assert_eq!(summary.count, 100_000);
        assert!((9.0..12.0).contains(&summary.p50_us), "{summary:?}");
        // The worst tenth lies evenly between 0 and 1 s: p99 is nine tenths of the way up.
        assert!((880_000.0..920_000.0).contains(&summary.p99_us), "{summary:?}");
        assert!((990_000.0..1_010_000.0).contains(&summary.max_us), "{summary:?}");
    }
}
