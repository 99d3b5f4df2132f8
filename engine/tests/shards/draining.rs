//! A backlog that many queues have in one log, read back from the device while reads come in at any time.

use haremq_engine::log::LogConfig;
use haremq_engine::mail::Credit;
use haremq_engine::shard::ShardConfig;

use crate::client::{channel, consumer};
use crate::world::{message, tiny, Event, World};

const QUEUES: usize = 1000;
const ROUNDS: usize = 28;

/// Who waits for a read is woken by each one that comes. If those had their turn before others that are far behind,
/// they would run away from these, and what these need would have left memory before they come to it.
#[test]
fn no_queue_falls_so_far_behind_others_that_the_log_is_read_for_it_again() {
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
    for _ in 0..ROUNDS {
        for queue in &queues {
            world.send_message(&[*queue], message(&body, true), None);
        }
        world.settle_down();
    }
    world.crash();
    let (written, key) = (world.shards[0].log_space().live_octets as usize, channel(0, 1));
    for (serial, queue) in (0..).zip(&queues) {
        let key = consumer(key, serial);
        world.consume_as(*queue, key, Credit::Unlimited, |consume| consume.no_ack = true);
    }
    let mut received = 0;
    let mut idle = 0;
    while received < QUEUES * ROUNDS {
        let before = received;
        for _ in 0..2 {
            world.dispatch(0);
            world.poll(0);
            let is_delivery = |event: &Event| matches!(event, Event::Delivery(_));
            received += world.events.drain(..).filter(is_delivery).count();
        }
        world.complete(0, 0);
        idle = if received > before { 0 } else { idle + 1 };
        assert!(idle < 1000, "{received} have come");
    }
    let read = world.disks[0].octets_read;
    assert!(read <= written / 100 * 115, "{read} octets for {written} of records");
}
