//! A disk that runs full: publishers wait, everything else goes on, and when there is room again publishers go on.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::disk::blocks::Blocks;
use haremq_tests::disk::device::Disk;
use haremq_tests::disk::mount::{format, possible, Mounted};
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::{queue_name, PERSISTENT};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Login, Received};
use haremq_tests::{eventually, ledger::MessageId};
use rustix::fs::statvfs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const BLOCKED: method::Method = (10, 60);
const UNBLOCKED: method::Method = (10, 61);
const BODY_BYTES: usize = 20_000;

fn setup(mounted: &Mounted, disk_free_limit: &str) -> Setup {
    let arguments = ["--segment-bytes", "4194304", "--disk-free-limit", disk_free_limit];
    Setup::new().arguments(arguments).data_directory(&mounted.path().join("data"))
}

fn free_octets(path: &Path) -> u64 {
    let disk = statvfs(path).expect("the disk can be asked");
    disk.f_bavail * disk.f_frsize
}

/// A client that wants to be told when it is blocked, ready to publish with confirms.
struct Publisher {
    client: Client,
    published: u64,
    confirmed: u64,
    blocked: Option<bool>,
}

impl Publisher {
    fn connect(broker: &Broker) -> Publisher {
        // capabilities: {connection.blocked: true}
        let inner = Arguments::new().shortstr("connection.blocked").raw(b"t\x01");
        let table = Arguments::new().shortstr("capabilities").raw(b"F").longstr(inner.octets());
        let login = Login { client_properties: table.octets().to_vec(), ..Login::default() };
        let (mut client, answer) = Client::login_as(broker.amqp(), &login);
        assert_eq!(answer.to_string(), "method (10,41)");
        client.open_channel(1);
        client.confirm_select(1);
        Publisher { client, published: 0, confirmed: 0, blocked: None }
    }

    fn publish(&mut self) {
        self.published += 1;
        let id = MessageId { queue: 0, publisher: 0, number: self.published };
        let body = id.body(BODY_BYTES);
        self.client.publish(1, "", &queue_name(0), PERSISTENT, &body).expect("octets are taken");
    }

    /// Takes what has come within `limit`; false when nothing has.
    fn listen(&mut self, limit: Duration) -> bool {
        let frame = match self.client.receive(limit) {
            Received::Frame(frame) => frame,
            Received::Silence => return false,
            Received::Closed => panic!("the broker has gone away"),
        };
        match frame.method_id() {
            Some(method::BASIC_ACK) => self.confirmed = frame.arguments().longlong(),
            Some(BLOCKED) => self.blocked = Some(true),
            Some(UNBLOCKED) => self.blocked = Some(false),
            other => panic!("a publisher got {other:?}"),
        }
        true
    }

    /// Publishes with few in flight until it is told that it is blocked.
    fn publish_until_blocked(&mut self, limit: u64) {
        while self.blocked != Some(true) {
            assert!(self.published < limit, "never blocked; {} are confirmed", self.confirmed);
            if self.published < self.confirmed + 20 {
                self.publish();
                while self.listen(Duration::from_micros(10)) {}
            } else {
                assert!(self.listen(PATIENCE), "neither confirmed nor told to be blocked");
            }
        }
    }

    /// Waits until it is unblocked and everything published is confirmed.
    fn await_all(&mut self) {
        while self.blocked == Some(true) || self.confirmed < self.published {
            let came = self.listen(PATIENCE);
            assert!(came, "blocked: {:?}, confirmed {}", self.blocked, self.confirmed);
        }
    }
}

/// Takes and acknowledges messages of the queue from `first` on, which must come in order, until it is empty.
fn consume_all(broker: &Broker, first: u64, at_least: u64) -> u64 {
    let mut client = Client::login_with_channel(broker.amqp());
    client.qos(1, 50);
    client.consume(1, &queue_name(0), "reader");
    let mut next = first;
    loop {
        let patience = if next <= at_least { PATIENCE } else { Duration::from_millis(500) };
        let Received::Frame(frame) = client.receive(patience) else { break };
        assert_eq!(frame.method_id(), Some(method::BASIC_DELIVER));
        let delivery = client.content(&frame).expect("the connection stays");
        let id = MessageId::of_body(&delivery.body).expect("bodies are whole");
        assert_eq!(id.number, next, "in order, without a gap");
        next += 1;
        client.ack(1, delivery.tag, false).expect("octets are taken");
    }
    assert!(next > at_least, "confirmed up to {at_least}, delivered up to {}", next - 1);
    // Acknowledgements are taken before this is answered.
    client.method(1, method::CHANNEL_CLOSE, &Arguments::new().short(200).shortstr("").long(0));
    while client.receive(PATIENCE).to_string() != "method (20,41)" {}
    next
}

fn disk(octets: u64, format_options: &[&str]) -> (Disk, Mounted) {
    let disk = Disk::new(Blocks::new(octets));
    format(&disk, format_options).expect("the disk can be formatted");
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    (disk, mounted)
}

#[test]
fn publishers_wait_before_the_disk_is_full_and_go_on_when_there_is_room() {
    if skipped("publishers_wait_before_the_disk_is_full_and_go_on_when_there_is_room", possible()) {
        return;
    }
    let (_disk, mounted) = disk(112 << 20, &[]);
    let broker = Broker::start_with(setup(&mounted, "50000000"));
    let mut definitions = Client::login_with_channel(broker.amqp());
    definitions.declare_queue(1, &queue_name(0), 2);
    let mut publisher = Publisher::connect(&broker);
    publisher.publish_until_blocked(8000);
    println!("{} octets free, {} confirmed", free_octets(mounted.path()), publisher.confirmed);
    assert!(free_octets(mounted.path()) > 10_000_000, "blocked long before the disk is full");
    // Everything else goes on.
    definitions.declare_queue(1, "while.blocked", 2);
    let next = consume_all(&broker, 1, publisher.confirmed);
    let start = Instant::now();
    publisher.await_all();
    publisher.publish();
    publisher.await_all();
    println!("publishers go on {:?} after the last ack", start.elapsed());
    consume_all(&broker, next, publisher.published);
    drop(broker);
}

#[test]
fn a_disk_that_somebody_else_fills_stops_publishers_and_nothing_else() {
    let test = "a_disk_that_somebody_else_fills_stops_publishers_and_nothing_else";
    if !skipped(test, possible()) {
        somebody_else_takes_what_there_is(&[], take_blocks);
    }
}

#[test]
fn a_disk_that_takes_no_more_files_stops_publishers_and_nothing_else() {
    let test = "a_disk_that_takes_no_more_files_stops_publishers_and_nothing_else";
    if !skipped(test, possible()) {
        somebody_else_takes_what_there_is(&["-N", "64"], take_inodes);
    }
}

/// `format_options` go to mkfs.ext4, `take` fills the disk with what lies in a directory then.
fn somebody_else_takes_what_there_is(format_options: &[&str], take: fn(&Path)) {
    let (_disk, mounted) = disk(112 << 20, format_options);
    // No warning in time: the limit is below what a segment takes.
    let mut broker = Broker::start_with(setup(&mounted, "1"));
    let mut definitions = Client::login_with_channel(broker.amqp());
    definitions.declare_queue(1, &queue_name(0), 2);
    let mut publisher = Publisher::connect(&broker);
    publisher.publish();
    publisher.await_all();
    let filler = mounted.path().join("filler");
    std::fs::create_dir(&filler).expect("there is room still");
    take(&filler);
    publisher.publish_until_blocked(8000);
    println!("{} octets free, {} confirmed", free_octets(mounted.path()), publisher.confirmed);
    definitions.declare_queue(1, "while.full", 2);
    // A restart on a full disk.
    let confirmed = publisher.confirmed;
    broker.kill9_and_start_again();
    let mut publisher = Publisher::connect(&broker);
    let mut definitions = Client::login_with_channel(broker.amqp());
    definitions.declare_queue(1, "while.full", 2 | 1);
    let next = consume_all(&broker, 1, confirmed);
    std::fs::remove_dir_all(&filler).expect("the filler can be removed");
    let start = Instant::now();
    // By itself, within the time in which the disk is looked at again.
    publisher.published = next - 1;
    let sent = publisher.published + 1;
    publisher.publish();
    eventually("publishers go on", PATIENCE, || {
        publisher.listen(Duration::from_millis(200));
        (publisher.confirmed > 0).then_some(())
    });
    println!("publishers go on {:?} after there is space again", start.elapsed());
    consume_all(&broker, next, sent);
    drop(broker);
}

/// Fills the disk to the last block.
fn take_blocks(directory: &Path) {
    let mut file = File::create(directory.join("filler")).expect("the filler can be made");
    let mut part = vec![b'f'; 1 << 20];
    while !part.is_empty() {
        if file.write_all(&part).and_then(|()| file.sync_data()).is_err() {
            let half = part.len() / 2;
            part.truncate(half);
        }
    }
}

/// Makes files until there can be no more.
fn take_inodes(directory: &Path) {
    for number in 0..10_000 {
        if File::create(directory.join(number.to_string())).is_err() {
            return;
        }
    }
    panic!("there is no end to files");
}
