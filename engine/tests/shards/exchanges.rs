//! Exchanges that keep messages: delayed, recent history, deduplicating.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId, ShardId};
use haremq_engine::mail::{Command, Credit, Notice, Publish, Requester};
use haremq_engine::message::MessageRef;
use haremq_engine::routing::Subject;
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{BindingTarget, Routes, TopologyRequest};

use crate::client::{bodies, channel, consumer, declare};
use crate::world::{Received, World};

pub(crate) type Fields<'a> = &'a [(&'a str, Value)];

pub(crate) fn table(fields: Fields<'_>) -> Table {
    Table(fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

/// Properties with these headers.
pub(crate) fn properties(headers: Fields<'_>, persistent: bool) -> Vec<u8> {
    let mut octets = 0b0011_0000_0000_0000_u16.to_be_bytes().to_vec();
    table(headers).encode(&mut octets);
    octets.push(if persistent { 2 } else { 1 });
    octets
}

impl World {
    fn topology_request(&mut self, shard: u16, request: TopologyRequest) {
        self.request(Requester::Channel(channel(shard, 901)), request);
        self.settle_down();
        for notice in self.take_notices() {
            match notice {
                Notice::Topology { result: Ok(_), .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn exchange_on(&mut self, shard: u16, name: &str, kind: &str, fields: Fields<'_>) {
        let request = TopologyRequest::DeclareExchange {
            vhost: "/".into(),
            name: name.into(),
            kind: kind.into(),
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arc::new(table(fields)),
        };
        self.topology_request(shard, request);
    }

    pub(crate) fn delete_exchange(&mut self, name: &str) {
        let (vhost, name) = ("/".into(), name.into());
        self.topology_request(0, TopologyRequest::DeleteExchange { vhost, name, if_unused: false });
    }

    pub(crate) fn bind(&mut self, source: &str, target: BindingTarget, key: &str) {
        let request = TopologyRequest::Bind {
            vhost: "/".into(),
            source: source.into(),
            target,
            key: key.into(),
            arguments: Arc::default(),
            connection: None,
        };
        self.topology_request(0, request);
    }

    pub(crate) fn bind_queue(&mut self, source: &str, queue: &str, key: &str) {
        self.bind(source, BindingTarget::Queue(queue.into()), key);
    }

    /// Publishes by an exchange, as a connection of shard 0 would. Gives the number of shards
    /// that have got it.
    pub(crate) fn publish_to(
        &mut self,
        exchange: &str,
        body: &str,
        properties: &[u8],
        confirm: Option<(ChannelKey, u64)>,
    ) -> usize {
        let (mut routes, key) = (Routes::default(), "key");
        let headers = haremq_engine::properties::headers(properties);
        let keys = [key.as_bytes()];
        let subject = Subject { keys: &keys, headers: Some(headers), properties };
        let topology = self.shards[0].topology();
        topology.route_many("/", exchange.as_bytes(), &subject, &mut routes).expect("there");
        let message = MessageRef {
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            properties,
            body: body.as_bytes(),
            persistent: properties.last() == Some(&2),
            priority: 0,
            expiration_ms: None,
        };
        let mut shards = 0;
        let parts: Vec<(ShardId, Vec<QueueId>)> = routes
            .by_shard()
            .map(|(shard, targets)| (shard, targets.iter().map(|target| target.queue).collect()))
            .collect();
        for (shard, queues) in parts {
            shards += 1;
            self.publish(shard, &Publish { message, queues: &queues, confirm });
        }
        shards
    }

    /// Messages that an exchange keeps.
    pub(crate) fn kept(&self, exchange: &str) -> u64 {
        let exchange = self.shards[0].topology().exchange("/", exchange).expect("there");
        let store = exchange.store.expect("it keeps messages");
        let owner = &self.shards[usize::from(store.shard.0)];
        owner.queue_stats(store.queue).expect("its owner has it").messages_ready
    }

    /// Takes all there is in a queue, for good.
    pub(crate) fn drain(&mut self, queue: QueueId) -> Vec<Received> {
        let key = consumer(channel(0, 77), self.random.next() as u32);
        self.consume_as(queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
        let received = self.deliveries();
        let owner = self.owner(queue);
        self.command(owner, Command::Cancel { queue, consumer: key, channel: channel(0, 77) });
        self.settle_down();
        self.events.clear();
        received
    }
}

fn delayed(delay_ms: i64) -> Vec<u8> {
    properties(&[("x-delay", Value::I64(delay_ms))], true)
}

/// A delayed exchange `later` of shard 0 that leads to the queue.
fn later(world: &mut World, owner_of_queue: u16) -> QueueId {
    let queue = world.declare_on(owner_of_queue, declare("q", true, Arc::default()));
    world.exchange_on(
        0,
        "later",
        "x-delayed-message",
        &[("x-delayed-type", Value::text("fanout"))],
    );
    world.bind_queue("later", "q", "");
    queue
}

fn header(received: &Received, name: &str) -> Option<Value> {
    let octets = haremq_engine::properties::headers(&received.properties);
    Table::decode(octets).expect("a table").get(name).cloned()
}

#[test]
fn delayed_messages_arrive_when_they_are_due_in_that_order() {
    for owner in [0, 1] {
        let mut world = World::new(2, 3);
        let queue = later(&mut world, owner);
        for (body, delay) in [("c", 300), ("a", 100), ("b1", 200), ("b2", 200), ("now", -1)] {
            world.publish_to("later", body, &delayed(delay), None);
        }
        world.settle_down();
        assert_eq!(bodies(&world.drain(queue)), ["now"]);
        assert_eq!(world.kept("later"), 4);
        world.pass_ms(99, 0);
        assert_eq!(bodies(&world.drain(queue)), [""; 0]);
        world.pass_ms(1, 0);
        let received = world.drain(queue);
        assert_eq!(bodies(&received), ["a"]);
        assert_eq!(header(&received[0], "x-delay"), Some(Value::I64(-100)));
        assert_eq!(header(&received[0], "x-death"), None, "it has not died");
        assert_eq!(
            (&*received[0].exchange, &*received[0].routing_key),
            (&b"later"[..], &b"key"[..])
        );
        world.pass_ms(500, 0);
        assert_eq!(bodies(&world.drain(queue)), ["b1", "b2", "c"]);
        assert_eq!(world.kept("later"), 0);
    }
}

#[test]
fn delayed_messages_survive_restart_and_crash_and_the_redeclaration_of_their_exchange() {
    let mut world = World::new(1, 5);
    let queue = later(&mut world, 0);
    for number in 0..500_u64 {
        let delay = 60_000 + (number * 7919) % 1000;
        world.publish_to("later", &format!("{delay}"), &delayed(delay as i64), None);
    }
    world.publish_to("later", "late", &delayed(1_000_000_000), None);
    world.publish_to("later", "transient", &properties(&[("x-delay", Value::I32(9))], false), None);
    world.settle_down();
    assert_eq!(world.kept("later"), 502);
    world.restart_cleanly();
    assert_eq!(world.kept("later"), 501, "what is not persistent is gone");
    world.exchange_on(
        0,
        "later",
        "x-delayed-message",
        &[("x-delayed-type", Value::text("fanout"))],
    );
    assert_eq!(world.kept("later"), 501);
    world.pass_ms(70_000, 0);
    world.settle_down();
    assert_eq!(world.kept("later"), 1);
    world.restart_cleanly();
    let received = bodies(&world.drain(queue));
    assert_eq!(received.len(), 500, "moved once, and moved for good");
    assert!(received.is_sorted(), "in the order in which they were due: {received:?}");
    world.pass_ms(1_000_000_000, 0);
    assert_eq!(bodies(&world.drain(queue)), ["late"]);
}

#[test]
fn deleting_a_delayed_exchange_drops_what_it_holds() {
    let mut world = World::new(2, 7);
    let queue = later(&mut world, 1);
    world.publish_to("later", "gone", &delayed(100), None);
    world.settle_down();
    world.delete_exchange("later");
    world.pass_ms(1000, 0);
    assert_eq!(bodies(&world.drain(queue)), [""; 0]);
    let again = later(&mut world, 1);
    assert_eq!((again, world.kept("later")), (queue, 0));
}

#[test]
fn a_message_that_was_delayed_once_is_not_delayed_again_behind_the_next_delayed_exchange() {
    let mut world = World::new(1, 9);
    let queue = world.durable_queue("q");
    let kind = [("x-delayed-type", Value::text("fanout"))];
    world.exchange_on(0, "first", "x-delayed-message", &kind);
    world.exchange_on(0, "second", "x-delayed-message", &kind);
    world.bind("first", BindingTarget::Exchange("second".into()), "");
    world.bind_queue("second", "q", "");
    world.publish_to("first", "m", &delayed(50), None);
    world.pass_ms(50, 0);
    assert_eq!(bodies(&world.drain(queue)), ["m"]);
}

#[test]
fn delayed_dead_letters_wait_like_other_messages() {
    let mut world = World::new(1, 9);
    let queue = later(&mut world, 0);
    let arguments = table(&[
        ("x-dead-letter-exchange", Value::text("later")),
        ("x-message-ttl", Value::I32(10)),
    ]);
    let mortal = world.declare_on(0, declare("mortal", true, Arc::new(arguments)));
    let properties = delayed(100);
    let message = MessageRef { properties: &properties, ..crate::world::message(b"dead", true) };
    world.send_message(&[mortal], message, None);
    world.pass_ms(11, 0);
    world.settle_down();
    assert_eq!((world.counts(mortal).0, world.kept("later")), (0, 1));
    world.pass_ms(100, 0);
    let received = world.drain(queue);
    assert_eq!(bodies(&received), ["dead"]);
    assert!(header(&received[0], "x-death").is_some());
}

#[test]
fn history_goes_to_whoever_is_bound_anew_in_order_and_stays() {
    for (owner, on) in [(0, 0), (1, 0), (0, 1)] {
        let mut world = World::new(2, 11);
        let length = [("x-recent-history-length", Value::I32(3))];
        world.exchange_on(on, "recent", "x-recent-history", &length);
        let first = world.declare_on(0, declare("first", true, Arc::default()));
        world.bind_queue("recent", "first", "");
        // One of them is in parts.
        let long = "3".repeat(60_000);
        for body in ["1", "2", &long, "4"] {
            world.publish_to("recent", body, &properties(&[], true), None);
        }
        let no_store = properties(&[("x-recent-history-no-store", Value::Bool(true))], true);
        world.publish_to("recent", "5", &no_store, None);
        world.settle_down();
        assert_eq!(bodies(&world.drain(first)), ["1", "2", &long, "4", "5"]);
        world.restart_cleanly();
        let second = world.declare_on(owner, declare("second", true, Arc::default()));
        world.bind_queue("recent", "second", "");
        assert_eq!(bodies(&world.drain(second)), ["2", &long, "4"]);
        // By way of an exchange, and without losing it.
        let third = world.declare_on(owner, declare("third", true, Arc::default()));
        world.exchange_on(0, "inner", "direct", &[]);
        world.bind_queue("inner", "third", "key");
        world.bind("recent", BindingTarget::Exchange("inner".into()), "");
        let received = world.drain(third);
        assert_eq!(bodies(&received), ["2", &long, "4"]);
        assert_eq!(&*received[0].exchange, b"recent");
        assert!(world.largest_mail < 20_000, "{} octets at once", world.largest_mail);
        world.publish_to("recent", "6", &properties(&[], true), None);
        world.settle_down();
        for queue in [first, second, third] {
            assert_eq!(bodies(&world.drain(queue)), ["6"]);
        }
        assert_eq!(world.kept("recent"), 3);
    }
}

#[test]
fn duplicates_are_confirmed_and_not_routed() {
    for owner in [0, 1] {
        let mut world = World::new(2, 13);
        let queue = world.declare_on(owner, declare("q", true, Arc::default()));
        let arguments = [("x-cache-size", Value::I32(2)), ("x-cache-ttl", Value::I32(1000))];
        world.exchange_on(0, "once", "x-message-deduplication", &arguments);
        world.bind_queue("once", "q", "");
        let from = channel(0, 3);
        let publish = |world: &mut World, body, value: Option<&str>, number| {
            let header = value.map(|value| ("x-deduplication-header", Value::text(value)));
            let properties = properties(header.as_slice(), true);
            world.publish_to("once", body, &properties, Some((from, number)));
        };
        for (number, (body, value)) in (1..).zip([
            ("1", Some("a")),
            ("dup", Some("a")),
            ("2", None),
            ("3", None),
            ("4", Some("b")),
            ("dup", Some("b")),
        ]) {
            publish(&mut world, body, value, number);
            world.settle_down();
        }
        // A duplicate is confirmed with all that is in the log, settles that wait a while too.
        world.pass_ms(1, 0);
        world.settle_down();
        let confirmed: u64 = world
            .take_notices()
            .iter()
            .map(|notice| match notice {
                Notice::Confirmed { first, last, accepted: true, .. } => last - first + 1,
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(confirmed, 6, "a duplicate is confirmed");
        let received = world.drain(queue);
        assert_eq!(bodies(&received), ["1", "2", "3", "4"]);
        let value = Some(Value::text("a"));
        assert_eq!(header(&received[0], "x-deduplication-header"), value);
        world.pass_ms(1000, 0);
        publish(&mut world, "later", Some("a"), 7);
        assert_eq!(bodies(&world.drain(queue)), ["later"]);
        assert_eq!(world.kept("once"), 0);
        world.restart_cleanly();
        assert_eq!(bodies(&world.drain(queue)), [""; 0], "it passed once");
    }
}

#[test]
fn a_deduplicating_queue_takes_a_value_again_once_the_message_has_left() {
    let mut world = World::new(1, 15);
    let arguments = table(&[("x-message-deduplication", Value::Bool(true))]);
    let queue = world.declare_on(0, declare("q", true, Arc::new(arguments)));
    let properties = properties(&[("x-deduplication-header", Value::text("a"))], true);
    let publish = |world: &mut World, body: &'static str| {
        let message =
            MessageRef { properties: &properties, ..crate::world::message(body.as_bytes(), true) };
        world.send_message(&[queue], message, None);
        world.settle_down();
    };
    publish(&mut world, "1");
    publish(&mut world, "dup");
    assert_eq!(world.counts(queue), (1, 0));
    let get = Command::Get { queue, channel: channel(0, 5), no_ack: false };
    world.command(ShardId(0), get);
    let held = world.deliveries();
    publish(&mut world, "dup");
    assert_eq!(world.counts(queue), (0, 1), "an unacknowledged message is still in the queue");
    world.settle(&held[0], haremq_engine::mail::Outcome::Ack);
    publish(&mut world, "2");
    world.restart_cleanly();
    world.settle_down();
    publish(&mut world, "dup");
    assert_eq!(world.counts(queue), (1, 0), "the message is known again after a restart");
    assert_eq!(bodies(&world.drain(queue)), ["2"]);
    publish(&mut world, "3");
    world.command(ShardId(0), Command::Purge { queue, channel: channel(0, 5) });
    publish(&mut world, "4");
    assert_eq!(bodies(&world.drain(queue)), ["4"]);
}

/// A publisher that repeats what it has no answer to must not be told that it is safe before it
/// is: what it published first is not on the device yet.
#[test]
fn a_duplicate_is_not_confirmed_before_what_it_is_a_duplicate_of_is_durable() {
    let mut world = World::new(1, 17);
    world.durable_queue("q");
    world.exchange_on(0, "once", "x-message-deduplication", &[("x-cache-size", Value::I32(5))]);
    world.bind_queue("once", "q", "");
    let properties = properties(&[("x-deduplication-header", Value::text("a"))], true);
    for number in [1, 2] {
        world.publish_to("once", "m", &properties, Some((channel(0, 3), number)));
    }
    world.poll(0);
    assert!(world.take_notices().is_empty(), "nothing has been written yet");
    world.settle_down();
    assert!(matches!(
        world.take_notices()[..],
        [Notice::Confirmed { first: 1, last: 2, accepted: true, .. }]
    ));
}

#[test]
fn a_delayed_message_goes_by_all_its_keys_when_it_is_due_and_tells_nobody_of_bcc() {
    let mut world = World::new(1, 19);
    let kind = [("x-delayed-type", Value::text("direct"))];
    world.exchange_on(0, "later", "x-delayed-message", &kind);
    let queues = ["key", "copy", "secret"].map(|key| {
        let queue = world.durable_queue(key);
        world.bind_queue("later", key, key);
        queue
    });
    let keys = |key| Value::Array(Box::new([Value::text(key)]));
    let headers = [("x-delay", Value::I32(50)), ("CC", keys("copy")), ("BCC", keys("secret"))];
    world.publish_to("later", "m", &properties(&headers, true), None);
    world.settle_down();
    assert_eq!(world.kept("later"), 1);
    world.pass_ms(50, 0);
    for queue in queues {
        let received = world.drain(queue);
        assert_eq!(bodies(&received), ["m"]);
        assert_eq!(header(&received[0], "CC"), Some(keys("copy")));
        assert_eq!(header(&received[0], "BCC"), None);
    }
}

#[test]
fn the_time_a_message_has_to_live_begins_when_it_has_waited() {
    let mut world = World::new(1, 21);
    let queue = later(&mut world, 0);
    let store = world.shards[0].topology().exchange("/", "later").and_then(|later| later.store);
    let properties = delayed(1000);
    let message = MessageRef {
        properties: &properties,
        expiration_ms: Some(100),
        ..crate::world::message(b"m", true)
    };
    let queues = [store.expect("it keeps messages").queue];
    world.publish(ShardId(0), &Publish { message, queues: &queues, confirm: None });
    world.restart_cleanly();
    world.pass_ms(1000, 0);
    world.settle_down();
    assert_eq!(world.counts(queue), (1, 0));
    world.pass_ms(101, 0);
    world.settle_down();
    assert_eq!(world.counts(queue), (0, 0), "and it ends in the queue");
}

/// They go in the order in which they are due and lie in that in which they came: read one after
/// the other, each would wait for the device.
#[test]
fn delayed_messages_that_are_due_are_read_side_by_side() {
    const MESSAGES: u64 = 3000;
    let mut config = crate::world::tiny();
    config.log.segment_bytes = 1 << 20;
    config.log.cache_bytes = 8 << 20;
    let mut world = World::with(config, 23);
    let queue = later(&mut world, 0);
    for number in 0..MESSAGES {
        let delay = 60_000 + (number * 7919) % MESSAGES;
        let body = format!("{delay} {}", "x".repeat(500));
        world.publish_to("later", &body, &delayed(delay as i64), None);
        if number % 20 == 0 {
            world.settle_down();
        }
    }
    world.settle_down();
    world.restart_cleanly();
    world.pass_ms(70_000, 0);
    world.dispatch(0);
    world.poll(0);
    assert!(world.under_way(0) > 8, "{} reads side by side", world.under_way(0));
    for _ in 0..5 {
        // They are let go a thousand at a time.
        world.settle_down();
        world.pass_ms(1, 0);
    }
    let received = bodies(&world.drain(queue));
    assert_eq!(received.len() as u64, MESSAGES);
    assert!(received.is_sorted(), "and still in order");
}
