//! Peers that take nothing, or say half of something: the others do not wait for them, and the broker's memory does
//! not grow with them.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::ledger::MessageId;
use haremq_tests::traffic::{
    declare, go_on, queue_name, Consumer, Publisher, SharedLedger, PERSISTENT,
};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::frame::PROTOCOL_HEADER;
use haremq_tests::wire::{method, Client, Login, Received};
use haremq_tests::{eventually, traffic};
use std::net::SocketAddr;
use std::time::Duration;

const BODY_BYTES: usize = 50_000;
const BACKLOG: u64 = 4000;

fn descriptors(broker: &Broker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.id())).expect("the broker runs").count()
}

#[test]
fn a_consumer_that_takes_nothing_costs_no_memory_and_holds_up_nobody() {
    let mut broker = Broker::start();
    let address = broker.amqp();
    declare(address, 2);
    let mut slow = Client::login_with_channel(address);
    slow.consume(1, &queue_name(1), "slow");
    let mut feeder = Publisher::connect(address);
    let ledger = SharedLedger::default();
    let mut bystander = [Publisher::new(1, 1, 10)];
    let before = broker.resident_octets();
    std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        // On the queue of its own, all the time.
        go_on(scope, address, &mut bystander, Consumer::default(), &ledger);
        // 200 MB for the one that takes nothing: more than all sockets and windows between here and there hold.
        let mut confirmed = 0;
        for number in 1..=BACKLOG {
            let body = MessageId { queue: 1, publisher: 0, number }.body(BODY_BYTES);
            feeder.publish(1, "", &queue_name(1), PERSISTENT, &body).expect("octets are taken");
            while confirmed + 50 < number {
                confirmed = feeder.expect(1, method::BASIC_ACK).arguments().longlong();
            }
        }
        // The others went on meanwhile, and go on.
        let delivered = ledger.lock().verdict().delivered;
        eventually("the bystander's messages arrive", PATIENCE, || {
            (ledger.lock().verdict().delivered > delivered + 20).then_some(())
        });
        ledger.stop();
    });
    let grown = broker.resident_octets().saturating_sub(before);
    let queued = BACKLOG * BODY_BYTES as u64;
    println!("grown by {} MiB with {} MiB queued", grown >> 20, queued >> 20);
    assert!(grown < queued / 2, "the broker has grown by {} MiB", grown >> 20);
    let verdict = ledger.lock().verdict();
    println!("bystander: {verdict}");
    assert!(verdict.delivered > 50 && verdict.out_of_order.is_empty(), "{verdict}");

    // It wakes up.
    for number in 1..=BACKLOG {
        let Received::Frame(frame) = slow.receive(PATIENCE) else { panic!("message {number}") };
        let delivery = slow.content(&frame).expect("the connection stays");
        let id = MessageId::of_body(&delivery.body).expect("bodies are whole");
        assert_eq!((id.number, delivery.redelivered), (number, false));
        if number % 100 == 0 {
            slow.ack(1, delivery.tag, true).expect("octets are taken");
        }
    }
    assert!(broker.is_alive());
}

/// Brings a connection to one of several half-way places and leaves it there.
fn half_open(broker: SocketAddr, number: usize) -> Client {
    let mut client = Client::connect(broker);
    match number % 4 {
        0 => {}
        1 => client.send(&PROTOCOL_HEADER[..5]),
        2 => {
            client.greet();
        }
        _ => {
            client.greet();
            client.start_ok(&Login::default());
            client.tune();
        }
    }
    client
}

#[test]
fn half_open_handshakes_and_a_storm_of_resets_disturb_nobody_and_leave_nothing_behind() {
    const HALF_OPEN: usize = 300;
    const RESETS: usize = 1500;
    let mut broker = Broker::start_with(Setup::new());
    let address = broker.amqp();
    declare(address, 2);
    let ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, 1, 50), Publisher::new(1, 1, 1)];
    Client::login_with_channel(address).exercise(1);
    let before = descriptors(&broker);
    let memory_before = broker.resident_octets();
    std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        go_on(scope, address, &mut publishers, Consumer::default(), &ledger);
        let held: Vec<Client> = (0..HALF_OPEN).map(|number| half_open(address, number)).collect();
        for number in 0..RESETS {
            let client = match number % 8 {
                0..=5 => half_open(address, number),
                6 => {
                    // In the middle of a message.
                    let mut client = Client::login_with_channel(address);
                    let octets =
                        Client::publish_octets(1, "", &queue_name(0), PERSISTENT, &[b'x'; 5000]);
                    client.send(&octets[..octets.len() / 2]);
                    client
                }
                _ => {
                    // With deliveries that it has not acknowledged.
                    let mut client = Client::login_with_channel(address);
                    client.qos(1, 10);
                    client.consume(1, &queue_name(1), "gone");
                    client
                }
            };
            client.reset();
        }
        let delivered = ledger.lock().verdict().delivered;
        eventually("messages arrive after the storm", PATIENCE, || {
            (ledger.lock().verdict().delivered > delivered + 20).then_some(())
        });
        ledger.stop();
        drop(held);
    });
    traffic::drain(address, 1, &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    verdict.assert_flawless();
    eventually("all descriptors are closed", Duration::from_secs(30), || {
        (descriptors(&broker) <= before + 10).then_some(())
    });
    let grown = broker.resident_octets().saturating_sub(memory_before);
    println!("grown by {} MiB", grown >> 20);
    assert!(grown < 100 << 20, "the broker has grown by {} MiB", grown >> 20);
    let rows = broker.ctl().rows(&["list_consumers", "queue_name"]);
    assert!(rows.is_empty(), "consumers that are gone are gone: {rows:?}");
    assert!(broker.is_alive());
}
