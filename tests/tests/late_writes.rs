//! Writes that outlive their process: what a killed broker had under way is carried out by the kernel when the next
//! one has started already. It must not go over what that one has written and confirmed.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::disk::blocks::Blocks;
use haremq_tests::disk::device::Disk;
use haremq_tests::disk::mount::{format, possible, Mounted};
use haremq_tests::eventually;
use haremq_tests::ledger::MessageId;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::{declare, drain, queue_name, Publisher, SharedLedger, PERSISTENT};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Client};
use std::time::Duration;

/// How a block of the log begins (docs/log-format.md).
const BLOCK: &[u8] = b"HqBl";
/// Too much for a write that the broker waits for instead of leaving it to the kernel.
const LARGE: usize = 100_000;
/// A start that nothing keeps waiting is over by then, mostly; the test holds either way.
const START: Duration = Duration::from_secs(2);

fn publish(client: &mut Client, ledger: &SharedLedger, id: MessageId, octets: usize) {
    ledger.lock().published(id);
    client.publish(1, "", &queue_name(0), PERSISTENT, &id.body(octets)).expect("octets are taken");
}

fn publish_and_wait(broker: &Broker, ledger: &SharedLedger, publisher: u32, count: u64) {
    let mut client = Publisher::connect(broker.amqp());
    for number in 1..=count {
        let id = MessageId { queue: 0, publisher, number };
        publish(&mut client, ledger, id, 2000);
        client.expect(1, method::BASIC_ACK);
        ledger.lock().confirmed(id);
    }
}

#[test]
fn writes_of_a_killed_broker_that_come_late_destroy_nothing() {
    let name = "writes_of_a_killed_broker_that_come_late_destroy_nothing";
    if skipped(name, possible()) {
        return;
    }
    let disk = Disk::new(Blocks::new(192 << 20));
    format(&disk, &[]).expect("the disk can be formatted");
    disk.serve_side_by_side();
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    let arguments = ["--segment-bytes", "4194304", "--disk-free-limit", "1000000"];
    let directory = mounted.path().join("data");
    let mut broker =
        Broker::start_with(Setup::new().arguments(arguments).data_directory(&directory));
    declare(broker.amqp(), 1);
    let ledger = SharedLedger::default();
    publish_and_wait(&broker, &ledger, 0, 10);

    disk.hold(Some(BLOCK));
    let mut client = Publisher::connect(broker.amqp());
    for number in 1..=5 {
        publish(&mut client, &ledger, MessageId { queue: 0, publisher: 1, number }, LARGE);
    }
    eventually("a write is under way", PATIENCE, || (disk.held() > 0).then_some(()));
    disk.hold(None);
    broker.kill9();
    let started = std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let broker = &mut broker;
        scope.spawn(move || {
            broker.start_again();
            // Nobody listens any more if it has taken longer.
            let _ = tell.send(());
        });
        let is_up = told.recv_timeout(START).is_ok();
        if !is_up {
            disk.carry_out_held();
        }
        is_up
    });
    println!("up before the writes were carried out: {started}");
    ledger.lock().broker_restarted();
    publish_and_wait(&broker, &ledger, 2, 50);
    disk.carry_out_held();
    broker.kill9();

    broker.start_again();
    ledger.lock().broker_restarted();
    drain(broker.amqp(), 1, &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    verdict.assert_flawless();
}
