//! Bodies that come in parts: what is stored between them, what a crash leaves, and what is left of
//! those that are never whole.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId, ShardId};
use haremq_engine::mail::{BodyPart, Command, Credit, Notice, Publish};
use haremq_engine::message::MessageRef;
use haremq_engine::shard::ShardConfig;
use haremq_engine::table::{Table, Value};

use crate::client::{arguments, channel, consumer, declare};
use crate::random::Random;
use crate::world::{message, tiny, World};

const SHARD: ShardId = ShardId(0);

/// Octets that are found wherever they are.
pub(crate) fn body(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..bytes).map(|_| random.below(256) as u8).collect()
}

impl World {
    pub(crate) fn add_body(
        &mut self,
        from: ChannelKey,
        queues: &[QueueId],
        of: &[u8],
        octets: &[u8],
        persistent: bool,
    ) {
        let body_bytes = of.len() as u64;
        let part = BodyPart { channel: from, queues, persistent, body_bytes, octets };
        self.shards[0].add_body(self.now, &part);
    }

    pub(crate) fn end_body(
        &mut self,
        from: ChannelKey,
        queues: &[QueueId],
        last: &[u8],
        persistent: bool,
        number: u64,
    ) {
        let confirm = Some((from, number));
        let publish = Publish { message: message(last, persistent), queues, confirm };
        self.shards[0].publish_body(self.now, from, &publish);
    }

    /// Numbers that have been confirmed to that channel since the last call.
    fn confirmed(&mut self, to: ChannelKey) -> Vec<u64> {
        let mut all = Vec::new();
        for notice in self.take_notices() {
            if let Notice::Confirmed { channel, first, last, accepted: true } = notice {
                if channel == to {
                    all.extend(first..=last);
                }
            }
        }
        all
    }

    /// What is in the queue, in order.
    fn contents(&mut self, queue: QueueId) -> Vec<Vec<u8>> {
        self.events.clear();
        self.consume(queue, consumer(channel(0, 77), 1), Credit::Unlimited);
        self.settle_down();
        self.deliveries().into_iter().map(|delivery| delivery.body).collect()
    }

    pub(crate) fn live_octets(&self) -> u64 {
        self.shards[0].log_space().live_octets
    }
}

#[test]
fn what_others_publish_is_confirmed_while_a_long_body_is_under_way() {
    let mut world = World::new(1, 1);
    let (long, short) = (world.durable_queue("long"), world.durable_queue("short"));
    let (slow, quick) = (channel(0, 1), channel(0, 2));
    let octets = body(1, 400_000);
    world.take_notices();
    for (number, part) in (1..).zip(octets.chunks(20_000)) {
        world.add_body(slow, &[long], &octets, part, true);
        world.send_confirmed(&[short], "small", true, (quick, number));
        world.settle_down();
        assert_eq!(world.confirmed(quick), [number]);
    }
    world.end_body(slow, &[long], b"the end", true, 1);
    assert!(world.confirmed(slow).is_empty());
    world.settle_down();
    assert_eq!(world.confirmed(slow), [1]);
    let expected = [octets, b"the end".to_vec()].concat();
    assert_eq!(world.contents(long), [expected]);
    assert_eq!(world.contents(short).len(), 20);
}

/// Two bodies under way side by side and small messages between their parts: wherever the power
/// goes, each is back as a whole or not at all, in order, and back if it was confirmed.
#[test]
fn a_crash_at_any_moment_leaves_whole_messages_and_none_that_was_confirmed_is_lost() {
    let (mut whole, mut absent) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(1, 2 * seed);
        let queue = world.durable_queue("q");
        let from = [channel(0, 1), channel(0, 2), channel(0, 3)];
        world.take_notices();
        let long: Vec<_> =
            (0..2).map(|n| body(seed * 7 + n, 5_000 + (seed as usize * 997) % 150_000)).collect();
        let mut parts: Vec<_> = long.iter().map(|octets| octets.chunks(9_000).peekable()).collect();
        let (mut expected, mut confirmed) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
        let cut = world.random.below(120);
        for number in 0..cut as u64 {
            match world.random.below(4) {
                which @ (0 | 1) => {
                    let octets = &long[which];
                    let Some(part) = parts[which].next() else { continue };
                    if parts[which].peek().is_some() {
                        world.add_body(from[which], &[queue], octets, part, true);
                    } else {
                        world.end_body(from[which], &[queue], part, true, 1);
                        expected.push((which, octets.clone()));
                    }
                }
                2 => {
                    let small = format!("{number}");
                    world.send_confirmed(&[queue], &small, true, (from[2], number));
                    expected.push((2, small.into_bytes()));
                }
                _ => (0..3).for_each(|_| world.step()),
            }
            world.poll(0);
            for notice in world.take_notices() {
                let Notice::Confirmed { channel, first, last, accepted: true } = notice else {
                    continue;
                };
                let by = from.iter().position(|one| *one == channel).expect("one of them");
                confirmed[by].extend(first..=last);
            }
            world.events.clear();
        }
        world.crash();
        let found = world.contents(queue);
        let octets: Vec<_> = expected.iter().map(|(_, octets)| octets.clone()).collect();
        assert!(octets.starts_with(&found), "seed {seed}: out of order or in pieces");
        for (which, confirmed) in confirmed.iter().enumerate() {
            let mine = expected.iter().filter(|(by, _)| *by == which).take(confirmed.len());
            for (_, octets) in mine {
                assert!(found.contains(octets), "seed {seed}: a confirmed one is lost");
            }
        }
        for octets in &long {
            if found.contains(octets) {
                whole += 1;
            } else {
                absent += 1;
            }
        }
        // The log goes on, and what was never whole takes no room in it.
        world.send(&[queue], "after", true);
        world.restart_cleanly();
        assert_eq!(world.contents(queue).len(), found.len() + 1);
    }
    assert!(whole > 50 && absent > 50, "{whole} and {absent}");
}

#[test]
fn a_body_that_is_given_up_leaves_nothing() {
    for persistent in [true, false] {
        let config = ShardConfig { memory_max_bytes: 1 << 20, ..tiny() };
        let mut world = World::with(config, 1);
        let queue = world.durable_queue("q");
        let (memory, live) = (world.shards[0].memory_bytes(), world.live_octets());
        let octets = body(3, 500_000);
        for (number, from) in [channel(0, 1), channel(0, 2)].into_iter().enumerate() {
            for part in octets.chunks(10_000) {
                world.add_body(from, &[queue], &octets, part, persistent);
                world.settle_down();
            }
            let (held, logged) =
                (world.shards[0].memory_bytes() - memory, world.live_octets() - live);
            assert!(held + logged as usize >= 500_000, "{held} and {logged}");
            match number {
                0 => world.command(SHARD, Command::DropBody { channel: from }),
                _ => world.command(SHARD, Command::Forget { connection: from.connection }),
            }
            assert_eq!((world.shards[0].memory_bytes(), world.live_octets()), (memory, live));
        }
        // Its segments come back.
        world.settle_down();
        world.send(&[queue], "small", true);
        world.restart_cleanly();
        assert!(world.shards[0].log_space().segments <= 3);
        assert_eq!(world.contents(queue), [b"small"]);
    }
}

#[test]
fn a_long_transient_body_is_in_memory_if_there_is_room_for_all_of_it_and_else_on_disk() {
    let config = ShardConfig { memory_max_bytes: 1 << 20, body_part_bytes: 250_000, ..tiny() };
    let mut world = World::with(config, 1);
    let queue = world.durable_queue("q");
    let octets = body(4, 600_000);
    let from = [channel(0, 1), channel(0, 2)];
    for part in octets.chunks(50_000) {
        for from in from {
            world.add_body(from, &[queue], &octets, part, false);
        }
    }
    let (memory, live) = (world.shards[0].memory_bytes(), world.live_octets());
    assert!((600_000..700_000).contains(&memory), "{memory} octets for one of them");
    assert!((600_000..700_000).contains(&live), "{live} octets for the other");
    world.events.clear();
    for from in from {
        world.end_body(from, &[queue], b"", false, 1);
        assert!(world.shards[0].memory_bytes() < 700_000);
    }
    world.settle_down();
    assert_eq!(world.contents(queue), [octets.clone(), octets]);
    world.restart_cleanly();
    assert_eq!(world.counts(queue).0, 0);
}

/// To hand it out it would have to be copied as a whole.
#[test]
fn a_transient_body_of_more_than_a_few_parts_is_on_disk_whatever_memory_there_is() {
    let mut world = World::with(ShardConfig { body_part_bytes: 4_000, ..tiny() }, 1);
    let queue = world.durable_queue("q");
    let (octets, from) = (body(7, 30_000), channel(0, 1));
    let memory = world.shards[0].memory_bytes();
    world.add_body(from, &[queue], &octets, &octets[..20_000], false);
    world.end_body(from, &[queue], &octets[20_000..], false, 1);
    world.send_message(&[queue], message(&octets, false), None);
    assert_eq!(world.shards[0].memory_bytes(), memory);
    world.settle_down();
    assert_eq!(world.contents(queue), [octets.clone(), octets]);
}

/// A body is written once, and its message needs a record for each limit of time.
#[test]
fn queues_with_different_limits_share_the_parts_of_a_long_body() {
    let mut world = World::new(1, 1);
    let queues: Vec<_> = [0, 500_000, 900_000]
        .map(|ttl| {
            let limit = arguments(&[("x-message-ttl", ttl)]);
            let name = format!("q{ttl}");
            world.declare_on(0, declare(&name, true, if ttl > 0 { limit } else { Arc::default() }))
        })
        .to_vec();
    let octets = body(5, 300_000);
    let from = channel(0, 1);
    let file_octets = |world: &World| world.shards[0].log_space().segments;
    let before = file_octets(&world);
    for part in octets.chunks(30_000) {
        world.add_body(from, &queues, &octets, part, true);
    }
    world.end_body(from, &queues, b"", true, 1);
    world.settle_down();
    assert!(file_octets(&world) - before <= 6, "it is there more than once");
    world.crash();
    for queue in &queues[..2] {
        assert!(world.contents(*queue) == std::slice::from_ref(&octets));
    }
    // Acks of two of them leave it to the third.
    for queue in &queues[..2] {
        world.events.clear();
        world.restart_cleanly();
        world.consume_as(*queue, consumer(channel(0, 5), 9), Credit::Unlimited, |consume| {
            consume.no_ack = true;
        });
        world.settle_down();
        world.restart_cleanly();
        assert_eq!(world.counts(*queue).0, 0);
    }
    assert_eq!(world.contents(queues[2]), [octets]);
}

#[test]
fn a_queue_that_refuses_a_long_message_leaves_nothing_of_it() {
    let mut world = World::new(1, 1);
    let fields = [
        ("x-max-length".into(), Value::I64(0)),
        ("x-overflow".into(), Value::text("reject-publish")),
    ];
    let queue = world.declare_on(0, declare("full", true, Arc::new(Table(fields.into()))));
    let (octets, from) = (body(6, 100_000), channel(0, 1));
    let live = world.live_octets();
    world.add_body(from, &[queue], &octets, &octets, true);
    let publish = Publish {
        message: MessageRef { body: b"end", ..message(b"", true) },
        queues: &[queue],
        confirm: Some((from, 1)),
    };
    world.events.clear();
    world.shards[0].publish_body(world.now, from, &publish);
    world.settle_down();
    let refused = |notice: &Notice| matches!(notice, Notice::Confirmed { accepted: false, .. });
    assert!(world.take_notices().iter().any(refused));
    assert_eq!(world.live_octets(), live);
}
