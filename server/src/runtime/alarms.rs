//! Memory and disk alarms: when messages kept in memory pass the watermark or the data directory's
//! disk runs short, connections that publish are blocked until there is room again (behaviour A24,
//! D11-D13).
//!
//! Shared by all shards: each says how much memory its messages take, shard 0's ticker looks at the
//! disk. A connection reads one number per turn of input.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};

use haremq_engine::ids::ShardId;

use super::machine;
use crate::config::Watermarks;

const MEMORY: u8 = 1;
const DISK: u8 = 2;
/// How often the disk is looked at.
const DISK_LOOK_US: u64 = 1_000_000;
/// A shard speaks when its memory has changed by so much.
const STEP_BYTES: u64 = 1 << 20;

/// The alarms of the whole broker.
#[derive(Debug)]
pub(super) struct Alarms {
    memory_max_bytes: u64,
    disk_free_min_bytes: u64,
    data_dir: PathBuf,
    /// Octets of messages in memory, by shard, as last told.
    memory_bytes: Vec<AtomicU64>,
    disk_look_us: AtomicU64,
    /// The last look found too little free.
    is_disk_low: AtomicBool,
    /// Whose log needs another file, for which the disk has no room, by shard.
    is_out_of_space: Vec<AtomicBool>,
    raised: AtomicU8,
}

impl Alarms {
    /// Looks at the disk at once: who connects first is held back as who connects later.
    pub(super) fn new(shards: u16, watermarks: Watermarks, data_dir: PathBuf) -> Self {
        let total_bytes = machine::memory_bytes();
        let alarms = Alarms {
            memory_max_bytes: watermarks.memory.bytes(total_bytes),
            disk_free_min_bytes: watermarks.disk_free.bytes(total_bytes),
            data_dir,
            memory_bytes: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            disk_look_us: AtomicU64::new(0),
            is_disk_low: AtomicBool::new(false),
            is_out_of_space: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            raised: AtomicU8::new(0),
        };
        alarms.judge_memory(0);
        alarms.look_at_disk(0);
        alarms
    }

    /// What connection.blocked says (behaviour B6); `None`: publish on.
    #[inline]
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self.raised.load(Relaxed) {
            0 => None,
            MEMORY => Some("low on memory"),
            DISK => Some("low on disk"),
            _ => Some("low on memory & low on disk"),
        }
    }

    #[inline]
    pub(super) fn is_disk_short(&self) -> bool {
        self.raised.load(Relaxed) & DISK != 0
    }

    /// A shard's messages take so much memory now. Looked at only when it has changed by a step.
    #[inline]
    pub(super) fn memory(&self, shard: ShardId, bytes: u64) {
        let Some(told) = self.memory_bytes.get(usize::from(shard.0)) else { return };
        let before = told.load(Relaxed);
        if before.abs_diff(bytes) >= STEP_BYTES || (bytes == 0 && before != 0) {
            told.store(bytes, Relaxed);
            let all: u64 = self.memory_bytes.iter().map(|bytes| bytes.load(Relaxed)).sum();
            self.judge_memory(all);
        }
    }

    /// A watermark of 0 is always passed: so an operator says that nobody is to publish.
    fn judge_memory(&self, bytes: u64) {
        let max_bytes = self.memory_max_bytes;
        self.set(MEMORY, bytes > max_bytes || max_bytes == 0, "memory");
    }

    /// Looks at the disk if the last look was long enough ago. One shard does this.
    pub(super) fn look_at_disk(&self, now_us: u64) {
        if now_us < self.disk_look_us.load(Relaxed) {
            return;
        }
        self.disk_look_us.store(now_us + DISK_LOOK_US, Relaxed);
        match rustix::fs::statvfs(&self.data_dir) {
            Ok(disk) => {
                let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
                self.is_disk_low.store(free_bytes < self.disk_free_min_bytes, Relaxed);
                self.judge_disk();
            }
            Err(error) => tracing::warn!(%error, "free disk space cannot be read"),
        }
    }

    /// Whether a shard's log has run out of disk space. The limit is meant to be reached before,
    /// but one that is lower than what a log asks for at once may not be.
    #[inline]
    pub(super) fn space(&self, shard: ShardId, is_out: bool) {
        let Some(told) = self.is_out_of_space.get(usize::from(shard.0)) else { return };
        if told.load(Relaxed) != is_out {
            told.store(is_out, Relaxed);
            self.judge_disk();
        }
    }

    fn judge_disk(&self) {
        let is_out = self.is_out_of_space.iter().any(|is_out| is_out.load(Relaxed));
        self.set(DISK, is_out || self.is_disk_low.load(Relaxed), "disk");
    }

    fn set(&self, alarm: u8, raise: bool, what: &'static str) {
        let before = match raise {
            true => self.raised.fetch_or(alarm, Relaxed),
            false => self.raised.fetch_and(!alarm, Relaxed),
        };
        match (before & alarm != 0, raise) {
            (false, true) => tracing::warn!(alarm = what, "alarm: publishers are blocked"),
            (true, false) => tracing::info!(alarm = what, "alarm cleared"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DiskFreeLimit, MemoryWatermark};

    fn alarms(memory_bytes: u64, disk_free_bytes: u64) -> Alarms {
        let memory = MemoryWatermark::Absolute(memory_bytes);
        let disk_free = DiskFreeLimit::Absolute(disk_free_bytes);
        let watermarks = Watermarks { memory, paging_ratio: 0.5, disk_free };
        Alarms::new(2, watermarks, std::env::temp_dir())
    }

    #[test]
    fn memory_of_all_shards_counts_and_the_alarm_goes_when_it_is_freed() {
        let alarms = alarms(10 << 20, 0);
        alarms.memory(ShardId(0), 6 << 20);
        assert_eq!(alarms.reason(), None);
        alarms.memory(ShardId(1), 6 << 20);
        assert_eq!(alarms.reason(), Some("low on memory"));
        alarms.memory(ShardId(0), 0);
        assert_eq!(alarms.reason(), None);
    }

    #[test]
    fn with_a_watermark_of_nothing_nobody_ever_publishes() {
        let alarms = alarms(0, 0);
        assert_eq!(alarms.reason(), Some("low on memory"), "from the start");
        alarms.memory(ShardId(0), 6 << 20);
        alarms.memory(ShardId(0), 0);
        assert_eq!(alarms.reason(), Some("low on memory"));
    }

    #[test]
    fn a_log_that_finds_no_room_raises_the_disk_alarm_until_it_does() {
        let alarms = alarms(1 << 20, 0);
        alarms.space(ShardId(1), true);
        assert_eq!(alarms.reason(), Some("low on disk"));
        alarms.look_at_disk(DISK_LOOK_US);
        assert_eq!(alarms.reason(), Some("low on disk"), "whatever the disk says");
        alarms.space(ShardId(0), false);
        assert_eq!(alarms.reason(), Some("low on disk"), "the other shard's is full");
        alarms.space(ShardId(1), false);
        assert_eq!(alarms.reason(), None);
    }

    #[test]
    fn a_disk_without_room_raises_the_other_alarm() {
        let alarms = alarms(1 << 20, u64::MAX);
        assert_eq!(alarms.reason(), Some("low on disk"), "from the start");
        alarms.memory(ShardId(0), 2 << 20);
        assert_eq!(alarms.reason(), Some("low on memory & low on disk"));
        alarms.memory(ShardId(0), 0);
        assert_eq!(alarms.reason(), Some("low on disk"));
    }
}
