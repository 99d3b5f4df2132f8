//! The shard's one log: segments of blocks of records, group commit, recovery, recycling.
//!
//! Owned by one shard. Knows records, references and positions; knows nothing of queues beyond
//! the numbers it is told to write. Must not import `queue` or `shard`. The octets on disk are
//! described in docs/log-format.md.
//!
//! | module | holds |
//! |---|---|
//! | `format`, `geometry`, `record`, `block` | octets: layouts and arithmetic, no state |
//! | `append`, `settling`, `bodies`, `moving` | new records |
//! | `sealing`, `index` | the end of a segment, and what is said there of the messages in it |
//! | `copies`, `copying`, `victim_parts`, `allowance` | records of sparse segments again, to get the segments back |
//! | `batch`, `commit` | what is being written, and how far it is durable |
//! | `segment`, `segments`, `space`, `files`, `reclaim` | what lives, and giving the rest back |
//! | `share` | how much of what is written reclaiming may have |
//! | `room` | whether publishers should wait for the device |
//! | `cache`, `readback`, `reads`, `parts`, `fetch`, `reading` | reading back |
//! | `recovery` | reading everything back at start |

mod allowance;
mod append;
mod batch;
mod bitmap;
mod block;
mod bodies;
mod cache;
mod commit;
mod copies;
mod copying;
mod effect;
mod error;
mod fetch;
mod files;
mod format;
mod geometry;
mod index;
mod moving;
mod pace;
mod parts;
mod readback;
mod reading;
mod reads;
mod reclaim;
mod record;
mod recovery;
mod room;
mod sealing;
mod segment;
mod segments;
mod settling;
mod share;
mod space;
mod store;
#[cfg(test)]
mod tests;
mod victim_parts;

pub use bodies::{Group, OpenBody};
pub use copies::Relocated;
pub use copying::Holders;
pub use effect::{IoFailure, LogCompletion, LogEffect};
pub use error::LogError;
pub use reading::{FetchBeginning, ReadPart};
pub use reads::Outlook;
pub use recovery::{
    mend, Damage, Headless, LostMessage, MendError, Mended, Octets, Patch, Recovered, Recovery,
    RecoveryRead, SegmentFile,
};
pub use space::LogSpace;
pub use store::Log;

use crate::ids::{QueueId, Seq, ShardId};
use crate::message::MessageRef;

/// Where batches are built. The runtime gives memory that a device can write from; a simulator
/// gives vectors.
pub trait Memory {
    type Buffer: AsRef<[u8]> + AsMut<[u8]> + 'static;
    /// At least `bytes` (a multiple of 4096) octets, contents arbitrary.
    fn allocate(&mut self, bytes: usize) -> Self::Buffer;
    /// The buffer is complete and only its first `bytes` octets (a multiple of 4096) count from
    /// now on: what is behind them may be cut off. For devices that write whole buffers only.
    fn trim(&mut self, buffer: &mut Self::Buffer, bytes: usize) {
        let _ = (buffer, bytes);
    }
}

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub shard: ShardId,
    /// Size of every segment file; a multiple of 4096.
    pub segment_bytes: u64,
    /// Size of one batch buffer, and so of one write at most.
    pub buffer_bytes: usize,
    pub writes_in_flight_max: usize,
    /// Memory kept for reading back recent blocks and read-ahead.
    pub cache_bytes: usize,
    /// How long settles may wait for a commit that carries them.
    pub settle_delay_us: u64,
}

/// Octets since the log began. Grows for ever; segment `n` covers
/// `n * segment_bytes .. (n + 1) * segment_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position(pub u64);

/// Where a record lies: number of its block's first 4096 octet page since the log began (44
/// bits), offset of the record in the block (20 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

/// What an append gives back.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub address: Address,
    /// Octets of the record.
    pub length: u32,
    /// Number of the record's first reference in its segment; the others follow.
    pub reference: u32,
    /// Durable once [`Log::durable`] has reached this.
    pub end: Position,
}

/// A reference that is settled, as its append or its recovery said.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    pub queue: QueueId,
    pub seq: Seq,
    pub address: Address,
    /// Octets of the record.
    pub length: u32,
    pub reference: u32,
}

/// A message as stored, with what the store knows beside it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub message: MessageRef<'a>,
    /// Wall clock at ingress.
    pub received_unix_ms: u64,
}

/// Result of a look-up.
#[derive(Debug)]
pub enum Fetch<'a> {
    Ready(Stored<'a>),
    /// A read has been asked for; try again after a [`LogCompletion::Read`].
    Pending,
}

/// Number of a segment file in its directory. Files are recycled: a file holds different
/// segments over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);
