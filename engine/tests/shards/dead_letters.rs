//! Dead letters: each cause, what is told of it, and what does not count as one.

use std::sync::Arc;

use haremq_engine::ids::QueueId;
use haremq_engine::log::LogConfig;
use haremq_engine::mail::{Command, Credit, DeliveryTo, Notice, Outcome};
use haremq_engine::message::MessageRef;
use haremq_engine::shard::ShardConfig;
use haremq_engine::table::{Table, Value};

use crate::client::{bodies, channel, consumer, declare};
use crate::random::Random;
use crate::world::{message, tiny, Event, Received, World};

/// A queue of shard 0 whose dead messages go to the queue `heir` by the default exchange.
fn mortal(world: &mut World, name: &str, heir: &str, limits: &[(&str, i64)]) -> QueueId {
    mortal_on(world, 0, name, heir, limits)
}

pub(crate) fn mortal_on(
    world: &mut World,
    shard: u16,
    name: &str,
    heir: &str,
    limits: &[(&str, i64)],
) -> QueueId {
    let mut fields: Vec<(Box<str>, Value)> = vec![
        ("x-dead-letter-exchange".into(), Value::text("")),
        ("x-dead-letter-routing-key".into(), Value::text(heir)),
    ];
    for (argument, limit) in limits {
        let value = match *argument {
            "x-overflow" => Value::text(["drop-head", "reject-publish-dlx"][*limit as usize]),
            _ => Value::I64(*limit),
        };
        fields.push(((*argument).into(), value));
    }
    world.declare_on(shard, declare(name, true, Arc::new(Table(fields))))
}

/// Takes all there is in a queue, for good.
fn drain(world: &mut World, queue: QueueId) -> Vec<Received> {
    let key = consumer(channel(0, 77), world.random.next() as u32);
    world.consume_as(queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
    let received = world.deliveries();
    let owner = world.owner(queue);
    world.command(owner, Command::Cancel { queue, consumer: key, channel: channel(0, 77) });
    world.settle_down();
    world.events.clear();
    received
}

fn headers(received: &Received) -> Table {
    // Flags, then the headers, unless there is something before them.
    assert_eq!(received.properties[0] & 0b1110_0000, 0b0010_0000);
    let length = u32::from_be_bytes(received.properties[2..6].try_into().expect("four octets"));
    Table::decode(&received.properties[6..6 + length as usize]).expect("a table")
}

/// Queue, reason and count of each death, the last one first.
fn deaths(received: &Received) -> Vec<(String, String, i128)> {
    let Some(Value::Array(told)) = headers(received).get("x-death").cloned() else {
        return Vec::new();
    };
    let death = |death: &Value| {
        let Value::Table(death) = death else { panic!("{death:?}") };
        let text = |name| death.get(name).and_then(Value::as_str).expect(name).to_owned();
        let count = death.get("count").and_then(Value::as_integer).expect("a count");
        (text("queue"), text("reason"), count)
    };
    told.iter().map(death).collect()
}

fn died(queue: &str, reason: &str, count: i128) -> (String, String, i128) {
    (queue.to_owned(), reason.to_owned(), count)
}

#[test]
fn rejected_message_is_dead_lettered_and_tells_so() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[]);
    world.send(&[queue], "0", true);
    world.send(&[queue], "1", false);
    for held in world.hold(queue, 2) {
        world.settle(&held, Outcome::Reject);
    }
    world.settle_down();
    assert_eq!((world.counts(queue), world.counts(heir)), ((0, 0), (2, 0)));
    let received = drain(&mut world, heir);
    assert_eq!(bodies(&received), ["0", "1"]);
    for one in &received {
        assert_eq!(deaths(one), [died("q", "rejected", 1)]);
        assert_eq!((&*one.exchange, &*one.routing_key), (&b""[..], &b"heir"[..]));
        assert!(!one.redelivered, "nobody has seen it in that queue");
        let first = headers(one).get("x-first-death-queue").cloned();
        assert_eq!(first, Some(Value::text("q")));
    }
    assert_eq!(received[0].properties.last(), Some(&2), "still persistent");
}

#[test]
fn acked_purged_and_deleted_messages_are_not_dead_lettered() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[]);
    let lapsing = mortal(&mut world, "lapsing", "heir", &[("x-expires", 50)]);
    for body in ["0", "1", "2"] {
        world.send(&[queue, lapsing], body, true);
    }
    let held = world.hold(queue, 1);
    world.settle(&held[0], Outcome::Ack);
    let owner = world.owner(queue);
    world.command(owner, Command::Purge { queue, channel: channel(0, 5) });
    world.send(&[queue], "3", true);
    let (if_unused, if_empty) = (false, false);
    world.command(owner, Command::Delete { queue, channel: channel(0, 5), if_unused, if_empty });
    world.settle_down();
    world.pass_ms(60, 0);
    world.settle_down();
    assert_eq!(world.shards[0].queue_count(), 1);
    assert_eq!(world.counts(heir), (0, 0));
}

#[test]
fn expired_messages_are_dead_lettered_in_queue_order_wherever_they_stand() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[("x-message-ttl", 1000)]);
    for (body, expiration_ms) in [("0", None), ("1", Some(10)), ("2", Some(5000)), ("3", Some(10))]
    {
        let message = MessageRef { expiration_ms, ..message(body.as_bytes(), true) };
        world.send_message(&[queue], message, None);
    }
    world.pass_ms(11, 0);
    world.settle_down();
    assert_eq!((world.counts(queue), world.counts(heir)), ((2, 0), (2, 0)));
    world.pass_ms(1000, 0);
    world.settle_down();
    let received = drain(&mut world, heir);
    assert_eq!(bodies(&received), ["1", "3", "0", "2"]);
    for one in &received {
        assert_eq!(deaths(one), [died("q", "expired", 1)]);
    }
    world.pass_ms(100_000, 0);
    world.settle_down();
    assert_eq!(world.counts(heir), (0, 0), "their own limits are gone");
}

#[test]
fn expired_message_does_not_keep_a_consumer_from_the_next_one() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[]);
    let soon = MessageRef { expiration_ms: Some(10), ..message(b"late", true) };
    world.send_message(&[queue], soon, None);
    world.send(&[queue], "in time", true);
    world.now.unix_ms += 50;
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Unlimited);
    assert_eq!(bodies(&world.deliveries()), ["in time"]);
    assert_eq!(bodies(&drain(&mut world, heir)), ["late"]);
}

#[test]
fn message_that_has_to_make_room_is_dead_lettered() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[("x-max-length", 2)]);
    for body in ["0", "1", "2", "3"] {
        world.send(&[queue], body, true);
    }
    world.settle_down();
    assert_eq!(world.counts(queue), (2, 0));
    let received = drain(&mut world, heir);
    assert_eq!(bodies(&received), ["0", "1"]);
    assert_eq!(deaths(&received[1]), [died("q", "maxlen", 1)]);
}

#[test]
fn refused_message_is_dead_lettered_if_the_queue_says_so() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let limits = [("x-max-length", 1), ("x-overflow", 1)];
    let queue = mortal(&mut world, "q", "heir", &limits);
    let from = channel(0, 3);
    world.send_confirmed(&[queue], "0", true, (from, 1));
    world.send_confirmed(&[queue], "1", true, (from, 2));
    let told: Vec<(u64, bool)> = world
        .notices()
        .into_iter()
        .map(|notice| match notice {
            Notice::Confirmed { first, last, accepted, .. } if first == last => (first, accepted),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut told = told;
    told.sort_unstable();
    assert_eq!(told, [(1, true), (2, false)], "and a dead letter is not confirmed again");
    assert_eq!(bodies(&drain(&mut world, queue)), ["0"]);
    let received = drain(&mut world, heir);
    assert_eq!(bodies(&received), ["1"]);
    assert_eq!(deaths(&received[0]), [died("q", "maxlen", 1)]);
}

#[test]
fn queue_that_refuses_new_messages_drops_none_that_come_back() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let limits = [("x-max-length", 1), ("x-overflow", 1)];
    let queue = mortal(&mut world, "q", "heir", &limits);
    world.send(&[queue], "0", true);
    let held = world.hold(queue, 1);
    world.send(&[queue], "1", true);
    world.settle(&held[0], Outcome::Requeue);
    world.settle_down();
    assert_eq!((world.counts(queue), world.counts(heir)), ((2, 0), (0, 0)));
    assert_eq!(bodies(&drain(&mut world, queue)), ["0", "1"]);
}

#[test]
fn message_that_came_back_too_often_is_dead_lettered() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[("x-delivery-limit", 2)]);
    world.send(&[queue], "0", true);
    for count in 0..3 {
        let held = world.hold(queue, 1);
        let told = headers(&held[0]).get("x-delivery-count").cloned();
        assert_eq!(told, Some(Value::I64(count)));
        assert_eq!(held[0].redelivered, count > 0);
        world.settle(&held[0], Outcome::Requeue);
    }
    world.settle_down();
    assert_eq!(world.counts(queue), (0, 0));
    let received = drain(&mut world, heir);
    assert_eq!(deaths(&received[0]), [died("q", "delivery_limit", 1)]);
    assert_eq!(headers(&received[0]).get("x-delivery-count"), None, "the heir has no limit");
}

#[test]
fn delivery_limit_ends_a_message_without_a_dead_letter_exchange_too() {
    let mut world = World::new(1, 1);
    let queue = world.queue_with("q", &[("x-delivery-limit", 0)]);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Prefetch(1));
    world.send(&[queue], "poison", true);
    world.send(&[queue], "good", true);
    let received = world.deliveries();
    assert_eq!(bodies(&received), ["poison"]);
    world.settle(&received[0], Outcome::Requeue);
    assert_eq!(bodies(&world.deliveries()), ["good"], "the credit is back");
    assert_eq!(world.counts(queue), (0, 1));
}

#[test]
fn dead_letters_without_a_way_to_go_are_dropped_and_leave_nothing() {
    let mut world = World::new(1, 1);
    let queue = mortal(&mut world, "q", "nobody", &[("x-message-ttl", 10)]);
    world.send(&[queue], "0", false);
    world.send(&[queue], "1", true);
    world.pass_ms(11, 0);
    world.settle_down();
    assert_eq!(world.counts(queue), (0, 0));
    world.restart_cleanly();
    assert_eq!(world.counts(queue), (0, 0), "settled for good");
}

#[test]
fn message_that_goes_round_by_itself_is_dropped_and_one_that_is_rejected_is_not() {
    let mut world = World::new(1, 1);
    let queue = mortal(&mut world, "q", "q", &[("x-message-ttl", 50)]);
    world.send(&[queue], "0", true);
    world.pass_ms(51, 0);
    world.settle_down();
    assert_eq!(world.counts(queue), (0, 0));
    world.send(&[queue], "1", true);
    for count in 1..=3 {
        let held = world.hold(queue, 1);
        world.settle(&held[0], Outcome::Reject);
        world.settle_down();
        let held = world.hold(queue, 1);
        assert_eq!(deaths(&held[0]), [died("q", "rejected", count)]);
        world.settle(&held[0], Outcome::Requeue);
    }
}

#[test]
fn retry_through_a_waiting_queue_counts_both_deaths() {
    let mut world = World::new(1, 1);
    let work = mortal(&mut world, "work", "wait", &[]);
    let wait = mortal(&mut world, "wait", "work", &[("x-message-ttl", 100)]);
    world.send(&[work], "0", true);
    for round in 1..=3 {
        let held = world.hold(work, 1);
        world.settle(&held[0], Outcome::Reject);
        world.settle_down();
        assert_eq!((world.counts(work), world.counts(wait)), ((0, 0), (1, 0)));
        world.pass_ms(101, 0);
        world.settle_down();
        let held = world.hold(work, 1);
        let both = [died("wait", "expired", round), died("work", "rejected", round)];
        assert_eq!(deaths(&held[0]), both);
        world.settle(&held[0], Outcome::Requeue);
    }
}

#[test]
fn mass_expiry_takes_bounded_bites_and_keeps_order() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[("x-message-ttl", 1000)]);
    let count = 20_000;
    for number in 0..count {
        world.send(&[queue], &number.to_string(), false);
    }
    world.pass_ms(1001, 0);
    let (left, _) = world.counts(queue);
    assert!(left > count - 6_000, "{left} are left of {count}");
    let mut turns = 0;
    while world.counts(heir).0 < count {
        let before = world.counts(heir).0;
        world.dispatch(0);
        world.poll(0);
        assert!(world.counts(heir).0 - before <= 256);
        world.pass_ms(1, 0);
        turns += 1;
        assert!(turns < 1000);
    }
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&drain(&mut world, heir)), expected);
}

#[test]
fn dead_messages_that_lie_on_the_device_do_not_hold_up_a_consumer() {
    let mut world = World::new(1, 1);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "q", "heir", &[]);
    for number in 0..60 {
        let body = format!("{number:09000}");
        let limit = MessageRef { expiration_ms: Some(10), ..message(body.as_bytes(), true) };
        world.send_message(&[queue], limit, None);
        world.settle_down();
    }
    world.send(&[queue], "alive", true);
    world.settle_down();
    world.pass_ms(11, 0);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    // No read comes back: nothing but what is in memory can move.
    while world.dispatch(0) {}
    assert_eq!(bodies(&world.take_deliveries()), ["alive"]);
    assert!(world.counts(heir).0 < 60);
    world.settle_down();
    assert_eq!(world.counts(heir), (60, 0));
    let received = drain(&mut world, heir);
    let order: Vec<u32> = bodies(&received).iter().map(|body| body.parse().unwrap()).collect();
    assert_eq!(order, (0..60).collect::<Vec<u32>>());
}

/// Two shards, a queue on each: the first one's dead messages go to the second.
pub(crate) fn on_two_shards(seed: u64) -> (World, QueueId, QueueId) {
    let mut world = World::new(2, seed);
    let heir = world.durable_queue("heir");
    let queue = mortal_on(&mut world, 1, "q", "heir", &[]);
    assert_ne!(world.owner(queue), world.owner(heir));
    (world, queue, heir)
}

#[test]
fn letter_to_another_shard_leaves_when_it_is_safe_and_is_in_one_of_both_after_any_crash() {
    let mut found = [0, 0];
    for seed in 0..300 {
        let (mut world, queue, heir) = on_two_shards(1);
        world.random = Random::new(seed);
        let (here, there) = (world.owner(queue).0.into(), world.owner(heir).0.into());
        world.send(&[queue], "0", true);
        let held = world.hold(queue, 1);
        world.settle(&held[0], Outcome::Reject);
        world.dispatch(here);
        world.poll(here);
        assert!(!world.carry(here, there), "the letter, before the decision is durable");
        for _ in 0..seed / 4 {
            world.step();
        }
        // Once or more, also while what was begun is being completed.
        for _ in 0..1 + seed % 3 {
            world.crash();
            for _ in 0..seed % 25 {
                world.step();
            }
        }
        world.settle_down();
        let (first, second) = (world.counts(queue).0, world.counts(heir).0);
        assert_eq!(first + second, 1, "seed {seed}: {first} and {second}");
        found[second as usize] += 1;
        world.restart_cleanly();
        world.settle_down();
        assert_eq!((world.counts(queue).0, world.counts(heir).0), (first, second), "for good");
    }
    assert!(found[0] > 3 && found[1] > 100, "{found:?}");
}

#[test]
fn letters_to_another_shard_keep_their_order_and_leave_nothing() {
    let (mut world, queue, heir) = on_two_shards(1);
    for number in 0..1000 {
        world.send(&[queue], &number.to_string(), number % 3 > 0);
    }
    for held in world.hold(queue, 1000) {
        world.settle(&held, Outcome::Reject);
    }
    world.settle_down();
    assert_eq!((world.counts(queue), world.counts(heir)), ((0, 0), (1000, 0)));
    let received = drain(&mut world, heir);
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&received), expected);
    assert!(received.iter().all(|one| matches!(one.to, DeliveryTo::Consumer { .. })));
    assert!(world.events.iter().all(|event| !matches!(event, Event::Notice { .. })));
    world.restart_cleanly();
    assert_eq!((world.counts(queue), world.counts(heir)), ((0, 0), (0, 0)));
}

/// A large queue that expires moves as fast as messages can be read, which may be much faster than they can be written
/// again: all of them were put into memory at once.
#[test]
fn dead_letters_wait_while_the_device_is_behind() {
    const MESSAGES: u64 = 1000;
    let log = LogConfig { cache_bytes: 8 << 20, ..tiny().log };
    let mut world = World::with(ShardConfig { log, ..tiny() }, 3);
    let heir = world.durable_queue("heir");
    let queue = mortal(&mut world, "mortal", "heir", &[("x-message-ttl", 100)]);
    for _ in 0..MESSAGES {
        world.send(&[queue], &"x".repeat(400), true);
        if !world.shards[0].has_room() {
            world.settle_down();
        }
    }
    world.settle_down();
    world.pass_ms(200, 0);
    for _ in 0..100 {
        // Nothing of what is asked for is carried out.
        world.dispatch(0);
        world.poll(0);
    }
    let (moved, _) = world.counts(heir);
    assert!((1..MESSAGES / 2).contains(&moved), "{moved} have been moved");
    assert!(!world.shards[0].has_room());
    world.settle_down();
    world.pass_ms(200, 0);
    world.settle_down();
    assert_eq!(world.counts(heir), (MESSAGES, 0));
}
