//! What is on the device when a publisher has been told that it is safe, and what comes back.

use std::sync::Arc;

use haremq_engine::mail::{Command, Credit, Notice, Outcome, Requester};
use haremq_engine::topology::TopologyRequest;

use crate::client::{bodies, channel, consumer, declare};
use crate::world::World;

fn confirms(world: &mut World) -> Vec<(u64, u64, bool)> {
    world.poll(0);
    let range = |notice: Notice| match notice {
        Notice::Confirmed { first, last, accepted, .. } => (first, last, accepted),
        other => panic!("{other:?}"),
    };
    world.take_notices().into_iter().map(range).collect()
}

#[test]
fn persistent_publish_is_confirmed_only_when_it_is_on_the_device() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    for number in 1..=3 {
        world.send_confirmed(&[queue], "needle", true, (channel(0, 1), number));
    }
    assert_eq!(confirms(&mut world), []);
    assert_eq!(world.disks[0].holds(b"needle"), 0);
    while world.complete(0, 0) {}
    assert_eq!(world.disks[0].holds(b"needle"), 3);
    assert_eq!(confirms(&mut world), [(1, 3, true)]);
}

#[test]
fn what_needs_no_device_is_confirmed_at_once() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let transient = world.declare_on(0, declare("t", false, Arc::default()));
    let from = channel(0, 1);
    world.send_confirmed(&[queue], "transient message", false, (from, 1));
    world.send_confirmed(&[transient], "persistent, transient queue", true, (from, 2));
    assert_eq!(confirms(&mut world), [(1, 2, true)]);
    assert_eq!(world.under_way(0), 0);
}

#[test]
fn publish_to_a_queue_that_has_gone_is_confirmed() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let owner = world.owner(queue);
    world.request(Requester::Nobody, TopologyRequest::DropQueue { id: queue });
    world.settle_down();
    let message = crate::world::message(b"late", true);
    let confirm = Some((channel(0, 1), 1));
    let queues = &[queue];
    world.publish(owner, &haremq_engine::mail::Publish { message, queues, confirm });
    assert_eq!(confirms(&mut world), [(1, 1, true)]);
}

#[test]
fn fan_out_is_stored_once() {
    let mut world = World::new(1, 1);
    let queues: Vec<_> = (0..5).map(|n| world.durable_queue(&format!("q{n}"))).collect();
    world.send(&queues, "the one body", true);
    world.settle_down();
    assert_eq!(world.disks[0].holds(b"the one body"), 1);
    let before = world.shards[0].memory_bytes();
    let large = "x".repeat(40_000);
    world.send(&queues, &large, false);
    assert!(world.shards[0].memory_bytes() - before < 2 * large.len());
    for (serial, queue) in (1..).zip(&queues) {
        world.consume(*queue, consumer(channel(0, 1), serial), Credit::Unlimited);
    }
    let received = world.deliveries();
    assert_eq!(received.len(), 10);
    for one in &received {
        world.settle(one, Outcome::Ack);
    }
    world.crash();
    assert!(queues.iter().all(|queue| world.counts(*queue).0 <= 1), "acks may be lost, no more");
}

#[test]
fn recovered_messages_come_in_order_and_say_that_they_may_have_been_seen() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    for number in 0..300 {
        world.send(&[queue], &format!("{number}"), number % 10 != 9);
    }
    world.settle_down();
    world.crash();
    let persistent: Vec<String> = (0..300).filter(|n| n % 10 != 9).map(|n| n.to_string()).collect();
    assert_eq!(world.counts(queue), (persistent.len() as u64, 0));
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    world.send(&[queue], "after", true);
    let mut received = world.deliveries();
    let after = received.pop().expect("the message published after the crash");
    assert_eq!((after.body.as_slice(), after.redelivered), (&b"after"[..], false));
    assert_eq!(bodies(&received), persistent);
    assert!(received.iter().all(|one| one.redelivered));
}

#[test]
fn acked_messages_do_not_come_back_after_a_clean_stop() {
    let mut world = World::new(2, 1);
    let queue = world.declare_on(1, declare("q", true, Arc::default()));
    for number in 0..100 {
        world.send(&[queue], &number.to_string(), true);
    }
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    for (number, one) in world.deliveries().iter().enumerate() {
        if number % 3 != 0 {
            world.settle(one, Outcome::Ack);
        }
    }
    world.restart_cleanly();
    assert_eq!(world.counts(queue), (34, 0));
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    let left: Vec<String> = (0..100).filter(|n| n % 3 == 0).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&world.deliveries()), left);
}

#[test]
fn messages_acked_as_one_do_not_come_back() {
    let mut world = World::new(2, 1);
    let queue = world.declare_on(1, declare("q", true, Arc::default()));
    for number in 0..100 {
        world.send(&[queue], &number.to_string(), true);
    }
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    let received = world.deliveries();
    world.ack_run(&received[10], 70);
    world.restart_cleanly();
    assert_eq!(world.counts(queue), (30, 0));
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    let left: Vec<String> = (0..10).chain(80..100).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&world.deliveries()), left);
}

#[test]
fn ack_followed_by_a_confirm_is_never_undone() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    world.send(&[queue], "acked", true);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    let received = world.deliveries();
    world.take_notices();
    world.settle(&received[0], Outcome::Ack);
    world.send_confirmed(&[queue], "later", true, (channel(0, 1), 1));
    while confirms(&mut world).is_empty() {
        assert!(world.complete(0, 0));
    }
    world.crash();
    assert_eq!(world.counts(queue), (1, 0));
}

#[test]
fn shared_message_outlives_the_queues_that_let_it_go() {
    let mut world = World::new(1, 1);
    let (one, other) = (world.durable_queue("one"), world.durable_queue("other"));
    let transient = world.declare_on(0, declare("t", false, Arc::default()));
    for number in 0..40 {
        world.send(&[one, transient, other], &number.to_string(), true);
    }
    world.settle_down();
    let owner = world.owner(one);
    for queue in [one, transient] {
        world.command(owner, Command::Purge { queue, channel: channel(0, 1) });
    }
    world.restart_cleanly();
    assert_eq!(world.counts(one), (0, 0));
    assert_eq!(world.counts(other), (40, 0));
    assert!(world.shards[0].queue_stats(transient).is_none());
}

#[test]
fn disk_does_not_grow_with_what_has_passed_through() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    let body = "x".repeat(1000);
    for _ in 0..2000 {
        world.send(&[queue], &body, true);
        for one in world.deliveries() {
            world.settle(&one, Outcome::Ack);
        }
    }
    assert_eq!(world.counts(queue), (0, 0));
    assert!(world.disks[0].bytes() <= 8 * 64 * 1024, "{} octets", world.disks[0].bytes());
}

#[test]
fn backlog_beyond_memory_is_read_back_in_order() {
    let mut world = World::new(1, 1);
    let queues: Vec<_> = (0..4).map(|n| world.durable_queue(&format!("q{n}"))).collect();
    let body = "x".repeat(900);
    for number in 0..400 {
        for queue in &queues {
            world.send(&[*queue], &format!("{number:05}{body}"), true);
        }
        world.settle_down();
    }
    for (serial, queue) in (1..).zip(&queues) {
        world.consume(*queue, consumer(channel(0, 1), serial), Credit::Prefetch(7));
    }
    let mut seen = vec![0; queues.len()];
    let mut held = world.deliveries();
    while let Some(one) = held.pop() {
        world.settle(&one, Outcome::Ack);
        if held.is_empty() {
            let at = |queue| queues.iter().position(|other| *other == queue).expect("ours");
            held = world.deliveries();
            for one in &held {
                let next = &mut seen[at(one.queue)];
                assert_eq!(one.body[..5], format!("{:05}", *next + 7).as_bytes()[..]);
                *next += 1;
            }
        }
    }
    assert_eq!(seen, [393; 4]);
}
