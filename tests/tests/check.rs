//! `haremq check`: what it says of sound, busy and damaged data directories.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::damage::{self, check, flip};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{Client, Received};
use std::fs;
use std::path::{Path, PathBuf};

/// Of queue.declare.
const DURABLE: u8 = 2;
/// More than a segment of messages.
const COUNT: u64 = 80;
const BODY_BYTES: usize = 500_000;

fn body(number: u64) -> Vec<u8> {
    format!("<the body of message {number:04}>").into_bytes().repeat(BODY_BYTES / 30)
}

/// A broker with more than a segment of confirmed messages in one queue.
fn filled() -> Broker {
    damage::filled(Setup::new(), COUNT, body)
}

/// File and offset of a place with those octets, which a body of `BODY_BYTES` is made of: it is
/// enough to look into every page.
fn find(directory: &Path, wanted: &[u8]) -> (PathBuf, u64) {
    for shard in ["shard-0", "shard-1"] {
        for entry in fs::read_dir(directory.join(shard)).expect("a shard's directory") {
            let path = entry.expect("an entry").path();
            let octets = fs::read(&path).expect("a segment file");
            for (page, octets) in octets.chunks(4096).enumerate() {
                let mut beginning = octets[..2 * wanted.len()].windows(wanted.len());
                if let Some(at) = beginning.position(|octets| octets == wanted) {
                    return (path, (page * 4096 + at) as u64);
                }
            }
        }
    }
    panic!("{} is nowhere", String::from_utf8_lossy(wanted));
}

#[test]
fn a_check_refuses_a_directory_in_use_and_passes_a_sound_one() {
    let mut broker = filled();
    let directory = broker.data_directory();
    let (code, text) = check(&directory);
    assert!(code == Some(2) && text.contains("is in use by another haremq"), "{text}");
    broker.stop();
    let (code, text) = check(&directory);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("shard 0: ") && text.contains("shard 1: "), "{text}");
    let (code, text) = check(&directory.join("nowhere"));
    assert_eq!(code, Some(2), "{text}");
    broker.start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    assert_eq!(client.declare_queue(1, "ledger", DURABLE), COUNT as u32, "nothing was changed");
}

#[test]
fn a_check_names_file_offset_and_the_message_that_is_damaged() {
    let mut broker = filled();
    let directory = broker.data_directory();
    broker.stop();
    let (path, at) = find(&directory, b"<the body of message 0007>");
    flip(&path, at + 1000);
    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    let line = text.lines().find(|line| line.contains("DAMAGE")).expect("a line");
    assert!(line.contains(&path.display().to_string()) && line.contains("checksum"), "{line}");
    let lost: Vec<_> = text.lines().filter(|line| line.contains("LOST")).collect();
    assert_eq!(lost.len(), 1, "{text}");
    assert!(lost[0].ends_with("of queue ledger in vhost /"), "{text}");
}

/// Bodies are not read at the start; damage to one is found when it is to be delivered. Then the
/// broker names the place and ends: it delivers nothing of it.
#[test]
fn rot_in_a_body_is_never_delivered() {
    let mut broker = filled();
    let directory = broker.data_directory();
    broker.stop();
    let (path, at) = find(&directory, b"<the body of message 0007>");
    flip(&path, at + 1000);
    broker.start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    client.qos(1, 1);
    client.consume(1, "ledger", "reader");
    for number in 1..=7 {
        // The device is read ahead of the consumer, so the end may come early; never late.
        let Received::Frame(deliver) = client.receive(PATIENCE) else { break };
        let Some(delivery) = client.content(&deliver) else { break };
        assert!(number < 7, "a damaged message was delivered");
        assert!(delivery.body == body(number), "message {number} has changed");
        let _ = client.ack(1, delivery.tag, false);
    }
    let (status, text) = broker.wait_for_end();
    assert!(!status.success(), "{text}");
    assert!(text.contains("is damaged at octet"), "{text}");
}
