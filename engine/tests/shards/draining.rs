//! A backlog that many queues have in one log, read back from the device while reads come in at any time.

use haremq_engine::log::LogConfig;
use haremq_engine::mail::Credit;
use haremq_engine::shard::ShardConfig;

use crate::client::{channel, consumer};
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
