//! Values with units: `1KiB`, `500ms`, `1M`. Pure, but for the look-up of a listener.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::error::Result;
use crate::procstat::listener::pid_of_listener;

/// A length of time from the command line.
pub(crate) type Seconds = Duration;

/// A value that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    /// Not a size.
    #[error("'{0}' is no size: write 1024, 1KiB, 64KiB or 1MiB")]
    Size(String),
    /// Not a time.
    #[error("'{0}' is no length of time: write 500ms, 10s or 2m")]
    Time(String),
    /// Not a count.
    #[error("'{0}' is no count: write 1000, 10k or 1M")]
    Count(String),
    /// Nothing to do.
    #[error("at least one is needed")]
    None,
    /// Not a rate.
    #[error("'{0}' is no rate: write messages per second over 0, such as 0.5, 5000 or 20k")]
    Rate(String),
    /// Not a pid.
    #[error("'{0}' is neither a pid nor auto")]
    Pid(String),
    /// Not an argument.
    #[error("'{0}' is not NAME=VALUE")]
    Argument(String),
    /// Not the name of a plot.
    #[error("'{0}' is no name for a plot: plots are SVG, so write NAME.svg")]
    Plot(String),
}

/// Splits digits from unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value: f64 = digits.parse().ok()?;
    Some((value, unit))
}

/// Octets.
pub(crate) fn parse_size(text: &str) -> Result<usize, ValueError> {
    let wrong = || ValueError::Size(text.to_owned());
    let (value, unit) = split(text).ok_or_else(wrong)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "k" | "K" | "KiB" | "Ki" => 1024.0,
        "M" | "MiB" | "Mi" => 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    // RabbitMQ's largest message has 512 MiB.
    let octets = value * factor;
    if octets > 536_870_912.0 {
        return Err(wrong());
    }
    Ok(octets as usize)
}

/// A file for a plot. A name that promises another format would be believed by what opens it.
pub(crate) fn parse_plot(text: &str) -> Result<PathBuf, ValueError> {
    let is_svg = Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("svg"));
    is_svg.then(|| PathBuf::from(text)).ok_or_else(|| ValueError::Plot(text.to_owned()))
}

/// A length of time.
pub(crate) fn parse_seconds(text: &str) -> Result<Seconds, ValueError> {
    let wrong = || ValueError::Time(text.to_owned());
    let (value, unit) = split(text).ok_or_else(wrong)?;
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(value * factor).map_err(|_| wrong())
}

/// A number of messages.
pub(crate) fn parse_count(text: &str) -> Result<u64, ValueError> {
    let value = parse_number(text).ok_or_else(|| ValueError::Count(text.to_owned()))?;
    Ok(value as u64)
}

/// The same, where none would be nothing to do.
pub(crate) fn parse_some(text: &str) -> Result<u64, ValueError> {
    match parse_count(text)? {
        0 => Err(ValueError::None),
        count => Ok(count),
    }
}

/// Messages per second.
pub(crate) fn parse_rate(text: &str) -> Result<f64, ValueError> {
    let rate = parse_number(text).filter(|rate| *rate > 0.0);
    rate.ok_or_else(|| ValueError::Rate(text.to_owned()))
}

/// A decimal number, not below 0 and finite, of ones, thousands, millions or thousands of millions.
fn parse_number(text: &str) -> Option<f64> {
    let (value, unit) = split(text)?;
    let factor = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    Some(value * factor)
}

/// The broker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PidChoice {
    /// Who listens on the port.
    Auto,
    /// This one.
    Pid(i32),
}

impl FromStr for PidChoice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<PidChoice, ValueError> {
        match text.parse::<i32>() {
            Ok(pid) if pid > 0 => Ok(PidChoice::Pid(pid)),
            _ if text == "auto" => Ok(PidChoice::Auto),
            _ => Err(ValueError::Pid(text.to_owned())),
        }
    }
}

impl PidChoice {
    /// The pid.
    pub(crate) fn resolve(self, port: u16) -> Result<i32> {
        match self {
            PidChoice::Auto => pid_of_listener(port),
            PidChoice::Pid(pid) => Ok(pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        assert_eq!(parse_size("16"), Ok(16));
        assert_eq!(parse_size("1KiB"), Ok(1024));
        assert_eq!(parse_size("1.5k"), Ok(1536));
        assert_eq!(parse_size("2MiB"), Ok(2_097_152));
        assert_eq!(parse_seconds("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_seconds("3"), Ok(Duration::from_secs(3)));
        assert_eq!(parse_count("1M"), Ok(1_000_000));
        assert_eq!(parse_count("0"), Ok(0));
        assert_eq!(parse_some("1"), Ok(1));
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        assert_eq!(parse_rate("20k"), Ok(20_000.0));
        assert_eq!(parse_plot("out/a.b.svg"), Ok(PathBuf::from("out/a.b.svg")));
        assert_eq!("auto".parse(), Ok(PidChoice::Auto));
        assert_eq!("42".parse(), Ok(PidChoice::Pid(42)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "1TB", "-1", "1.2.3", "9999M"] {
            assert_eq!(parse_size(text), Err(ValueError::Size(text.into())), "{text}");
        }
        for text in ["", "0", "-1", "nan", "inf", "fast", "5/s"] {
            assert_eq!(parse_rate(text), Err(ValueError::Rate(text.into())), "{text}");
        }
        for text in ["", "latency", "latency.png", "svg", ".svg"] {
            assert_eq!(parse_plot(text), Err(ValueError::Plot(text.into())), "{text}");
        }
        assert_eq!(parse_some("0"), Err(ValueError::None));
        assert_eq!(parse_seconds("1y"), Err(ValueError::Time("1y".into())));
        assert_eq!("-5".parse::<PidChoice>(), Err(ValueError::Pid("-5".into())));
    }
}
