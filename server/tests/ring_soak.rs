//! The ring mesh under real threads: everybody sends to everybody else, in turns of random length, reads late or at
//! once, and sleeps by its doorbell alone. What arrives is what was sent, once, in order, each item the one of its number.
//!
//! Turns come in rounds. At the end of one everybody tells everybody else, and sleeps until all others have told it the
//! same: then nobody else rings any more, and a single wake-up that is lost leaves all of them asleep.
//!
//! `HAREMQ_SOAK_SECONDS` says for how long, `HAREMQ_SOAK_ITEMS` how many items at least; with both, what comes first.

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
/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing has moved in so many looks: a wake-up was lost. Looks and no clock, which goes on while a process is stopped.
const PATIENCE: u32 = 3000;
/// The texture that bodies are cut from begins with so many places to begin at, and goes on for the longest of them.
const PLACES: u64 = 64 << 10;
const LONGEST: u64 = 100_000;

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
    fn octets(&mut self, length: u64) -> Arc<[u8]> {
        (0..length).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// What all threads see of each other.
struct Shared {
    /// No more rounds are to be begun.
    over: AtomicBool,
    /// Items that have been received.
    received: AtomicU64,
}

/// What a command is, told by its channel's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    Item = 1,
    EndOfRound,
    EndOfAll,
}

/// What the item of that number is on its way between two shards. Sender and receiver ask the same.
enum Item<'a> {
    Command,
    Publish(&'a [u8]),
}

fn item(texture: &[u8], from: ShardId, to: ShardId, number: u64) -> Item<'_> {
    let seed = number ^ (u64::from(from.0) << 48) ^ (u64::from(to.0) << 56);
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let (place, kind, length) = (mixed % PLACES, (mixed >> 16) % 2048, mixed >> 32);
    if kind % 4 == 1 {
        return Item::Command;
    }
    let length = length % if kind == 0 { LONGEST } else { 200 };
    Item::Publish(&texture[place as usize..(place + length) as usize])
}

/// Tells from whom to whom a command goes.
fn channel(from: ShardId, to: ShardId, word: Word) -> ChannelKey {
    let connection = ConnectionId::new(from, 1);
    ChannelKey { connection, channel: word as u16, incarnation: u32::from(to.0) }
}

/// What one shard has been through.
#[derive(Default)]
struct Tally {
    rounds: u64,
    /// Times it was put to sleep, and those of them with something in wait for room.
    slept: u64,
    starved: u64,
}

struct Shard {
    port: Port,
    shared: Arc<Shared>,
    texture: Arc<[u8]>,
    random: Random,
    /// By shard.
    sent: Vec<u64>,
    received: Vec<u64>,
    /// Ends of rounds that each other one has told.
    ended: Vec<u64>,
    /// The last round, as soon as it is known.
    last: Option<u64>,
    tally: Tally,
}

impl Shard {
    fn others(&self) -> impl Iterator<Item = ShardId> {
        let me = self.port.shard();
        (0..SHARDS).map(ShardId).filter(move |shard| *shard != me)
    }

    /// The next item to any other shard.
    fn send(&mut self) {
        let (me, any) = (self.port.shard(), self.random.below(u64::from(SHARDS) - 1) as u16);
        let to = ShardId(if any >= me.0 { any + 1 } else { any });
        let number = self.sent[usize::from(to.0)];
        match item(&self.texture, me, to, number) {
            Item::Command => self.say(to, Word::Item),
            Item::Publish(body) => {
                let message = MessageRef {
                    exchange: b"",
                    routing_key: b"soak",
                    properties: b"",
                    body,
                    persistent: false,
                    priority: 0,
                    expiration_ms: None,
                };
                let queues = [QueueId(number)];
                let publish = Publish { message, queues: &queues, confirm: None };
                self.port.batch(to).publish(1, &publish);
                self.sent[usize::from(to.0)] += 1;
            }
        }
    }

    fn say(&mut self, to: ShardId, word: Word) {
        let number = &mut self.sent[usize::from(to.0)];
        let channel = channel(self.port.shard(), to, word);
        self.port.batch(to).command(Command::Purge { queue: QueueId(*number), channel });
        *number += 1;
    }

    fn receive(&mut self) -> bool {
        let me = self.port.shard();
        let Some((from, mut batch)) = self.port.receive() else { return false };
        let at = usize::from(from.0);
        let (mut next, mut ended, mut is_last) = (self.received[at], self.ended[at], false);
        batch.drain(|mail| {
            let expected = item(&self.texture, from, me, next);
            match (mail, expected) {
                (Mail::Command(Command::Purge { queue, channel: key }), expected) => {
                    assert_eq!(queue.0, next, "a command from shard {at}");
                    if key == channel(from, me, Word::Item) {
                        assert!(matches!(expected, Item::Command), "{next} from {at} is another");
                    } else {
                        is_last |= key == channel(from, me, Word::EndOfAll);
                        assert!(is_last || key == channel(from, me, Word::EndOfRound), "{key:?}");
                        ended += 1;
                    }
                }
                (
                    Mail::Publish(Publish { message, queues, confirm: None }),
                    Item::Publish(body),
                ) => {
                    assert_eq!(queues, [QueueId(next)], "a message from shard {at}");
                    assert!(message.routing_key == b"soak", "its key has changed");
                    assert!(message.body == body, "body {next} from shard {at} has changed");
                }
                (other, _) => panic!("item {next} from shard {at} was not {other:?}"),
            }
            next += 1;
        });
        self.shared.received.fetch_add(next - self.received[at], Ordering::Relaxed);
        (self.received[at], self.ended[at]) = (next, ended);
        if is_last {
            self.last = Some(ended);
        }
        self.port.give_back(from, batch);
        true
    }

    /// Sends some, reads some, and sleeps now and then.
    async fn turn(&mut self) {
        if !self.port.is_congested() {
            let most = match self.random.below(64) {
                0 => 30_000,
                1..=8 => 2000,
                _ => 60,
            };
            (0..self.random.below(most)).for_each(|_| self.send());
        }
        for _ in 0..self.random.below(4) {
            self.receive();
        }
        self.port.flush();
        let is_congested = self.port.is_congested();
        if is_congested || self.random.below(4) == 0 {
            while self.receive() {}
            self.port.flush();
            // Within a round shard 0 sleeps for want of room only, and the others while it has its end to tell them: so
            // there is always somebody who is to wake them.
            let is_owed = self.port.shard().0 != 0 && self.ended[0] == self.tally.rounds;
            if is_owed || (is_congested && !self.port.is_flushed()) {
                self.sleep().await;
            }
        }
    }

    /// Tells all others that this round is over, and sleeps until they have told it.
    async fn end_round(&mut self) {
        self.tally.rounds += 1;
        let is_last = self.port.shard().0 == 0 && self.shared.over.load(Ordering::Relaxed);
        if is_last {
            self.last = Some(self.tally.rounds);
        }
        let word = if is_last { Word::EndOfAll } else { Word::EndOfRound };
        self.others().for_each(|to| self.say(to, word));
        loop {
            self.port.flush();
            while self.receive() {}
            self.port.flush();
            let rounds = self.tally.rounds;
            let all = self.others().all(|from| self.ended[usize::from(from.0)] >= rounds);
            if all && self.port.is_flushed() {
                return;
            }
            self.sleep().await;
        }
    }

    /// By the bell alone.
    async fn sleep(&mut self) {
        let (bell, tally) = (self.port.bell(), &mut self.tally);
        poll_fn(|cx| {
            let poll = bell.poll_mail(cx, || self.port.has_work());
            if poll.is_pending() {
                tally.slept += 1;
                tally.starved += u64::from(!self.port.is_flushed());
            }
            poll
        })
        .await;
        bell.stay_awake();
    }

    /// Gives back the port, on which nothing may come any more.
    async fn run(mut self) -> (Port, Tally) {
        while self.last != Some(self.tally.rounds) {
            let most = if self.random.below(8) == 0 { 200 } else { 10 };
            for _ in 0..self.random.below(most) {
                self.turn().await;
            }
            self.end_round().await;
        }
        (self.port, self.tally)
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn what_shards_send_each_other_arrives_once_in_order_and_unchanged() {
    let (seconds, items) = (variable("HAREMQ_SOAK_SECONDS"), variable("HAREMQ_SOAK_ITEMS"));
    let time = seconds.or(items.is_none().then_some(SECONDS)).map(Duration::from_secs);
    let count = usize::from(SHARDS);
    let shared = Arc::new(Shared { over: AtomicBool::new(false), received: AtomicU64::new(0) });
    let texture = Random(0x9e37_79b9_7f4a_7c15).octets(PLACES + LONGEST);
    let mut threads: Vec<_> = mesh(SHARDS)
        .into_iter()
        .map(|port| {
            let shard = Shard {
                random: Random(0x2545_f491_4f6c_dd1d ^ (u64::from(port.shard().0) << 32)),
                port,
                shared: shared.clone(),
                texture: texture.clone(),
                sent: vec![0; count],
                received: vec![0; count],
                ended: vec![0; count],
                last: None,
                tally: Tally::default(),
            };
            thread::spawn(move || block_on(shard.run()))
        })
        .collect();
    let (began, mut moved, mut still) = (Instant::now(), 0, 0);
    let (mut ports, mut tallies) = (Vec::new(), Vec::new());
    while !threads.is_empty() {
        thread::park_timeout(LOOK);
        let received = shared.received.load(Ordering::Relaxed);
        let is_over = time.is_some_and(|time| began.elapsed() >= time)
            || items.is_some_and(|items| received >= items);
        shared.over.store(is_over, Ordering::Relaxed);
        // One that has failed leaves the others asleep.
        while let Some(at) = threads.iter().position(thread::JoinHandle::is_finished) {
            let (port, tally) = threads.swap_remove(at).join().expect("a shard ends in peace");
            ports.push(port);
            tallies.push(tally);
        }
        still = if received == moved { still + 1 } else { 0 };
        moved = received;
        assert!(still < PATIENCE, "nothing moves any more after {moved} items");
    }
    for port in &mut ports {
        assert!(port.receive().is_none(), "something came twice");
    }
    let (received, rounds) = (shared.received.load(Ordering::Relaxed), tallies[0].rounds);
    let slept: u64 = tallies.iter().map(|tally| tally.slept).sum();
    let starved: u64 = tallies.iter().map(|tally| tally.starved).sum();
    println!(
        "{received} items in {rounds} rounds and {:.1} s; {slept} sleeps, {starved} of them with something in wait for room",
        began.elapsed().as_secs_f64()
    );
    assert!(received > 1000 && slept > 100 && starved > 0, "too little happened");
}
