//! What queues cost that are there and do nothing: declared one after the other, and read back by a start.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client};
use std::time::{Duration, Instant};

/// Of queue.declare: durable, and durable without an answer.
const DURABLE: u8 = 2;
const DURABLE_NO_WAIT: u8 = 2 | 16;
/// Memory is compared between so many queues and so many: what a broker takes by itself, its buffers among it, is in
/// both. Tables that double when they are full are nearly as full in the one case as in the other.
const FEW: usize = 3_500;
const MANY: usize = 28_000;
const OCTETS_MAX: u64 = 1024;
/// Within which an idle broker gives back what it has freed.
const SETTLED: Duration = Duration::from_secs(4);

fn declare(broker: &Broker, numbers: std::ops::Range<usize>) {
    let mut client = Client::login_with_channel(broker.amqp());
    let last = numbers.end - 1;
    for number in numbers {
        let name = format!("queue-{number}");
        let declare =
            Arguments::new().short(0).shortstr(&name).octet(DURABLE_NO_WAIT).empty_table();
        client.method(1, method::QUEUE_DECLARE, &declare);
    }
    client.declare_queue(1, &format!("queue-{last}"), DURABLE);
}

/// The least memory that the broker takes, looked at until it is no more than `enough`, or for so long.
fn at_rest(broker: &Broker, enough: u64, limit: Duration) -> u64 {
    let deadline = Instant::now() + limit;
    let mut least = u64::MAX;
    while least > enough && Instant::now() < deadline {
        least = least.min(broker.resident_octets());
        std::thread::sleep(Duration::from_millis(100));
    }
    least
}

#[test]
fn an_idle_queue_takes_less_than_a_kilobyte_before_and_after_a_restart() {
    let mut broker = Broker::start_with(Setup::new());
    declare(&broker, 0..FEW);
    broker.kill9_and_start_again();
    let few = at_rest(&broker, 0, SETTLED);

    declare(&broker, FEW..MANY);
    let more = (MANY - FEW) as u64;
    let enough = few + more * OCTETS_MAX;
    let declared = at_rest(&broker, enough, PATIENCE).saturating_sub(few) / more;
    broker.kill9_and_start_again();
    let recovered = at_rest(&broker, enough, PATIENCE).saturating_sub(few) / more;
    println!("{declared} octets for each queue declared, {recovered} after a restart");
    assert!(declared <= OCTETS_MAX, "each queue declared takes {declared} octets");
    assert!(recovered <= OCTETS_MAX, "after a restart each queue takes {recovered} octets");
}
