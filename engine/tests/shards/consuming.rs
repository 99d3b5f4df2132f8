//! Deliveries: order, turns, credit, windows, gets.

use haremq_engine::ids::{ConsumerKey, QueueId};
use haremq_engine::mail::{Command, Credit, DeliveryTo, Notice, Outcome};
use haremq_engine::queue::QueueError;
use haremq_engine::shard::ShardConfig;

use crate::client::{bodies, channel, consumer};
use crate::world::{tiny, Received, World};

fn filled(world: &mut World, count: usize) -> QueueId {
    let queue = world.durable_queue("q");
    for number in 0..count {
        world.send(&[queue], &number.to_string(), true);
    }
    queue
}

fn got_by(received: &[Received], key: ConsumerKey) -> Vec<String> {
    let to = DeliveryTo::Consumer { consumer: key, no_ack: false };
    let own: Vec<Received> = received.iter().filter(|one| one.to == to).cloned().collect();
    bodies(&own)
}

#[test]
fn consume_ok_precedes_any_delivery() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 1);
    world.settle_down();
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    world.settle_down();
    let kinds: Vec<bool> = world
        .events
        .iter()
        .map(|event| matches!(event, crate::world::Event::Notice { .. }))
        .collect();
    assert_eq!(kinds, [true, false]);
    assert!(matches!(world.take_notices()[..], [Notice::Consuming { .. }]));
}

#[test]
fn messages_come_in_order_and_leave_when_acked() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 5);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Unlimited);
    let received = world.deliveries();
    assert_eq!(bodies(&received), ["0", "1", "2", "3", "4"]);
    assert!(received.iter().all(|one| !one.redelivered));
    assert_eq!(world.counts(queue), (0, 5));
    for one in &received {
        world.settle(one, Outcome::Ack);
    }
    assert_eq!(world.counts(queue), (0, 0));
    let stats = world.stats(queue);
    assert_eq!((stats.publishes, stats.deliveries, stats.acks), (5, 5, 5));
    assert_eq!(stats.message_bytes, 0);
}

#[test]
fn acks_as_one_settle_what_is_unacked_and_give_back_as_much_credit() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 20);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(6));
    let received = world.deliveries();
    assert_eq!(received.len(), 6);
    world.settle(&received[1], Outcome::Ack);
    world.settle(&received[2], Outcome::Requeue);
    let two = world.deliveries();
    assert_eq!(bodies(&two), ["2", "6"]);
    world.settle(&two[0], Outcome::Requeue);
    assert_eq!(bodies(&world.deliveries()), ["2"]);
    // 0, 2 and 3 are unacked, 1 is gone.
    world.ack_run(&received[0], 4);
    assert_eq!(world.counts(queue), (13, 3));
    assert_eq!(world.stats(queue).acks, 4);
    assert_eq!(bodies(&world.deliveries()), ["7", "8", "9"]);
    // Of messages that are not there or not unacked nothing is believed.
    world.ack_run(&received[0], 4);
    assert_eq!(world.deliveries(), []);
    assert_eq!(world.counts(queue), (10, 6));
    world.ack_run(&received[4], 1000);
    assert_eq!(world.counts(queue), (10, 0));
}

#[test]
fn requeued_messages_return_to_their_original_positions() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 5);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Prefetch(3));
    let received = world.deliveries();
    assert_eq!(bodies(&received), ["0", "1", "2"]);
    world.command(
        world.owner(queue),
        Command::Cancel { queue, consumer: key, channel: channel(0, 1) },
    );
    for which in [1, 2, 0] {
        world.settle(&received[which], Outcome::Requeue);
    }
    world.consume(queue, consumer(channel(0, 1), 2), Credit::Unlimited);
    let again = world.deliveries();
    assert_eq!(bodies(&again), ["0", "1", "2", "3", "4"]);
    let flags: Vec<bool> = again.iter().map(|one| one.redelivered).collect();
    assert_eq!(flags, [true, true, true, false, false]);
    let seqs: Vec<_> = received.iter().map(|one| one.seq).collect();
    assert_eq!(again[..3].iter().map(|one| one.seq).collect::<Vec<_>>(), seqs);
}

#[test]
fn auto_acked_messages_are_gone_when_delivered() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 3);
    world.consume_as(queue, consumer(channel(0, 1), 1), Credit::Unlimited, |consume| {
        consume.no_ack = true;
    });
    let received = world.deliveries();
    assert_eq!(bodies(&received), ["0", "1", "2"]);
    assert_eq!(world.counts(queue), (0, 0));
    world.settle(&received[0], Outcome::Requeue);
    assert_eq!(world.counts(queue), (0, 0), "a message that nobody holds came back");
}

#[test]
fn settling_twice_or_something_unknown_changes_nothing() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 2);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(1));
    let received = world.deliveries();
    world.settle(&received[0], Outcome::Ack);
    let next = world.deliveries();
    world.settle(&received[0], Outcome::Ack);
    world.settle(&received[0], Outcome::Requeue);
    for seq in [7, u64::MAX, 1 << 56, (1 << 56) - 1] {
        let mut unknown = received[0].clone();
        unknown.seq = haremq_engine::ids::Seq(seq);
        world.settle(&unknown, Outcome::Ack);
    }
    assert_eq!(world.deliveries(), [], "credit was given back for nothing");
    assert_eq!(world.counts(queue), (0, 1));
    world.settle(&next[0], Outcome::Ack);
    assert_eq!(world.counts(queue), (0, 0));
}

#[test]
fn prefetch_is_never_exceeded() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 20);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Prefetch(4));
    let mut held = world.deliveries();
    let mut seen = held.len();
    assert_eq!(seen, 4);
    while let Some(one) = held.pop() {
        world.settle(&one, Outcome::Ack);
        let more = world.deliveries();
        seen += more.len();
        held.extend(more);
        assert!(held.len() <= 4);
    }
    assert_eq!(seen, 20);
}

#[test]
fn prefetch_can_be_changed_for_a_live_consumer() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 20);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Prefetch(2));
    assert_eq!(world.deliveries().len(), 2);
    let owner = world.owner(queue);
    world.command(owner, Command::SetPrefetch { queue, consumer: key, prefetch: 5 });
    assert_eq!(world.deliveries().len(), 3);
    world.command(owner, Command::SetPrefetch { queue, consumer: key, prefetch: 0 });
    assert_eq!(world.deliveries().len(), 15);
}

#[test]
fn a_live_consumer_can_become_a_rationed_one() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 20);
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Prefetch(2));
    let held = world.deliveries();
    assert_eq!(held.len(), 2);
    let owner = world.owner(queue);
    world.command(owner, Command::Ration { queue, consumer: key });
    // Its own limit has room for one again, but nothing was granted.
    world.settle(&held[0], Outcome::Ack);
    assert_eq!(world.deliveries().len(), 0);
    world.command(owner, Command::Grant { queue, consumer: key, credit: 5 });
    assert_eq!(world.deliveries().len(), 1);
    world.settle(&held[1], Outcome::Ack);
    assert_eq!(world.deliveries().len(), 0, "what could not be used at once went back");
}

#[test]
fn round_robin_skips_consumers_at_their_limit() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let keys = [1, 2, 3].map(|serial| consumer(channel(0, 1), serial));
    world.consume(queue, keys[0], Credit::Unlimited);
    world.consume(queue, keys[1], Credit::Prefetch(1));
    world.consume(queue, keys[2], Credit::Unlimited);
    for number in 0..7 {
        world.send(&[queue], &number.to_string(), false);
    }
    let received = world.deliveries();
    assert_eq!(got_by(&received, keys[0]), ["0", "3", "5"]);
    assert_eq!(got_by(&received, keys[1]), ["1"]);
    assert_eq!(got_by(&received, keys[2]), ["2", "4", "6"]);
}

#[test]
fn higher_priority_is_served_until_it_blocks() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let (low, high) = (consumer(channel(0, 1), 1), consumer(channel(0, 2), 1));
    world.consume(queue, low, Credit::Unlimited);
    world.consume_as(queue, high, Credit::Prefetch(2), |consume| consume.priority = 10);
    for number in 0..4 {
        world.send(&[queue], &number.to_string(), false);
    }
    let received = world.deliveries();
    assert_eq!(got_by(&received, high), ["0", "1"]);
    assert_eq!(got_by(&received, low), ["2", "3"]);
    world.settle(&received[0], Outcome::Ack);
    world.send(&[queue], "4", false);
    let received = world.deliveries();
    assert_eq!(got_by(&received, high), ["4"]);
}

#[test]
fn deliveries_under_way_stay_within_the_window_of_the_connection() {
    let mut world = World::with(ShardConfig { window_bytes: 1000, ..tiny() }, 1);
    let (one, other) = (world.durable_queue("one"), world.durable_queue("other"));
    let slow = channel(0, 1);
    world.consume(one, consumer(slow, 1), Credit::Unlimited);
    world.consume(other, consumer(slow, 2), Credit::Unlimited);
    let body = "x".repeat(100);
    for _ in 0..50 {
        world.send(&[one], &body, false);
        world.send(&[other], &body, true);
    }
    let received = world.deliveries();
    let sum: u64 = received.iter().map(|one| one.window_bytes).sum();
    let largest = received.iter().map(|one| one.window_bytes).max().expect("deliveries");
    assert!(sum >= 1000 && sum < 1000 + largest, "{sum} octets are under way");
    // A connection with a window of its own is not held up.
    world.consume(one, consumer(channel(0, 2), 1), Credit::Prefetch(1));
    assert_eq!(world.deliveries().len(), 1);
    let mut left = received;
    let mut seen = left.len() + 1;
    while let Some(gone) = left.pop() {
        let connection = slow.connection;
        let bytes = gone.window_bytes;
        world.command(world.owner(one), Command::Window { connection, bytes });
        let more = world.deliveries();
        seen += more.len();
        left.extend(more);
        let sum: u64 = left.iter().map(|one| one.window_bytes).sum();
        assert!(sum < 1000 + largest);
    }
    assert_eq!(seen, 100);
}

#[test]
fn exclusive_consumer_tolerates_no_other() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let key = consumer(channel(0, 1), 1);
    world.consume_as(queue, key, Credit::Unlimited, |consume| consume.exclusive = true);
    world.consume(queue, consumer(channel(0, 2), 1), Credit::Unlimited);
    let refused =
        |notice: &Notice| matches!(notice, Notice::Refused { error: QueueError::ExclusiveUse, .. });
    assert!(refused(&world.notices()[1]));
    let owner = world.owner(queue);
    world.command(owner, Command::Cancel { queue, consumer: key, channel: channel(0, 1) });
    world.consume(queue, consumer(channel(0, 2), 2), Credit::Unlimited);
    world.consume_as(queue, key, Credit::Unlimited, |consume| consume.exclusive = true);
    let notices = world.notices();
    assert!(matches!(notices[0], Notice::Cancelled { .. }));
    assert!(matches!(notices[1], Notice::Consuming { .. }));
    assert!(refused(&notices[2]));
}

#[test]
fn get_takes_the_head_and_tells_what_is_left() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 3);
    let asker = channel(0, 1);
    let get = Command::Get { queue, channel: asker, no_ack: false };
    let owner = world.owner(queue);
    for (body, remaining) in [("0", 2), ("1", 1), ("2", 0)] {
        world.command(owner, get.clone());
        let received = world.deliveries();
        assert_eq!(bodies(&received), [body]);
        assert_eq!(received[0].to, DeliveryTo::Get { channel: asker, no_ack: false, remaining });
    }
    world.command(owner, get);
    assert!(matches!(world.notices()[..], [Notice::Empty { .. }]));
    assert_eq!(world.counts(queue), (0, 3));
}

#[test]
fn channel_limit_is_asked_for_once_and_unused_grants_go_back() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let key = consumer(channel(0, 1), 1);
    world.consume(queue, key, Credit::Granted { prefetch: 0 });
    world.notices();
    for number in 0..3 {
        world.send(&[queue], &number.to_string(), false);
    }
    assert!(matches!(world.notices()[..], [Notice::Wants { consumer, .. }] if consumer == key));
    assert_eq!(world.take_deliveries(), []);
    world.send(&[queue], "3", false);
    assert!(world.notices().is_empty(), "a grant was asked for twice");
    let owner = world.owner(queue);
    world.command(owner, Command::Grant { queue, consumer: key, credit: 2 });
    assert_eq!(world.deliveries().len(), 2);
    assert!(matches!(world.take_notices()[..], [Notice::Wants { .. }]));
    world.command(owner, Command::Grant { queue, consumer: key, credit: 5 });
    assert_eq!(world.deliveries().len(), 2);
    assert!(matches!(world.take_notices()[..], [Notice::Unused { credit: 3, .. }]));
    world.command(owner, Command::Grant { queue, consumer: key, credit: 1 });
    assert!(matches!(world.notices()[..], [Notice::Unused { credit: 1, .. }]));
}

#[test]
fn forgotten_connection_takes_nothing_more() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let gone = channel(0, 1);
    world.consume(queue, consumer(gone, 1), Credit::Prefetch(1));
    world.consume(queue, consumer(gone, 2), Credit::Prefetch(1));
    world.send(&[queue], "0", true);
    let held = world.deliveries();
    let owner = world.owner(queue);
    world.command(owner, Command::Get { queue, channel: gone, no_ack: false });
    world.settle(&held[0], Outcome::Requeue);
    world.command(owner, Command::Forget { connection: gone.connection });
    assert_eq!(world.deliveries(), []);
    assert_eq!(world.counts(queue), (1, 0));
    assert_eq!(world.stats(queue).consumers, 0);
    assert!(world.shards[0].consumers().is_empty());
}

#[test]
fn purge_drops_ready_messages_and_keeps_unacked_ones() {
    let mut world = World::new(1, 1);
    let queue = filled(&mut world, 10);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Prefetch(3));
    let held = world.deliveries();
    world.settle(&held[1], Outcome::Ack);
    let more = world.deliveries();
    assert_eq!(bodies(&more), ["3"]);
    world.take_notices();
    let owner = world.owner(queue);
    world.command(owner, Command::Purge { queue, channel: channel(0, 2) });
    assert!(matches!(world.notices()[..], [Notice::Purged { messages: 6, .. }]));
    assert_eq!(world.counts(queue), (0, 3));
    world.settle(&held[0], Outcome::Requeue);
    world.send(&[queue], "new", true);
    assert_eq!(bodies(&world.deliveries()), ["0"]);
    world.restart_cleanly();
    assert_eq!(world.counts(queue), (4, 0));
}

#[test]
fn every_busy_queue_has_its_turn() {
    let mut world = World::with(ShardConfig { dispatch_batch: 100, ..tiny() }, 1);
    let queues: Vec<QueueId> =
        (0..3).map(|number| world.durable_queue(&format!("q{number}"))).collect();
    for queue in &queues {
        for number in 0..1000 {
            world.send(&[*queue], &number.to_string(), false);
        }
    }
    for (serial, queue) in (1..).zip(&queues) {
        world.consume(*queue, consumer(channel(0, 1), serial), Credit::Unlimited);
    }
    world.poll(0);
    for _ in 0..6 {
        assert!(world.dispatch(0));
    }
    let received = world.take_deliveries();
    assert_eq!(received.len(), 600);
    for queue in &queues {
        let share = received.iter().filter(|one| one.queue == *queue).count();
        assert!((100..=300).contains(&share), "one queue got {share} of 600 deliveries");
    }
}
