//! Policies that come, change and go while their queues are at work.

use std::sync::Arc;

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Credit, Outcome, Requester};
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::TopologyRequest;

use crate::client::{bodies, channel, consumer};
use crate::world::World;

fn set_policy(world: &mut World, name: &str, operator: bool, fields: &[(&str, Value)]) {
    let fields = fields.iter().map(|(key, value)| ((*key).into(), value.clone()));
    let request = TopologyRequest::SetPolicy {
        vhost: "/".into(),
        name: name.into(),
        operator,
        pattern: "^q".into(),
        apply_to: "queues".into(),
        priority: 0,
        definition: Arc::new(Table(fields.collect())),
    };
    world.request(Requester::Nobody, request);
    world.settle_down();
}

fn clear_policy(world: &mut World, name: &str) {
    let (vhost, name) = ("/".into(), name.into());
    world.request(Requester::Nobody, TopologyRequest::ClearPolicy { vhost, name, operator: false });
    world.settle_down();
}

fn exists(world: &World, queue: QueueId) -> bool {
    world.shards.iter().any(|shard| shard.queue_stats(queue).is_some())
}

#[test]
fn a_length_limit_holds_for_what_is_there_and_what_comes() {
    let mut world = World::new(2, 1);
    let (limited, other) = (world.durable_queue("q"), world.durable_queue("other"));
    for body in ["0", "1", "2", "3"] {
        world.send(&[limited], body, true);
        world.send(&[other], body, true);
    }
    set_policy(&mut world, "p", false, &[("max-length", Value::I64(3))]);
    assert_eq!(world.counts(limited), (3, 0), "the oldest has gone at once");
    assert_eq!(world.counts(other), (4, 0));
    set_policy(&mut world, "p", false, &[("max-length", Value::I64(2))]);
    assert_eq!(world.counts(limited), (2, 0));
    set_policy(&mut world, "op", true, &[("max-length", Value::I64(1))]);
    assert_eq!(world.counts(limited), (1, 0), "an operator's lower limit counts");
    clear_policy(&mut world, "p");
    world.send(&[limited], "4", true);
    assert_eq!(world.counts(limited), (1, 0));
    world.consume(limited, consumer(channel(0, 1), 1), Credit::Unlimited);
    assert_eq!(bodies(&world.deliveries()), ["4"]);
}

#[test]
fn messages_that_come_under_a_policy_have_its_time_to_live() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-message-ttl", 5000)]);
    world.send(&[queue], "before", true);
    set_policy(&mut world, "p", false, &[("message-ttl", Value::I64(100))]);
    world.send(&[queue], "under", true);
    world.pass_ms(101, 0);
    assert_eq!(world.counts(queue), (1, 0));
    clear_policy(&mut world, "p");
    world.send(&[queue], "after", true);
    world.pass_ms(1000, 0);
    assert_eq!(world.counts(queue), (2, 0));
}

#[test]
fn a_queue_lapses_by_a_policy_that_came_later() {
    let mut world = World::new(2, 1);
    let queue = world.queue_with("q", &[]);
    world.pass_ms(10_000, 0);
    set_policy(&mut world, "p", false, &[("expires", Value::I64(500))]);
    world.pass_ms(499, 0);
    world.settle_down();
    assert!(exists(&world, queue), "time counts from when the policy came");
    world.pass_ms(1, 0);
    world.settle_down();
    assert!(!exists(&world, queue));
}

#[test]
fn a_policy_says_where_dead_messages_go() {
    let mut world = World::new(2, 1);
    let (queue, grave) = (world.durable_queue("q"), world.durable_queue("grave"));
    let rule = [
        ("dead-letter-exchange", Value::text("")),
        ("dead-letter-routing-key", Value::text("grave")),
        ("delivery-limit", Value::I64(1)),
    ];
    set_policy(&mut world, "p", false, &rule);
    world.send(&[queue], "0", true);
    world.send(&[queue], "1", true);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(1));
    for _ in 0..2 {
        let received = world.deliveries();
        assert_eq!(bodies(&received), ["0"]);
        world.settle(&received[0], Outcome::Requeue);
        world.settle_down();
    }
    let received = world.deliveries();
    assert_eq!(bodies(&received), ["1"], "the first has come back once too often");
    world.settle(&received[0], Outcome::Reject);
    world.settle_down();
    assert_eq!(world.counts(grave), (2, 0));
}

#[test]
fn policies_rule_again_after_a_crash() {
    let mut world = World::new(2, 1);
    let queue = world.durable_queue("q");
    set_policy(&mut world, "p", false, &[("max-length", Value::I64(2))]);
    for _ in 0..3 {
        world.crash();
        for body in ["0", "1", "2"] {
            world.send(&[queue], body, true);
        }
        world.settle_down();
        assert_eq!(world.counts(queue), (2, 0));
    }
}
