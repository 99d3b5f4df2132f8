//! The log on a simulated disk, against a model of what it promised.

mod bodies;
mod body;
mod damage;
mod disk;
mod draining;
mod guarantees;
mod mending;
mod random;
mod reclaiming;
mod recycling;
mod schedules;
mod settling;
mod starts;
mod strangers;
mod world;

use super::LogConfig;
use crate::ids::ShardId;

/// Segments so small that sealing and recycling happen every few messages.
fn tiny() -> LogConfig {
    LogConfig {
        shard: ShardId(3),
        segment_bytes: 64 * 1024,
        buffer_bytes: 16 * 1024,
        writes_in_flight_max: 3,
        cache_bytes: 64 * 1024,
        settle_delay_us: 500,
    }
}

/// Sizes nearer to real ones, for what needs room.
fn roomy() -> LogConfig {
    LogConfig { segment_bytes: 4 << 20, buffer_bytes: 256 * 1024, cache_bytes: 2 << 20, ..tiny() }
}
