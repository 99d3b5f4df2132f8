//! The ring mesh under real threads for some seconds: everybody sends to everybody else, in turns of random length,
//! reads late or at once, and sleeps by its doorbell alone. What arrives is what was sent, once, in order.
//!
//! `HAREMQ_SOAK_SECONDS` says for how long.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use haremq::ring::{mesh, Mail, Port};
use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, ShardId};
use haremq_engine::mail::{Command, Publish};
use haremq_engine::message::MessageRef;

const SHARDS: u16 = 4;
const SECONDS: u64 = 3;
/// Nothing has moved for so long: a wake-up was lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// A generator of numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What all threads see of each other.
struct Shared {
    /// No more is to be begun.
    over: AtomicBool,
    /// Items that have been received.
    received: AtomicU64,
    /// For each shard how much each other one has sent in all, once it has ended: number and one.
    totals: Vec<AtomicU64>,
}

/// A body whose every octet tells its number and length.
fn body(number: u64, length: usize, into: &mut Vec<u8>) {
    into.clear();
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    into.extend((0..length as u64).map(|at| (seed.rotate_left((at % 64) as u32) ^ at) as u8));
}

struct Shard {
    port: Port,
    shared: Arc<Shared>,
    random: Random,
    /// By shard.
    sent: Vec<u64>,
    received: Vec<u64>,
    octets: Vec<u8>,
}

impl Shard {
    /// Something to that shard or to any other one.
    fn send(&mut self, to: Option<ShardId>) {
        let any = self.random.below(u64::from(SHARDS) - 1) as u16;
        let any = if any >= self.port.shard().0 { any + 1 } else { any };
        let to = to.unwrap_or(ShardId(any));
        let number = self.sent[usize::from(to.0)];
        self.sent[usize::from(to.0)] += 1;
        if self.random.below(3) == 0 {
            let connection = ConnectionId::new(ShardId(0), 1);
            let channel = ChannelKey { connection, channel: 1, incarnation: 1 };
            let command = Command::Purge { queue: QueueId(number), channel };
            return self.port.batch(to).command(command);
        }
        let is_long = self.random.below(100) == 0;
        let length = self.random.below(if is_long { 100_000 } else { 200 });
        body(number, length as usize, &mut self.octets);
        let message = MessageRef {
            exchange: b"",
            routing_key: b"soak",
            properties: b"",
            body: &self.octets,
            persistent: false,
            priority: 0,
            expiration_ms: None,
        };
        let queues = [QueueId(number)];
        self.port.batch(to).publish(1, &Publish { message, queues: &queues, confirm: None });
    }

    fn receive(&mut self) -> bool {
        let Some((from, mut batch)) = self.port.receive() else { return false };
        let (next, octets) = (&mut self.received[usize::from(from.0)], &mut self.octets);
        let before = *next;
        batch.drain(|mail| {
            let number = match mail {
                Mail::Command(Command::Purge { queue, .. }) => queue.0,
                Mail::Publish(publish) => {
                    body(publish.queues[0].0, publish.message.body.len(), octets);
                    assert!(publish.message.body == octets.as_slice(), "octets have changed");
                    publish.queues[0].0
                }
                other => panic!("nobody has sent {other:?}"),
            };
            assert_eq!(number, *next, "from shard {}", from.0);
            *next += 1;
        });
        self.shared.received.fetch_add(*next - before, Ordering::Relaxed);
        self.port.give_back(from, batch);
        true
    }

    /// Everything that was ever sent to this shard has come, as far as others have ended.
    fn is_done(&self) -> bool {
        let me = usize::from(self.port.shard().0);
        (0..usize::from(SHARDS)).filter(|from| *from != me).all(|from| {
            let total = self.shared.totals[me * usize::from(SHARDS) + from].load(Ordering::Acquire);
            total == self.received[from] + 1
        })
    }

    async fn run(mut self) {
        let me = usize::from(self.port.shard().0);
        while !self.shared.over.load(Ordering::Relaxed) {
            if !self.port.is_congested() {
                for _ in 0..self.random.below(50) {
                    self.send(None);
                }
            }
            for _ in 0..self.random.below(4) {
                self.receive();
            }
            self.port.flush();
            // Shard 0 sleeps for want of room only, so that there is somebody who wakes the others.
            if self.port.is_congested() || (me != 0 && self.random.below(4) == 0) {
                while self.receive() {}
                self.port.flush();
                // Nobody rings once all is over: whoever has read what shard 0 sends last sees here that it is.
                let is_over = self.shared.over.load(Ordering::Relaxed);
                if !is_over && (me != 0 || !self.port.is_flushed()) {
                    self.sleep().await;
                }
            }
        }
        if me == 0 {
            (1..SHARDS).for_each(|to| self.send(Some(ShardId(to))));
        }
        loop {
            while self.receive() {}
            self.port.flush();
            if self.port.is_flushed() {
                break;
            }
            self.sleep().await;
        }
        for (to, sent) in self.sent.iter().enumerate() {
            let total = &self.shared.totals[to * usize::from(SHARDS) + me];
            total.store(sent + 1, Ordering::Release);
        }
        while !self.is_done() {
            if !self.receive() {
                thread::yield_now();
            }
        }
    }

    /// By the bell alone.
    async fn sleep(&self) {
        let bell = self.port.bell();
        poll_fn(|cx| bell.poll_mail(cx, || self.port.has_work())).await;
        bell.stay_awake();
    }
}

#[test]
fn what_shards_send_each_other_arrives_once_in_order_and_unchanged() {
    let seconds = std::env::var("HAREMQ_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let count = usize::from(SHARDS);
    let shared = Arc::new(Shared {
        over: AtomicBool::new(false),
        received: AtomicU64::new(0),
        totals: (0..count * count).map(|_| AtomicU64::new(0)).collect(),
    });
    let threads: Vec<_> = mesh(SHARDS)
        .into_iter()
        .map(|port| {
            let random = Random(0x2545_f491_4f6c_dd1d ^ (u64::from(port.shard().0) << 32));
            let (sent, received) = (vec![0; count], vec![0; count]);
            let shared = shared.clone();
            let shard = Shard { port, shared, random, sent, received, octets: Vec::new() };
            thread::spawn(move || block_on(shard.run()))
        })
        .collect();
    let (began, mut moved, mut moved_at) = (Instant::now(), 0, Instant::now());
    while !threads.iter().all(thread::JoinHandle::is_finished) {
        thread::park_timeout(Duration::from_millis(20));
        shared.over.store(began.elapsed() >= time, Ordering::Relaxed);
        let received = shared.received.load(Ordering::Relaxed);
        if received != moved {
            (moved, moved_at) = (received, Instant::now());
        }
        assert!(moved_at.elapsed() < PATIENCE, "nothing moves any more after {moved} items");
    }
    threads.into_iter().for_each(|thread| thread.join().expect("a shard that ends in peace"));
    let received = shared.received.load(Ordering::Relaxed);
    println!("{received} items in {:.1} s", began.elapsed().as_secs_f64());
    assert!(received > 1000, "{received} items in {time:?}");
}
