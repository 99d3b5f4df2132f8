//! Connections that are taken to the shard of their queue while they work: whatever is under way on their
//! sockets, nothing is lost, doubled or out of order.

use haremq_tests::broker::Broker;
use haremq_tests::traffic::{
    declare, drain, queue_name, Consumer, Publisher, SharedLedger, PERSISTENT,
};
use haremq_tests::wire::{method, Client};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Everybody works with one queue, so about half of the connections begin on another shard.
fn crowd(
    broker: &mut Broker,
    ledger: &SharedLedger,
    publishers: &mut [Publisher],
    end: fn(&mut Broker),
) {
    let address = broker.amqp();
    std::thread::scope(|scope| {
        for publisher in publishers {
            let client = Publisher::connect(address);
            scope.spawn(move || publisher.run(client, ledger));
        }
        for number in 0..3 {
            let keep = u64::from(number) * 10;
            let consumer = Consumer { number, queue: 0, keep, prefetch: 20 };
            let client = consumer.connect(address);
            scope.spawn(move || consumer.run(client, ledger));
        }
        // Long enough for everybody to have been moved; the end comes in the middle of the work.
        std::thread::sleep(Duration::from_millis(300));
        end(broker);
        ledger.stop();
    });
}

fn publishers() -> Vec<Publisher> {
    [1, 10, 200]
        .iter()
        .zip(0..)
        .map(|(window, number)| Publisher::new(number, 1, *window))
        .collect()
}

#[test]
fn nothing_is_lost_doubled_or_reordered_when_connections_move() {
    let mut broker = Broker::start();
    declare(broker.amqp(), 1);
    let mut ledger = SharedLedger::default();
    let mut publishers = publishers();
    for _ in 0..2 {
        crowd(&mut broker, &ledger, &mut publishers, |_| {});
        ledger = ledger.next_life();
    }
    drain(broker.amqp(), 1, &ledger);
    let verdict = ledger.lock().verdict();
    verdict.assert_flawless();
    assert_eq!(verdict.confirmed, verdict.published, "stopped in peace, all is confirmed");
    assert!(verdict.confirmed > 100, "too little happened to mean anything: {verdict}");
}

#[test]
fn nothing_confirmed_is_lost_when_the_broker_is_killed_while_connections_move() {
    let mut broker = Broker::start();
    declare(broker.amqp(), 1);
    let mut ledger = SharedLedger::default();
    let mut publishers = publishers();
    for _ in 0..2 {
        crowd(&mut broker, &ledger, &mut publishers, Broker::kill9);
        broker.start_again();
        ledger = ledger.next_life();
        ledger.lock().broker_restarted();
    }
    drain(broker.amqp(), 1, &ledger);
    let verdict = ledger.lock().verdict();
    verdict.assert_flawless();
    assert!(verdict.confirmed > 100, "too little happened to mean anything: {verdict}");
}

/// A stream of whole publishes, sent in pieces that are cut anywhere.
#[test]
fn octets_of_a_moving_connection_arrive_once_wherever_they_are_cut() {
    const MESSAGES: u32 = 300;
    let broker = Broker::start();
    let mut control = Client::login_with_channel(broker.amqp());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    // Several connections to each of several queues: some begin on the right shard, some do not.
    for round in 0..6 {
        let queue = queue_name(round % 2);
        control.declare_queue(1, &queue, 2);
        let mut client = Client::login_with_channel(broker.amqp());
        client.confirm_select(1);
        let mut octets = Vec::new();
        for number in 0..MESSAGES {
            octets.extend(Client::publish_octets(
                1,
                "",
                &queue,
                PERSISTENT,
                number.to_string().as_bytes(),
            ));
        }
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (now, later) = rest.split_at((random % 400 + 1).min(rest.len() as u64) as usize);
            client.send(now);
            rest = later;
        }
        client.await_confirms(1, u64::from(MESSAGES));
        for number in 0..MESSAGES {
            let delivery = client.get(1, &queue).expect("a message");
            assert_eq!(String::from_utf8_lossy(&delivery.body), number.to_string());
        }
        assert_eq!(client.get(1, &queue), None);
    }
}

/// The numbers after each `"name":` in what the management port says of its shards and their latencies.
fn reported(broker: &Broker, name: &str) -> Vec<u64> {
    let mut stream = TcpStream::connect(broker.management()).expect("the management port listens");
    // guest:guest
    let request = "GET /api/haremq/latency HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\
                   Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let key = format!("\"{name}\":");
    let fields = answer.split(&key).skip(1);
    let numbers = fields.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    numbers.map(|number| number.and_then(|text| text.parse().ok()).expect("a number")).collect()
}

#[test]
fn connections_are_seen_to_move_and_latencies_to_be_counted() {
    let broker = Broker::start();
    declare(broker.amqp(), 1);
    let mut clients: Vec<_> = (0..4).map(|_| Publisher::connect(broker.amqp())).collect();
    let arrived = || reported(&broker, "connections_arrived").iter().sum::<u64>();
    // Connections are dealt out evenly, and all of these work for one queue. One whose confirms take long may stay
    // where it is for the first time.
    let mut each = 0;
    while arrived() == 0 {
        assert!(each < 60_000, "no connection has moved");
        for client in &mut clients {
            for number in 0..600_u32 {
                let body = number.to_string();
                let sent = client.publish(1, "", &queue_name(0), PERSISTENT, body.as_bytes());
                sent.expect("the broker is there");
            }
        }
        each += 600;
        clients.iter_mut().for_each(|client| client.await_confirms(1, each));
    }
    let published = each * clients.len() as u64;
    let consumer = Consumer { number: 0, queue: 0, keep: 0, prefetch: 0 };
    let mut client = consumer.connect(broker.amqp());
    for _ in 0..published {
        let frame = client.expect(1, method::BASIC_DELIVER);
        let delivery = client.content(&frame).expect("the connection stays");
        client.ack(1, delivery.tag, false).expect("the broker is there");
    }
    // The answer says that everything before it has been read.
    client.qos(1, 0);
    // The first one is that of the whole broker.
    let count = |passage: &str| reported(&broker, &format!("{passage}\":{{\"count"))[0];
    assert_eq!(count("publish_to_enqueue"), published, "every publish is counted");
    for passage in ["enqueue_to_deliver", "deliver_to_ack", "commit"] {
        assert!((1..=published).contains(&count(passage)), "{passage}: {}", count(passage));
    }
}

/// Who accepts a connection says who is to have the next one: no shard may be passed over, and no connection left waiting
/// for one that has been called and has nothing to do.
#[test]
fn connections_that_stay_are_spread_over_the_shards_and_all_that_come_at_once_are_served() {
    let broker = Broker::start();
    let address = broker.amqp();
    let connect = || Publisher::connect(address);
    let staying: Vec<_> = (0..20).map(|_| connect()).collect();
    let counts = reported(&broker, "connections");
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert_eq!(counts.iter().sum::<u64>(), 20, "{counts:?}");
    assert!(least.zip(most).is_some_and(|(least, most)| most - least <= 2), "{counts:?}");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| drop(connect())));
        }
    });
    // And whoever may have the turn now gives it on.
    drop(staying);
    (0..20).for_each(|_| drop(connect()));
}
