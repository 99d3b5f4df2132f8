//! The answers of the broker to the probe programs, beside RabbitMQ's.

use haremq_tests::broker::Broker;
use haremq_tests::probe::{compare, read_answers, Differences, Report};
use haremq_tests::python::{Pika, Program};
use std::io::Write;
use std::process::Command;

fn differences() -> Differences {
    toml::from_str(include_str!("../probe/differences.toml"))
        .expect("differences.toml is well formed")
}

/// Runs `tests/probe/<program>.py` against a broker; gives the lines it printed.
fn probe(program: &str) -> Vec<String> {
    let broker = Broker::start();
    let path = haremq_tests::binaries::workspace().join("tests/probe").join(program);
    let address = broker.amqp();
    let mut command = Command::new(Pika::One.interpreter());
    command.arg(path).arg(address.ip().to_string()).arg(address.port().to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Program::spawn(program, &mut command).finish_within(std::time::Duration::from_secs(300))
}

#[track_caller]
fn assert_as_listed(report: &Report) {
    // Past the capture of the test runner: the number is worth seeing on every run.
    writeln!(std::io::stdout(), "{report}").expect("stdout takes the report");
    assert!(report.unexpected.is_empty(), "{} answers differ", report.unexpected.len());
    assert!(
        report.obsolete.is_empty(),
        "differences.toml lists what agrees: {:?}",
        report.obsolete
    );
}

#[test]
fn clients_get_rabbitmqs_answers() {
    let recorded = read_answers(include_str!("../probe/cases-3.10.8.tsv").lines());
    assert_eq!(recorded.len(), 205);
    let lines = probe("cases.py");
    let ours = read_answers(lines.iter().map(String::as_str));
    assert_as_listed(&compare("probe", &recorded, &ours, &differences().cases));
}

#[test]
fn bare_sockets_get_rabbitmqs_answers() {
    let recorded = read_answers(include_str!("../probe/raw-3.10.8.tsv").lines());
    assert_eq!(recorded.len(), 33);
    let lines = probe("raw.py");
    let ours = read_answers(lines.iter().map(String::as_str));
    assert_as_listed(&compare("raw", &recorded, &ours, &differences().raw));
}
