//! What a crash and an orderly stop leave behind: everything that was confirmed, in order.

use haremq_tests::broker::Broker;
use haremq_tests::durations::Durations;
use haremq_tests::ledger::Verdict;
use haremq_tests::report::Report;
use haremq_tests::traffic::{declare, drain, Consumer, Publisher, SharedLedger};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Client};
use rustix::process::Signal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const QUEUES: u32 = 3;

/// Publishers and consumers at work for `time`, then `end` for the broker; gives when it is over.
fn one_life(
    broker: &mut Broker,
    ledger: &SharedLedger,
    publishers: &mut [Publisher],
    time: Duration,
    end: impl FnOnce(&mut Broker),
) {
    let address = broker.amqp();
    std::thread::scope(|scope| {
        for publisher in publishers {
            let client = Publisher::connect(address);
            scope.spawn(move || publisher.run(client, ledger));
        }
        // Queue 0 is consumed and acknowledged, of queue 1 a part stays unacknowledged, nobody reads queue 2.
        for consumer in [
            Consumer { number: 0, queue: 0, keep: 0, prefetch: 50 },
            Consumer { number: 1, queue: 1, keep: 10, prefetch: 0 },
        ] {
            let client = consumer.connect(address);
            scope.spawn(move || consumer.run(client, ledger));
        }
        // The length of a life is the point: the end must come in the middle of the work.
        std::thread::sleep(time);
        end(broker);
        ledger.stop();
    });
}

/// The number of cycles from the environment, or a few.
fn cycles() -> u32 {
    std::env::var("HAREMQ_CRASH_CYCLES").map_or(5, |text| text.parse().expect("a number of cycles"))
}

fn seed() -> u64 {
    let given = std::env::var("HAREMQ_CRASH_SEED").ok();
    given.map_or_else(
        || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
            u64::from(now.subsec_nanos()) | 1
        },
        |text| text.parse().expect("a seed"),
    )
}

fn finish(broker: &Broker, ledger: &SharedLedger) -> Verdict {
    drain(broker.amqp(), QUEUES, ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    verdict
}

#[test]
fn work_without_any_crash_is_flawless() {
    let mut broker = Broker::start();
    declare(broker.amqp(), QUEUES);
    let ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, QUEUES, 200), Publisher::new(1, QUEUES, 1)];
    one_life(&mut broker, &ledger, &mut publishers, Duration::from_secs(1), |_| {});
    let verdict = finish(&broker, &ledger);
    verdict.assert_flawless();
    assert_eq!(verdict.confirmed, verdict.published, "stopped in peace, all is confirmed");
    assert!(verdict.confirmed > 100, "too little happened to mean anything: {verdict}");
}

#[test]
fn nothing_confirmed_is_lost_over_kill9() {
    let mut report = Report::begin("kill -9 under load");
    let mut random = seed();
    println!("HAREMQ_CRASH_SEED={random} repeats the times of the kills");
    report.add("seed", random);
    report.add("cycles", cycles());
    let mut broker = Broker::start();
    report.disk(&broker.data_directory());
    declare(broker.amqp(), QUEUES);
    let mut ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, QUEUES, 200), Publisher::new(1, QUEUES, 1)];
    let mut starts = Durations::new();
    for _ in 0..cycles() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let time = Duration::from_millis(50 + random % 1200);
        one_life(&mut broker, &ledger, &mut publishers, time, Broker::kill9);
        starts.time(|| broker.start_again());
        ledger = ledger.next_life();
        ledger.lock().broker_restarted();
    }
    println!("from the start of the process until it serves: {starts}");
    let verdict = finish(&broker, &ledger);
    report.durations("start", &starts);
    report.verdict(&verdict);
    verdict.assert_flawless();
    assert!(verdict.confirmed > 100, "too little happened to mean anything: {verdict}");
}

#[test]
fn nothing_confirmed_is_lost_over_sigterm_under_load() {
    let mut report = Report::begin("SIGTERM under load");
    report.add("cycles", cycles().div_ceil(2));
    let mut broker = Broker::start();
    report.disk(&broker.data_directory());
    declare(broker.amqp(), QUEUES);
    let mut ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, QUEUES, 200)];
    let (mut stops, mut starts) = (Durations::new(), Durations::new());
    for _ in 0..cycles().div_ceil(2) {
        let time = Duration::from_millis(400);
        one_life(&mut broker, &ledger, &mut publishers, time, |broker| {
            stops.time(|| broker.stop());
        });
        starts.time(|| broker.start_again());
        ledger = ledger.next_life();
        ledger.lock().broker_restarted();
    }
    println!("from SIGTERM to the end of the process: {stops}; to the next that serves: {starts}");
    let verdict = finish(&broker, &ledger);
    report.durations("stop", &stops);
    report.durations("start", &starts);
    report.verdict(&verdict);
    verdict.assert_flawless();
    assert!(verdict.confirmed > 100, "too little happened to mean anything: {verdict}");
}

#[test]
fn sigterm_and_sigint_tell_the_clients_and_end_with_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut broker = Broker::start();
        let mut clients = [(); 4].map(|()| Client::login_with_channel(broker.amqp()));
        broker.signal(signal);
        for client in &mut clients {
            assert_eq!(
                client.receive(PATIENCE).to_string(),
                "CONN 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0,0)"
            );
            client.method(0, method::CONNECTION_CLOSE_OK, &haremq_tests::wire::Arguments::new());
        }
        let (status, text) = broker.wait_for_end();
        assert!(status.success(), "{signal:?} ended the broker with {status}:\n{text}");
    }
}

#[test]
fn a_client_that_does_not_answer_cannot_hold_the_stop_up() {
    let mut broker = Broker::start();
    let _silent = [(); 3].map(|()| Client::login_with_channel(broker.amqp()));
    let _half_open = Client::connect(broker.amqp());
    let start = std::time::Instant::now();
    broker.stop();
    assert!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());
}

#[test]
fn a_broker_killed_while_idle_comes_back_with_all_it_had() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "durable", 2);
    client.declare_queue(1, "transient", 0);
    client.confirm_select(1);
    let persistent = haremq_tests::traffic::PERSISTENT;
    client.publish(1, "", "durable", persistent, b"stays").expect("the broker takes octets");
    client.expect(1, method::BASIC_ACK);
    client.publish(1, "", "durable", &[0, 0], b"goes").expect("the broker takes octets");
    client.expect(1, method::BASIC_ACK);
    for restart in [Broker::kill9_and_start_again, Broker::stop_and_start_again] {
        restart(&mut broker);
        let mut client = Client::login_with_channel(broker.amqp());
        assert_eq!(client.declare_queue(1, "durable", 1 | 2), 1, "the persistent message");
        let rows = broker.ctl().rows(&["list_queues", "name"]);
        assert_eq!(rows, [["durable"]], "a transient queue does not survive");
    }
    let mut client = Client::login_with_channel(broker.amqp());
    assert_eq!(client.get(1, "durable").map(|delivery| delivery.body), Some(b"stays".to_vec()));
    assert_eq!(client.get(1, "durable"), None);
}

#[test]
fn space_of_acknowledged_messages_is_used_again() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "passing", 2);
    client.confirm_select(1);
    let body = vec![b'x'; 64 * 1024];
    let mut sizes = Vec::new();
    for _ in 0..4 {
        for _ in 0..800 {
            client
                .publish(1, "", "passing", haremq_tests::traffic::PERSISTENT, &body)
                .expect("the broker takes octets");
            client.expect(1, method::BASIC_ACK);
            client.get(1, "passing").expect("the message is there");
        }
        sizes.push(size_on_disk(&broker.data_directory()));
    }
    // 4 x 50 MiB have passed through a queue that is empty each time.
    println!("octets on disk after each 50 MiB: {sizes:?}");
    let (first, last) = (sizes[0], sizes[3]);
    assert!(last < first + (100 << 20), "disk use has grown from {first} to {last}");
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    while let Some(delivery) = client.get(1, "passing") {
        assert!(delivery.redelivered, "what was acknowledged may return, but flagged");
    }
}

fn size_on_disk(directory: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("the data directory is there");
    let size = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().expect("files of the broker can be looked at");
        if metadata.is_dir() {
            size_on_disk(&entry.path())
        } else {
            metadata.len()
        }
    };
    entries.flatten().map(size).sum()
}

#[test]
fn durable_definitions_survive_kill9_and_deleted_ones_stay_deleted() {
    const QUEUE_DELETE: method::Method = (50, 40);
    const QUEUE_UNBIND: method::Method = (50, 50);
    const EXCHANGE_DELETE: method::Method = (40, 20);
    let named = |name: &str| haremq_tests::wire::Arguments::new().short(0).shortstr(name);
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    for (name, durable) in [("kept.x", 2), ("gone.x", 2), ("transient.x", 0)] {
        let declare = named(name).shortstr("topic").octet(durable).empty_table();
        client.call(1, method::EXCHANGE_DECLARE, &declare, method::EXCHANGE_DECLARE_OK);
    }
    for name in ["kept", "gone"] {
        client.declare_queue(1, name, 2);
    }
    for (queue, exchange, key) in [
        ("kept", "kept.x", "a.#"),
        ("kept", "kept.x", "unbound"),
        ("kept", "gone.x", "x"),
        ("gone", "kept.x", "y"),
        ("kept", "transient.x", "z"),
    ] {
        let bind = named(queue).shortstr(exchange).shortstr(key).octet(0).empty_table();
        client.call(1, method::QUEUE_BIND, &bind, method::QUEUE_BIND_OK);
    }
    let unbind = named("kept").shortstr("kept.x").shortstr("unbound").empty_table();
    client.call(1, QUEUE_UNBIND, &unbind, (50, 51));
    client.call(1, QUEUE_DELETE, &named("gone").octet(0), (50, 41));
    client.call(1, EXCHANGE_DELETE, &named("gone.x").octet(0), (40, 21));

    for restart in [Broker::kill9_and_start_again, Broker::kill9_and_start_again] {
        restart(&mut broker);
        let ctl = broker.ctl();
        assert_eq!(ctl.rows(&["list_queues", "name", "durable"]), [["kept", "true"]]);
        let mut exchanges = ctl.rows(&["list_exchanges", "name", "type", "durable"]);
        exchanges.retain(|row| row[0].ends_with(".x"));
        assert_eq!(exchanges, [["kept.x", "topic", "true"]]);
        let mut bindings =
            ctl.rows(&["list_bindings", "source_name", "destination_name", "routing_key"]);
        bindings.retain(|row| !row[0].is_empty());
        assert_eq!(bindings, [["kept.x", "kept", "a.#"]]);
        let mut client = Client::login_with_channel(broker.amqp());
        client.publish(1, "kept.x", "a.b", &[0, 0], b"routed").expect("the broker takes octets");
        assert_eq!(client.get(1, "kept").map(|delivery| delivery.body), Some(b"routed".to_vec()));
    }
}

#[test]
fn a_long_backlog_is_kept_and_read_back_in_order() {
    const MESSAGES: u64 = 2000;
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "backlog", 2);
    client.confirm_select(1);
    let body = |number: u64| {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(100_000, b'x');
        body
    };
    let mut confirmed = 0;
    for number in 1..=MESSAGES {
        client
            .publish(1, "", "backlog", haremq_tests::traffic::PERSISTENT, &body(number))
            .expect("the broker takes octets");
        while confirmed + 50 < number {
            confirmed = client.expect(1, method::BASIC_ACK).arguments().longlong();
        }
    }
    while confirmed < MESSAGES {
        confirmed = client.expect(1, method::BASIC_ACK).arguments().longlong();
    }
    let grown = broker.resident_octets();
    let queued = MESSAGES * 100_000;
    println!("{} MiB resident with {} MiB queued", grown >> 20, queued >> 20);
    assert!(grown < queued * 3 / 4, "the bodies are in memory: {} MiB", grown >> 20);
    for half in 0..2 {
        let mut client = Client::login_with_channel(broker.amqp());
        client.qos(1, 20);
        client.consume(1, "backlog", "reader");
        for number in 1 + half * MESSAGES / 2..=(half + 1) * MESSAGES / 2 {
            let delivery = client.expect(1, method::BASIC_DELIVER);
            let delivery = client.content(&delivery).expect("the content follows");
            assert_eq!(delivery.body[..8], number.to_be_bytes(), "message {number} is next");
            assert!(delivery.body == body(number), "message {number} is damaged");
            client.ack(1, delivery.tag, false).expect("the broker takes octets");
        }
        // What is acknowledged and what is not must be known before the crash.
        client.method(
            1,
            (20, 40),
            &haremq_tests::wire::Arguments::new().short(200).shortstr("").long(0),
        );
        while client.receive(PATIENCE).to_string() != "method (20,41)" {}
        client.open_channel(1);
        client.confirm_select(1);
        client
            .publish(
                1,
                "",
                "backlog",
                haremq_tests::traffic::PERSISTENT,
                &body(MESSAGES + 1 + half),
            )
            .expect("the broker takes octets");
        client.expect(1, method::BASIC_ACK);
        broker.kill9_and_start_again();
    }
    let mut client = Client::login_with_channel(broker.amqp());
    for number in [MESSAGES + 1, MESSAGES + 2] {
        let delivery = client.get(1, "backlog").expect("the message is there");
        assert_eq!(delivery.body[..8], number.to_be_bytes(), "message {number} is next");
    }
    assert_eq!(client.get(1, "backlog"), None);
}
