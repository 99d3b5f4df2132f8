//! A disk that fails: the broker says so and ends, and has confirmed nothing that the disk did not take.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::disk::blocks::Blocks;
use haremq_tests::disk::device::{Disk, Refusal};
use haremq_tests::disk::mount::{format, possible, Mounted};
use haremq_tests::disk::recording::Tear;
use haremq_tests::eventually;
use haremq_tests::ledger::MessageId;
use haremq_tests::random::Random;
use haremq_tests::report::Report;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::{
    declare, drain, queue_name, Consumer, Publisher, SharedLedger, PERSISTENT,
};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::method;
use std::time::Instant;

const QUEUES: u32 = 2;

fn setup(mounted: &Mounted) -> Setup {
    let arguments = ["--segment-bytes", "4194304", "--disk-free-limit", "1000000"];
    Setup::new().arguments(arguments).data_directory(&mounted.path().join("data"))
}

/// Publishes until the disk has begun to refuse and the broker is gone; starts it on what the disk held, all of it
/// behind the last good flush torn away.
fn nothing_is_confirmed_after(refusal: Refusal) {
    let mut report = Report::begin("a disk that refuses");
    report.add("refuses", format!("{refusal:?}"));
    let disk = Disk::new(Blocks::new(192 << 20));
    format(&disk, &[]).expect("the disk can be formatted");
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    report.disk(mounted.path());
    let mut broker = Broker::start_with(setup(&mounted));
    declare(broker.amqp(), QUEUES);
    disk.record();
    let ledger = SharedLedger::default();
    let mut publisher = Publisher::new(0, QUEUES, 100);
    let (status, text, took) = std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        let client = Publisher::connect(broker.amqp());
        scope.spawn(|| publisher.run(client, &ledger));
        eventually("publishes are confirmed", PATIENCE, || {
            (ledger.lock().verdict().confirmed > 500).then_some(())
        });
        let refused_at = Instant::now();
        disk.refuse(refusal);
        // The publisher goes on meanwhile: a disk that nobody writes to fails nobody.
        let (status, text) = broker.wait_for_end();
        (status, text, refused_at.elapsed())
    });
    println!("{status} {:.1} ms after the disk began to refuse\n{text}", took.as_secs_f64() * 1e3);
    report.add("ends_after_ms", took.as_secs_f64() * 1e3);
    assert!(disk.refused() > 0);
    assert_eq!(status.code(), Some(1), "a failed disk ends the broker with a failure:\n{text}");
    assert!(text.contains("Input/output error"), "what the system said is missing:\n{text}");
    assert!(text.contains(".segment") || text.contains("segment file"), "which file:\n{text}");
    assert!(!text.contains("panicked"), "it panicked:\n{text}");
    drop(mounted);

    let recording = disk.take_recording();
    let image = recording.image(recording.length(), Tear::Everything, &mut Random::new(1));
    let healed = Disk::new(image);
    let mounted = Mounted::new(&healed).expect("the healed disk can be mounted");
    let broker = Broker::start_with(setup(&mounted));
    ledger.lock().broker_restarted();
    drain(broker.amqp(), QUEUES, &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    report.verdict(&verdict);
    verdict.assert_flawless();
    drop(broker);
}

#[test]
fn nothing_is_delivered_that_cannot_be_read_and_the_broker_says_so_and_ends() {
    const BODY_BYTES: usize = 60_000;
    // More than the broker keeps in memory of what it has written.
    const BACKLOG: u64 = 1000;
    let name = "nothing_is_delivered_that_cannot_be_read_and_the_broker_says_so_and_ends";
    if skipped(name, possible()) {
        return;
    }
    let disk = Disk::new(Blocks::new(192 << 20));
    format(&disk, &[]).expect("the disk can be formatted");
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    let mut broker = Broker::start_with(setup(&mounted));
    declare(broker.amqp(), 1);
    let ledger = SharedLedger::default();
    let mut client = Publisher::connect(broker.amqp());
    let mut confirmed = 0;
    for number in 1..=BACKLOG {
        let id = MessageId { queue: 0, publisher: 0, number };
        ledger.lock().published(id);
        let body = id.body(BODY_BYTES);
        client.publish(1, "", &queue_name(0), PERSISTENT, &body).expect("octets are taken");
        while confirmed + 20 < number || number == BACKLOG && confirmed < BACKLOG {
            let last = client.expect(1, method::BASIC_ACK).arguments().longlong();
            for number in confirmed + 1..=last {
                ledger.lock().confirmed(MessageId { number, ..id });
            }
            confirmed = last;
        }
    }
    disk.refuse(Refusal::Reads);
    let consumer = Consumer { number: 0, queue: 0, keep: 1, prefetch: 0 };
    consumer.run(consumer.connect(broker.amqp()), &ledger);
    let (status, text) = broker.wait_for_end();
    println!("{status}\n{text}");
    assert!(disk.refused() > 0, "everything was in memory");
    assert_eq!(status.code(), Some(1), "a failed disk ends the broker with a failure:\n{text}");
    assert!(text.contains("reading segment file"), "what failed is missing:\n{text}");
    assert!(text.contains("Input/output error"), "what the system said is missing:\n{text}");
    assert!(!text.contains("panicked"), "it panicked:\n{text}");

    disk.refuse(Refusal::Nothing);
    broker.start_again();
    ledger.lock().broker_restarted();
    drain(broker.amqp(), 1, &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    verdict.assert_flawless();
    drop(broker);
}

#[test]
fn nothing_is_confirmed_after_a_failed_write() {
    if !skipped("nothing_is_confirmed_after_a_failed_write", possible()) {
        nothing_is_confirmed_after(Refusal::Writes);
    }
}

#[test]
fn nothing_is_confirmed_after_a_failed_sync() {
    if !skipped("nothing_is_confirmed_after_a_failed_sync", possible()) {
        nothing_is_confirmed_after(Refusal::Flushes);
    }
}
