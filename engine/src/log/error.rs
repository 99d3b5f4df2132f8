//! What goes wrong with a log. All of it is final for the shard: the process says it and exits.

use super::IoFailure;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Final: nothing is confirmed after this (a failed sync is never retried).
    #[error("writing segment file {file} at octet {offset} failed: {error}")]
    Write { file: u32, offset: u64, error: IoFailure },
    #[error("reading segment file {file} at octet {offset} failed: {error}")]
    Read { file: u32, offset: u64, error: IoFailure },
    #[error("creating segment file {file} failed: {error}")]
    Create { file: u32, error: IoFailure },
    /// Below the durable mark: somebody was promised this.
    #[error("segment file {file} is damaged at octet {offset}: {what}; it lies below the durable mark {durable}, so confirmed messages may be in it")]
    Rot { file: u32, offset: u64, durable: u64, what: &'static str },
    /// No file holds a segment that the log needs.
    #[error("segment {segment} of shard {shard} is missing: no segment file holds it")]
    Missing { segment: u32, shard: u16 },
    #[error("segment file {file} is not one of shard {shard}: {what}")]
    Foreign { file: u32, shard: u16, what: &'static str },
    #[error("segment file {file} has format version {version}, this broker knows up to {known}")]
    NewerVersion { file: u32, version: u32, known: u32 },
}

impl LogError {
    /// The log has suffered damage, which [`mend`](super::mend) can look into.
    pub fn is_damage(&self) -> bool {
        matches!(self, LogError::Rot { .. } | LogError::Missing { .. })
    }
}
