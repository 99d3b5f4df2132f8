//! Limits that come to long queues, and policies that come to many: some at a time.

use haremq_engine::mail::{Credit, Requester};
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::TopologyRequest;

use crate::client::{channel, consumer, declare};
use crate::world::World;

fn policy(world: &mut World, pattern: &str, definition: &[(&str, Value)]) {
    let fields = definition.iter().map(|(name, value)| ((*name).into(), value.clone()));
    let request = TopologyRequest::SetPolicy {
        vhost: "/".into(),
        name: "p".into(),
        operator: false,
        pattern: pattern.into(),
        apply_to: "queues".into(),
        priority: 0,
        definition: Table(fields.collect()).into(),
    };
    world.request(Requester::Nobody, request);
}

/// Steps until the number of ready messages changes; how many are left then.
fn next_count(world: &mut World, queue: haremq_engine::ids::QueueId) -> u64 {
    let before = world.counts(queue).0;
    for _ in 0..100_000 {
        world.step();
        if world.counts(queue).0 != before {
            break;
        }
    }
    world.counts(queue).0
}

#[test]
fn a_limit_that_comes_to_a_long_queue_lets_others_have_their_turn() {
    let mut world = World::new(1, 1);
    let long = world.durable_queue("long");
    let other = world.durable_queue("other");
    for _ in 0..20_000 {
        world.send(&[long], "x", false);
    }
    world.send(&[other], "hello", true);
    world.settle_down();
    policy(&mut world, "^long$", &[("max-length", Value::I32(10))]);
    let after = next_count(&mut world, long);
    assert!((10_000..20_000).contains(&after), "{after} are left at once");
    // What comes meanwhile makes it no longer.
    let before = world.counts(long).0;
    world.send(&[long], "y", false);
    assert!(world.counts(long).0 <= before);
    world.consume(other, consumer(channel(0, 1), 1), Credit::Unlimited);
    world.settle_down();
    assert_eq!(world.take_deliveries().len(), 1);
    assert_eq!(world.counts(long).0, 10);
}

/// What consumers held comes back to a queue that was full beside it. Nobody has to send it anything for its limit to
/// hold again.
#[test]
fn a_limit_of_length_holds_again_after_a_restart() {
    for (by_policy, is_clean) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = World::new(1, 1);
        let queue = if by_policy {
            policy(&mut world, "^q$", &[("max-length", Value::I32(2))]);
            world.durable_queue("q")
        } else {
            world.queue_with("q", &[("x-max-length", 2)])
        };
        world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(3));
        for number in 0..6 {
            world.send(&[queue], &number.to_string(), true);
            world.settle_down();
        }
        assert_eq!(world.counts(queue), (2, 3));
        world.take_deliveries();
        match is_clean {
            true => world.restart_cleanly(),
            false => world.crash(),
        }
        world.settle_down();
        assert_eq!(world.counts(queue), (2, 0), "by policy: {by_policy}, cleanly: {is_clean}");
        world.consume(queue, consumer(channel(0, 2), 1), Credit::Unlimited);
        world.settle_down();
        assert_eq!(crate::client::bodies(&world.take_deliveries()), ["4", "5"]);
    }
}

#[test]
fn a_long_queue_that_is_cut_short_has_all_its_dead_letters_moved_in_order() {
    let mut world = World::new(2, 1);
    let grave = world.declare_on(1, declare("grave", true, std::sync::Arc::default()));
    let long = world.declare_on(0, declare("long", true, std::sync::Arc::default()));
    for number in 0..3_000 {
        world.send(&[long], &number.to_string(), true);
        if number % 50 == 0 {
            world.settle_down();
        }
    }
    world.settle_down();
    let rules = [
        ("max-length", Value::I32(2)),
        ("dead-letter-exchange", Value::text("")),
        ("dead-letter-routing-key", Value::text("grave")),
    ];
    policy(&mut world, "^long$", &rules);
    world.settle_down();
    assert_eq!((world.counts(long).0, world.counts(grave).0), (2, 2_998));
    world.consume(grave, consumer(channel(0, 1), 1), Credit::Unlimited);
    world.settle_down();
    let bodies = crate::client::bodies(&world.take_deliveries());
    let expected: Vec<String> = (0..2_998).map(|number| number.to_string()).collect();
    assert_eq!(bodies, expected);
}

#[test]
fn a_policy_counts_as_set_when_every_queue_lives_by_it_however_many_there_are() {
    let mut world = World::new(2, 1);
    let queues: Vec<_> =
        (0..1500).map(|number| world.durable_queue(&format!("q{number}"))).collect();
    for queue in &queues {
        world.send(&[*queue], "1", false);
        world.send(&[*queue], "2", false);
    }
    world.settle_down();
    world.take_notices();
    world.events.clear();
    policy(&mut world, "", &[("max-length", Value::I32(1))]);
    // A queue declared behind it is answered when that is done.
    world.request(Requester::Channel(channel(0, 9)), declare("last", true, Default::default()));
    let answered = |world: &mut World| !world.take_notices().is_empty();
    let mut looked_at_some = false;
    loop {
        world.step();
        let done = queues.iter().filter(|queue| world.counts(**queue).0 == 1).count();
        looked_at_some |= done > 0 && done < queues.len();
        if answered(&mut world) {
            assert_eq!(done, queues.len(), "answered before all live by it");
            break;
        }
    }
    assert!(looked_at_some, "all at once");
}
