//! Long messages on their way out: piece by piece, whatever becomes of them meanwhile.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId, ShardId};
use haremq_engine::mail::{Command, Credit, Outcome};
use haremq_engine::shard::ShardConfig;
use haremq_engine::table::{Table, Value};

use crate::client::{channel, consumer, declare};
use crate::long_bodies::body;
use crate::world::{tiny, World};

const SHARD: ShardId = ShardId(0);

/// Bodies of more than 4000 octets are long.
fn parts() -> ShardConfig {
    ShardConfig { body_part_bytes: 4_000, ..tiny() }
}

fn publish_long(world: &mut World, queues: &[QueueId], octets: &[u8], persistent: bool) {
    let from = channel(0, 1);
    let at = octets.len() - 10;
    for part in octets[..at].chunks(4_000) {
        world.add_body(from, queues, octets, part, persistent);
    }
    world.end_body(from, queues, &octets[at..], persistent, 1);
    world.settle_down();
    world.events.clear();
}

fn take_all(world: &mut World, queue: QueueId, no_ack: bool) {
    take_on(world, channel(0, 5), queue, no_ack);
}

fn take_on(world: &mut World, from: ChannelKey, queue: QueueId, no_ack: bool) {
    let taker = consumer(from, 9);
    world.consume_as(queue, taker, Credit::Unlimited, |consume| consume.no_ack = no_ack);
    world.settle_down();
}

#[test]
fn a_long_body_leaves_in_pieces_of_a_part_and_is_not_read_before_it_is_asked_for() {
    let mut world = World::with(parts(), 1);
    let queue = world.durable_queue("q");
    let octets = body(1, 300_000);
    publish_long(&mut world, &[queue], &octets, true);
    world.is_slow = true;
    take_all(&mut world, queue, false);
    assert_eq!((world.shards[0].readings(), world.piece_bytes), (1, 0));
    assert_eq!(world.counts(queue), (0, 1), "it is with its consumer");
    world.is_slow = false;
    world.settle_down();
    assert!(world.piece_bytes <= 4_000, "{} octets at once", world.piece_bytes);
    let found = world.deliveries();
    assert!(found.len() == 1 && found[0].body == octets);
    assert_eq!(world.shards[0].readings(), 0);
}

/// Its channel can take nothing else before the end of the body; all others can.
#[test]
fn while_a_long_body_is_on_its_way_other_channels_are_served_and_its_own_waits() {
    let mut world = World::with(parts(), 1);
    let (long, short) = (world.durable_queue("long"), world.durable_queue("short"));
    publish_long(&mut world, &[long], &body(2, 100_000), true);
    world.is_slow = true;
    let own = channel(0, 5);
    let other = ChannelKey { channel: 2, ..own };
    take_all(&mut world, long, false);
    for taker in [consumer(own, 10), consumer(other, 11)] {
        world.consume(short, taker, Credit::Prefetch(2));
    }
    for number in 0..4 {
        world.send(&[short], &format!("{number}"), true);
    }
    world.settle_down();
    let to_other = world.deliveries();
    assert_eq!(to_other.len(), 2, "as many as the other channel may have");
    world.is_slow = false;
    world.settle_down();
    let bodies: Vec<_> = world.deliveries().into_iter().map(|delivery| delivery.body).collect();
    assert_eq!(bodies.len(), 3);
    assert_eq!(bodies[0].len(), 100_000, "what waited comes behind it");
}

/// The message is gone at once; its octets must not be, and copying moves them meanwhile.
#[test]
fn a_body_that_is_being_read_stays_whatever_becomes_of_its_message_and_is_found_where_it_was_moved()
{
    let mut moved = 0;
    for seed in 0..6 {
        let mut world = World::with(parts(), seed);
        let (long, churn) = (world.durable_queue("long"), world.durable_queue("churn"));
        let octets = body(seed, 150_000);
        // A part of it in each of several segments, which are sparse when the rest has gone.
        let from = channel(0, 1);
        let at = octets.len() - 10;
        for part in octets[..at].chunks(4_000) {
            world.add_body(from, &[long], &octets, part, true);
            for _ in 0..6 {
                world.send(&[churn], &"c".repeat(4_000), true);
            }
            world.settle_down();
        }
        world.end_body(from, &[long], &octets[at..], true, 1);
        world.settle_down();
        world.events.clear();
        world.is_slow = true;
        let no_ack = seed % 2 == 0;
        take_all(&mut world, long, no_ack);
        assert_eq!(world.shards[0].readings(), 1);
        if !no_ack {
            world.command(SHARD, Command::Purge { queue: churn, channel: channel(0, 8) });
        }
        take_on(&mut world, channel(0, 6), churn, true);
        let copied = world.shards[0].log_space().copied_octets;
        for _ in 0..200 {
            world.send(&[churn], &"d".repeat(4_000), true);
            world.settle_down();
        }
        moved += world.shards[0].log_space().copied_octets - copied;
        world.events.clear();
        world.is_slow = false;
        world.settle_down();
        let found = world.deliveries();
        assert!(found.iter().any(|delivery| delivery.body == octets), "seed {seed}");
        assert_eq!(world.shards[0].readings(), 0);
        if no_ack {
            world.settle_down();
            assert!(world.live_octets() < 20_000, "what has been read is not kept");
        }
    }
    assert!(moved > 150_000, "{moved} octets were moved");
}

#[test]
fn a_connection_that_ends_in_the_middle_gives_the_message_back_and_keeps_nothing() {
    let mut world = World::with(parts(), 1);
    let queue = world.durable_queue("q");
    let octets = body(3, 100_000);
    publish_long(&mut world, &[queue], &octets, true);
    let live = world.live_octets();
    world.is_slow = true;
    let taker = consumer(channel(0, 5), 9);
    world.consume(queue, taker, Credit::Unlimited);
    world.settle_down();
    assert_eq!(world.shards[0].readings(), 1);
    let seq = world.held(queue);
    let requeue = Outcome::Requeue;
    let settle = Command::Settle { queue, seq, consumer: Some(taker), outcome: requeue };
    world.command(SHARD, settle);
    world.command(SHARD, Command::Forget { connection: taker.connection });
    assert_eq!((world.shards[0].readings(), world.live_octets()), (0, live));
    world.forget_coming();
    world.is_slow = false;
    take_all(&mut world, queue, true);
    let found = world.deliveries();
    assert!(found.len() == 1 && found[0].redelivered && found[0].body == octets);
}

/// It used to be read as a whole and written again.
#[test]
fn a_long_dead_letter_takes_its_body_along_without_writing_it_again() {
    let mut world = World::with(ShardConfig { memory_max_bytes: 0, ..parts() }, 1);
    let fields = [
        ("x-dead-letter-exchange".into(), Value::text("")),
        ("x-dead-letter-routing-key".into(), Value::text("dead")),
    ];
    let queue = world.declare_on(0, declare("q", true, Arc::new(Table(fields.into()))));
    let dead = world.durable_queue("dead");
    let octets = body(4, 200_000);
    publish_long(&mut world, &[queue], &octets, true);
    let (live, space) = (world.live_octets(), world.shards[0].log_space());
    let taker = consumer(channel(0, 5), 9);
    world.consume(queue, taker, Credit::Unlimited);
    world.settle_down();
    let seq = world.held(queue);
    let settle = Command::Settle { queue, seq, consumer: Some(taker), outcome: Outcome::Reject };
    world.command(SHARD, settle);
    world.settle_down();
    assert_eq!((world.counts(queue), world.counts(dead)), ((0, 0), (1, 0)));
    assert!(world.live_octets() < live + 2_000);
    assert!(world.shards[0].log_space().segments <= space.segments + 1, "it was written again");
    world.crash();
    world.events.clear();
    world.is_slow = false;
    take_all(&mut world, dead, true);
    let found = world.deliveries();
    assert!(found.len() == 1 && found[0].body == octets);
    world.settle_down();
    assert!(world.live_octets() < 10_000, "nobody holds the parts any more");
}
