//! Memory and disk alarms: publishers are blocked and told, consumers go on, and it ends by itself.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::python::{Pika, Program};

#[test]
fn publisher_is_blocked_while_memory_is_short_and_goes_on_when_it_is_drained() {
    // Messages would go to disk before they pass the watermark.
    let setup = Setup::new().arguments([
        "--vm-memory-high-watermark",
        "8000000",
        "--vm-memory-high-watermark-paging-ratio",
        "10",
    ]);
    let broker = Broker::start_with(setup);
    let lines = Program::run(Pika::One, "blocked_publisher", &broker, &[]);
    assert_eq!(lines, ["blocked: low on memory", "unblocked", "2000 of 2000 messages"]);
}

#[test]
fn publisher_is_blocked_while_the_disk_is_short() {
    let setup = Setup::new().arguments(["--disk-free-limit", "18000000000000000000"]);
    let broker = Broker::start_with(setup);
    let lines = Program::run(Pika::One, "blocked_by_disk", &broker, &[]);
    assert_eq!(lines, ["blocked: low on disk", "an idle connection hears nothing"]);
}
