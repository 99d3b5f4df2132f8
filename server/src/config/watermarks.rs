//! When publishers are blocked: how much memory and how little disk.

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

/// Both of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watermarks {
    /// For messages that are kept in memory.
    pub memory: MemoryWatermark,
    /// Of the disk that holds the data directory.
    pub disk_free_bytes: u64,
}

pub(super) fn disk_free_limit(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a number of octets".into())
}
