//! How long things took: collected by tests that do not judge it, and shown.

use std::fmt;
use std::time::{Duration, Instant};

/// Lengths of time of one kind.
#[derive(Debug, Clone, Default)]
pub struct Durations(Vec<Duration>);

impl Durations {
    /// None yet.
    pub fn new() -> Durations {
        Durations::default()
    }

    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// Does something and adds how long it took.
    pub fn time<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = what();
        self.add(start.elapsed());
        result
    }

    /// The shortest one that is not exceeded by so many of a thousand; None of none.
    pub fn at_most(&self, per_mille: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get((sorted.len() * per_mille).div_ceil(1000).saturating_sub(1)).copied()
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |per_mille| self.at_most(per_mille).unwrap_or_default().as_secs_f64() * 1e3;
        let (p50, p99, most) = (ms(500), ms(990), ms(1000));
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms, of {}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_those_that_were_added() {
        let mut durations = Durations::new();
        assert_eq!(durations.at_most(500), None);
        (1..=200).rev().for_each(|ms| durations.add(Duration::from_millis(ms)));
        let ms = |per_mille| durations.at_most(per_mille).map(|one| one.as_millis());
        assert_eq!((ms(500), ms(990), ms(1000)), (Some(100), Some(198), Some(200)));
        assert_eq!(durations.to_string(), "p50 100.0 ms, p99 198.0 ms, most 200.0 ms, of 200");
    }
}
