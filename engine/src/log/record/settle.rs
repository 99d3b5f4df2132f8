//! The Settle record: a run of messages of one queue, all in one segment, is done with.
//!
//! While its block is open, the run is made longer in place instead of a record for each.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{head, Malformed, RecordHeader, KIND_SETTLE};
use crate::ids::{QueueId, Seq};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SettleLayout {
    record: RecordHeader,
    queue: U64,
    first: U64,
    segment: U32,
    count: U32,
}

pub(in crate::log) const SETTLE_BYTES: usize = size_of::<SettleLayout>();
const _: () = assert!(SETTLE_BYTES == 32);

/// `first`, `first + 1`, .. (`count` of them) of `queue`, whose records lie in `segment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Settle {
    pub queue: QueueId,
    pub first: Seq,
    pub segment: u32,
    pub count: u32,
}

impl Settle {
    pub(super) fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let (layout, _) = head::<SettleLayout>(octets)?;
        let settle = Settle {
            queue: QueueId(layout.queue.get()),
            first: Seq(layout.first.get()),
            segment: layout.segment.get(),
            count: layout.count.get(),
        };
        let last =
            u64::from(settle.count).checked_sub(1).and_then(|n| settle.first.0.checked_add(n));
        last.map(|_| settle).ok_or(Malformed("a settle of no message that can be"))
    }

    /// The last one of the run. Runs are never empty.
    pub(in crate::log) fn last(&self) -> Seq {
        Seq(self.first.0 + (u64::from(self.count) - 1))
    }

    /// Writes the record, of [`SETTLE_BYTES`].
    #[inline]
    pub(in crate::log) fn write(&self, out: &mut [u8]) {
        let layout = SettleLayout {
            record: RecordHeader::of(KIND_SETTLE, 0, SETTLE_BYTES),
            queue: U64::new(self.queue.0),
            first: U64::new(self.first.0),
            segment: U32::new(self.segment),
            count: U32::new(self.count),
        };
        out[..SETTLE_BYTES].copy_from_slice(layout.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(first: u64, count: u32) -> Result<Settle, Malformed> {
        let mut octets = [0; SETTLE_BYTES];
        Settle { queue: QueueId(1), first: Seq(first), segment: 2, count }.write(&mut octets);
        Settle::read(&octets)
    }

    #[test]
    fn runs_that_cannot_be_are_malformed() {
        assert_eq!(read(u64::MAX, 1).map(|settle| settle.last()), Ok(Seq(u64::MAX)));
        assert_eq!(read(7, 3).map(|settle| settle.last()), Ok(Seq(9)));
        assert!(read(u64::MAX, 2).is_err());
        assert!(read(7, 0).is_err());
    }
}
