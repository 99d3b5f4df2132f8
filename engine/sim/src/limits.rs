//! Sizes and limits, drawn anew for each seed: small ones, so that what happens once an hour in
//! production happens every few messages here.

use std::sync::Arc;

use haremq_engine::ids::ShardId;
use haremq_engine::log::LogConfig;
use haremq_engine::queue::Packing;
use haremq_engine::shard::ShardConfig;

use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Limits {
    pub shards: u16,
    pub segment_bytes: u64,
    pub buffer_bytes: usize,
    pub writes_in_flight_max: usize,
    pub cache_bytes: usize,
    pub settle_delay_us: u64,
    pub window_bytes: u64,
    pub dispatch_batch: usize,
    /// Octets of transient messages that are kept in memory; others go by the log.
    pub memory_max_bytes: usize,
    pub ring_capacity: usize,
    /// Longest body, now and then.
    pub body_bytes_max: usize,
    /// Messages that a queue may hold before publishers turn to others.
    pub backlog_max: usize,
    pub packing: Packing,
    /// Every so manieth page of an index is refused; 0: none.
    pub refuses_every: u32,
}

impl Limits {
    pub fn draw(shards: u16, random: &mut Random) -> Self {
        let segment_bytes = 65_536 * random.pick(&[1, 1, 1, 2, 4]);
        let body_bytes_max = random.pick(&[2_000, 20_000, 3 * segment_bytes as usize]);
        Limits {
            shards,
            segment_bytes,
            buffer_bytes: 16_384 * random.pick(&[1, 1, 2, 4]),
            writes_in_flight_max: 1 + random.below(4),
            cache_bytes: 32_768 * random.pick(&[1, 2, 4, 16]),
            settle_delay_us: random.pick(&[0, 200, 500, 3_000]),
            window_bytes: random.pick(&[2_000, 20_000, 1 << 30]),
            dispatch_batch: random.pick(&[1, 16, 64, 256]),
            memory_max_bytes: random.pick(&[0, 2_000, 1 << 30]),
            ring_capacity: random.pick(&[1, 4, 64]),
            body_bytes_max,
            backlog_max: random.pick(&[10, 40, 40, 150, 150, 1_200]),
            packing: Packing {
                open_freely: random.pick(&[0, 0, 4, 4096]),
                bale: random.pick(&[2, 2, 3, 32]),
                // Often so little that all is paged out that can be: that is packed anew at every
                // step, and such schedules take several times as long as others.
                bytes_max: random.pick(&[0, 0, 60_000, 60_000, 1 << 30]),
            },
            refuses_every: random.pick(&[0, 0, 2, 5]),
        }
    }

    /// Queues are to grow long: longer than what is kept unpacked of them.
    pub fn has_long_queues(&self) -> bool {
        self.backlog_max >= 1_000
    }

    /// Bodies longer than this come and go in parts.
    pub fn part_bytes(&self) -> usize {
        self.body_bytes_max / 40
    }

    pub fn shard_config(&self, shard: ShardId) -> ShardConfig {
        ShardConfig {
            shard,
            shards: self.shards,
            log: LogConfig {
                shard,
                segment_bytes: self.segment_bytes,
                buffer_bytes: self.buffer_bytes,
                writes_in_flight_max: self.writes_in_flight_max,
                cache_bytes: self.cache_bytes,
                settle_delay_us: self.settle_delay_us,
            },
            window_bytes: self.window_bytes,
            memory_max_bytes: self.memory_max_bytes,
            body_part_bytes: self.part_bytes(),
            dispatch_batch: self.dispatch_batch,
            guest_password_hash: Arc::from([7_u8; 36]),
        }
    }
}
