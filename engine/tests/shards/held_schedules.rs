//! Random schedules of delayed messages, with crashes: nothing confirmed is lost, nothing comes
//! early, and on one shard nothing comes twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haremq_engine::ids::QueueId;
use haremq_engine::mail::Notice;
use haremq_engine::table::Value;

use crate::client::{channel, declare};
use crate::exchanges::properties;
use crate::world::{Event, World};

struct Run {
    world: World,
    queues: Vec<QueueId>,
    connection: u64,
    /// Message by publish number of this connection.
    unconfirmed: BTreeMap<u64, u64>,
    confirmed: BTreeSet<u64>,
    /// When each message is due, at the earliest.
    due: BTreeMap<u64, u64>,
}

impl Run {
    fn new(seed: u64, shards: u16) -> Self {
        let mut world = World::new(shards, seed);
        let last = shards - 1;
        let queues = vec![
            world.declare_on(0, declare("here", true, Arc::default())),
            world.declare_on(last, declare("there", true, Arc::default())),
        ];
        let kind = [("x-delayed-type", Value::text("fanout"))];
        world.exchange_on(last / 2, "later", "x-delayed-message", &kind);
        world.bind_queue("later", "here", "");
        world.bind_queue("later", "there", "");
        let (unconfirmed, confirmed, due) = Default::default();
        Run { world, queues, connection: 1, unconfirmed, confirmed, due }
    }

    fn act(&mut self) {
        match self.world.random.below(60) {
            0..=9 => self.publish(),
            10..=14 => self.world.pass_ms(7, 0),
            15 if self.world.random.one_in(4) => self.crash(),
            16 if self.world.random.one_in(4) => self.world.settle_down(),
            _ => self.world.step(),
        }
        self.read_events();
    }

    fn publish(&mut self) {
        let number = self.due.len() as u64;
        let delay = 1 + self.world.random.below(200) as u64;
        self.due.insert(number, self.world.now.unix_ms + delay);
        let publish_number = self.unconfirmed.last_key_value().map_or(0, |last| *last.0);
        let publish_number = publish_number.max(number) + 1;
        self.unconfirmed.insert(publish_number, number);
        let padding = if self.world.random.one_in(20) { 17_000 } else { 50 };
        let padding = self.world.random.below(padding);
        let body = format!("{number} {}", "x".repeat(padding));
        let properties = properties(&[("x-delay", Value::I64(delay as i64))], true);
        let confirm = Some((channel(0, self.connection), publish_number));
        let shards = self.world.publish_to("later", &body, &properties, confirm);
        assert_eq!(shards, 1, "it waits in one place");
    }

    fn crash(&mut self) {
        self.world.crash();
        self.world.resolve();
        self.connection += 1;
        self.unconfirmed.clear();
    }

    fn read_events(&mut self) {
        for event in std::mem::take(&mut self.world.events) {
            let Event::Notice { notice, .. } = event else { continue };
            let Notice::Confirmed { channel, first, last, accepted } = notice else { continue };
            assert!(accepted);
            if channel.connection.serial() == self.connection {
                for number in first..=last {
                    self.confirmed.extend(self.unconfirmed.remove(&number));
                }
            }
        }
    }

    /// Takes what has arrived, and looks whether it was due.
    fn collect(&mut self, times: &mut BTreeMap<(usize, u64), u64>) {
        for which in 0..self.queues.len() {
            for received in self.world.drain(self.queues[which]) {
                let text = String::from_utf8_lossy(&received.body);
                let number = text.split(' ').next().and_then(|text| text.parse().ok());
                let number: u64 = number.expect("bodies begin with their number");
                assert!(self.due[&number] <= self.world.now.unix_ms, "{number} came early");
                *times.entry((which, number)).or_default() += 1;
            }
        }
        // Settles wait for company a while; what is lost of them comes again, which is no fault.
        self.world.pass_ms(2, 0);
        self.world.settle_down();
    }
}

fn run(seed: u64, shards: u16) {
    let mut run = Run::new(seed, shards);
    let mut times = BTreeMap::new();
    for round in 0..6 {
        for _ in 0..250 {
            run.act();
        }
        if round == 3 {
            run.world.settle_down();
            run.read_events();
            run.collect(&mut times);
        }
    }
    run.world.settle_down();
    run.read_events();
    run.world.pass_ms(10_000, 0);
    run.collect(&mut times);
    assert_eq!(run.world.kept("later"), 0, "seed {seed}");
    for number in &run.confirmed {
        for which in 0..run.queues.len() {
            assert!(times.contains_key(&(which, *number)), "seed {seed}: {number} is lost");
        }
    }
    assert!(!run.confirmed.is_empty(), "seed {seed}: nothing was confirmed");
    for ((_, number), times) in times {
        assert_eq!(times, 1, "seed {seed}: {number} came more than once");
    }
}

#[test]
fn delayed_messages_of_one_shard_arrive_exactly_once_whatever_crashes() {
    (0..150).for_each(|seed| run(seed, 1));
}

#[test]
fn delayed_messages_for_other_shards_arrive_exactly_once_whatever_crashes() {
    (0..100).for_each(|seed| run(1000 + seed, 3));
}
