//! Transactions over queues of several shards, and a broker that is killed in the middle of them.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Frame, Received};
use rustix::process::Signal;
use std::time::Duration;

const QUEUES: u32 = 4;
/// Property flags and values: delivery-mode 2.
const PERSISTENT: [u8; 3] = [0x10, 0, 2];

fn queue(number: u32) -> String {
    format!("account {number}")
}

/// Commits one transaction after the other, each with its number for every queue, until the broker is killed; gives
/// the number of the first that was not answered.
fn commit_until_the_end(broker: &Broker, first: u32) -> u32 {
    let mut client = Client::login_with_channel(broker.amqp());
    let none = Arguments::new();
    client.call(1, method::TX_SELECT, &none, method::TX_SELECT_OK);
    let mut number = first;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The length of a life is the point: the end must come in the middle of the work.
            std::thread::sleep(Duration::from_millis(200 + u64::from(first % 100)));
            broker.signal(Signal::KILL);
        });
        loop {
            let mut octets = Vec::new();
            for to in 0..QUEUES {
                let body = number.to_be_bytes();
                octets.extend(Client::publish_octets(1, "", &queue(to), &PERSISTENT, &body));
            }
            octets.extend(Frame::method(1, method::TX_COMMIT, &none).encode());
            if client.try_send(&octets).is_err() {
                return number;
            }
            match client.receive(PATIENCE) {
                Received::Frame(frame) if frame.method_id() == Some(method::TX_COMMIT_OK) => {
                    number += 1;
                }
                Received::Frame(frame) => panic!("a commit was answered by {frame:?}"),
                _ => return number,
            }
        }
    })
}

/// Takes every number of this life out of the queue, in order.
fn numbers_in(client: &mut Client, queue: &str, first: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(delivery) = client.get(1, queue) {
        numbers.push(u32::from_be_bytes(delivery.body[..].try_into().expect("four octets")));
    }
    // One that was taken in the last moment of an earlier life may come again.
    numbers.retain(|number| *number >= first);
    numbers
}

#[test]
fn transactions_over_shards_are_whole_after_kill9() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    for number in 0..QUEUES {
        client.declare_queue(1, &queue(number), 0b10);
    }
    let (mut first, mut answered) = (1, 0);
    for _ in 0..6 {
        let end = commit_until_the_end(&broker, first);
        broker.wait_for_end();
        broker.start_again();
        let mut client = Client::login_with_channel(broker.amqp());
        let there = numbers_in(&mut client, &queue(0), first);
        // The one under way has happened or has not.
        let (without, with): (Vec<u32>, Vec<u32>) =
            ((first..end).collect(), (first..=end).collect());
        assert!(there == without || there == with, "{first} to {end} were answered: {there:?}");
        for number in 1..QUEUES {
            assert_eq!(numbers_in(&mut client, &queue(number), first), there, "queue {number}");
        }
        answered += end - first;
        first = end + 1;
    }
    assert!(answered > 20, "only {answered} commits were answered");
}
