//! Disk space under messages that many queues hold, of which some let go and others do not, in no
//! order.

use std::collections::BTreeMap;

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Credit, Outcome};

use crate::client::{channel, consumer};
use crate::space::{number_of, Disk};
use crate::world::{message, Received};

/// Octets of the record of a message of these tests for so many queues.
fn record_octets(body: usize, queues: usize) -> u64 {
    let message = message(&[], true);
    let content = 16 * queues + message.routing_key.len() + message.properties.len() + body;
    (56 + content as u64).next_multiple_of(8)
}

/// Messages that several queues hold and some let go, in no order.
struct Shared {
    disk: Disk,
    queues: Vec<QueueId>,
    /// Unacked deliveries, in no order.
    unacked: Vec<Received>,
    /// How many queues hold the message of that number.
    holders: BTreeMap<u64, usize>,
    live_octets: u64,
}

impl Shared {
    fn new(seed: u64, queues: usize) -> Self {
        let mut disk = Disk::new(seed);
        let queues: Vec<_> = (0..queues).map(|number| disk.queue(&format!("q{number}"))).collect();
        for (serial, queue) in (60..).zip(&queues) {
            disk.world.consume(*queue, consumer(channel(0, 6), serial), Credit::Unlimited);
        }
        Shared { disk, queues, unacked: Vec::new(), holders: BTreeMap::new(), live_octets: 0 }
    }

    fn publish(&mut self) {
        let bytes = 8 + self.disk.world.random.below(9);
        let count = 1 + self.disk.world.random.below(self.queues.len());
        let first = self.disk.world.random.below(self.queues.len());
        let some: Vec<QueueId> =
            self.queues.iter().cycle().skip(first).take(count).copied().collect();
        let number = self.disk.keep(&some, bytes);
        self.holders.insert(number, count);
        self.live_octets += record_octets(bytes, count);
    }

    fn take_deliveries(&mut self) {
        let is_shared = |one: &Received| one.queue != self.disk.busy;
        self.unacked.extend(self.disk.world.deliveries().into_iter().filter(is_shared));
    }

    fn ack_any(&mut self) {
        let index = self.disk.world.random.below(self.unacked.len());
        let one = self.unacked.swap_remove(index);
        let number = number_of(&one.body);
        let kept = self.disk.kept.entry(one.queue).or_default();
        kept.remove(kept.binary_search(&number).expect("it is kept"));
        let holders = self.holders.get_mut(&number).expect("it is held");
        self.live_octets -= record_octets(one.body.len(), *holders);
        *holders -= 1;
        self.live_octets += if *holders > 0 { record_octets(one.body.len(), *holders) } else { 0 };
        self.disk.world.settle(&one, Outcome::Ack);
    }

    /// What the log counts is what there is, and the files hold no more than they may.
    fn check(&mut self) {
        self.disk.rest();
        let space = self.disk.world.shards[0].log_space();
        let definitions = 20_000;
        let counted = space.live_octets.checked_sub(self.live_octets).expect("all are counted");
        assert!(counted < definitions, "{space:?}, of which {} are messages", self.live_octets);
    }
}

/// For each queue that kept a message, copying wrote a settle of its own, which could be half as
/// long as the message itself.
#[test]
fn small_messages_that_some_of_many_queues_let_go_hold_only_their_own_space() {
    let mut shared = Shared::new(11, 12);
    let mut copied = 0;
    for round in 0..500 {
        for _ in 0..40 {
            shared.publish();
        }
        shared.disk.rest_of_turns();
        shared.take_deliveries();
        while shared.unacked.len() > 40_000.min(round * 200) {
            shared.ack_any();
        }
        if round % 10 == 9 {
            shared.check();
            copied = shared.disk.world.shards[0].log_space().copied_octets;
        }
    }
    assert!(copied > shared.live_octets, "{copied} octets copied");
    shared.check();
    shared.disk.crash_and_deliver();
}

/// No queue is published to: what is written are acks, and each segment of them has some of
/// messages in nearly all others.
#[test]
fn acks_of_messages_in_very_many_segments_do_not_pile_up() {
    let mut shared = Shared::new(13, 150);
    while shared.unacked.len() < 180_000 {
        for _ in 0..20 {
            shared.publish();
        }
        shared.disk.rest_of_turns();
        shared.take_deliveries();
    }
    let segments = shared.disk.world.shards[0].log_space().segments;
    assert!(segments > 40, "{segments} segments");
    while shared.unacked.len() > 20_000 {
        for _ in 0..1000 {
            shared.ack_any();
        }
        shared.check();
    }
    shared.check();
    shared.disk.crash_and_deliver();
}
