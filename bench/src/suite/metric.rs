//! What a row of the suite yields: a figure with a unit, and the goal that HareMQ has set itself for it. Pure.

use serde::Serialize;

use crate::report::text;

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Microseconds of CPU; printed with three digits, never in another unit.
    CpuMicroseconds,
    /// Microseconds of waiting.
    Microseconds,
    /// Seconds.
    Seconds,
    /// Per second.
    PerSecond,
    /// Octets.
    Octets,
    /// Hundredths of one processor.
    Percent,
}

impl Unit {
    /// A figure with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::CpuMicroseconds if value < 10.0 => format!("{value:.3} us"),
            Unit::CpuMicroseconds => format!("{value:.1} us"),
            Unit::Microseconds => text::duration_us(value),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::PerSecond => format!("{}/s", text::count(value.max(0.0) as u64)),
            Unit::Octets => text::octets(value),
            Unit::Percent => format!("{value:.2} %"),
        }
    }
}

/// What HareMQ is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// No goal; the figure is for information.
    None,
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// At most so many times one write of 4 KiB and sync, measured in the same run.
    TimesWriteAndSync(f64),
    /// At most this part of the best other broker's figure in the same run.
    PartOfBestRival(f64),
}

/// The goal as a number, where it can be known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Bound {
    /// The figure is within the bound.
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Bound::AtMost(bound) => value <= bound,
            Bound::AtLeast(bound) => value >= bound,
        }
    }
}

impl Goal {
    /// What the disk takes is part of it.
    pub(crate) fn refers_to_disk(self) -> bool {
        matches!(self, Goal::TimesWriteAndSync(_))
    }

    /// The goal as a number. `rivals` are the figures of the other brokers.
    pub(crate) fn bound(self, write_and_sync_us: Option<f64>, rivals: &[f64]) -> Option<Bound> {
        match self {
            Goal::None => None,
            Goal::AtMost(value) => Some(Bound::AtMost(value)),
            Goal::AtLeast(value) => Some(Bound::AtLeast(value)),
            Goal::TimesWriteAndSync(times) => write_and_sync_us.map(|us| Bound::AtMost(us * times)),
            Goal::PartOfBestRival(part) => {
                rivals.iter().copied().reduce(f64::min).map(|best| Bound::AtMost(best * part))
            }
        }
    }
}

/// One figure that a row yields.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Metric {
    /// What it is.
    pub(crate) title: &'static str,
    /// In what it is counted.
    pub(crate) unit: Unit,
    /// What HareMQ is to reach.
    pub(crate) goal: Goal,
}

/// Middle of the values, or the mean of the two in the middle; none if there are no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len(), sorted.get(middle)) {
        (0, _) | (_, None) => None,
        (length, Some(value)) if length % 2 == 1 => Some(*value),
        (_, Some(upper)) => Some((sorted[middle - 1] + upper) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_bad_run() {
        assert_eq!(median(&[3.0, 900.0, 1.0]), Some(3.0));
        assert_eq!(median(&[4.0, 2.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn goals_that_depend_on_the_run_take_their_number_from_it() {
        assert_eq!(
            Goal::TimesWriteAndSync(1.5).bound(Some(100.0), &[]),
            Some(Bound::AtMost(150.0))
        );
        assert_eq!(Goal::TimesWriteAndSync(1.5).bound(None, &[]), None);
        let bound = Goal::PartOfBestRival(0.5).bound(None, &[90.0, 60.0]).unwrap();
        assert!(bound.is_met(30.0) && !bound.is_met(30.1));
        assert_eq!(Goal::PartOfBestRival(0.5).bound(None, &[]), None);
        assert!(Bound::AtLeast(5.0).is_met(6.0));
    }
}
