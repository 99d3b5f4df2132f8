//! Purging, deleting and expiring very many messages: in pieces, so that others have their turn.

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Command, Credit, Notice, Outcome, Requester};
use haremq_engine::shard::ShardConfig;
use haremq_engine::topology::TopologyRequest;

use crate::client::{bodies, channel, consumer};
use crate::world::{tiny, World};

const COUNT: u64 = 20_000;
/// Messages taken out by one call at most: a sweep for expired ones is the longest.
const PIECE: u64 = 17_000;

fn roomy() -> World {
    let mut config = tiny();
    config.log.segment_bytes = 1 << 20;
    World::with(ShardConfig { memory_max_bytes: 1 << 30, ..config }, 1)
}

fn fill(world: &mut World, queue: QueueId, count: u64, persistent: bool) {
    for number in 0..count {
        world.send(&[queue], &number.to_string(), persistent);
        if number % 500 == 0 {
            world.settle_down();
        }
    }
    world.settle_down();
}

fn purge(world: &mut World, queue: QueueId) -> u64 {
    let owner = world.owner(queue);
    world.command(owner, Command::Purge { queue, channel: channel(0, 1) });
    world.poll(0);
    match world.take_notices()[..] {
        [Notice::Purged { messages, .. }] => messages,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn purge_of_a_long_queue_is_answered_at_once_and_done_in_pieces() {
    let mut world = roomy();
    let queue = world.durable_queue("q");
    fill(&mut world, queue, COUNT, true);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Prefetch(100));
    let held = world.deliveries();
    world.take_notices();
    assert_eq!(purge(&mut world, queue), COUNT - 100);
    assert_eq!(world.counts(queue), (0, 100));
    // What comes from now on was not meant, however much is still to be cleared away.
    world.send(&[queue], "after", true);
    assert!(!world.shards[0].is_quiet());
    world.settle(&held[3], Outcome::Requeue);
    for one in &held[4..] {
        world.settle(one, Outcome::Ack);
    }
    assert_eq!(bodies(&world.deliveries()), ["3", "after"]);
    // Nor does a stop leave it undone.
    world.restart_cleanly();
    world.consume(queue, key, Credit::Unlimited);
    assert_eq!(bodies(&world.deliveries()), ["0", "1", "2", "3", "after"]);
}

#[test]
fn purged_messages_do_not_come_back_once_the_rest_is_durable() {
    let mut world = roomy();
    let queue = world.durable_queue("q");
    fill(&mut world, queue, COUNT, true);
    assert_eq!(purge(&mut world, queue), COUNT);
    world.settle_down();
    world.pass_ms(10, 0);
    world.settle_down();
    world.crash();
    assert_eq!(world.counts(queue), (0, 0));
}

#[test]
fn queue_purged_twice_and_deleted_frees_everything() {
    let mut world = roomy();
    let queue = world.durable_queue("q");
    fill(&mut world, queue, COUNT, false);
    assert_eq!(purge(&mut world, queue), COUNT);
    for number in 0..COUNT / 2 {
        world.send(&[queue], &number.to_string(), false);
    }
    assert_eq!(purge(&mut world, queue), COUNT / 2);
    world.send(&[queue], "last", false);
    world.request(Requester::Nobody, TopologyRequest::DropQueue { id: queue });
    let before = world.shards[0].memory_messages();
    let mut pieces = 0;
    while world.poll(0) || world.complete(0, 0) || world.dispatch(0) {
        pieces += 1;
    }
    assert!(before > COUNT && pieces > 4, "{before} messages in {pieces} pieces");
    assert_eq!(world.shards[0].memory_messages(), 0);
}

#[test]
fn messages_that_expire_all_at_once_go_in_pieces() {
    let mut world = roomy();
    let queue = world.queue_with("q", &[("x-message-ttl", 1000)]);
    let count = 3 * COUNT;
    fill(&mut world, queue, count, false);
    world.pass_ms(1001, 0);
    let mut ready = world.counts(queue).0;
    assert!(ready > 0 && ready < count);
    while ready > 0 {
        world.pass_ms(1, 0);
        let left = world.counts(queue).0;
        assert!(left < ready && ready - left <= PIECE, "from {ready} to {left}");
        ready = left;
    }
}
