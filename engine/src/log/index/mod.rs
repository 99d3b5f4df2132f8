//! The index of a segment: what lives in it, in a few octets a message, so that recovery need not
//! read bodies.
//!
//! While a segment is open, `builder` notes every record in a compact [`stream`](self::writer).
//! When the segment is sealed (or the notes get long), `compose` makes a SegmentIndex record of
//! what still lives. Recovery reads it with [`reader`](self::reader). Section "SegmentIndex" of
//! docs/log-format.md. Part of the log; knows nothing of files and blocks.

mod builder;
mod compose;
mod context;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use builder::Builder;
pub(super) use reader::{is_set, Entry, MessageEntry, Reader};

use super::format::aligned_record;
use super::Address;
use crate::ids::{QueueId, Seq};

/// Messages of one queue with one reference each, of equal lengths and expiry and consecutive
/// sequence numbers, that lie one behind the other in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Of the first message.
    pub address: Address,
    /// Octets of each record.
    pub length: u32,
    pub body_bytes: u32,
    pub expires_unix_ms: Option<u64>,
    /// Number of the first message's reference.
    pub reference: u32,
    pub queue: QueueId,
    pub first: Seq,
    pub count: u32,
}

impl Run {
    /// Where its message of that index lies.
    #[inline]
    pub(super) fn address_of(&self, index: u32) -> Address {
        let each = aligned_record(self.length as usize) as u64;
        Address(self.address.0 + u64::from(index) * each)
    }
}

/// Where a record lies, and the number of the first reference that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub address: Address,
    /// Octets of the record.
    pub length: u32,
    pub reference: u32,
}
