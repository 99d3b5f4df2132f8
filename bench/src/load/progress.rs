//! The line that is printed each second, and the samples that make the plot.

use crate::load::outcome::{Mark, Sample};
use crate::report::text::{count, duration_us};

/// Between two lines.
const LINE_NS: u64 = 1_000_000_000;
/// Between two samples.
const SAMPLE_NS: u64 = 200_000_000;

/// Follows a lap.
pub(crate) struct Progress {
    print: bool,
    name: &'static str,
    start: Mark,
    line: Mark,
    next_sample_ns: u64,
    samples: Vec<Sample>,
    rss_peak_octets: u64,
}

impl Progress {
    /// Begins to follow a lap; `print` lines or only sample.
    pub(crate) fn begin(print: bool, name: &'static str, start: Mark) -> Progress {
        Progress {
            print,
            name,
            next_sample_ns: start.at_ns,
            line: start.clone(),
            start,
            samples: Vec::new(),
            rss_peak_octets: 0,
        }
    }

    /// A sample is due.
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_sample_ns
    }

    /// Takes a sample, and prints if a line is due.
    pub(crate) fn follow(&mut self, mark: Mark) {
        self.next_sample_ns = mark.at_ns + SAMPLE_NS;
        self.sample(&mark);
        if let Some(broker) = mark.broker {
            self.rss_peak_octets = self.rss_peak_octets.max(broker.rss_octets);
        }
        if mark.at_ns >= self.line.at_ns + LINE_NS {
            if self.print {
                eprintln!("{}", self.describe(&mark));
            }
            self.line = mark;
        }
    }

    /// Ends the lap; hands out the samples and the highest resident set of the broker.
    pub(crate) fn end(mut self, end: &Mark) -> (Vec<Sample>, u64) {
        self.sample(end);
        (self.samples, self.rss_peak_octets)
    }

    fn sample(&mut self, mark: &Mark) {
        let (first, now) = (&self.start.reading, &mark.reading);
        self.samples.push(Sample {
            at_s: (mark.at_ns - self.start.at_ns) as f64 / 1e9,
            published: now.published - first.published,
            confirmed: now.confirmed - first.confirmed,
            consumed: now.consumed - first.consumed,
        });
    }

    fn describe(&self, mark: &Mark) -> String {
        let seconds = (mark.at_ns - self.line.at_ns) as f64 / 1e9;
        let (before, now) = (&self.line.reading, &mark.reading);
        let rate = |now: u64, before: u64| count(((now - before) as f64 / seconds) as u64);
        let mut line = format!(
            "{:>8} {:4.0} s  published {:>11}/s  consumed {:>11}/s",
            self.name,
            (mark.at_ns - self.start.at_ns) as f64 / 1e9,
            rate(now.published, before.published),
            rate(now.consumed, before.consumed),
        );
        if now.confirmed > 0 {
            line += &format!("  confirmed {:>11}/s", rate(now.confirmed, before.confirmed));
        }
        if now.recent_p50_ns > 0 {
            line += &format!(
                "  p50 {:>9}  p99 {:>9}",
                duration_us(now.recent_p50_ns as f64 / 1e3),
                duration_us(now.recent_p99_ns as f64 / 1e3)
            );
        }
        if let (Some(before), Some(now)) = (self.line.broker, mark.broker) {
            let busy = (now.cpu_us - before.cpu_us) as f64 / 1e4 / seconds;
            line += &format!("  broker {busy:3.0} % {} MB", now.rss_octets / 1_000_000);
        }
        if now.nacked > 0 || now.returned > 0 {
            line += &format!("  nacked {}  returned {}", count(now.nacked), count(now.returned));
        }
        if now.held > 0 {
            line += &format!("  BLOCKED by the broker: {} producers", now.held);
        }
        line
    }
}
