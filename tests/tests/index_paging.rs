//! What queues know of their messages, beyond the memory for it: it goes to a scratch file and comes back, a crash loses
//! nothing, and a page that is not what it was stops the broker.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Received};

/// Of queue.declare.
const DURABLE: u8 = 2;
const QUEUES: [&str; 3] = ["one", "two", "three"];
/// Of all queues together.
const COUNT: u64 = 60_000;
/// The least there may be: some thousands of messages that lie beside those of other queues.
const MEMORY: u64 = 64 << 10;

fn setup() -> Setup {
    let memory = MEMORY.to_string();
    Setup::new().arguments(["--shards", "1", "--index-memory-bytes", &memory])
}

/// Which queue a message goes to and how long it is follow from its number, in no simple way.
fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

fn queue(number: u64) -> usize {
    mixed(number) as usize % QUEUES.len()
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + mixed(number) as usize / 8 % 200, b'.');
    body
}

fn number(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().expect("eight octets"))
}

/// A broker with confirmed messages in all queues.
fn filled() -> Broker {
    let broker = Broker::start_with(setup());
    let mut client = Client::login_with_channel(broker.amqp());
    for queue in QUEUES {
        client.declare_queue(1, queue, DURABLE);
    }
    client.confirm_select(1);
    for sent in 0..COUNT {
        client.publish(1, "", QUEUES[queue(sent)], PERSISTENT, &body(sent)).expect("a broker");
        if sent % 5000 == 4999 {
            client.await_confirms(1, sent + 1);
        }
    }
    broker
}

/// Octets of memory and of pages that the indexes take, and of the file.
fn index(broker: &Broker) -> [u64; 3] {
    let storage = broker.ask("/api/haremq/storage");
    ["memory_index", "index_paged", "index_file"].map(|name| {
        storage["shards"][0][name].as_u64().unwrap_or_else(|| panic!("no {name} in {storage}"))
    })
}

/// Takes every message of a queue from `from` on, which must come in order, or what comes until the broker ends. The
/// number of the first one that has not come.
fn drain(broker: &Broker, at: usize, from: u64) -> u64 {
    let mut client = Client::login_with_channel(broker.amqp());
    client.qos(1, 1000);
    let consume =
        Arguments::new().short(0).shortstr(QUEUES[at]).shortstr("all").octet(0).empty_table();
    client.method(1, method::BASIC_CONSUME, &consume);
    let mut due = (from..COUNT).filter(|number| queue(*number) == at);
    // Even where the first message lies may be on a page.
    let Received::Frame(_) = client.receive(PATIENCE) else {
        return due.next().unwrap_or(COUNT);
    };
    let mut last = 0;
    for expected in due {
        let Received::Frame(frame) = client.receive(PATIENCE) else { return expected };
        let Some(delivery) = client.content(&frame) else { return expected };
        assert_eq!(number(&delivery.body), expected, "the next message of {}", QUEUES[at]);
        assert_eq!(delivery.body, body(expected));
        last = delivery.tag;
        if last.is_multiple_of(500) && client.ack(1, last, true).is_err() {
            return expected + 1;
        }
    }
    client.ack(1, last, true).expect("the broker is there");
    // The acks have arrived when what is sent behind them is answered.
    client.open_channel(2);
    COUNT
}

#[test]
fn messages_whose_index_is_paged_out_survive_kill9_and_come_in_order() {
    let mut broker = filled();
    for _ in 0..2 {
        let [memory, paged, file] = index(&broker);
        assert!(
            paged > 2 * MEMORY && file >= paged,
            "{paged} octets paged out, {file} in the file"
        );
        // One unpacked bale beside what there may be.
        assert!(memory < 4 * MEMORY, "{memory} octets of memory");
        broker.kill9_and_start_again();
    }
    for at in 0..QUEUES.len() {
        assert_eq!(drain(&broker, at, 0), COUNT);
    }
    let [_, paged, file] = index(&broker);
    assert_eq!((paged, file), (0, 0), "what is left of the pages of empty queues");
    broker.stop();
    let left = broker.data_directory().join("shard-0/index.pages");
    assert!(!left.exists(), "a scratch file is left behind");
}

#[test]
fn a_page_that_is_not_what_it_was_stops_the_broker_and_nothing_is_lost() {
    let mut broker = filled();
    let path = broker.data_directory().join("shard-0/index.pages");
    let length = fs::metadata(&path).expect("a page file").len();
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("a page file");
    for at in (100..length).step_by(512) {
        let mut octet = [0];
        file.read_exact_at(&mut octet, at).expect("a page");
        file.write_all_at(&[octet[0] ^ 4], at).expect("a page");
    }
    let stopped_at = drain(&broker, 0, 0);
    assert!(stopped_at < COUNT, "the whole queue has been delivered from damaged pages");
    let (status, text) = broker.wait_for_end();
    assert_eq!(status.code(), Some(1), "{text}");
    for part in ["index.pages", "octets are not those", "confirmed is safe"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    broker.start_again();
    // What was acknowledged in the last moments may come again.
    let mut client = Client::login_with_channel(broker.amqp());
    let first = client.get(1, QUEUES[0]).expect("a message");
    let again = number(&first.body);
    assert!(again <= stopped_at, "message {again} is the first one, and {stopped_at} was to come");
    drop(client);
    for (at, from) in [(0, again + 1), (1, 0), (2, 0)] {
        assert_eq!(drain(&broker, at, from), COUNT);
    }
}
