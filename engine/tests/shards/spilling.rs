//! Transient messages beyond the memory there is for them: they go by the log, and nobody can tell
//! but by the memory.

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Credit, Notice, Outcome};
use haremq_engine::shard::ShardConfig;

use crate::client::{arguments, bodies, channel, consumer, declare};
use crate::world::{message, tiny, World};

/// Memory for a fifth of the messages below, and for the queues' indexes.
const MEMORY: usize = 1024 * 1024;
const COUNT: usize = 5_000;

fn body(number: usize) -> String {
    format!("{number:06}{}", ".".repeat(1000))
}

fn numbers(bodies: &[String]) -> Vec<usize> {
    bodies.iter().map(|body| body[..6].parse().expect("a number")).collect()
}

fn small() -> World {
    World::with(ShardConfig { memory_max_bytes: MEMORY, ..tiny() }, 1)
}

fn fill(world: &mut World, queue: QueueId, count: usize) {
    for number in 0..count {
        world.send(&[queue], &body(number), false);
        while world.poll(0) || world.complete(0, 0) {}
    }
}

#[test]
fn transient_backlog_keeps_within_its_memory_and_comes_in_order() {
    let mut world = small();
    let queue = world.declare_on(0, declare("t", false, arguments(&[])));
    for number in 0..COUNT {
        world.send(&[queue], &body(number), false);
        while world.poll(0) || world.complete(0, 0) {}
        let shard = &world.shards[0];
        assert!(shard.memory_bytes() + shard.index_bytes() <= MEMORY);
    }
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(100));
    let mut got = Vec::new();
    while got.len() < COUNT {
        let received = world.deliveries();
        assert!(!received.is_empty(), "{} of {COUNT} came", got.len());
        got.extend(numbers(&bodies(&received)));
        for one in &received {
            assert!(!one.redelivered);
            world.settle(one, Outcome::Ack);
        }
    }
    assert_eq!(got, (0..COUNT).collect::<Vec<_>>());
    assert_eq!(world.counts(queue), (0, 0));
    assert_eq!(world.stats(queue).message_bytes, 0);
}

#[test]
fn messages_stay_in_memory_again_when_the_backlog_has_gone() {
    let mut world = small();
    let queue = world.declare_on(0, declare("t", false, arguments(&[])));
    fill(&mut world, queue, COUNT);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    for one in world.deliveries() {
        world.settle(&one, Outcome::Ack);
    }
    world.settle_down();
    let written = world.disks[0].holds(b"needle");
    assert_eq!(written, 0);
    for _ in 0..100 {
        world.send(&[queue], "needle", false);
    }
    assert_eq!(world.deliveries().len(), 100);
    world.restart_cleanly();
    assert_eq!(world.disks[0].holds(b"needle"), 0, "it went by the log");
}

#[test]
fn long_queue_leaves_memory_to_those_whose_consumers_keep_up() {
    let mut world = small();
    let long = world.declare_on(0, declare("long", false, arguments(&[])));
    let short = world.declare_on(0, declare("short", false, arguments(&[])));
    fill(&mut world, long, COUNT);
    world.consume(short, consumer(channel(0, 1), 1), Credit::Unlimited);
    for _ in 0..200 {
        world.send(&[short], "needle", false);
        for one in world.deliveries() {
            world.settle(&one, Outcome::Ack);
        }
    }
    world.restart_cleanly();
    assert_eq!(world.disks[0].holds(b"needle"), 0);
}

#[test]
fn spilled_message_is_confirmed_at_once_and_makes_no_commit() {
    let mut world = World::with(ShardConfig { memory_max_bytes: 0, ..tiny() }, 1);
    let queue = world.durable_queue("q");
    world.send_confirmed(&[queue], "needle", false, (channel(0, 1), 1));
    world.poll(0);
    assert!(matches!(world.take_notices()[..], [Notice::Confirmed { accepted: true, .. }]));
    assert_eq!(world.under_way(0), 0);
    // It rides along with one that somebody waits for.
    world.send_confirmed(&[queue], "persistent", true, (channel(0, 1), 2));
    world.settle_down();
    assert_eq!(world.disks[0].holds(b"needle"), 1);
}

#[test]
fn spilled_messages_are_gone_after_a_restart_and_persistent_ones_are_not() {
    let mut world = World::with(ShardConfig { shards: 2, memory_max_bytes: 0, ..tiny() }, 1);
    let queue = world.declare_on(0, declare("q", true, arguments(&[])));
    let passing = world.declare_on(0, declare("t", false, arguments(&[])));
    for number in 0..300 {
        let persistent = number % 3 == 0;
        // A persistent message of a queue that does not survive is as transient as the others.
        world.send(&[queue], &number.to_string(), persistent);
        world.send(&[passing], &number.to_string(), persistent);
        if number % 50 == 0 {
            world.settle_down();
        }
    }
    // Some spilled ones are settled on the way: that needs no record either.
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(30));
    for one in world.deliveries().iter().step_by(2) {
        world.settle(one, Outcome::Ack);
    }
    world.restart_cleanly();
    let settled = |number: &usize| *number < 30 && number.is_multiple_of(2);
    let expected: Vec<String> = (0..300)
        .step_by(3)
        .filter(|number| !settled(number))
        .map(|number| number.to_string())
        .collect();
    assert_eq!(world.counts(queue), (expected.len() as u64, 0));
    assert!(world.shards[0].topology().queue("/", "t").is_none());
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    assert_eq!(bodies(&world.deliveries()), expected);
    // Once more: what was dead stays dead.
    world.crash();
    assert_eq!(world.counts(queue), (expected.len() as u64, 0));
}

#[test]
fn large_spilled_message_comes_back_whole_to_every_queue_and_frees_its_parts() {
    let mut world = World::with(ShardConfig { memory_max_bytes: 0, ..tiny() }, 1);
    let one = world.declare_on(0, declare("one", false, arguments(&[])));
    let two = world.declare_on(0, declare("two", false, arguments(&[("x-message-ttl", 60_000)])));
    let large = "0123456789abcdef".repeat(10_000);
    world.send(&[one, two], &large, false);
    assert_eq!(world.stats(one).message_bytes, large.len() as u64);
    world.settle_down();
    for (serial, queue) in [(1, one), (2, two)] {
        world.consume(queue, consumer(channel(0, 1), serial), Credit::Unlimited);
        let received = world.deliveries();
        assert_eq!(bodies(&received), [large.as_str()]);
        world.settle(&received[0], Outcome::Ack);
    }
    assert_eq!(world.stats(one).message_bytes, 0);
    // Segments come back: the log does not grow however many pass.
    let files = world.disks[0].listing().len();
    for _ in 0..50 {
        world.send(&[one, two], &large, false);
        for received in world.deliveries() {
            world.settle(&received, Outcome::Ack);
        }
    }
    assert!(world.disks[0].listing().len() <= files + 12, "{files} files became more and more");
}

#[test]
fn spilled_messages_are_dead_lettered_as_any_other() {
    let mut world = World::with(ShardConfig { memory_max_bytes: 0, ..tiny() }, 1);
    let heir = world.durable_queue("heir");
    let fields = haremq_engine::table::Table(vec![
        ("x-dead-letter-exchange".into(), haremq_engine::table::Value::text("")),
        ("x-dead-letter-routing-key".into(), haremq_engine::table::Value::text("heir")),
    ]);
    let queue = world.declare_on(0, declare("q", false, fields.into()));
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Unlimited);
    world.send_message(&[queue], message(b"transient", false), None);
    // Persistent in a queue that is not durable, and then in one that is: it survives there.
    world.send_message(&[queue], message(b"persistent", true), None);
    for one in world.deliveries() {
        world.settle(&one, Outcome::Reject);
    }
    world.settle_down();
    assert_eq!(world.counts(heir), (2, 0));
    world.restart_cleanly();
    world.consume(heir, key, Credit::Unlimited);
    assert_eq!(bodies(&world.deliveries()), ["persistent"]);
}
