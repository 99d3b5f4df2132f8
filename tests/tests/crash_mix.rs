//! Crashes mixed with everything else: pauses, kills in the middle of recovery, large messages, messages that expire
//! into another queue, queues that are declared, purged and deleted meanwhile.
//!
//! `HAREMQ_CRASH_CYCLES` sets how many lives the broker has.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::random::Random;
use haremq_tests::report::Report;
use haremq_tests::traffic::{declare, go_on, queue_name, Consumer, Publisher, SharedLedger};
use haremq_tests::wire::{method, Arguments, Client, Received};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const QUEUES: u32 = 3;
const EXPIRING: u32 = QUEUES - 1;
const DEAD: &str = "dead";

fn cycles() -> u32 {
    std::env::var("HAREMQ_CRASH_CYCLES").map_or(4, |text| text.parse().expect("a number of cycles"))
}

fn declare_all(broker: SocketAddr) {
    declare(broker, EXPIRING);
    let mut client = Client::login_with_channel(broker);
    client.declare_queue(1, DEAD, 2);
    client.declare_expiring_queue(1, &queue_name(EXPIRING), 200, DEAD);
}

/// Declares, fills, purges and deletes queues for as long as the broker is there.
fn churn(mut client: Client, ledger: &SharedLedger) {
    let queue = Arguments::new().short(0).shortstr("churn");
    let declare = queue.clone().octet(2).empty_table();
    let purge = queue.clone().octet(0);
    let delete = queue.octet(0);
    while !ledger.is_stopped() {
        for (call, arguments) in
            [(method::QUEUE_DECLARE, &declare), ((50, 30), &purge), (method::QUEUE_DELETE, &delete)]
        {
            let octets = haremq_tests::wire::Frame::method(1, call, arguments).encode();
            let content = Client::publish_octets(1, "", "churn", &[0x10, 0, 2], &[7; 3000]);
            let sent = client.try_send(&octets).and_then(|()| client.try_send(&content));
            if sent.is_err()
                || !matches!(client.receive(Duration::from_secs(20)), Received::Frame(_))
            {
                return;
            }
        }
    }
}

fn one_life(
    broker: &mut Broker,
    ledger: &SharedLedger,
    publishers: &mut [Publisher],
    end: impl FnOnce(&mut Broker),
) {
    let address = broker.amqp();
    std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        let consumer = Consumer { number: 0, queue: 0, keep: 7, prefetch: 100 };
        go_on(scope, address, publishers, consumer, ledger);
        let client = Client::login_with_channel(address);
        scope.spawn(move || churn(client, ledger));
        end(broker);
        ledger.stop();
    });
}

/// Kills the broker again and again while it reads its log back.
fn kill_in_recovery(broker: &mut Broker, random: &mut Random) {
    for _ in 0..2 {
        broker.start_and_kill9_after(Duration::from_micros(random.below(150_000)));
    }
}

/// Takes everything there is, the dead letters last.
fn drain_all(broker: SocketAddr, ledger: &SharedLedger) {
    ledger.lock().drain_begins();
    let mut client = Client::login_with_channel(broker);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for (number, queue) in (0..QUEUES).map(queue_name).chain([DEAD.to_string()]).enumerate() {
            let number = u32::MAX - u32::try_from(number).expect("few");
            while let Some(delivery) = client.get(1, &queue) {
                ledger.lock().delivered(number, &delivery.body, delivery.redelivered);
            }
        }
        if ledger.lock().verdict().lost.is_empty() || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn confirmed_messages_survive_kills_pauses_and_kills_in_recovery() {
    let mut report = Report::begin("pauses, kills, and kills in recovery");
    let seed = Random::seed("HAREMQ_CRASH_SEED");
    report.add("seed", seed);
    report.add("cycles", cycles());
    let mut random = Random::new(seed);
    let setup = Setup::new().arguments(["--segment-bytes", "4194304"]);
    let mut broker = Broker::start_with(setup);
    report.disk(&broker.data_directory());
    declare_all(broker.amqp());
    let mut ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, QUEUES, 100), Publisher::new(1, QUEUES, 1)];
    publishers[0].large = Some((61, 3 << 20));
    for _ in 0..cycles() {
        let (run, pause) = (200 + random.below(500), 20 + random.below(300));
        let graceful = random.below(4) == 0;
        one_life(&mut broker, &ledger, &mut publishers, |broker| {
            // Moments are the point here.
            std::thread::sleep(Duration::from_millis(run));
            broker.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(pause));
            broker.signal(Signal::CONT);
            std::thread::sleep(Duration::from_millis(run / 2));
            if graceful {
                broker.stop();
            } else {
                broker.kill9();
            }
        });
        kill_in_recovery(&mut broker, &mut random);
        broker.start_again();
        ledger = ledger.next_life();
        ledger.lock().broker_restarted();
    }
    drain_all(broker.amqp(), &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    report.verdict(&verdict);
    verdict.assert_flawless();
    assert!(verdict.confirmed > 100, "too little happened to mean anything: {verdict}");
}
