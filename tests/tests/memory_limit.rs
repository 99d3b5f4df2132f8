//! A machine with little memory: the broker blocks publishers or puts messages on disk, and is never killed for it.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::memory_limit::MemoryLimit;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Frame, Received};
use std::time::Duration;

const LIMIT_BYTES: u64 = 256 << 20;
const TRANSIENT: &[u8] = &[0, 0];
/// Together 512 MB, twice what the group may have.
const CHANNELS: u16 = 64;
const PARTS: usize = 62;

/// A broker with the default watermarks, that the kernel kills if it takes more than the limit.
fn limited_broker(limit: &MemoryLimit) -> Broker {
    Broker::start_with(Setup::new().launcher(limit.launcher()))
}

/// Publishes `count` messages of `length` octets that nobody takes; gives how many were confirmed when publishing
/// came to an end or stood still.
fn publish_for_nobody(broker: &Broker, properties: &[u8], count: u64, length: usize) -> u64 {
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "nobody", 2);
    client.confirm_select(1);
    let body = vec![b'x'; length];
    let (mut published, mut confirmed) = (0, 0);
    while confirmed < count {
        if published < count && published < confirmed + 10 {
            published += 1;
            client.publish(1, "", "nobody", properties, &body).expect("octets are taken");
        } else {
            let Received::Frame(frame) = client.receive(PATIENCE) else { break };
            assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
            confirmed = frame.arguments().longlong();
        }
    }
    confirmed
}

fn backlog_does_not_end_the_broker(test: &str, properties: &[u8]) {
    let limit = MemoryLimit::new(LIMIT_BYTES);
    let limit = match limit {
        Ok(limit) => limit,
        Err(reason) => {
            assert!(skipped(test, Err(reason)));
            return;
        }
    };
    let mut broker = limited_broker(&limit);
    // Twice what the group may have.
    let confirmed = publish_for_nobody(&broker, properties, 5000, 100_000);
    let peak = limit.peak_octets() >> 20;
    println!("{confirmed} of 5000 confirmed, {peak} MiB at most of {}", LIMIT_BYTES >> 20);
    assert!(broker.is_alive(), "it was killed: {}", broker.output().text());
    assert!(confirmed > 500, "only {confirmed} messages were taken");
    // It still works, and what it has is there.
    let mut client = Client::login_with_channel(broker.amqp());
    for _ in 0..confirmed.min(1000) {
        let delivery = client.get(1, "nobody").expect("what was confirmed is there");
        assert_eq!(delivery.body.len(), 100_000);
    }
    assert!(broker.is_alive());
    drop(broker);
}

#[test]
fn persistent_messages_that_nobody_takes_do_not_take_the_memory() {
    let name = "persistent_messages_that_nobody_takes_do_not_take_the_memory";
    backlog_does_not_end_the_broker(name, PERSISTENT);
}

#[test]
fn transient_messages_that_nobody_takes_do_not_take_the_memory() {
    let name = "transient_messages_that_nobody_takes_do_not_take_the_memory";
    backlog_does_not_end_the_broker(name, TRANSIENT);
}

#[test]
fn large_bodies_on_many_channels_that_are_never_finished_do_not_take_the_memory() {
    let name = "large_bodies_on_many_channels_that_are_never_finished_do_not_take_the_memory";
    let limit = match MemoryLimit::new(LIMIT_BYTES) {
        Ok(limit) => limit,
        Err(reason) => {
            assert!(skipped(name, Err(reason)));
            return;
        }
    };
    let mut broker = limited_broker(&limit);
    let mut client = Client::login(broker.amqp());
    for channel in 1..=CHANNELS {
        client.open_channel(channel);
    }
    // Of what goes nowhere the body need not be kept.
    client.declare_queue(1, "nobody", 2);
    let publish = Arguments::new().short(0).shortstr("").shortstr("nobody").octet(0);
    client.give_up_sending_after(Duration::from_secs(3));
    let part = vec![b'x'; 128_000];
    let mut taken = 0;
    'all: for _ in 0..PARTS {
        for channel in 1..=CHANNELS {
            let mut octets = Vec::new();
            if taken < usize::from(CHANNELS) {
                let size = (PARTS * part.len() + 1) as u64;
                octets.extend(Frame::method(channel, method::BASIC_PUBLISH, &publish).encode());
                octets.extend(Frame::content_header(channel, size, TRANSIENT).encode());
            }
            octets.extend(Frame::body(channel, &part).encode());
            // It may stop reading at any time, or hang up.
            if client.try_send(&octets).is_err() {
                break 'all;
            }
            taken += 1;
        }
    }
    let taken = (taken * part.len()) >> 20;
    println!("{taken} MiB of bodies taken, {} MiB at most", limit.peak_octets() >> 20);
    assert!(broker.is_alive(), "it was killed: {}", broker.output().text());
    // Others are served meanwhile, and when that connection has gone they may publish.
    let mut other = Client::login_with_channel(broker.amqp());
    other.declare_queue(1, "other", 2);
    client.reset();
    other.confirm_select(1);
    other.publish(1, "", "other", PERSISTENT, b"small").expect("octets are taken");
    let Received::Frame(frame) = other.receive(PATIENCE) else { panic!("no confirm") };
    assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
    drop(broker);
}

/// 512 MB on their way at once to a broker that may have 256 MiB.
fn large_bodies_side_by_side(test: &str, properties: &[u8]) {
    let limit = match MemoryLimit::new(LIMIT_BYTES) {
        Ok(limit) => limit,
        Err(reason) => {
            assert!(skipped(test, Err(reason)));
            return;
        }
    };
    let mut broker = limited_broker(&limit);
    let part = vec![b'x'; 128_000];
    let size = (PARTS * part.len()) as u64;
    let mut clients: Vec<Client> = (0..CHANNELS)
        .map(|number| {
            let mut client = Client::login_with_channel(broker.amqp());
            let queue = format!("q{}", number % 8);
            client.declare_queue(1, &queue, 2);
            client.confirm_select(1);
            let publish = Arguments::new().short(0).shortstr("").shortstr(&queue).octet(0);
            client.method(1, method::BASIC_PUBLISH, &publish);
            client.send(&Frame::content_header(1, size, properties).encode());
            client
        })
        .collect();
    // All of them grow side by side, and none is whole before all have come far.
    for _ in 0..PARTS {
        for client in &mut clients {
            client.send(&Frame::body(1, &part).encode());
        }
    }
    for client in &mut clients {
        let Received::Frame(frame) = client.receive(PATIENCE) else { panic!("no confirm") };
        assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
    }
    println!("{} MiB at most of {}", limit.peak_octets() >> 20, LIMIT_BYTES >> 20);
    assert!(broker.is_alive(), "it was killed: {}", broker.output().text());
    let mut client = Client::login_with_channel(broker.amqp());
    for number in 0..CHANNELS {
        let queue = format!("q{}", number % 8);
        let delivery = client.get(1, &queue).expect("what was confirmed is there");
        assert_eq!(delivery.body.len() as u64, size);
    }
    drop(broker);
}

#[test]
fn large_persistent_messages_from_many_connections_at_once_do_not_take_the_memory() {
    let name = "large_persistent_messages_from_many_connections_at_once_do_not_take_the_memory";
    large_bodies_side_by_side(name, PERSISTENT);
}

#[test]
fn large_transient_messages_from_many_connections_at_once_do_not_take_the_memory() {
    let name = "large_transient_messages_from_many_connections_at_once_do_not_take_the_memory";
    large_bodies_side_by_side(name, TRANSIENT);
}
