//! Figures and tables for the terminal. Pure.

use std::fmt::Write;

use crate::latency::Summary;
use crate::load::outcome::LoadOutcome;

/// An integer with thin groups of three: `1 234 567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration in the unit that suits it: `87 us`, `1.25 ms`, `3.20 s`.
pub(crate) fn duration_us(us: f64) -> String {
    if us < 10.0 {
        format!("{us:.1} us")
    } else if us < 1_000.0 {
        format!("{us:.0} us")
    } else if us < 1_000_000.0 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

/// Memory of each, or that there is no such figure.
pub(crate) fn memory_of_each(each: Option<f64>) -> String {
    each.map_or_else(|| "an unknown amount (more was given back meanwhile)".to_owned(), octets)
}

/// A size in the decimal unit that suits it: `512 B`, `26.4 KB`, `1.20 GB`.
pub(crate) fn octets(octets: f64) -> String {
    if octets.abs() < 1e3 {
        format!("{octets:.0} B")
    } else if octets.abs() < 1e6 {
        format!("{:.1} KB", octets / 1e3)
    } else if octets.abs() < 1e9 {
        format!("{:.1} MB", octets / 1e6)
    } else {
        format!("{:.2} GB", octets / 1e9)
    }
}

/// The result of a run, several lines.
pub(crate) fn outcome(outcome: &LoadOutcome) -> String {
    let mut text = String::new();
    let mut line = |head: &str, tail: String| {
        let _ = writeln!(text, "{head:<12}{tail}");
    };
    line("broker", outcome.identity.to_string());
    let flow = |messages, seconds, rate| {
        format!("{:>13} in {seconds:.2} s = {:>11}/s", count(messages), count(rate as u64))
    };
    if outcome.published > 0 {
        line("published", flow(outcome.published, outcome.publish_s, outcome.published_per_s));
    }
    if outcome.confirmed > 0 {
        line("confirmed", flow(outcome.confirmed, outcome.confirm_s, outcome.confirmed_per_s));
    }
    if outcome.consumed > 0 {
        let octets_per_s = outcome.consumed_octets as f64 / outcome.consume_s.max(1e-9);
        let flow = flow(outcome.consumed, outcome.consume_s, outcome.consumed_per_s);
        line("consumed", format!("{flow}, {}/s of bodies", octets(octets_per_s)));
    }
    line(
        "errors",
        format!(
            "nacked {}, returned {}, redelivered {}",
            count(outcome.nacked),
            count(outcome.returned),
            count(outcome.redelivered)
        ),
    );
    for (name, summary) in [
        ("end-to-end", &outcome.end_to_end),
        ("confirm", &outcome.confirm),
        ("sent late", &outcome.lag),
    ] {
        if let Some(summary) = summary {
            line(name, percentiles(summary));
        }
    }
    line("CPU", cpu(outcome));
    if let Some(broker) = &outcome.broker {
        let [start, end, peak] =
            [broker.rss_start_octets, broker.rss_end_octets, broker.rss_peak_octets]
                .map(|value| octets(value as f64));
        line("broker RSS", format!("{start} before, {end} after, {peak} at most"));
    }
    line("verdict", verdict(outcome));
    text
}

fn cpu(outcome: &LoadOutcome) -> String {
    let workers: Vec<String> =
        outcome.generator.worker_cpu_s.iter().map(|seconds| format!("{seconds:.2}")).collect();
    let own = format!(
        "haremq-perf {:.3} us/message ({} s by thread)",
        outcome.generator.cpu_us_per_message,
        workers.join(" + ")
    );
    match &outcome.broker {
        Some(broker) => {
            let mut text = format!(
                "broker {:.3} us/message ({:.2} s)",
                broker.cpu_us_per_message, broker.cpu_s
            );
            if let Some(per_delivery) = broker.cpu_us_per_delivery {
                if outcome.consumed != outcome.published {
                    text += &format!(", {per_delivery:.3} us/delivery");
                }
            }
            format!("{text}, {own}")
        }
        None => own,
    }
}

/// One line of percentiles.
pub(crate) fn percentiles(summary: &Summary) -> String {
    let points = [
        ("p50", summary.p50_us),
        ("p90", summary.p90_us),
        ("p99", summary.p99_us),
        ("p99.9", summary.p999_us),
        ("p99.99", summary.p9999_us),
        ("max", summary.max_us),
    ];
    let points: Vec<String> =
        points.iter().map(|(name, us)| format!("{name} {}", duration_us(*us))).collect();
    points.join("  ")
}

fn verdict(outcome: &LoadOutcome) -> String {
    let faults: Vec<String> = outcome.faults.iter().map(ToString::to_string).collect();
    let mut text = match outcome.audit {
        _ if !faults.is_empty() => format!("FAILED: {}", faults.join(", ")),
        Some(audit) if audit.lost + audit.duplicated + audit.never_sent > 0 => format!(
            "no fault, but {} did not arrive and {} arrived again",
            count(audit.lost),
            count(audit.duplicated)
        ),
        Some(_) => "every message arrived exactly once".to_owned(),
        None => "counts agree".to_owned(),
    };
    if let Some(audit) = outcome.audit.filter(|audit| audit.out_of_order > 0) {
        text += &format!(" ({} out of order)", count(audit.out_of_order));
    }
    if outcome.interrupted {
        text += " (interrupted)";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_take_the_unit_that_suits_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(duration_us(4.25), "4.2 us");
        assert_eq!(duration_us(1_250.0), "1.25 ms");
        assert_eq!(duration_us(3_200_000.0), "3.20 s");
        assert_eq!(octets(26_400.0), "26.4 KB");
        assert_eq!(octets(-1_000_000.0), "-1.0 MB");
    }
}
