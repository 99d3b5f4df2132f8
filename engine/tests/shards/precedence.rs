//! Deliveries are made by the turn, and nobody can tell: who was there when a message came has it
//! before anything that was asked for later.

use haremq_engine::ids::{ChannelKey, ConsumerKey, QueueId};
use haremq_engine::mail::{Command, Credit, DeliveryTo, Notice, Outcome};
use haremq_engine::message::MessageRef;

use crate::client::{bodies, channel, consumer};
use crate::world::{message, Received, World};

/// Who asks for something once messages have been published.
fn asking() -> ChannelKey {
    channel(0, 9)
}

/// A queue with a consumer that waits.
fn awaited(world: &mut World) -> (QueueId, ConsumerKey) {
    let queue = world.durable_queue("q");
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Unlimited);
    world.settle_down();
    world.take_notices();
    (queue, key)
}

/// Published, and not delivered yet when the command comes.
fn published_before(world: &mut World, queue: QueueId, count: usize, command: Command) {
    for number in 0..count {
        world.send(&[queue], &number.to_string(), false);
    }
    world.command(world.owner(queue), command);
}

fn of(key: ConsumerKey, received: &[Received]) -> usize {
    let is_its =
        |to: &DeliveryTo| matches!(to, DeliveryTo::Consumer { consumer, .. } if *consumer == key);
    received.iter().filter(|one| is_its(&one.to)).count()
}

#[test]
fn a_consumer_takes_what_came_before_it_was_cancelled() {
    let mut world = World::new(1, 1);
    let (queue, high) = awaited(&mut world);
    let low = consumer(channel(0, 2), 2);
    world.consume_as(queue, low, Credit::Unlimited, |consume| consume.priority = -1);
    world.settle_down();
    world.take_notices();
    let cancel = Command::Cancel { queue, consumer: high, channel: channel(0, 1) };
    published_before(&mut world, queue, 500, cancel);
    let received = world.deliveries();
    assert_eq!((of(high, &received), of(low, &received)), (500, 0));
    assert!(matches!(world.take_notices()[..], [Notice::Cancelled { .. }]));
}

#[test]
fn a_consumer_takes_what_came_before_a_better_one() {
    let mut world = World::new(1, 1);
    let (queue, first) = awaited(&mut world);
    for number in 0..3 {
        world.send(&[queue], &number.to_string(), false);
    }
    let better = consumer(channel(0, 2), 2);
    world.consume_as(queue, better, Credit::Unlimited, |consume| consume.priority = 5);
    let received = world.deliveries();
    assert_eq!((of(first, &received), of(better, &received)), (3, 0));
    world.send(&[queue], "3", false);
    assert_eq!(of(better, &world.deliveries()), 1);
}

#[test]
fn a_get_finds_nothing_where_a_consumer_waits() {
    let mut world = World::new(1, 1);
    let (queue, key) = awaited(&mut world);
    let get = Command::Get { queue, channel: asking(), no_ack: true };
    published_before(&mut world, queue, 1, get);
    let received = world.deliveries();
    assert_eq!(of(key, &received), 1);
    assert!(matches!(world.take_notices()[..], [Notice::Empty { .. }]));
}

#[test]
fn a_get_that_found_nothing_takes_nothing_that_comes_later() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let get = Command::Get { queue, channel: asking(), no_ack: true };
    world.command(world.owner(queue), get);
    world.send(&[queue], "late", false);
    world.settle_down();
    assert!(matches!(world.take_notices()[..], [Notice::Empty { .. }]));
    assert_eq!(world.counts(queue), (1, 0));
}

#[test]
fn nothing_is_ready_to_be_counted_or_purged_where_a_consumer_waits() {
    let mut world = World::new(1, 1);
    let (queue, key) = awaited(&mut world);
    published_before(&mut world, queue, 3, Command::Inspect { queue, channel: asking() });
    assert_eq!(of(key, &world.deliveries()), 3);
    assert!(matches!(world.take_notices()[..], [Notice::Inspected { messages: 0, .. }]));
    published_before(&mut world, queue, 3, Command::Purge { queue, channel: asking() });
    assert_eq!(of(key, &world.deliveries()), 3);
    assert!(matches!(world.take_notices()[..], [Notice::Purged { messages: 0, .. }]));
}

#[test]
fn nobody_asks_for_a_connection_that_has_gone() {
    let mut world = World::new(1, 1);
    let (queue, _) = awaited(&mut world);
    let gone = channel(0, 2);
    world.send(&[queue], "0", false);
    world.consume(queue, consumer(gone, 2), Credit::Unlimited);
    world.command(world.owner(queue), Command::Forget { connection: gone.connection });
    world.settle_down();
    assert_eq!(world.stats(queue).consumers, 1);
}

#[test]
fn what_expires_at_once_is_for_those_who_wait_and_does_not_come_back() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let fleeting = || MessageRef { expiration_ms: Some(0), ..message(b"fleeting", false) };
    world.send_message(&[queue], fleeting(), None);
    let get = Command::Get { queue, channel: asking(), no_ack: true };
    world.command(world.owner(queue), get);
    assert_eq!(world.deliveries(), []);
    assert!(matches!(world.take_notices()[..], [Notice::Empty { .. }]));
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Unlimited);
    world.settle_down();
    world.send_message(&[queue], fleeting(), None);
    let received = world.deliveries();
    assert_eq!(bodies(&received), ["fleeting"]);
    world.settle(&received[0], Outcome::Requeue);
    assert_eq!(world.deliveries(), []);
    assert_eq!(world.counts(queue), (0, 0));
}
