//! What a deduplicating exchange has seen is known after restarts and crashes, if it says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Notice, Requester};
use haremq_engine::table::Value;
use haremq_engine::topology::TopologyRequest;

use crate::client::{bodies, channel, declare};
use crate::exchanges::properties;
use crate::world::{Event, World};

fn on_disk(size: i32) -> [(&'static str, Value); 2] {
    [("x-cache-size", Value::I32(size)), ("x-cache-persistence", Value::text("disk"))]
}

fn world(shards: u16, seed: u64, size: i32) -> (World, QueueId) {
    let mut world = World::new(shards, seed);
    let queue = world.declare_on(shards - 1, declare("q", true, Arc::default()));
    world.exchange_on(0, "once", "x-message-deduplication", &on_disk(size));
    world.bind_queue("once", "q", "");
    (world, queue)
}

/// Publishes a message with that value, which is its body, too.
fn publish(world: &mut World, value: u64, confirm: u64) {
    let header = ("x-deduplication-header", Value::I64(value as i64));
    let properties = properties(&[header], true);
    let confirm = Some((channel(0, 3), confirm));
    world.publish_to("once", &value.to_string(), &properties, confirm);
}

fn said(world: &mut World, queue: QueueId) -> Vec<String> {
    bodies(&world.drain(queue))
}

#[test]
fn a_value_is_taken_once_whatever_crashes() {
    let (mut taken, mut crashes) = (0, 0);
    for seed in 0..60 {
        let shards = 1 + (seed % 3) as u16;
        let (mut world, queue) = world(shards, seed, 1000);
        // By number of the publish.
        let mut unconfirmed = BTreeMap::new();
        let mut confirmed = BTreeSet::new();
        for number in 1..400 {
            match world.random.below(20) {
                0 => {
                    crashes += 1;
                    world.crash();
                    while world.random.one_in(3) {
                        (0..world.random.below(40)).for_each(|_| world.step());
                        world.crash();
                    }
                    world.resolve();
                    unconfirmed.clear();
                }
                1..=6 => {
                    let value = world.random.below(50) as u64;
                    unconfirmed.insert(number, value);
                    publish(&mut world, value, number);
                }
                _ => world.step(),
            }
            for event in std::mem::take(&mut world.events) {
                let Event::Notice { notice, .. } = event else { continue };
                let Notice::Confirmed { first, last, accepted, .. } = notice else { continue };
                assert!(accepted);
                confirmed.extend((first..=last).filter_map(|number| unconfirmed.remove(&number)));
            }
        }
        world.settle_down();
        // What a start has put off.
        world.pass_ms(5, 0);
        world.settle_down();
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        for body in said(&mut world, queue) {
            *times.entry(body.parse().expect("a value")).or_default() += 1;
        }
        for (value, times) in &times {
            assert_eq!(*times, 1, "seed {seed}: {value} was taken {times} times");
        }
        for value in &confirmed {
            assert!(times.contains_key(value), "seed {seed}: {value} is lost");
        }
        taken += times.len();
    }
    assert!(taken > 500 && crashes > 300, "{taken} taken, {crashes} crashes");
}

#[test]
fn the_oldest_values_make_room_and_limits_of_time_go_on_through_restarts() {
    let (mut world, queue) = world(1, 1, 2);
    for value in [1, 2, 3] {
        publish(&mut world, value, value);
        world.settle_down();
    }
    world.restart_cleanly();
    world.resolve();
    for (number, value) in (4..).zip([3, 2, 1, 1]) {
        publish(&mut world, value, number);
        world.settle_down();
    }
    assert_eq!(said(&mut world, queue), ["1", "2", "3", "1"], "2 and 3 are known, 1 was not");

    let ttl = [on_disk(10).to_vec(), vec![("x-cache-ttl", Value::I32(20_000))]].concat();
    world.exchange_on(0, "awhile", "x-message-deduplication", &ttl);
    world.bind_queue("awhile", "q", "");
    let header = [("x-deduplication-header", Value::text("v"))];
    let publish = |world: &mut World| {
        world.publish_to("awhile", "v", &properties(&header, true), None);
        world.settle_down();
    };
    publish(&mut world);
    // A crash takes five seconds.
    for _ in 0..2 {
        world.crash();
        world.resolve();
        publish(&mut world);
    }
    assert_eq!(said(&mut world, queue), ["v"]);
    world.pass_ms(11_000, 0);
    publish(&mut world);
    assert_eq!(said(&mut world, queue), ["v"], "its time was over");
}

#[test]
fn values_move_with_their_segments_and_are_gone_with_their_exchange() {
    let (mut world, queue) = world(1, 1, 10_000);
    for value in 0..300 {
        publish(&mut world, value, value + 1);
        // What comes and goes beside them makes their segments sparse.
        world.send(&[queue], &"x".repeat(3_000), true);
        world.settle_down();
        said(&mut world, queue);
    }
    world.pass_ms(1_000, 0);
    world.settle_down();
    world.crash();
    world.resolve();
    for value in 0..300 {
        publish(&mut world, value, 1_000 + value);
        world.settle_down();
    }
    assert_eq!(said(&mut world, queue).iter().filter(|body| body.len() < 10).count(), 0);

    let before = world.shards[0].log_space().live_octets;
    let delete = TopologyRequest::DeleteExchange {
        vhost: "/".into(),
        name: "once".into(),
        if_unused: false,
    };
    world.request(Requester::Nobody, delete);
    world.settle_down();
    let after = world.shards[0].log_space().live_octets;
    assert!(after + 300 * 64 < before, "{before} octets, then {after}");
    world.exchange_on(0, "once", "x-message-deduplication", &on_disk(10));
    world.bind_queue("once", "q", "");
    world.restart_cleanly();
    world.resolve();
    publish(&mut world, 7, 5_000);
    world.settle_down();
    assert_eq!(said(&mut world, queue), ["7"], "another exchange, which has seen nothing");
}
