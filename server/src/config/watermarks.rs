//! How much memory there may be in use, and how little disk left: what blocks publishers, and what sends things to
//! disk.

use std::str::FromStr;

/// RabbitMQ's `disk_free_limit` (behaviour D12), in octets.
pub(super) const DISK_FREE_DEFAULT_BYTES: u64 = 50_000_000;

/// RabbitMQ's `vm_memory_high_watermark` (behaviour D11).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryWatermark {
    /// Part of the machine's memory, above 0 and at most 1.
    Relative(f64),
    /// Octets.
    Absolute(u64),
}

impl MemoryWatermark {
    /// Octets, on a machine with `total_bytes` of memory.
    pub fn bytes(self, total_bytes: u64) -> u64 {
        match self {
            MemoryWatermark::Relative(part) => (total_bytes as f64 * part) as u64,
            MemoryWatermark::Absolute(bytes) => bytes,
        }
    }
}

impl Default for MemoryWatermark {
    fn default() -> Self {
        MemoryWatermark::Relative(0.4)
    }
}

impl FromStr for MemoryWatermark {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(bytes) = text.parse::<u64>() {
            if bytes > 1 {
                return Ok(MemoryWatermark::Absolute(bytes));
            }
        }
        match text.parse::<f64>() {
            Ok(part) if part > 0.0 && part <= 1.0 => Ok(MemoryWatermark::Relative(part)),
            _ => Err("must be a part of the memory, like 0.4, or a number of octets".into()),
        }
    }
}

/// RabbitMQ's `vm_memory_high_watermark_paging_ratio`.
pub(super) const PAGING_RATIO_DEFAULT: f64 = 0.5;

/// Of each shard, in octets, for what its queues know of their messages. What is beyond is paged out.
pub(super) const INDEX_MEMORY_DEFAULT_BYTES: usize = 32 << 20;
/// With less, queues would do little but pack and unpack.
const INDEX_MEMORY_MIN_BYTES: usize = 64 << 10;

/// All watermarks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watermarks {
    /// For messages that are kept in memory.
    pub memory: MemoryWatermark,
    /// Part of `memory` above which messages that are in memory alone go to disk. Above 1 the
    /// memory alarm comes first, and nothing goes to disk.
    pub paging_ratio: f64,
    /// Of the disk that holds the data directory.
    pub disk_free_bytes: u64,
}

impl Watermarks {
    /// Octets that messages may take in one of so many shards, on a machine with `total_bytes` of
    /// memory.
    pub fn shard_bytes(&self, total_bytes: u64, shards: u16) -> u64 {
        let all = self.memory.bytes(total_bytes) as f64 * self.paging_ratio;
        (all / f64::from(shards.max(1))) as u64
    }
}

pub(super) fn index_memory(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(bytes) if bytes >= INDEX_MEMORY_MIN_BYTES => Ok(bytes),
        _ => Err(format!("must be a number of octets from {INDEX_MEMORY_MIN_BYTES} on")),
    }
}

pub(super) fn paging_ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio > 0.0 && ratio.is_finite() => Ok(ratio),
        _ => Err("must be a number above 0, like 0.5".into()),
    }
}

pub(super) fn disk_free_limit(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a number of octets".into())
}
