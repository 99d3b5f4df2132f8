//! Queue arguments: expiry, length limits, priorities, lapsing, single active consumer.

use std::sync::Arc;

use haremq_engine::mail::{Command, Credit, Notice, Outcome};
use haremq_engine::queue::QueueError;
use haremq_engine::table::{Table, Value};

use crate::client::{bodies, channel, consumer, declare};
use crate::world::{message, World};

/// Takes everything that is ready.
fn drain(world: &mut World, queue: haremq_engine::ids::QueueId) -> Vec<String> {
    let key = consumer(channel(0, 99), world.random.next() as u32);
    world.consume_as(queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
    let received = world.deliveries();
    let owner = world.owner(queue);
    world.command(owner, Command::Cancel { queue, consumer: key, channel: channel(0, 99) });
    world.settle_down();
    world.events.clear();
    bodies(&received)
}

#[test]
fn message_expires_by_the_lower_of_both_limits_wherever_it_stands() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-message-ttl", 1000)]);
    for (body, expiration_ms) in [("0", None), ("1", Some(10)), ("2", Some(5000)), ("3", Some(20))]
    {
        let message =
            haremq_engine::message::MessageRef { expiration_ms, ..message(body.as_bytes(), true) };
        world.send_message(&[queue], message, None);
    }
    world.pass_ms(10, 0);
    assert_eq!(world.counts(queue), (4, 0), "alive in the millisecond it expires in");
    world.pass_ms(1, 0);
    assert_eq!(world.counts(queue), (3, 0), "expired behind the head");
    world.pass_ms(10, 0);
    assert_eq!(world.counts(queue), (2, 0));
    world.pass_ms(980, 0);
    assert_eq!(world.counts(queue), (0, 0));
    assert_eq!(world.stats(queue).message_bytes, 0);
}

/// RabbitMQ takes up to ten years, where 32 bits of milliseconds are seven weeks.
#[test]
fn a_lifetime_of_more_than_seven_weeks_is_kept_to_the_millisecond() {
    let mut world = World::new(1, 1);
    let beyond_ms = (1 << 32) + 5;
    let by_queue = world.queue_with("q", &[("x-message-ttl", beyond_ms)]);
    let by_message = world.queue_with("m", &[]);
    let send = |world: &mut World, queue, expiration_ms| {
        let message = haremq_engine::message::MessageRef { expiration_ms, ..message(b"x", true) };
        world.send_message(&[queue], message, None);
    };
    send(&mut world, by_queue, Some(haremq_engine::message::EXPIRY_MAX_MS));
    send(&mut world, by_message, Some(beyond_ms as u64));
    send(&mut world, by_message, Some(haremq_engine::message::EXPIRY_MAX_MS));
    world.pass_ms(beyond_ms as u64, 0);
    assert_eq!((world.counts(by_queue), world.counts(by_message)), ((1, 0), (2, 0)));
    world.pass_ms(1, 0);
    assert_eq!((world.counts(by_queue), world.counts(by_message)), ((0, 0), (1, 0)));
}

#[test]
fn a_clock_that_is_set_back_does_not_put_off_what_expires_by_its_new_time() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[]);
    let send = |world: &mut World, expiration_ms| {
        let expiration_ms = Some(expiration_ms);
        let message = haremq_engine::message::MessageRef { expiration_ms, ..message(b"x", true) };
        world.send_message(&[queue], message, None);
    };
    // Something has been swept lately.
    send(&mut world, 10);
    world.pass_ms(11, 0);
    assert_eq!(world.counts(queue), (0, 0));
    world.now.unix_ms -= 86_400_000;
    send(&mut world, 300);
    world.pass_ms(300, 0);
    assert_eq!(world.counts(queue), (1, 0), "alive in the millisecond it expires in");
    world.pass_ms(1, 0);
    assert_eq!(world.counts(queue), (0, 0));
}

#[test]
fn unacked_message_does_not_expire_but_keeps_its_deadline() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-message-ttl", 100)]);
    world.send(&[queue], "0", false);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Unlimited);
    let received = world.deliveries();
    world.pass_ms(500, 0);
    assert_eq!(world.counts(queue), (0, 1));
    let owner = world.owner(queue);
    world.command(owner, Command::Cancel { queue, consumer: key, channel: channel(0, 1) });
    world.settle(&received[0], Outcome::Requeue);
    world.pass_ms(1, 0);
    assert_eq!(world.counts(queue), (0, 0));
}

#[test]
fn message_that_may_not_wait_goes_to_a_consumer_that_is_there() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-message-ttl", 0)]);
    world.send(&[queue], "nobody there", false);
    world.settle_down();
    world.pass_ms(1, 0);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    assert_eq!(world.deliveries(), []);
    world.send(&[queue], "taken", false);
    assert_eq!(bodies(&world.deliveries()), ["taken"]);
}

#[test]
fn deadline_of_a_message_survives_a_restart() {
    let mut world = World::new(1, 1);
    let short = world.queue_with("short", &[("x-message-ttl", 6_000)]);
    let long = world.queue_with("long", &[("x-message-ttl", 60_000)]);
    world.send(&[short, long], "0", true);
    world.settle_down();
    assert_eq!(world.disks[0].holds(b"short"), 1);
    // Five seconds pass while the broker is down.
    world.crash();
    assert_eq!((world.counts(short), world.counts(long)), ((1, 0), (1, 0)));
    world.pass_ms(1_001, 0);
    assert_eq!((world.counts(short), world.counts(long)), ((0, 0), (1, 0)));
    world.pass_ms(54_000, 0);
    assert_eq!(world.counts(long), (0, 0));
    world.restart_cleanly();
    assert_eq!((world.counts(short), world.counts(long)), ((0, 0), (0, 0)));
}

#[test]
fn full_queue_drops_its_oldest_ready_message() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-max-length", 2)]);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(1));
    for number in 0..6 {
        world.send(&[queue], &number.to_string(), true);
        world.settle_down();
    }
    assert_eq!(bodies(&world.take_deliveries()), ["0"]);
    assert_eq!(world.counts(queue), (2, 1), "the limit is of ready messages");
    world.restart_cleanly();
    assert_eq!(drain(&mut world, queue), ["0", "4", "5"]);
}

#[test]
fn consumers_take_what_would_not_fit() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-max-length", 1)]);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(3));
    for number in 0..6 {
        world.send(&[queue], &number.to_string(), true);
    }
    assert_eq!(world.counts(queue).0, 4, "three for the consumer, one in the queue");
    assert_eq!(bodies(&world.deliveries()), ["2", "3", "4"]);
    assert_eq!(world.counts(queue), (1, 3));
}

#[test]
fn length_in_octets_counts_bodies_of_ready_messages() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-max-length-bytes", 10)]);
    for body in ["aaaa", "bbbb", "cc", "d", "eeeeeeeeee", "", "f"] {
        world.send(&[queue], body, true);
    }
    assert_eq!(drain(&mut world, queue), ["", "f"]);
}

#[test]
fn queue_that_refuses_nacks_and_keeps_what_it_has() {
    let mut world = World::new(1, 1);
    let mut table = Table(vec![("x-max-length".into(), Value::I32(2))]);
    table.0.push(("x-overflow".into(), Value::text("reject-publish")));
    let queue = world.declare_on(0, declare("q", true, Arc::new(table)));
    let other = world.durable_queue("other");
    for number in 1..=4 {
        let confirm = (channel(0, 1), number);
        world.send_confirmed(&[queue, other], &number.to_string(), true, confirm);
    }
    let mut told: Vec<(u64, u64, bool)> = Vec::new();
    for notice in world.notices() {
        if let Notice::Confirmed { first, last, accepted, .. } = notice {
            told.push((first, last, accepted));
        }
    }
    told.sort_unstable();
    assert_eq!(told, [(1, 2, true), (3, 4, false)]);
    assert_eq!(drain(&mut world, queue), ["1", "2"]);
    assert_eq!(drain(&mut world, other), ["1", "2", "3", "4"], "others took it all the same");
}

/// Whether a message was refused depended on who happened to wait for it: a queue of length 0 took
/// one for a consumer with credit, and a message longer than all the queue may hold went through.
#[test]
fn queue_that_refuses_does_so_also_when_a_consumer_waits() {
    for (limit, most) in [("x-max-length", 0), ("x-max-length-bytes", 4)] {
        let mut world = World::new(1, 1);
        let mut table = Table(vec![(limit.into(), Value::I32(most))]);
        table.0.push(("x-overflow".into(), Value::text("reject-publish")));
        let queue = world.declare_on(0, declare("q", true, Arc::new(table)));
        world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
        world.send_confirmed(&[queue], "12345", true, (channel(0, 1), 1));
        let refused = |notice: &Notice| matches!(notice, Notice::Confirmed { accepted: false, .. });
        assert!(world.notices().iter().any(refused), "{limit}");
        assert_eq!(bodies(&world.deliveries()), [""; 0], "{limit}");
        assert_eq!(world.counts(queue), (0, 0), "{limit}");
    }
}

/// Messages that are on their way to consumers take no room, however many come at once.
#[test]
fn queue_that_refuses_takes_what_consumers_take_from_it() {
    let mut world = World::new(1, 1);
    let mut table = Table(vec![("x-max-length".into(), Value::I32(1))]);
    table.0.push(("x-overflow".into(), Value::text("reject-publish")));
    let queue = world.declare_on(0, declare("q", true, Arc::new(table)));
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(5));
    for number in 1..=7 {
        world.send_confirmed(&[queue], &number.to_string(), true, (channel(0, 1), number));
    }
    let mut told: Vec<(u64, u64, bool)> = Vec::new();
    for notice in world.notices() {
        if let Notice::Confirmed { first, last, accepted, .. } = notice {
            told.push((first, last, accepted));
        }
    }
    told.sort_unstable();
    assert_eq!(told, [(1, 6, true), (7, 7, false)]);
    assert_eq!(bodies(&world.deliveries()), ["1", "2", "3", "4", "5"]);
}

#[test]
fn higher_priority_overtakes_and_levels_are_in_order_also_after_a_crash() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-max-priority", 5)]);
    for (body, priority) in [("a0", 0), ("b5", 5), ("c9", 9), ("d1", 1), ("e5", 5), ("f0", 0)] {
        let message =
            haremq_engine::message::MessageRef { priority, ..message(body.as_bytes(), true) };
        world.send_message(&[queue], message, None);
    }
    world.settle_down();
    world.crash();
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(2));
    let held = world.deliveries();
    assert_eq!(bodies(&held), ["b5", "c9"]);
    world.settle(&held[0], Outcome::Requeue);
    let again = world.deliveries();
    assert_eq!(bodies(&again), ["b5"]);
    world.settle(&again[0], Outcome::Ack);
    world.settle(&held[1], Outcome::Ack);
    assert_eq!(bodies(&world.deliveries()), ["e5", "d1"]);
    assert_eq!(world.counts(queue), (2, 2));
}

#[test]
fn unused_queue_lapses_and_use_puts_it_off() {
    let mut world = World::new(2, 1);
    let queue = world.queue_with("q", &[("x-expires", 1000)]);
    world.send(&[queue], "0", true);
    let owner = world.owner(queue);
    world.settle_down();
    world.pass_ms(900, 0);
    world.command(owner, Command::Inspect { queue, channel: channel(0, 1) });
    world.pass_ms(900, 0);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Unlimited);
    world.settle_down();
    world.pass_ms(5000, 0);
    world.settle_down();
    assert!(world.shards[0].topology().queue_by_id(queue).is_some(), "it has a consumer");
    world.command(owner, Command::Cancel { queue, consumer: key, channel: channel(0, 1) });
    world.pass_ms(999, 0);
    world.settle_down();
    assert!(world.shards[1].topology().queue_by_id(queue).is_some());
    world.pass_ms(1, 0);
    world.settle_down();
    assert!(world.shards[1].topology().queue_by_id(queue).is_none());
}

#[test]
fn single_active_consumer_is_succeeded_in_order_of_arrival() {
    let mut world = World::new(1, 1);
    let table = Table(vec![("x-single-active-consumer".into(), Value::Bool(true))]);
    let queue = world.declare_on(0, declare("q", true, Arc::new(table)));
    let keys = [1, 2, 3].map(|serial| consumer(channel(0, u64::from(serial)), serial));
    for key in keys {
        world.consume(queue, key, Credit::Prefetch(2));
    }
    for number in 0..9 {
        world.send(&[queue], &number.to_string(), true);
    }
    let first = world.deliveries();
    assert_eq!(bodies(&first), ["0", "1"]);
    let active: Vec<bool> =
        world.shards[0].consumers().iter().map(|consumer| consumer.active).collect();
    assert_eq!(active, [true, false, false]);
    let owner = world.owner(queue);
    world.command(owner, Command::Forget { connection: keys[0].connection });
    let second = world.deliveries();
    assert_eq!(bodies(&second), ["2", "3"]);
    let held_by = |received: &crate::world::Received| match received.to {
        haremq_engine::mail::DeliveryTo::Consumer { consumer, .. } => consumer,
        haremq_engine::mail::DeliveryTo::Get { .. } => panic!("nobody asked"),
    };
    assert!(second.iter().all(|one| held_by(one) == keys[1]));
    world.take_notices();
    world.consume_as(queue, consumer(channel(0, 9), 9), Credit::Unlimited, |consume| {
        consume.exclusive = true;
    });
    let refused = world.notices();
    assert!(matches!(refused[..], [Notice::Refused { error: QueueError::ExclusiveUse, .. }]));
}
