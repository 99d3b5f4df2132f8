//! Random schedules: publish, consume, settle, declare, delete, crash, for many seeds, against
//! the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, ConsumerKey, QueueId, ShardId};
use haremq_engine::mail::{Command, Credit, DeliveryTo, Notice, Outcome, Publish, Requester};
use haremq_engine::topology::TopologyOutcome;

use crate::client::{channel, consumer, declare};
use crate::model::Model;
use crate::world::{message, Event, World};

#[derive(Clone, Copy)]
struct Subscription {
    queue: QueueId,
    prefetch: u32,
    no_ack: bool,
}

struct Run {
    world: World,
    model: Model,
    shards: u16,
    subscriptions: BTreeMap<u32, (ConsumerKey, Subscription)>,
    declares: Vec<bool>,
    deletes: Vec<QueueId>,
    next_confirm: Vec<u64>,
    next_number: u64,
    next_serial: u32,
    connections: u64,
    crashes: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let shards = 1 + (seed % 3) as u16;
        Run {
            world: World::new(shards, seed),
            model: Model::default(),
            shards,
            subscriptions: BTreeMap::new(),
            declares: Vec::new(),
            deletes: Vec::new(),
            next_confirm: vec![1; usize::from(shards)],
            next_number: 1,
            next_serial: 1,
            connections: 1,
            crashes: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.world.random.below(end)
    }

    fn own_channel(&self, shard: u16) -> ChannelKey {
        channel(shard, self.connections)
    }

    fn any_shard(&mut self) -> u16 {
        self.below(usize::from(self.shards)) as u16
    }

    fn any_queue(&mut self) -> Option<QueueId> {
        let open: Vec<QueueId> =
            self.model.queues.iter().filter(|(_, q)| !q.closing).map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| open[self.below(open.len())])
    }

    fn act(&mut self) {
        match self.below(100) {
            0..=1 if self.model.queues.len() < 6 => self.declare(),
            0..=24 => self.publish(),
            25..=44 => self.settle(),
            45..=47 => self.subscribe(),
            48 => self.unsubscribe(),
            49..=51 => self.get(),
            52 if self.world.random.one_in(4) => self.purge(),
            53 if self.world.random.one_in(6) => self.delete(),
            54 if self.world.random.one_in(4) => self.crash(),
            55 if self.world.random.one_in(8) => self.world.settle_down(),
            _ => self.world.step(),
        }
        self.read_events();
    }

    fn declare(&mut self) {
        let durable = !self.world.random.one_in(4);
        let name = format!("q{}", self.world.random.next());
        // One channel asks, since answers to one channel come in the order of its requests.
        let from = Requester::Channel(self.own_channel(self.shards - 1));
        self.declares.push(durable);
        self.world.request(from, declare(&name, durable, Arc::default()));
    }

    fn publish(&mut self) {
        let first = self.any_queue();
        let mut queues: Vec<QueueId> = first.into_iter().collect();
        while self.world.random.one_in(3) {
            queues.extend(self.any_queue());
        }
        queues.sort_unstable();
        queues.dedup();
        if queues.is_empty() {
            return;
        }
        let mut by_owner: BTreeMap<ShardId, Vec<QueueId>> = BTreeMap::new();
        for queue in &queues {
            by_owner.entry(self.model.queues[queue].owner).or_default().push(*queue);
        }
        if by_owner.keys().any(|owner| !self.world.shards[usize::from(owner.0)].has_room()) {
            return;
        }
        let publisher = self.any_shard();
        let confirm = self.next_confirm[usize::from(publisher)];
        self.next_confirm[usize::from(publisher)] += 1;
        let number = self.next_number;
        self.next_number += 1;
        let persistent = !self.world.random.one_in(5);
        let extra = match self.below(30) {
            0 => 20_000,
            1..=5 => 2_000,
            _ => 50,
        };
        let extra = self.below(extra);
        let mut body = number.to_le_bytes().to_vec();
        body.resize(8 + extra, b'.');
        self.model.published(publisher, confirm, number, persistent, &queues);
        let from = self.own_channel(publisher);
        for (owner, queues) in by_owner {
            let message = message(&body, persistent);
            let publish = Publish { message, queues: &queues, confirm: Some((from, confirm)) };
            self.world.publish(owner, &publish);
        }
    }

    fn settle(&mut self) {
        if self.model.held.is_empty() {
            return;
        }
        let count = if self.world.random.one_in(4) { 10 } else { 1 };
        let which = if self.world.random.one_in(3) { self.below(self.model.held.len()) } else { 0 };
        for _ in 0..count {
            if which >= self.model.held.len() {
                return;
            }
            let received = self.model.held.remove(which);
            let outcome = match self.world.random.below(6) {
                0 => Outcome::Requeue,
                1 => Outcome::Reject,
                _ => Outcome::Ack,
            };
            self.model.settled(&received, outcome);
            self.world.settle(&received, outcome);
        }
    }

    fn subscribe(&mut self) {
        let Some(queue) = self.any_queue() else { return };
        let shard = self.any_shard();
        let from = self.own_channel(shard);
        let key = consumer(from, self.next_serial);
        self.next_serial += 1;
        let no_ack = self.world.random.one_in(5);
        let prefetch = self.world.random.below(8) as u32;
        let subscription = Subscription { queue, prefetch, no_ack };
        self.subscriptions.insert(key.serial, (key, subscription));
        let credit = if prefetch == 0 { Credit::Unlimited } else { Credit::Prefetch(prefetch) };
        self.world.consume_as(queue, key, credit, |consume| consume.no_ack = no_ack);
    }

    fn unsubscribe(&mut self) {
        let keys: Vec<_> = self.subscriptions.keys().copied().collect();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.below(keys.len())];
        let Some((consumer, subscription)) = self.subscriptions.remove(&key) else { return };
        let queue = subscription.queue;
        let Some(owner) = self.model.queues.get(&queue).map(|queue| queue.owner) else { return };
        let channel = ChannelKey {
            connection: consumer.connection,
            channel: consumer.channel,
            incarnation: 0,
        };
        self.world.command(owner, Command::Cancel { queue, consumer, channel });
    }

    fn get(&mut self) {
        let Some(queue) = self.any_queue() else { return };
        let owner = self.model.queues[&queue].owner;
        let channel = self.own_channel(0);
        let no_ack = self.world.random.one_in(3);
        self.world.command(owner, Command::Get { queue, channel, no_ack });
    }

    /// So that the model knows when a command is carried out: now.
    fn deliver_what_is_owed(&mut self, owner: ShardId, queue: QueueId) {
        let shard = usize::from(owner.0);
        while self.world.shards[shard].owes_deliveries(queue) {
            self.world.dispatch(shard);
        }
        self.read_events();
    }

    fn purge(&mut self) {
        let Some(queue) = self.any_queue() else { return };
        let owner = self.model.queues[&queue].owner;
        let channel = self.own_channel(0);
        self.deliver_what_is_owed(owner, queue);
        self.world.command(owner, Command::Purge { queue, channel });
        self.model.purged(queue);
    }

    fn delete(&mut self) {
        let Some(queue) = self.any_queue() else { return };
        let owner = self.model.queues[&queue].owner;
        self.deliver_what_is_owed(owner, queue);
        if let Some(model) = self.model.queues.get_mut(&queue) {
            model.closing = true;
        }
        self.deletes.push(queue);
        // The channel number says which delete is answered.
        let channel = ChannelKey { channel: queue.0 as u16, ..self.own_channel(0) };
        self.world
            .command(owner, Command::Delete { queue, channel, if_unused: false, if_empty: false });
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.world.crash();
        self.after_crash();
    }

    fn after_crash(&mut self) {
        self.subscriptions.clear();
        self.declares.clear();
        self.deletes.clear();
        self.connections += 1;
        self.next_confirm.fill(1);
        let world = &self.world;
        let topology = world.shards[0].topology();
        self.model.crashed(|id| topology.queue_by_id(id).is_some());
        for shard in &world.shards {
            assert_eq!(shard.topology().all_queues().count(), topology.all_queues().count());
        }
        self.check_counts();
    }

    fn check_counts(&self) {
        for (id, queue) in &self.model.queues {
            if !queue.closing {
                let owner = usize::from(queue.owner.0);
                let stats = self.world.shards[owner].queue_stats(*id).expect("an open queue");
                self.model.check_counts(*id, stats.messages_ready, stats.messages_unacknowledged);
            }
        }
    }

    fn read_events(&mut self) {
        while let Some(event) = self.world.events.pop_front() {
            match event {
                Event::Delivery(received) => {
                    let to = received.to;
                    let no_ack = match to {
                        DeliveryTo::Consumer { no_ack, .. } | DeliveryTo::Get { no_ack, .. } => {
                            no_ack
                        }
                    };
                    self.model.delivered(received, no_ack);
                    if let DeliveryTo::Consumer { consumer, .. } = to {
                        self.check_prefetch(consumer);
                    }
                }
                Event::Notice { from, notice } => self.read_notice(from, notice),
            }
        }
        self.check_counts();
    }

    fn check_prefetch(&self, key: ConsumerKey) {
        if let Some((_, subscription)) = self.subscriptions.get(&key.serial) {
            let limit = subscription.prefetch as usize;
            if limit > 0 && !subscription.no_ack {
                assert!(self.model.held_by(key) <= limit, "prefetch {limit} exceeded");
            }
        }
    }

    fn read_notice(&mut self, from: ShardId, notice: Notice) {
        match notice {
            Notice::Confirmed { channel, first, last, accepted } => {
                assert!(accepted);
                let publisher = channel.connection.shard().0;
                for confirm in first..=last {
                    self.model.confirmed(from, publisher, confirm);
                }
            }
            Notice::Topology { result: Ok(TopologyOutcome::Queue { id, created }), .. } => {
                assert!(created);
                let durable = self.declares.remove(0);
                self.model.add_queue(id, self.world.owner(id), durable);
            }
            Notice::Deleted { channel, .. } => {
                let same = |id: &QueueId| id.0 as u16 == channel.channel;
                let at = self.deletes.iter().position(same).expect("a delete under way");
                let queue = self.deletes.remove(at);
                self.model.deleted(queue);
                self.subscriptions.retain(|_, (_, subscription)| subscription.queue != queue);
            }
            Notice::Refused { .. }
            | Notice::Consuming { .. }
            | Notice::Cancelled { .. }
            | Notice::ConsumerGone { .. }
            | Notice::Empty { .. }
            | Notice::Purged { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Takes everything that is left, and compares.
    fn finish(&mut self, crash: bool) {
        if crash {
            self.crash();
        } else {
            self.world.settle_down();
            self.read_events();
            assert!(self.model.nothing_owed(), "a publisher waits for ever");
            let transient = |world: &World| -> u64 {
                world.shards.iter().map(|shard| shard.memory_messages()).sum()
            };
            assert!(transient(&self.world) <= self.model.transient_messages());
            self.world.restart_cleanly();
            self.after_crash();
        }
        let queues: Vec<QueueId> = self.model.queues.keys().copied().collect();
        for queue in queues {
            let key = consumer(self.own_channel(0), self.next_serial);
            self.next_serial += 1;
            self.world.consume_as(queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
        }
        self.world.settle_down();
        self.read_events();
        self.model.check_drained();
        let memory: usize = self.world.shards.iter().map(|shard| shard.memory_bytes()).sum();
        assert_eq!(memory, 0, "recovered messages are in the log, and nothing else is left");
    }
}

#[test]
fn nothing_confirmed_is_lost_and_order_and_counts_are_right() {
    let first: u64 = std::env::var("HAREMQ_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let count: u64 = std::env::var("HAREMQ_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let (mut confirmed, mut delivered, mut crashes) = (0, 0, 0);
    for seed in first..first + count {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            let steps = 2000;
            for _ in 0..steps {
                run.act();
            }
            run.finish(seed % 2 == 0);
            (run.model.confirmed, run.model.delivered, run.crashes)
        });
        match result {
            Ok((c, d, k)) => {
                confirmed += c;
                delivered += d;
                crashes += k;
            }
            Err(panic) => {
                eprintln!("the failing schedule is HAREMQ_SEED={seed} HAREMQ_SEEDS=1");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{count} schedules: {confirmed} confirms, {delivered} deliveries, {crashes} crashes");
    assert!(count < 20 || (confirmed > 1000 && delivered > 1000 && crashes > 20));
}
