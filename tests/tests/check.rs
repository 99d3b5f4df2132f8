//! `haremq check`: what it says of sound, busy and damaged data directories.

use haremq_tests::binaries::binaries;
use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{Client, Received};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// delivery-mode 2 as the only property.
const PERSISTENT: &[u8] = &[0x10, 0x00, 2];
/// Of queue.declare.
const DURABLE: u8 = 2;
/// More than a segment of messages.
const COUNT: u64 = 80;
const BODY_BYTES: usize = 500_000;

fn body(number: u64) -> Vec<u8> {
    format!("<the body of message {number:04}>").into_bytes().repeat(BODY_BYTES / 30)
}

fn check(directory: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(&binaries().haremq);
    let Output { status, stdout, stderr } =
        command.arg("check").arg("--data-dir").arg(directory).output().expect("it runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

/// A broker with more than a segment of confirmed messages in one queue.
fn filled() -> Broker {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "ledger", DURABLE);
    client.confirm_select(1);
    for number in 1..=COUNT {
        client.publish(1, "", "ledger", PERSISTENT, &body(number)).expect("the broker is there");
    }
    client.await_confirms(1, COUNT);
    broker
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

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it opens");
    let mut octet = [0];
    file.read_exact_at(&mut octet, offset).expect("it is as long as that");
    file.write_all_at(&[octet[0] ^ 0x10], offset).expect("it can be written");
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
