//! A backlog that many queues have in one log, read back from the device while reads come in at any time.

use haremq_engine::log::LogConfig;
use haremq_engine::mail::Credit;
use haremq_engine::shard::ShardConfig;

use crate::client::{channel, consumer};
use crate::long_bodies::body;
use crate::world::{message, tiny, Event, World};

const QUEUES: usize = 1000;

/// Octets that are read for each octet of a backlog in which the queues interleave, `rounds` messages in each, if
/// between so many reads that come back there are so many turns of dispatching.
fn times_read(rounds: usize, reads: usize, turns: usize) -> f64 {
    let tiny = tiny();
    let log = LogConfig {
        segment_bytes: 4 << 20,
        buffer_bytes: 256 * 1024,
        cache_bytes: 16 << 20,
        ..tiny.log.clone()
    };
    let mut world = World::with(ShardConfig { log, ..tiny }, 3);
    let queues: Vec<_> = (0..QUEUES).map(|at| world.durable_queue(&format!("q{at}"))).collect();
    let body = [7; 1000];
    for _ in 0..rounds {
        for queue in &queues {
            world.send_message(&[*queue], message(&body, true), None);
        }
        world.settle_down();
    }
    world.crash();
    let (written, key) = (world.shards[0].log_space().live_octets, channel(0, 1));
    let before = world.disks[0].octets_read;
    for (serial, queue) in (0..).zip(&queues) {
        let key = consumer(key, serial);
        world.consume_as(*queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
    }
    let mut received = 0;
    let mut idle = 0;
    while received < QUEUES * rounds {
        let before = received;
        for _ in 0..turns {
            world.dispatch(0);
            world.poll(0);
            let is_delivery = |event: &Event| matches!(event, Event::Delivery(_));
            received += world.events.drain(..).filter(is_delivery).count();
        }
        for _ in 0..reads {
            if !world.complete(0, 0) {
                break;
            }
        }
        idle = if received > before { 0 } else { idle + 1 };
        assert!(idle < 1000, "{received} have come");
    }
    (world.disks[0].octets_read - before) as f64 / written as f64
}

/// Who waits for a read is woken by each one that comes. If those had their turn before others that are far behind,
/// they would run away from these, and what these need would have left memory before they come to it.
#[test]
fn no_queue_falls_so_far_behind_others_that_the_log_is_read_for_it_again() {
    for turns in [1, 2, 8] {
        let times = times_read(28, 1, turns);
        assert!(times <= 1.15, "each octet is read {times} times with {turns} turns a read");
    }
}

/// A device that has read all there is to read before the next queue has its turn let each queue read on from where the
/// one before it had come to, so that the first few were at the end of the log when the last ones had not begun: each
/// octet was read 31 times.
#[test]
fn a_quick_device_does_not_let_some_queues_run_away_from_the_others() {
    for (rounds, turns) in [(80, 1), (80, 2), (28, 8), (28, 40)] {
        let times = times_read(rounds, usize::MAX, turns);
        assert!(times <= 1.15, "each octet is read {times} times with {turns} turns between reads");
    }
}

/// Whoever waits has been put off, looks again when the round is over, finds no room for one more read, and is put off:
/// such a shard had turns for ever, and its thread never came to see what had been read.
#[test]
fn a_shard_that_waits_for_reads_alone_is_at_rest_until_one_comes() {
    for seed in 0..12 {
        let mut world = World::with(ShardConfig { body_part_bytes: 4_000, ..tiny() }, seed);
        let queues: Vec<_> = (0..40).map(|at| world.durable_queue(&format!("q{at}"))).collect();
        let lengths = [100, 1_500, 3_000, 9_000, 30_000];
        let mut sent = 0;
        for round in 0..6 {
            for queue in &queues {
                let octets = body(round, lengths[world.random.below(lengths.len())]);
                if octets.len() > 4_000 {
                    let (from, at) = (channel(0, 1), octets.len() - 10);
                    for part in octets[..at].chunks(4_000) {
                        world.add_body(from, &[*queue], &octets, part, true);
                    }
                    world.end_body(from, &[*queue], &octets[at..], true, 1);
                } else {
                    world.send_message(&[*queue], message(&octets, true), None);
                }
                sent += 1;
            }
            world.settle_down();
        }
        world.crash();
        for (serial, queue) in (0..).zip(&queues) {
            let key = consumer(channel(0, 1 + u64::from(serial) % 8), serial);
            world.consume_as(*queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
        }
        let (mut received, mut idle) = (0, 0);
        while received < sent {
            let before = received;
            world.is_slow = false;
            world.dispatch(0);
            // Nobody asks for more of a body while it comes to rest.
            world.is_slow = true;
            let mut turns = 0;
            while world.dispatch(0) {
                turns += 1;
                assert!(
                    turns < 10_000,
                    "seed {seed}: after {received} of {sent} it has turns for ever"
                );
            }
            while world.poll(0) {}
            let is_delivery = |event: &Event| matches!(event, Event::Delivery(_));
            received += world.events.drain(..).filter(is_delivery).count();
            if world.under_way(0) > 0 {
                let which = world.random.below(world.under_way(0));
                world.complete(0, which);
            }
            idle = if received > before { 0 } else { idle + 1 };
            assert!(idle < 1000, "seed {seed}: {received} of {sent} have come");
        }
    }
}
