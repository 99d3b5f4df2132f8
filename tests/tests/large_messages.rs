//! Messages up to the largest that may be: they take no memory for their length, hold nobody up, and are whole or
//! not there.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Frame, Received};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MAX: usize = 128 << 20;
const FRAME: usize = 131_064;
/// What a broker takes beside the messages on their way: caches and buffers that fill.
const BESIDE: u64 = 80 << 20;
const LONG: Duration = Duration::from_secs(120);

/// Octets that are different everywhere.
fn octets(from: usize, length: usize) -> Vec<u8> {
    let word = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let mut all = Vec::with_capacity(length + 16);
    for at in from / 8..(from + length).div_ceil(8) {
        all.extend_from_slice(&word(at));
    }
    all.drain(..from % 8);
    all.truncate(length);
    all
}

/// The method and the header of a message of that length.
fn beginning(channel: u16, queue: &str, length: u64) -> Vec<u8> {
    let publish = Arguments::new().short(0).shortstr("").shortstr(queue).octet(0);
    let mut octets = Frame::method(channel, method::BASIC_PUBLISH, &publish).encode();
    octets.extend(Frame::content_header(channel, length, PERSISTENT).encode());
    octets
}

/// Sends a body up to `end`, of which `from` octets have been sent.
fn send_body(client: &mut Client, channel: u16, from: usize, end: usize) {
    let mut at = from;
    while at < end {
        let length = FRAME.min(end - at);
        client.send(&Frame::body(channel, &octets(at, length)).encode());
        at += length;
    }
}

/// Memory of the process that is not of files, in octets.
fn private_octets(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line of it");
    let kibibytes = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
    kibibytes.expect("a number") * 1024
}

/// What the logs hold that is wanted.
fn live_octets(broker: &Broker) -> u64 {
    broker.ask("/api/haremq/storage")["live"].as_u64().expect("a number")
}

#[test]
fn the_largest_message_holds_nobody_up_takes_no_memory_and_survives_kill9() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "large", 2);
    client.confirm_select(1);
    let before = private_octets(&broker);
    let (is_over, peak, confirmed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                peak.fetch_max(private_octets(&broker), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        scope.spawn(|| {
            let mut other = Client::login_with_channel(broker.amqp());
            other.declare_queue(1, "small", 2);
            other.confirm_select(1);
            for number in 1.. {
                if is_over.load(Relaxed) {
                    break;
                }
                other.publish(1, "", "small", PERSISTENT, b"small").expect("octets are taken");
                let confirm = other.expect(1, method::BASIC_ACK).arguments().longlong();
                assert_eq!(confirm, number);
                confirmed.store(number, Relaxed);
            }
        });
        client.send(&beginning(1, "large", MAX as u64));
        // Others are answered whenever a part of it has come.
        for quarter in 0..4 {
            let so_far = confirmed.load(Relaxed);
            send_body(&mut client, 1, quarter * (MAX / 4), (quarter + 1) * (MAX / 4) - FRAME);
            let until = Instant::now() + LONG;
            while confirmed.load(Relaxed) < so_far + 3 {
                assert!(Instant::now() < until, "nobody else is confirmed");
                std::thread::sleep(Duration::from_millis(1));
            }
            let end = (quarter + 1) * (MAX / 4);
            send_body(&mut client, 1, end - FRAME, end);
        }
        let Received::Frame(frame) = client.receive(LONG) else { panic!("no confirm") };
        assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
        is_over.store(true, Relaxed);
    });
    let more = peak.load(Relaxed).saturating_sub(before);
    println!("{} MiB more at most, {} small ones meanwhile", more >> 20, confirmed.load(Relaxed));
    assert!(more < BESIDE, "it took {} MiB for a message of 128", more >> 20);
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    let delivery = client.get(1, "large").expect("it was confirmed");
    assert!(delivery.body == octets(0, MAX), "it is not as it was");
    for _ in 0..confirmed.load(Relaxed) {
        assert_eq!(client.get(1, "small").expect("it was confirmed").body, b"small");
    }
}

#[test]
fn a_message_larger_than_may_be_is_refused_before_its_body_comes() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "large", 2);
    client.send(&beginning(1, "large", MAX as u64 + 1));
    let close = client.expect(1, method::CHANNEL_CLOSE);
    assert_eq!(close.arguments().short(), 406);
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_body_leaves_nothing() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "large", 2);
    let before = live_octets(&broker);
    let memory = private_octets(&broker);
    client.send(&beginning(1, "large", MAX as u64));
    send_body(&mut client, 1, 0, 64 << 20);
    let until = Instant::now() + PATIENCE;
    while live_octets(&broker) < 32 << 20 {
        assert!(Instant::now() < until, "parts are in the log before the rest has come");
        std::thread::sleep(Duration::from_millis(5));
    }
    client.reset();
    let until = Instant::now() + PATIENCE;
    while live_octets(&broker) > before + 4096 {
        assert!(Instant::now() < until, "{} octets are kept", live_octets(&broker));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(private_octets(&broker) < memory + BESIDE);
    let mut client = Client::login_with_channel(broker.amqp());
    assert!(client.get(1, "large").is_none());
    client.exercise(1);
}

/// One that several queues hold is stored once, and read for each as fast as it is taken.
#[test]
fn a_large_message_that_many_take_at_once_takes_no_memory_for_its_length_nor_does_a_dead_letter() {
    const TAKERS: usize = 8;
    let broker = Broker::start_with(Setup::new().arguments(["--shards", "1"]));
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "dead", 2);
    for number in 0..TAKERS {
        let queue = format!("large{number}");
        client.declare_expiring_queue(1, &queue, 3_600_000, "dead");
        let bind = Arguments::new().short(0).shortstr(&queue).shortstr("amq.fanout");
        client.method(1, method::QUEUE_BIND, &bind.shortstr("").octet(0).long(0));
        client.expect(1, method::QUEUE_BIND_OK);
    }
    client.confirm_select(1);
    let publish = Arguments::new().short(0).shortstr("amq.fanout").shortstr("").octet(0);
    client.method(1, method::BASIC_PUBLISH, &publish);
    let length = MAX / 4;
    let expected = octets(0, length);
    client.send(&Frame::content_header(1, length as u64, PERSISTENT).encode());
    send_body(&mut client, 1, 0, length);
    let Received::Frame(frame) = client.receive(LONG) else { panic!("no confirm") };
    assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
    let before = private_octets(&broker);
    let mut takers: Vec<Client> =
        (0..TAKERS).map(|_| Client::login_with_channel(broker.amqp())).collect();
    let is_over = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    let take = |taker: &mut Client| {
        let Received::Frame(frame) = taker.receive(LONG) else { panic!("no delivery") };
        assert_eq!(frame.method_id(), Some(method::BASIC_GET_OK));
        let delivery = taker.content(&frame).expect("the connection stays");
        assert!(delivery.body == expected, "it is not as it was");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                peak.fetch_max(private_octets(&broker), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for (number, taker) in takers.iter_mut().enumerate() {
            let get = Arguments::new().short(0).shortstr(&format!("large{number}")).octet(0);
            taker.method(1, method::BASIC_GET, &get);
        }
        for taker in &mut takers {
            take(taker);
            taker.method(1, method::BASIC_REJECT, &Arguments::new().longlong(1).octet(0));
        }
        // Every one of them is dead now, and its body still there once.
        let until = Instant::now() + LONG;
        for number in 0..TAKERS {
            let get = Arguments::new().short(0).shortstr("dead").octet(1);
            loop {
                takers[0].method(1, method::BASIC_GET, &get);
                let Received::Frame(frame) = takers[0].receive(LONG) else { panic!("no answer") };
                if frame.method_id() == Some(method::BASIC_GET_OK) {
                    let delivery = takers[0].content(&frame).expect("the connection stays");
                    assert!(delivery.body == expected, "{number} is not as it was");
                    break;
                }
                assert!(Instant::now() < until, "a dead letter is lost");
            }
            if number == 0 {
                assert!(live_octets(&broker) < 2 * length as u64, "it is there more than once");
            }
        }
        is_over.store(true, Relaxed);
    });
    let more = peak.load(Relaxed).saturating_sub(before);
    println!("{} MiB more at most for {TAKERS} deliveries of {} MiB", more >> 20, length >> 20);
    assert!(more < BESIDE, "{TAKERS} deliveries took {} MiB", more >> 20);
}

/// Does `work`, and gives how many octets more the broker took meanwhile.
fn more_octets_while(broker: &Broker, work: impl FnOnce()) -> u64 {
    let before = private_octets(broker);
    let (is_over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                peak.fetch_max(private_octets(broker), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        work();
        is_over.store(true, Relaxed);
    });
    peak.load(Relaxed).saturating_sub(before)
}

/// What the log of each shard holds that is wanted.
fn live_octets_by_shard(broker: &Broker) -> Vec<u64> {
    let storage = broker.ask("/api/haremq/storage");
    let shards = storage["shards"].as_array().expect("a list");
    shards.iter().map(|shard| shard["live"].as_u64().expect("a number")).collect()
}

/// Takes a message of that queue as soon as there is one.
fn get_soon(client: &mut Client, queue: &str, no_ack: u8) -> Vec<u8> {
    let get = Arguments::new().short(0).shortstr(queue).octet(no_ack);
    let until = Instant::now() + LONG;
    loop {
        client.method(1, method::BASIC_GET, &get);
        let Received::Frame(frame) = client.receive(LONG) else { panic!("no answer") };
        if frame.method_id() == Some(method::BASIC_GET_OK) {
            return client.content(&frame).expect("the connection stays").body;
        }
        assert!(Instant::now() < until, "nothing comes to {queue}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_large_dead_letter_for_another_shard_takes_no_memory_for_its_length_and_survives_kill9() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    // Two queues more than the other shard has is one too many: the third one goes there.
    client.declare_expiring_queue(1, "first", 3_600_000, "heir");
    client.declare_queue(1, "second", 2);
    client.declare_queue(1, "heir", 2);
    client.confirm_select(1);
    client.send(&beginning(1, "first", MAX as u64));
    send_body(&mut client, 1, 0, MAX);
    let Received::Frame(frame) = client.receive(LONG) else { panic!("no confirm") };
    assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
    let before = live_octets_by_shard(&broker);
    let mut taker = Client::login_with_channel(broker.amqp());
    assert!(get_soon(&mut taker, "first", 0) == octets(0, MAX), "it is not as it was");
    let more = more_octets_while(&broker, || {
        taker.method(1, method::BASIC_REJECT, &Arguments::new().longlong(1).octet(0));
        let until = Instant::now() + LONG;
        while broker.ask("/api/queues/%2F/heir")["messages_ready"].as_u64() != Some(1) {
            assert!(Instant::now() < until, "the letter does not arrive");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    println!("{} MiB more at most", more >> 20);
    assert!(more < BESIDE, "it took {} MiB for a letter of 128", more >> 20);
    let until = Instant::now() + LONG;
    loop {
        let after = live_octets_by_shard(&broker);
        let has_moved = |(before, after): (&u64, &u64)| before.abs_diff(*after) > MAX as u64 / 2;
        if before.iter().zip(&after).all(has_moved) {
            break;
        }
        assert!(Instant::now() < until, "{after:?} octets are wanted, and {before:?} were before");
        std::thread::sleep(Duration::from_millis(5));
    }
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    assert!(get_soon(&mut client, "heir", 1) == octets(0, MAX), "it is not as it was");
    assert!(client.get(1, "first").is_none() && client.get(1, "heir").is_none());
}

/// The queues are on two shards, so that the body is held on one of them and goes to the other.
#[test]
fn a_large_message_in_a_transaction_takes_no_memory_for_its_length_and_survives_kill9() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    for queue in ["first", "second", "third"] {
        client.declare_queue(1, queue, 2);
        let bind = Arguments::new().short(0).shortstr(queue).shortstr("amq.fanout");
        client.method(1, method::QUEUE_BIND, &bind.shortstr("").octet(0).long(0));
        client.expect(1, method::QUEUE_BIND_OK);
    }
    client.call(1, method::TX_SELECT, &Arguments::new(), method::TX_SELECT_OK);
    let before = live_octets_by_shard(&broker);
    let publish = |client: &mut Client| {
        let publish = Arguments::new().short(0).shortstr("amq.fanout").shortstr("").octet(0);
        client.method(1, method::BASIC_PUBLISH, &publish);
        client.send(&Frame::content_header(1, MAX as u64, PERSISTENT).encode());
        send_body(client, 1, 0, MAX);
    };
    // What is rolled back leaves nothing.
    publish(&mut client);
    client.method(1, method::TX_ROLLBACK, &Arguments::new());
    let Received::Frame(frame) = client.receive(LONG) else { panic!("no rollback") };
    assert_eq!(frame.method_id(), Some(method::TX_ROLLBACK_OK));
    let is_left = |(before, after): (&u64, &u64)| *after > before + 4096;
    let after = live_octets_by_shard(&broker);
    assert!(!before.iter().zip(&after).any(is_left), "{before:?} before and {after:?} after");
    let more = more_octets_while(&broker, || {
        publish(&mut client);
        client.method(1, method::TX_COMMIT, &Arguments::new());
        let Received::Frame(frame) = client.receive(LONG) else { panic!("no commit") };
        assert_eq!(frame.method_id(), Some(method::TX_COMMIT_OK));
    });
    println!("{} MiB more at most", more >> 20);
    assert!(more < BESIDE, "it took {} MiB for a message of 128", more >> 20);
    let after = live_octets_by_shard(&broker);
    let is_there = |(before, after): (&u64, &u64)| after - before > MAX as u64 / 2;
    assert!(before.iter().zip(&after).all(is_there), "{after:?}: it is on one shard only");
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    for queue in ["first", "second", "third"] {
        assert!(get_soon(&mut client, queue, 1) == octets(0, MAX), "it is not as it was");
    }
}
