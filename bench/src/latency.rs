//! Latency histograms (HDR, three significant digits) and the percentiles that are reported of them.
//!
//! A recorder belongs to one worker thread; recorders are merged after the run. Messages that were sent and
//! received together have the same latency and are recorded as one run, so that the cost is per batch.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Anything longer than this counts as this: ten minutes.
const HIGHEST_NS: u64 = 600_000_000_000;
/// Latencies are told apart down to about this.
const LOWEST_NS: u64 = 100;

/// Collects latencies in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    total: Histogram<u64>,
    recent: Histogram<u64>,
    run_ns: u64,
    run_length: u64,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder { total: histogram(), recent: histogram(), run_ns: 0, run_length: 0 }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3)
        .unwrap_or_else(|error| unreachable!("constant bounds are valid: {error}"))
}

impl Recorder {
    /// Counts `count` messages of this latency.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64, count: u64) {
        if latency_ns == self.run_ns {
            self.run_length += count;
        } else {
            self.end_run();
            self.run_ns = latency_ns;
            self.run_length = count;
        }
    }

    fn end_run(&mut self) {
        if self.run_length > 0 {
            let latency_ns = self.run_ns.clamp(1, HIGHEST_NS);
            self.total.saturating_record_n(latency_ns, self.run_length);
            self.recent.saturating_record_n(latency_ns, self.run_length);
            self.run_length = 0;
        }
    }

    /// Forgets everything, for the end of a warm-up.
    pub(crate) fn clear(&mut self) {
        self.run_length = 0;
        self.total.reset();
        self.recent.reset();
    }

    /// p50 and p99 in nanoseconds of what came since the last call, for the progress line.
    pub(crate) fn recent(&mut self) -> Option<(u64, u64)> {
        self.end_run();
        if self.recent.is_empty() {
            return None;
        }
        let percentiles = (self.recent.value_at_quantile(0.5), self.recent.value_at_quantile(0.99));
        self.recent.reset();
        Some(percentiles)
    }

    /// Adds what another recorder collected.
    pub(crate) fn merge(&mut self, mut other: Recorder) {
        self.end_run();
        other.end_run();
        if self.total.add(&other.total).is_err() {
            unreachable!("all recorders have the same bounds");
        }
    }

    /// The percentiles.
    pub(crate) fn summary(mut self) -> Summary {
        self.end_run();
        let histogram = &self.total;
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let empty = histogram.is_empty();
        Summary {
            count: histogram.len(),
            min_us: if empty { 0.0 } else { histogram.min() as f64 / 1e3 },
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: histogram.max() as f64 / 1e3,
            curve: curve(histogram),
        }
    }
}

/// Points of the percentile curve, evenly spaced on the scale 1, 10, 100, ... of messages per worse message.
fn curve(histogram: &Histogram<u64>) -> Vec<CurvePoint> {
    const STEPS_PER_DECADE: u32 = 8;
    let decades = (histogram.len() as f64).log10().max(0.0);
    (0..=(decades * f64::from(STEPS_PER_DECADE)) as u32)
        .map(|step| {
            let odds = 10f64.powf(f64::from(step) / f64::from(STEPS_PER_DECADE));
            let quantile = 1.0 - 1.0 / odds;
            let latency_us = histogram.value_at_quantile(quantile) as f64 / 1e3;
            CurvePoint { percentile: quantile * 100.0, latency_us }
        })
        .collect()
}

/// One point of the percentile curve.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CurvePoint {
    /// 0 to 100.
    pub(crate) percentile: f64,
    /// Latency at it.
    pub(crate) latency_us: f64,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Summary {
    /// Messages measured.
    pub(crate) count: u64,
    /// Fastest.
    pub(crate) min_us: f64,
    /// Arithmetic mean.
    pub(crate) mean_us: f64,
    /// Median.
    pub(crate) p50_us: f64,
    /// One in ten is slower.
    pub(crate) p90_us: f64,
    /// One in a hundred is slower.
    pub(crate) p99_us: f64,
    /// One in a thousand is slower.
    pub(crate) p999_us: f64,
    /// One in ten thousand is slower.
    pub(crate) p9999_us: f64,
    /// Slowest.
    pub(crate) max_us: f64,
    /// The whole curve, for plots.
    pub(crate) curve: Vec<CurvePoint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values_recorded() {
        let mut recorder = Recorder::default();
        for us in 1..=10_000u64 {
            recorder.record(us * 1000, 1);
        }
        let summary = recorder.summary();
        let near = |got: f64, want: f64| (got / want - 1.0).abs() < 0.002;
        assert_eq!(summary.count, 10_000);
        assert!(near(summary.p50_us, 5_000.0), "{summary:?}");
        assert!(near(summary.p99_us, 9_900.0), "{summary:?}");
        assert!(near(summary.p9999_us, 9_999.0), "{summary:?}");
        assert!(near(summary.max_us, 10_000.0), "{summary:?}");
    }

    #[test]
    fn runs_of_equal_latency_count_each_message() {
        let mut one = Recorder::default();
        one.record(5_000, 3);
        one.record(5_000, 2);
        let mut other = Recorder::default();
        other.record(9_000, 5);
        one.merge(other);
        let summary = one.summary();
        assert_eq!(summary.count, 10);
        assert!(summary.p50_us < 6.0 && summary.p90_us > 8.0, "{summary:?}");
    }

    #[test]
    fn a_cleared_recorder_has_forgotten_the_open_run_too() {
        let mut recorder = Recorder::default();
        recorder.record(5_000, 3);
        recorder.clear();
        assert_eq!(recorder.summary().count, 0);
    }

    #[test]
    fn longer_than_the_scale_counts_as_its_end_instead_of_failing() {
        let mut recorder = Recorder::default();
        recorder.record(u64::MAX, 1);
        recorder.record(0, 1);
        assert_eq!(recorder.summary().count, 2);
    }
}
