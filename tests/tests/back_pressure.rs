//! Publishers that are faster than the disk: they are slowed down to its speed, wherever the queue's shard is, and the
//! broker's memory stays within a bound. Nobody else waits for them.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::disk::blocks::Blocks;
use haremq_tests::disk::device::Disk;
use haremq_tests::disk::mount::{format, possible, Mounted};
use haremq_tests::eventually;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::{method, Arguments, Client, Received};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Much more than all sockets, rings and buffers between a client and the disk hold.
const PUBLISHED_OCTETS: u64 = 192 << 20;
const SENT_AT_ONCE: u64 = 64 << 10;
const DISK_OCTETS_PER_S: u32 = 12 << 20;
/// How long the disk is slow.
const SLOW_TIME: Duration = Duration::from_secs(3);

/// A connection that stays on its shard, for it has an exclusive queue there.
fn rooted(broker: &Broker) -> Client {
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "", 4);
    client
}

/// Publishes much to the queue while the disk is slow; gives what the broker's memory has grown by meanwhile, and how
/// many messages have been taken.
fn flood(
    broker: &Broker,
    disk: &Disk,
    publishers: &mut [Client],
    queue: &str,
    body_octets: u64,
) -> (u64, u64) {
    let mut bystander = Client::login_with_channel(broker.amqp());
    let mut consumer = Client::login_with_channel(broker.amqp());
    consumer.qos(1, 10);
    consumer.consume(1, queue, "consumer");
    let body = vec![7; body_octets as usize];
    let one = Client::publish_octets(1, "", queue, PERSISTENT, &body);
    let bodies = SENT_AT_ONCE.div_ceil(body_octets);
    let many = one.repeat(bodies as usize);
    let at_once = bodies * body_octets;
    let times = PUBLISHED_OCTETS / at_once / publishers.len() as u64;
    let sent = AtomicU64::new(0);
    let before = broker.resident_octets();
    disk.slow_down(Some(DISK_OCTETS_PER_S));
    std::thread::scope(|scope| {
        for publisher in publishers {
            scope.spawn(|| {
                for _ in 0..times {
                    publisher.send(&many);
                    sent.fetch_add(at_once, Ordering::Relaxed);
                }
            });
        }
        let (began, mut grown, mut taken) = (Instant::now(), 0, 0);
        while began.elapsed() < SLOW_TIME {
            grown = grown.max(broker.resident_octets().saturating_sub(before));
            // What is there can be had and acknowledged, other queues come and go.
            if let Received::Frame(frame) = consumer.receive(Duration::from_millis(1)) {
                let delivery = consumer.content(&frame).expect("the connection stays");
                consumer.ack(1, delivery.tag, false).expect("octets are taken");
                taken += 1;
            }
            bystander.declare_queue(1, "other", 2);
            delete(&mut bystander, "other");
        }
        let [sent, more] = [sent.load(Ordering::Relaxed), grown].map(|octets| octets >> 20);
        println!(
            "{queue}, {body_octets} B: {sent} MiB sent, {more} MiB more memory, {taken} taken"
        );
        disk.slow_down(None);
        (grown, taken)
    })
}

fn delete(client: &mut Client, queue: &str) {
    let arguments = Arguments::new().short(0).shortstr(queue).octet(0);
    client.call(1, method::QUEUE_DELETE, &arguments, method::QUEUE_DELETE_OK);
}

fn memory_stays_bounded(publishers: usize, body_octets: u64) {
    let disk = Disk::new(Blocks::new(1024 << 20));
    format(&disk, &[]).expect("the disk can be formatted");
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    let arguments = ["--segment-bytes", "8388608", "--disk-free-limit", "1000000"];
    let setup = Setup::new().arguments(arguments).data_directory(&mounted.path().join("data"));
    let broker = Broker::start_with(setup);
    let mut control = Client::login_with_channel(broker.amqp());
    // The third is the first that is not on the shard of the connection that declares them.
    let queues = ["first", "second", "third"];
    for queue in queues {
        control.declare_queue(1, queue, 2);
    }
    let mut publishers: Vec<_> = (0..publishers).map(|_| rooted(&broker)).collect();
    for queue in [queues[0], queues[2]] {
        let (grown, taken) = flood(&broker, &disk, &mut publishers, queue, body_octets);
        assert!(grown < PUBLISHED_OCTETS / 2, "the broker has grown by {} MiB", grown >> 20);
        eventually("everything arrives", Duration::from_secs(120), || {
            let ready = u64::from(control.declare_queue(1, queue, 2));
            (ready + taken == PUBLISHED_OCTETS / body_octets).then_some(())
        });
        delete(&mut control, queue);
    }
}

#[test]
fn memory_stays_bounded_when_a_publisher_of_large_messages_is_faster_than_the_disk() {
    let test = "memory_stays_bounded_when_a_publisher_of_large_messages_is_faster_than_the_disk";
    if !skipped(test, possible()) {
        memory_stays_bounded(1, 64 << 10);
    }
}

#[test]
fn memory_stays_bounded_while_the_largest_message_comes_faster_than_the_disk() {
    let test = "memory_stays_bounded_while_the_largest_message_comes_faster_than_the_disk";
    if !skipped(test, possible()) {
        memory_stays_bounded(1, 128 << 20);
    }
}

#[test]
fn memory_stays_bounded_when_a_publisher_of_small_messages_is_faster_than_the_disk() {
    let test = "memory_stays_bounded_when_a_publisher_of_small_messages_is_faster_than_the_disk";
    if !skipped(test, possible()) {
        memory_stays_bounded(1, 1 << 10);
    }
}

#[test]
fn memory_stays_bounded_when_many_publishers_are_faster_than_the_disk() {
    let test = "memory_stays_bounded_when_many_publishers_are_faster_than_the_disk";
    if !skipped(test, possible()) {
        memory_stays_bounded(16, 16 << 10);
    }
}
