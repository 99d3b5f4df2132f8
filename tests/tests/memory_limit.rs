//! A machine with little memory: the broker blocks publishers or puts messages on disk, and is never killed for it.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::memory_limit::MemoryLimit;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Client, Received};

const LIMIT_BYTES: u64 = 256 << 20;
const TRANSIENT: &[u8] = &[0, 0];

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
