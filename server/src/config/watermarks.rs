//! How much memory there may be in use, and how little disk left: what blocks publishers, and what sends things to
//! disk.

use std::str::FromStr;

/// RabbitMQ's `disk_free_limit` (behaviour D12).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DiskFreeLimit {
    /// So many times the machine's memory.
    Relative(f64),
    /// Octets.
    Absolute(u64),
}

impl DiskFreeLimit {
    /// Octets, on a machine with `total_bytes` of memory.
    pub fn bytes(self, total_bytes: u64) -> u64 {
        match self {
            DiskFreeLimit::Relative(times) => (total_bytes as f64 * times) as u64,
            DiskFreeLimit::Absolute(bytes) => bytes,
        }
    }
}

impl Default for DiskFreeLimit {
    fn default() -> Self {
        DiskFreeLimit::Absolute(50_000_000)
    }
}

impl FromStr for DiskFreeLimit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(bytes) = octets(text) {
            return Ok(DiskFreeLimit::Absolute(bytes));
        }
        match text.parse::<f64>() {
            Ok(times) if times >= 0.0 && times.is_finite() => Ok(DiskFreeLimit::Relative(times)),
            _ => Err("must be a number of octets, like 50MB, or with a point a multiple of the memory, like 1.0".into()),
        }
    }
}

/// Octets as RabbitMQ's configuration has them: a whole number, with a unit or without.
fn octets(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let each = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        "t" | "tib" => 1 << 40,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(each)
}

/// RabbitMQ's `vm_memory_high_watermark` (behaviour D11).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryWatermark {
    /// Part of the machine's memory, from 0, with which nobody may publish, to 1.
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
        if let Some(bytes) = octets(text).filter(|bytes| *bytes > 1) {
            return Ok(MemoryWatermark::Absolute(bytes));
        }
        match text.parse::<f64>() {
            Ok(part) if (0.0..=1.0).contains(&part) => Ok(MemoryWatermark::Relative(part)),
            _ => {
                Err("must be a part of the memory, like 0.4, or a number of octets, like 2GB"
                    .into())
            }
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
    pub disk_free: DiskFreeLimit,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_rabbitmqs() {
        let all = [("7", 7), ("4k", 4096), ("4KiB", 4096), ("4KB", 4000), ("2M", 2 << 20)];
        let more =
            [("2MiB", 2 << 20), ("50MB", 50_000_000), ("1G", 1 << 30), ("3GB", 3_000_000_000)];
        for (text, bytes) in all.into_iter().chain(more) {
            assert_eq!(octets(text), Some(bytes), "{text}");
        }
        for text in ["", "MB", "-1", "1.5GB", "1 MB", "99999999999999999999", "99999999TB"] {
            assert_eq!(octets(text), None, "{text}");
        }
    }

    #[test]
    fn both_limits_are_octets_or_follow_the_memory() {
        let memory = |text: &str| text.parse::<MemoryWatermark>().map(|limit| limit.bytes(1000));
        assert_eq!([memory("0.4"), memory("1"), memory("0")], [Ok(400), Ok(1000), Ok(0)]);
        assert_eq!(memory("2GB"), Ok(2_000_000_000));
        assert!(memory("1.5").is_err() && memory("a lot").is_err() && memory("-0.1").is_err());
        let disk = |text: &str| text.parse::<DiskFreeLimit>().map(|limit| limit.bytes(1000));
        assert_eq!([disk("0"), disk("1"), disk("50MB")], [Ok(0), Ok(1), Ok(50_000_000)]);
        assert_eq!([disk("1.0"), disk("2.5")], [Ok(1000), Ok(2500)]);
        assert!(disk("inf").is_err() && disk("-1").is_err() && disk("1.5GB").is_err());
    }
}
