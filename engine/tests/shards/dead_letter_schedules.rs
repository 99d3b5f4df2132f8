//! Random schedules of dying messages, with crashes: nothing is lost and nothing doubled, neither on
//! one shard nor between several.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId};
use haremq_engine::mail::{Command, Credit, DeliveryTo, Notice, Outcome, Publish, Requester};
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{BindingTarget, TopologyRequest};

use crate::client::{channel, consumer, declare};
use crate::dead_letters::mortal_on;
use crate::world::{message, Event, Received, World};

/// Where messages are published to: each dies in its own way.
const SOURCES: usize = 4;

struct Run {
    world: World,
    sources: Vec<QueueId>,
    queues: Vec<QueueId>,
    /// What consumers hold.
    held: Vec<Received>,
    next_number: u64,
    connection: u64,
    /// By publish number of this connection.
    unconfirmed: BTreeMap<u64, u64>,
    confirmed: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// For each message: how many of the final queues it goes to in the end.
    died: u64,
    crashes: u64,
}

fn number_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().expect("bodies begin with their number"))
}

impl Run {
    fn new(seed: u64, shards: u16) -> Self {
        let mut world = World::new(shards, seed);
        let last = shards - 1;
        let end = world.declare_on(last, declare("end", true, Arc::default()));
        let sources = vec![
            mortal_on(&mut world, 0, "rejecting", "end", &[]),
            mortal_on(&mut world, 0, "expiring", "middle", &[("x-message-ttl", 40)]),
            mortal_on(&mut world, last, "short", "middle", &[("x-max-length", 3)]),
            mortal_on(&mut world, 0, "limited", "end", &[("x-delivery-limit", 1)]),
        ];
        assert_eq!(sources.len(), SOURCES);
        let middle = mortal_on(&mut world, last / 2, "middle", "end", &[("x-max-length", 5)]);
        let queues = sources.iter().copied().chain([middle, end]).collect();
        Run {
            world,
            sources,
            queues,
            held: Vec::new(),
            next_number: 1,
            connection: 1,
            unconfirmed: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            acked: BTreeSet::new(),
            died: 0,
            crashes: 0,
        }
    }

    fn channel(&self) -> ChannelKey {
        channel(0, self.connection)
    }

    fn act(&mut self) {
        match self.world.random.below(100) {
            0..=19 => self.publish(),
            20..=29 => self.get(),
            30..=49 => self.settle(),
            50..=54 => self.world.pass_ms(7, 0),
            55 if self.world.random.one_in(3) => self.crash(),
            56 if self.world.random.one_in(4) => self.world.settle_down(),
            _ => self.world.step(),
        }
        self.read_events();
    }

    fn publish(&mut self) {
        let source = self.sources[self.world.random.below(SOURCES)];
        let owner = self.world.owner(source);
        if !self.world.shards[usize::from(owner.0)].has_room() {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        // Sizes that end blocks anywhere, and some that come in parts.
        let extra = match self.world.random.below(30) {
            0 => 17_000,
            1..=8 => 3_000,
            _ => 60,
        };
        let extra = self.world.random.below(extra);
        let mut body = number.to_le_bytes().to_vec();
        body.resize(8 + extra, b'.');
        self.unconfirmed.insert(number, number);
        let confirm = Some((self.channel(), number));
        let message = message(&body, true);
        self.world.publish(owner, &Publish { message, queues: &[source], confirm });
    }

    fn get(&mut self) {
        let queue = self.queues[self.world.random.below(SOURCES + 1)];
        let owner = self.world.owner(queue);
        let channel = self.channel();
        self.world.command(owner, Command::Get { queue, channel, no_ack: false });
    }

    fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let which = self.world.random.below(self.held.len());
        let received = self.held.remove(which);
        let outcome = match self.world.random.below(5) {
            0 => Outcome::Ack,
            1 | 2 => Outcome::Requeue,
            _ => Outcome::Reject,
        };
        if outcome == Outcome::Ack {
            self.acked.insert(number_of(&received.body));
        }
        self.died += u64::from(outcome == Outcome::Reject);
        self.world.settle(&received, outcome);
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.world.crash();
        // The power goes again while the broker starts.
        while self.world.random.one_in(3) {
            for _ in 0..self.world.random.below(60) {
                self.world.step();
            }
            self.world.crash();
        }
        self.world.resolve();
        self.connection += 1;
        self.held.clear();
        self.unconfirmed.clear();
        // A limit of length holds again, too.
        self.world.events.clear();
    }

    fn read_events(&mut self) {
        while let Some(event) = self.world.events.pop_front() {
            match event {
                Event::Delivery(received) => self.held.push(received),
                Event::Notice {
                    notice: Notice::Confirmed { first, last, accepted, .. }, ..
                } => {
                    assert!(accepted);
                    for number in first..=last {
                        let number = self.unconfirmed.remove(&number);
                        self.confirmed.insert(number.expect("confirmed once, by its publisher"));
                    }
                }
                Event::Notice { notice: Notice::Empty { .. }, .. } => {}
                Event::Notice { notice, .. } => panic!("{notice:?}"),
            }
        }
    }

    /// How often each message is somewhere.
    fn drain(&mut self) -> BTreeMap<u64, usize> {
        // Everything that is held goes back first; what is on its way arrives.
        for received in std::mem::take(&mut self.held) {
            self.world.settle(&received, Outcome::Reject);
        }
        self.world.settle_down();
        self.read_events();
        let mut found = BTreeMap::new();
        for (serial, queue) in (1..).zip(self.queues.clone()) {
            let key = consumer(channel(0, 1_000_000), serial);
            self.world.consume_as(queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
            self.world.settle_down();
            while let Some(event) = self.world.events.pop_front() {
                let Event::Delivery(received) = event else { continue };
                assert!(matches!(received.to, DeliveryTo::Consumer { .. }));
                *found.entry(number_of(&received.body)).or_default() += 1;
            }
        }
        found
    }

    fn finish(mut self, crash: bool) -> (u64, u64) {
        if crash {
            self.crash();
        } else {
            self.world.settle_down();
            self.read_events();
            assert!(self.unconfirmed.is_empty(), "a publisher waits for ever");
        }
        let found = self.drain();
        for number in &self.confirmed {
            let there = found.contains_key(number) || self.acked.contains(number);
            assert!(there, "{number} is lost");
        }
        for (number, times) in &found {
            assert_eq!(*times, 1, "{number} is there {times} times");
        }
        self.world.restart_cleanly();
        for queue in &self.queues {
            assert_eq!(self.world.counts(*queue), (0, 0), "settled for good");
        }
        (self.died, self.crashes)
    }
}

fn run_schedules(shards: u16, seeds: std::ops::Range<u64>) {
    let (mut died, mut crashes) = (0, 0);
    for seed in seeds {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed, shards);
            for _ in 0..1500 {
                run.act();
            }
            run.finish(seed % 2 == 0)
        });
        match result {
            Ok((d, c)) => {
                died += d;
                crashes += c;
            }
            Err(panic) => {
                eprintln!("the failing schedule is seed {seed} on {shards} shards");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(died > 500 && crashes > 30, "{died} rejections, {crashes} crashes");
}

#[test]
fn on_one_shard_no_dead_letter_is_lost_or_doubled_by_any_crash() {
    run_schedules(1, 1..41);
}

#[test]
fn between_shards_no_dead_letter_is_lost_or_doubled_by_any_crash() {
    run_schedules(3, 1..61);
}

/// One message dies into three queues, of which each gives it another limit.
#[test]
fn fan_out_of_a_dead_letter_is_all_or_nothing() {
    let mut arrived = [0, 0];
    for seed in 0..200 {
        let mut world = World::new(1, seed);
        let fanout = TopologyRequest::DeclareExchange {
            vhost: "/".into(),
            name: "dead".into(),
            kind: "fanout".into(),
            durable: true,
            auto_delete: false,
            internal: true,
            arguments: Arc::default(),
        };
        let from = Requester::Channel(channel(0, 900));
        world.request(from, fanout);
        let mut heirs = Vec::new();
        for (name, limit) in [("a", 60_000), ("b", 70_000), ("c", 80_000)] {
            world.settle_down();
            world.events.clear();
            heirs.push(world.queue_with(name, &[("x-message-ttl", limit)]));
            let bind = TopologyRequest::Bind {
                vhost: "/".into(),
                source: "dead".into(),
                target: BindingTarget::Queue(name.into()),
                key: "".into(),
                arguments: Arc::default(),
                connection: None,
            };
            world.request(from, bind);
        }
        world.settle_down();
        world.events.clear();
        let exchange = Table(vec![("x-dead-letter-exchange".into(), Value::text("dead"))]);
        let queue = world.declare_on(0, declare("q", true, Arc::new(exchange)));
        // Three of them fit one block.
        let size = 10 + world.random.below(5_000);
        world.send(&[queue], &".".repeat(size), true);
        let get = Command::Get { queue, channel: channel(0, 5), no_ack: false };
        world.command(world.owner(queue), get);
        let received = world.deliveries();
        world.settle(&received[0], Outcome::Reject);
        world.dispatch(0);
        world.poll(0);
        world.crash();
        let counts: Vec<u64> = heirs.iter().map(|heir| world.counts(*heir).0).collect();
        let stayed = world.counts(queue).0;
        assert!(counts.iter().all(|count| *count == 1 - stayed), "{counts:?} and {stayed}");
        arrived[stayed as usize] += 1;
    }
    assert!(arrived[0] > 10 && arrived[1] > 10, "{arrived:?}");
}
