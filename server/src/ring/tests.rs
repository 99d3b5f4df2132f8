use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, ShardId};
use haremq_engine::mail::{BodyPart, Command, Notice, Publish};
use haremq_engine::message::MessageRef;

use super::batch::RingBatch;
use super::{mesh, Doorbell, Mail, Port};

fn numbered(number: u64) -> Command {
    let connection = ConnectionId::new(ShardId(0), 1);
    let channel = ChannelKey { connection, channel: 1, incarnation: 1 };
    Command::Purge { queue: QueueId(number), channel }
}

fn number(mail: Mail<'_>) -> u64 {
    match mail {
        Mail::Command(Command::Purge { queue, .. }) => queue.0,
        other => panic!("unexpected {other:?}"),
    }
}

/// Takes everything that has arrived.
fn read(port: &mut Port, from: ShardId, into: &mut Vec<u64>) {
    while let Some((shard, mut batch)) = port.receive() {
        assert_eq!(shard, from);
        batch.drain(|mail| into.push(number(mail)));
        port.give_back(shard, batch);
    }
}

#[test]
fn a_full_ring_holds_mail_back_and_loses_none() {
    let mut ports = mesh(2);
    let mut receiver = ports.pop().unwrap();
    let mut sender = ports.pop().unwrap();
    let mut congested_at = None;
    for number in 0..1_000 {
        sender.batch(ShardId(1)).command(numbered(number));
        sender.flush();
        if congested_at.is_none() && sender.is_congested() {
            congested_at = Some(number);
        }
    }
    assert_eq!(congested_at, Some(63), "32 slots taken and 32 batches waiting");
    assert!(!sender.is_flushed());
    let mut seen = Vec::new();
    while seen.len() < 1_000 {
        read(&mut receiver, ShardId(0), &mut seen);
        assert!(sender.is_flushed() || sender.has_work(), "room is seen as work");
        sender.flush();
    }
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    assert!(!sender.is_congested());
    assert!(sender.is_flushed());
}

#[test]
fn batches_are_used_again_by_the_shard_that_made_them() {
    let mut ports = mesh(2);
    let mut receiver = ports.pop().unwrap();
    let mut sender = ports.pop().unwrap();
    let mut boxes = std::collections::HashSet::new();
    for number in 0..100 {
        sender.batch(ShardId(1)).command(numbered(number));
        sender.flush();
        let (from, mut batch) = receiver.receive().unwrap();
        boxes.insert(std::ptr::from_ref(&*batch) as usize);
        batch.drain(|_| ());
        receiver.give_back(from, batch);
    }
    assert!(boxes.len() <= 3, "{} boxes for 100 batches", boxes.len());
}

#[test]
fn parts_of_a_body_alone_are_something_for_a_log_to_write() {
    let connection = ConnectionId::new(ShardId(0), 1);
    let channel = ChannelKey { connection, channel: 1, incarnation: 1 };
    let mut batch = RingBatch::new();
    batch.command(numbered(1));
    assert!(!batch.fills_a_log());
    batch.body_part(&BodyPart {
        channel,
        queues: &[QueueId(1)],
        persistent: true,
        body_bytes: 1 << 20,
        octets: b"some of it",
    });
    assert!(batch.fills_a_log() && batch.publishes().is_none());
    batch.drain(|_| {});
    assert!(!batch.fills_a_log());
}

#[test]
fn a_large_turn_is_cut_into_batches() {
    let mut ports = mesh(2);
    let mut receiver = ports.pop().unwrap();
    let mut sender = ports.pop().unwrap();
    let message = MessageRef {
        exchange: b"",
        routing_key: b"q",
        properties: b"",
        body: &[7; 100_000],
        persistent: false,
        priority: 0,
        expiration_ms: None,
    };
    for _ in 0..9 {
        let publish = Publish { message, queues: &[QueueId(1)], confirm: None };
        sender.batch(ShardId(1)).publish(0, &publish);
    }
    sender.flush();
    let mut sizes = Vec::new();
    while let Some((from, mut batch)) = receiver.receive() {
        sizes.push(batch.len());
        batch.drain(|_| ());
        receiver.give_back(from, batch);
    }
    assert_eq!(sizes, [3, 3, 3]);
}

#[test]
fn every_shard_reaches_every_other_one() {
    let mut ports = mesh(4);
    for (from, port) in ports.iter_mut().enumerate() {
        for to in (0..4).filter(|to| *to != from) {
            port.batch(ShardId(to as u16)).command(numbered((10 * from + to) as u64));
        }
        port.flush();
    }
    for (to, port) in ports.iter_mut().enumerate() {
        let mut seen = Vec::new();
        while let Some((from, mut batch)) = port.receive() {
            batch.drain(|mail| seen.push(number(mail)));
            port.give_back(from, batch);
        }
        seen.sort_unstable();
        let expected: Vec<_> =
            (0..4).filter(|from| *from != to).map(|from| (10 * from + to) as u64).collect();
        assert_eq!(seen, expected);
        assert!(!port.has_work());
    }
}

#[test]
#[should_panic(expected = "another shard")]
fn mail_to_oneself_is_a_mistake() {
    mesh(2)[0].batch(ShardId(0)).notice(Notice::Empty {
        channel: ChannelKey {
            connection: ConnectionId::new(ShardId(0), 1),
            channel: 1,
            incarnation: 0,
        },
    });
}

/// A batch is given back late: the sender has filled its room already, and hears of it awake. The next room is what it
/// must be woken for.
#[test]
fn a_sender_that_was_rung_for_while_awake_is_woken_for_the_next_room() {
    let mut ports = mesh(2);
    let mut receiver = ports.pop().unwrap();
    let mut sender = ports.pop().unwrap();
    for number in 0..40 {
        sender.batch(ShardId(1)).command(numbered(number));
        sender.flush();
    }
    let bell = sender.bell().clone();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let (from, first) = receiver.receive().unwrap();
    sender.flush();
    receiver.give_back(from, first);
    assert!(bell.poll_mail(&mut cx, || sender.has_work()).is_pending(), "the ring is full again");
    assert!(!woken.0.load(Ordering::Relaxed));
    let (from, second) = receiver.receive().unwrap();
    receiver.give_back(from, second);
    assert!(woken.0.load(Ordering::Relaxed), "there is room, and the sender sleeps");
    assert!(sender.has_work());
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Panics instead of hanging if a wake-up is lost.
struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    fn start(what: &'static str) -> Watchdog {
        let done = Arc::new(AtomicBool::new(false));
        let watched = done.clone();
        thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !watched.load(Ordering::Relaxed) {
                if Instant::now() > deadline {
                    eprintln!("{what}: nothing moved for too long, a wake-up was lost");
                    std::process::abort();
                }
                thread::park_timeout(Duration::from_millis(100));
            }
        });
        Watchdog(done)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A shard that sleeps by its doorbell alone, without any ticker.
fn receive_all(mut port: Port, from: ShardId, count: usize) -> Vec<u64> {
    let bell = port.bell().clone();
    let mut seen = Vec::new();
    block_on(async {
        while seen.len() < count {
            read(&mut port, from, &mut seen);
            if seen.len() < count {
                poll_fn(|cx| bell.poll_mail(cx, || port.has_work())).await;
            }
        }
    });
    seen
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    const COUNT: u64 = 20_000;
    let _watchdog = Watchdog::start("ring");
    let mut ports = mesh(2);
    let receiver = ports.pop().unwrap();
    let mut sender = ports.pop().unwrap();
    let reader = thread::spawn(move || receive_all(receiver, ShardId(0), COUNT as usize));
    let bell = sender.bell().clone();
    block_on(async {
        for number in 0..COUNT {
            sender.batch(ShardId(1)).command(numbered(number));
            // Turns of different lengths, with and without the receiver asleep.
            if number % 7 == 0 || number % 11 == 0 {
                sender.flush();
            }
            if number % 64 == 0 {
                thread::yield_now();
            }
            while sender.is_congested() {
                poll_fn(|cx| bell.poll_mail(cx, || sender.has_work())).await;
                sender.flush();
            }
        }
        sender.flush();
        while !sender.is_flushed() {
            poll_fn(|cx| bell.poll_mail(cx, || sender.has_work())).await;
            sender.flush();
        }
    });
    assert_eq!(reader.join().unwrap(), (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn two_threads_can_play_ping_pong_by_their_bells_alone() {
    const ROUNDS: u64 = 3_000;
    let _watchdog = Watchdog::start("ping-pong");
    let mut ports = mesh(2);
    let mut far = ports.pop().unwrap();
    let mut near = ports.pop().unwrap();
    let echo = thread::spawn(move || {
        let bell = far.bell().clone();
        let mut seen = Vec::new();
        block_on(async {
            while seen.len() < ROUNDS as usize {
                let before = seen.len();
                read(&mut far, ShardId(0), &mut seen);
                for number in &seen[before..] {
                    far.batch(ShardId(0)).command(numbered(*number));
                }
                far.flush();
                if seen.len() < ROUNDS as usize {
                    poll_fn(|cx| bell.poll_mail(cx, || far.has_work())).await;
                }
            }
        });
    });
    let bell = near.bell().clone();
    let mut seen = Vec::new();
    block_on(async {
        for number in 0..ROUNDS {
            near.batch(ShardId(1)).command(numbered(number));
            near.flush();
            while seen.len() as u64 <= number {
                poll_fn(|cx| bell.poll_mail(cx, || near.has_work())).await;
                read(&mut near, ShardId(1), &mut seen);
            }
        }
    });
    echo.join().unwrap();
    assert_eq!(seen, (0..ROUNDS).collect::<Vec<_>>());
}

#[test]
fn a_bell_rung_before_sleep_is_not_needed_if_mail_is_seen() {
    let bell = Doorbell::new();
    bell.ring();
    block_on(poll_fn(|cx| bell.poll_mail(cx, || true)));
}
