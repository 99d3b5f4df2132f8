//! Data directories that earlier builds have written can be read.
//!
//! A directory is kept as text: a line `file NAME OCTETS`, then lines of an offset and 64 octets in
//! hexadecimal for what is not zero. With HAREMQ_GOLDEN_WRITE=FILE the test writes one anew, which
//! is only to be done for a new version of the format, beside those that are there.

use haremq_tests::binaries::{binaries, workspace};
use haremq_tests::broker::{Broker, Setup};
use haremq_tests::wire::Client;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// delivery-mode 2 as the only property.
const PERSISTENT: &[u8] = &[0x10, 0x00, 2];
/// Of queue.declare.
const DURABLE: u8 = 2;
const LINE: usize = 64;
/// Mostly zeros, so that a segment is full with little to keep.
const BODY_BYTES: usize = 480_000;
const LONG: u64 = 75;
const SHORT: u64 = 300;
/// In parts.
const HUGE_BYTES: usize = 1_300_000;

fn long_body(number: u64) -> Vec<u8> {
    let mut body = vec![0; BODY_BYTES];
    body[1000..1008].copy_from_slice(&number.to_be_bytes());
    body
}

fn short_body(number: u64) -> Vec<u8> {
    format!("short message {number}").into_bytes()
}

fn huge_body() -> Vec<u8> {
    let mut body = vec![0; HUGE_BYTES];
    body[HUGE_BYTES - 1] = 1;
    body
}

/// What the directory holds: settled and queued messages, more than a segment of them.
fn fill(broker: &Broker) {
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "long", DURABLE);
    client.declare_queue(1, "short", DURABLE);
    client.confirm_select(1);
    for number in 0..SHORT {
        let body = short_body(number);
        client.publish(1, "", "short", PERSISTENT, &body).expect("the broker is there");
    }
    client.await_confirms(1, SHORT);
    for number in 0..LONG {
        let body = long_body(number);
        client.publish(1, "", "long", PERSISTENT, &body).expect("the broker is there");
    }
    client.publish(1, "", "long", PERSISTENT, &huge_body()).expect("the broker is there");
    client.await_confirms(1, SHORT + LONG + 1);
    for queue in ["short", "long"] {
        for _ in 0..3 {
            client.get(1, queue).expect("there are more than that");
        }
    }
}

fn assert_is_all_there(broker: &Broker) {
    let mut client = Client::login_with_channel(broker.amqp());
    assert_eq!(client.declare_queue(1, "short", DURABLE), (SHORT - 3) as u32);
    assert_eq!(client.declare_queue(1, "long", DURABLE), (LONG - 3 + 1) as u32);
    for number in 3..SHORT {
        let delivery = client.get(1, "short").expect("a message");
        assert_eq!(delivery.body, short_body(number));
        assert_eq!(delivery.properties, PERSISTENT);
    }
    for number in 3..LONG {
        let delivery = client.get(1, "long").expect("a message");
        assert!(delivery.body == long_body(number), "message {number} has changed");
    }
    assert!(client.get(1, "long").expect("the last message").body == huge_body());
}

/// The directory's files, but for the lock.
fn names(directory: &Path) -> Vec<String> {
    let mut names = vec!["format.toml".to_string()];
    for shard in ["shard-0", "shard-1"] {
        for entry in fs::read_dir(directory.join(shard)).expect("a shard's directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("a number");
            names.push(format!("{shard}/{name}"));
        }
    }
    names.sort_unstable();
    names
}

fn write_down(directory: &Path) -> String {
    let mut text = String::new();
    for name in names(directory) {
        let octets = fs::read(directory.join(&name)).expect("a file");
        writeln!(text, "file {name} {}", octets.len()).expect("text");
        for (index, line) in octets.chunks(LINE).enumerate() {
            if line.iter().any(|octet| *octet != 0) {
                write!(text, "{} ", index * LINE).expect("text");
                line.iter().for_each(|octet| write!(text, "{octet:02x}").expect("text"));
                text.push('\n');
            }
        }
    }
    text
}

fn restore(text: &str, directory: &Path) {
    let mut file = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["file", name, octets] => {
                let path = directory.join(name);
                fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
                let made = File::create(path).expect("it can be made");
                made.set_len(octets.parse().expect("a number")).expect("it can grow");
                file = Some(made);
            }
            [offset, hexadecimal] => {
                let octet = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("octets");
                let octets: Vec<u8> = (0..hexadecimal.len()).step_by(2).map(octet).collect();
                let file = file.as_ref().expect("a file comes first");
                file.write_all_at(&octets, offset.parse().expect("an offset")).expect("written");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn directories_of_every_version_of_the_format_can_be_read() {
    let setup = Setup::new();
    if let Some(path) = std::env::var_os("HAREMQ_GOLDEN_WRITE") {
        let mut broker = Broker::start_with(setup);
        fill(&broker);
        broker.stop();
        fs::write(path, write_down(&broker.data_directory())).expect("it can be written");
        return;
    }
    let kept = workspace().join("tests/golden");
    let mut count = 0;
    for entry in fs::read_dir(kept).expect("the directories that are kept") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a text");
        let mut broker = Broker::start_with(setup.clone());
        let directory = broker.data_directory();
        broker.stop();
        fs::remove_dir_all(&directory).expect("it is ours");
        restore(&text, &directory);
        let check = Command::new(&binaries().haremq)
            .args(["check", "--data-dir"])
            .arg(&directory)
            .output()
            .expect("it runs");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        broker.start_again();
        assert_is_all_there(&broker);
        count += 1;
    }
    assert!(count > 0, "no directory is kept");
}
