//! `--quarantine-damage`: refused, looked at, put aside, served, clean again.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::damage::{self, check, flip};
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{Client, Received};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Of queue.declare.
const DURABLE: u8 = 2;
/// In segments of a megabyte: several, and a part of one.
const COUNT: u64 = 300;
const BODY_BYTES: usize = 10_000;
const QUARANTINE: &str = "--quarantine-damage";

fn mark(number: u64) -> String {
    format!("<the body of message {number:04}>")
}

fn body(number: u64) -> Vec<u8> {
    mark(number).into_bytes().repeat(BODY_BYTES / 30)
}

fn setup() -> Setup {
    Setup::new().arguments(["--segment-bytes", "1048576", "--shards", "1"])
}

/// A broker with several segments of confirmed messages in one queue; stopped.
fn filled() -> Broker {
    let mut broker = damage::filled(setup(), COUNT, body);
    broker.stop();
    broker
}

/// Starts the broker of that directory once more.
fn start(directory: &Path, more: &[&str]) -> Result<Broker, String> {
    let setup = setup().data_directory(directory).arguments(more.iter().copied());
    Broker::try_start_with(setup)
}

/// Flips a bit in the body of that message.
fn damage_body(directory: &Path, number: u64) -> PathBuf {
    let wanted = mark(number).into_bytes();
    for entry in fs::read_dir(directory.join("shard-0")).expect("a shard's directory") {
        let path = entry.expect("an entry").path();
        let octets = fs::read(&path).expect("a segment file");
        let Some(at) = octets.windows(wanted.len()).position(|octets| octets == wanted) else {
            continue;
        };
        flip(&path, at as u64 + 2000);
        return path;
    }
    panic!("message {number} is nowhere");
}

/// Numbers of the messages that are said to be lost. The queue numbers them from 0 or 1 on, as
/// they were published.
fn lost(text: &str) -> BTreeSet<u64> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("LOST message "));
    lines.filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

/// Takes everything out of the queue: the numbers of the messages, which must be in order and as
/// they were.
fn drain(broker: &Broker, expected: usize) -> Vec<u64> {
    let mut client = Client::login_with_channel(broker.amqp());
    client.consume(1, "ledger", "reader");
    let mut numbers = Vec::new();
    while numbers.len() < expected {
        let Received::Frame(deliver) = client.receive(PATIENCE) else { panic!("no more") };
        let delivery = client.content(&deliver).expect("a delivery");
        let text = String::from_utf8_lossy(&delivery.body[21..25]).into_owned();
        let number: u64 = text.parse().expect("a number");
        assert!(delivery.body == body(number), "message {number} has changed");
        numbers.push(number);
        client.ack(1, delivery.tag, false).expect("the broker is there");
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers
}

#[test]
fn damage_is_refused_named_put_aside_and_the_rest_served() {
    let broker = filled();
    let directory = broker.data_directory();
    // One in a segment that is read by its index, one in the newest.
    let old = damage_body(&directory, 30);
    let newest = damage_body(&directory, COUNT - 1);
    assert_ne!(old, newest);

    let text = start(&directory, &[]).expect_err("a damaged log is not served");
    assert!(text.contains("is damaged at octet"), "{text}");
    assert!(text.contains("haremq check") && text.contains(QUARANTINE), "{text}");

    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    for path in [&old, &newest] {
        assert!(text.contains(&format!("DAMAGE in {}", path.display())), "{text}");
    }
    assert!(text.contains(QUARANTINE), "{text}");
    let listed = lost(&text);
    assert!(!listed.is_empty(), "{text}");
    assert_eq!(check(&directory).1, text, "a check changes nothing");

    let mut mended = start(&directory, &[QUARANTINE]).expect("the rest is served");
    let aside = directory.join("quarantine").join("1");
    let report = fs::read_to_string(aside.join("report.txt")).expect("a report");
    assert_eq!(lost(&report), listed, "{report}");
    let kept: Vec<_> = fs::read_dir(&aside).expect("a directory").collect();
    assert!(kept.len() >= 3, "copies of what was damaged, and the report: {kept:?}");
    mended.stop();

    let (code, text) = check(&directory);
    assert_eq!(code, Some(0), "{text}");
    let mut clean = start(&directory, &[]).expect("it starts clean without the flag");
    let left = COUNT as usize - listed.len();
    let numbers = drain(&clean, left);
    let gone: BTreeSet<u64> =
        (1..=COUNT).filter(|number| numbers.binary_search(number).is_err()).collect();
    assert_eq!(gone.len(), listed.len());
    // The queue may number from 0.
    let shift = gone.first().expect("some") - listed.first().expect("some");
    assert_eq!(listed.iter().map(|number| number + shift).collect::<BTreeSet<_>>(), gone);
    assert!(gone.contains(&30) && gone.contains(&(COUNT - 1)), "{gone:?}");
    clean.stop();
    let mut again = start(&directory, &[QUARANTINE]).expect("there is nothing to put aside");
    assert!(!directory.join("quarantine").join("2").exists(), "nothing was put aside");
    again.stop();
}

/// Bodies of old segments are not read at the start; what is wrong there is found when a message
/// is to be delivered, and would be at every start.
#[test]
fn rot_met_while_serving_is_named_with_its_message_and_does_not_come_back() {
    let broker = filled();
    let directory = broker.data_directory();
    damage_body(&directory, 30);
    let mut broker = start(&directory, &[]).expect("bodies are not read at the start");
    let mut client = Client::login_with_channel(broker.amqp());
    client.consume(1, "ledger", "reader");
    let (status, text) = broker.wait_for_end();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("of queue ledger in vhost /"), "{text}");
    assert!(text.contains("haremq check") && text.contains(QUARANTINE), "{text}");
    drop(client);

    let mut mended = start(&directory, &[QUARANTINE]).expect("the rest is served");
    let report = directory.join("quarantine").join("1").join("report.txt");
    let listed = lost(&fs::read_to_string(report).expect("a report"));
    let numbers = drain(&mended, COUNT as usize - listed.len());
    assert!(!numbers.contains(&30));
    mended.stop();
}

/// The file with the beginning of everything: users, vhosts and the queue are defined there.
#[test]
fn definitions_that_damage_takes_do_not_take_the_rest() {
    let broker = filled();
    let directory = broker.data_directory();
    let path = directory.join("shard-0").join("00000001.segment");
    let file = OpenOptions::new().write(true).open(&path).expect("it opens");
    // The first blocks behind the header.
    file.write_all_at(&[0x77; 3 * 4096], 4096).expect("it can be written");
    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    let mut broker = start(&directory, &[QUARANTINE]).expect("the rest is served");
    // The index of the segment has them, and messages that were not there are unharmed.
    let numbers = drain(&broker, (COUNT - lost(&text).len() as u64) as usize);
    assert!(!numbers.is_empty());
    broker.stop();
    let mut again = start(&directory, &[]).expect("it starts clean");
    let mut client = Client::login_with_channel(again.amqp());
    assert_eq!(client.declare_queue(1, "ledger", DURABLE), 0);
    drop(client);
    again.stop();
}

/// Everything is in one segment, and no index tells what its first blocks said: what can be told
/// is told, the broker can be logged into, and what it declares from then on lasts.
#[test]
fn a_broker_that_has_lost_its_definitions_starts_with_those_that_it_needs() {
    let mut broker = Broker::start_with(setup());
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "short", DURABLE);
    client.confirm_select(1);
    client.publish(1, "", "short", PERSISTENT, &body(1)).expect("the broker is there");
    client.await_confirms(1, 1);
    drop(client);
    let directory = broker.data_directory();
    broker.stop();
    let path = directory.join("shard-0").join("00000001.segment");
    let file = OpenOptions::new().write(true).open(&path).expect("it opens");
    file.write_all_at(&[0x77; 3 * 4096], 4096).expect("it can be written");
    start(&directory, &[]).expect_err("a damaged log is not served");
    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no index tells which"), "{text}");
    let mut broker = start(&directory, &[QUARANTINE]).expect("what is left is served");
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "later", DURABLE);
    drop(client);
    broker.stop();
    let mut again = start(&directory, &[]).expect("it starts clean");
    let mut client = Client::login_with_channel(again.amqp());
    assert_eq!(client.declare_queue(1, "later", DURABLE), 0);
    drop(client);
    again.stop();
}
