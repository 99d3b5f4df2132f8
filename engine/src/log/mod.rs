//! The shard's one log: segments of blocks of records, group commit, recovery, recycling.
//!
//! Owned by one shard. Knows records, references and positions; knows nothing of queues beyond
//! the numbers it is told to write. Must not import `queue` or `shard`. The octets on disk are
//! described in docs/log-format.md.

use std::rc::Rc;

use crate::ids::{QueueId, Seq, ShardId};
use crate::message::MessageRef;
use crate::now::Now;

/// Where batches are built. The runtime gives memory that a device can write from; a simulator
/// gives vectors.
pub trait Memory {
    type Buffer: AsRef<[u8]> + AsMut<[u8]> + 'static;
    /// At least `bytes` (a multiple of 4096) octets, contents arbitrary.
    fn allocate(&mut self, bytes: usize) -> Self::Buffer;
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

/// What the log wants done. Each has a ticket that its completion names.
#[derive(Debug)]
pub enum LogEffect<B> {
    /// Write `buffer[..length]` at `offset`. Complete only when it is on stable storage (O_DSYNC).
    Write { ticket: u64, file: FileId, offset: u64, buffer: Rc<B>, length: usize },
    /// Create a file of that size, write it out in full, sync it and its directory.
    Create { ticket: u64, file: FileId, bytes: u64 },
    /// Both aligned to 4096.
    Read { ticket: u64, file: FileId, offset: u64, length: usize },
}

#[derive(Debug)]
pub enum LogCompletion<B> {
    Written {
        ticket: u64,
    },
    Created {
        ticket: u64,
    },
    /// Shorter than asked only at the end of a file.
    Read {
        ticket: u64,
        buffer: B,
    },
    Failed {
        ticket: u64,
        error: IoFailure,
    },
}

/// What the operating system said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoFailure {
    /// `errno`, if there was one.
    pub code: Option<i32>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Final: nothing is confirmed after this (a failed sync is never retried).
    #[error("writing segment file {file} at octet {offset} failed: {error:?}")]
    Write { file: u32, offset: u64, error: IoFailure },
    #[error("reading segment file {file} at octet {offset} failed: {error:?}")]
    Read { file: u32, offset: u64, error: IoFailure },
    #[error("creating segment file {file} failed: {error:?}")]
    Create { file: u32, error: IoFailure },
    /// Below the durable mark: somebody was promised this.
    #[error("segment file {file} is damaged at octet {offset}: {what}; it lies below the durable mark {durable}, so confirmed messages may be in it; restore the file from a backup")]
    Rot { file: u32, offset: u64, durable: u64, what: &'static str },
    #[error("segment file {file} is not one of shard {shard}: {what}")]
    Foreign { file: u32, shard: u16, what: &'static str },
    #[error("segment file {file} has format version {version}, this broker knows up to {known}")]
    NewerVersion { file: u32, version: u32, known: u32 },
}

pub struct Log<M: Memory> {
    _memory: M,
}

impl<M: Memory> Log<M> {
    pub fn append_message(
        &mut self,
        _now: Now,
        _message: &MessageRef<'_>,
        _expires_unix_ms: Option<u64>,
        _references: &[(QueueId, Seq)],
    ) -> Placed {
        todo!()
    }
    /// A durable definition: a live message of [`QueueId::DEFINITIONS`] until settled.
    pub fn append_definition(&mut self, _now: Now, _seq: Seq, _payload: &[u8]) -> Placed {
        todo!()
    }
    /// Records that the reference is settled and frees it. Rides the next commit, or makes one
    /// after `settle_delay_us`. Returns the position at which the settle is durable.
    pub fn append_settle(
        &mut self,
        _now: Now,
        _queue: QueueId,
        _seq: Seq,
        _address: Address,
        _reference: u32,
    ) -> Position {
        todo!()
    }
    /// Frees a reference without a record: its queue's id is gone for ever, which says it all.
    pub fn release(&mut self, _address: Address, _reference: u32) {
        todo!()
    }
    pub fn fetch(&mut self, _address: Address, _length: u32) -> Fetch<'_> {
        todo!()
    }
    /// End of what is on stable storage, without a gap.
    pub fn durable(&self) -> Position {
        todo!()
    }
    /// End of what has been appended.
    pub fn end(&self) -> Position {
        todo!()
    }
    /// Make everything appended so far durable without waiting for `settle_delay_us`.
    pub fn flush(&mut self) {
        todo!()
    }
    pub fn poll_effect(&mut self, _now: Now) -> Option<LogEffect<M::Buffer>> {
        todo!()
    }
    pub fn complete(
        &mut self,
        _now: Now,
        _completion: LogCompletion<M::Buffer>,
    ) -> Result<(), LogError> {
        todo!()
    }
    /// Monotonic time at which `poll_effect` should be asked again though nothing happened.
    pub fn deadline_us(&self) -> Option<u64> {
        todo!()
    }
    /// False while so much waits for the device that more should not be accepted.
    pub fn has_room(&self) -> bool {
        todo!()
    }
}

/// A segment file found at start.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFile {
    pub file: FileId,
    pub bytes: u64,
}

/// One thing recovery found, in log order.
#[derive(Debug)]
pub enum Recovered<'a> {
    Message {
        address: Address,
        length: u32,
        /// Reference `i` has number `reference + i` in its segment.
        reference: u32,
        references: &'a [(QueueId, Seq)],
        expires_unix_ms: Option<u64>,
        priority: u8,
        body_bytes: u64,
    },
    Definition {
        address: Address,
        length: u32,
        reference: u32,
        seq: Seq,
        payload: &'a [u8],
    },
    /// `first..=last` of that queue are settled.
    Settled {
        queue: QueueId,
        first: Seq,
        last: Seq,
    },
}

/// Reads a shard's segment files back. Drive: while `next_read` asks, read and `supply`.
pub struct Recovery<M: Memory> {
    _memory: M,
}

/// One read that recovery wants.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryRead {
    pub file: FileId,
    pub offset: u64,
    pub length: usize,
}

impl<M: Memory> Recovery<M> {
    pub fn new(_config: LogConfig, _memory: M, _files: Vec<SegmentFile>) -> Self {
        todo!()
    }
    pub fn next_read(&mut self) -> Option<RecoveryRead> {
        todo!()
    }
    /// The octets of the last `next_read`; what they hold goes to `visit`.
    pub fn supply(
        &mut self,
        _octets: &[u8],
        _visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), LogError> {
        todo!()
    }
    /// All read: the log, positioned to go on. Every reference starts out dead; the shard calls
    /// [`Recovery::keep`] for each live one first.
    pub fn finish(self, _now: Now) -> Result<Log<M>, LogError> {
        todo!()
    }
    /// Marks a recovered reference as live.
    pub fn keep(&mut self, _address: Address, _reference: u32) {
        todo!()
    }
    /// Octets cut off after the last whole block (unconfirmed), for the start-up message.
    pub fn torn_bytes(&self) -> u64 {
        todo!()
    }
}
