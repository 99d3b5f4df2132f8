//! The report of the suite as Markdown. Pure.

use std::fmt::Write;

use super::text::{count, duration_us, octets};
use crate::suite::metric::{Bound, Unit};
use crate::suite::{Line, SuiteReport};

/// The whole report.
pub(crate) fn report(report: &SuiteReport) -> String {
    let mut text = String::from("# Broker comparison\n\n");
    text += &machine(report);
    text += &method(report);
    text += &table(report);
    text += &own_cost(report);
    if !report.failures.is_empty() {
        text += "\n## What went wrong\n\n";
        for failure in &report.failures {
            let _ = writeln!(text, "- {}, {}: {}", failure.row, failure.broker, failure.what);
        }
    }
    text
}

fn machine(report: &SuiteReport) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "- Machine: {} x {}, {} of memory\n- System: {}, {}\n",
        machine.processors,
        machine.processor,
        octets(machine.memory_octets as f64),
        machine.system,
        machine.kernel
    );
    for broker in &report.brokers {
        let _ = writeln!(text, "- {}: {}", broker.name, broker.identity);
    }
    for sync in &report.sync {
        let how = if sync.direct { "O_DIRECT write + fdatasync" } else { "write + fdatasync" };
        let _ = writeln!(
            text,
            "- {how} of {} KiB: p50 {}, p90 {}, p99 {}, max {}",
            sync.write_octets / 1024,
            duration_us(sync.latency.p50_us),
            duration_us(sync.latency.p90_us),
            duration_us(sync.latency.p99_us),
            duration_us(sync.latency.max_us)
        );
    }
    for floor in &report.floor {
        let _ = writeln!(
            text,
            "- Byte relay, {} B: {:.3} us of CPU per message, {}/s",
            floor.size,
            floor.relay_us,
            count(floor.per_s as u64)
        );
    }
    text
}

fn method(report: &SuiteReport) -> String {
    let settings = &report.settings;
    format!(
        "\nEach figure is the median of {} runs of {} s after {} s of warm-up; brokers take turns. The load \
         generator runs on the same processors. CPU is user and system time of the broker's process from the \
         first message to the last ack, divided by messages. Rows without confirms hold at most 50 000 \
         messages published and not consumed. A goal that refers to write and sync takes the median of those measured \
         before each run of its row, which is its floor. Backlog: {} messages. Publish only: at most {} messages. \
         Connections: {}. Queues: {}. Acks in persistent rows: every {}. Memory per connection and per queue is \
         that of a broker just started if a start command was given; otherwise memory freed by earlier rows \
         hides part of it.\n\n",
        settings.repeat,
        settings.duration_s,
        settings.warm_up_s,
        count(settings.backlog),
        count(settings.publish_only),
        count(u64::from(settings.connections)),
        count(u64::from(settings.queues)),
        settings.ack_every
    )
}

/// One line per metric; ratios are to the first broker.
fn table(report: &SuiteReport) -> String {
    let first = report.brokers.first().map_or("", |broker| broker.name.as_str());
    let mut header = String::from("| row | figure |");
    for (index, broker) in report.brokers.iter().enumerate() {
        let _ = write!(header, " {} |", broker.name);
        if index > 0 {
            let _ = write!(header, " {} / {first} |", broker.name);
        }
    }
    header += " floor | goal |";
    let rule: String =
        header.chars().filter(|c| *c == '|').skip(1).map(|_| "---|").collect::<String>();
    let mut text = format!("{header}\n|{rule}\n");
    let mut last_row = "";
    for line in &report.lines {
        let title = if line.row == last_row { "" } else { line.title };
        last_row = line.row;
        let _ = writeln!(text, "| {title} {}", cells(line));
    }
    text
}

fn cells(line: &Line) -> String {
    let unit = line.metric.unit;
    let mut text = format!("| {} |", line.metric.title);
    let own = line.medians.first().copied().flatten();
    for (index, median) in line.medians.iter().enumerate() {
        let shown = median.map_or("-".to_owned(), |value| unit.show(value));
        let _ = write!(text, " {shown} |");
        if index > 0 {
            let _ = write!(text, " {} |", ratio(*median, own));
        }
    }
    let floor = match (line.floor_us, line.write_and_sync_us) {
        (Some(us), _) => Unit::CpuMicroseconds.show(us),
        (None, Some(us)) => unit.show(us),
        (None, None) => "-".to_owned(),
    };
    let goal = match line.bound() {
        Some(bound) => goal(unit, bound, own),
        None => "-".to_owned(),
    };
    let _ = write!(text, " {floor} | {goal} |");
    text
}

fn ratio(value: Option<f64>, own: Option<f64>) -> String {
    match (value, own) {
        (Some(value), Some(own)) if own > 0.0 => format!("{:.2}", value / own),
        _ => "-".to_owned(),
    }
}

fn goal(unit: Unit, bound: Bound, own: Option<f64>) -> String {
    let wanted = match bound {
        Bound::AtMost(value) => format!("<= {}", unit.show(value)),
        Bound::AtLeast(value) => format!(">= {}", unit.show(value)),
    };
    match own {
        Some(own) if bound.is_met(own) => format!("{wanted}: met"),
        Some(_) => format!("{wanted}: missed"),
        None => wanted,
    }
}

/// What the load generator itself used: where it is near the broker's figure, it is part of the result.
fn own_cost(report: &SuiteReport) -> String {
    let lines: Vec<&Line> =
        report.lines.iter().filter(|line| line.own_cpu_us.iter().any(Option::is_some)).collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nCPU of the load generator per message:\n\n| row |");
    report.brokers.iter().for_each(|broker| {
        let _ = write!(text, " with {} |", broker.name);
    });
    text += "\n|---|";
    report.brokers.iter().for_each(|_| text += "---|");
    text += "\n";
    for line in lines {
        let _ = write!(text, "| {} |", line.row);
        for us in &line.own_cpu_us {
            let shown = us.map_or("-".to_owned(), |us| Unit::CpuMicroseconds.show(us));
            let _ = write!(text, " {shown} |");
        }
        text += "\n";
    }
    text
}
