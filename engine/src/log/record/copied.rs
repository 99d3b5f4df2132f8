//! The Copied record: references of a segment that have been made anew, by copies that lie before
//! it in its block, or that were dead already.
//!
//! One takes the place of a settle for each reference. While its block is open, it is made longer
//! in place.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{head, Malformed, RecordHeader, KIND_COPIED};
use crate::log::format::SEGMENT_REFERENCES_MAX;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CopiedLayout {
    record: RecordHeader,
    segment: U32,
    first: U32,
    count: U32,
    reserved: U32,
}

pub(in crate::log) const COPIED_BYTES: usize = size_of::<CopiedLayout>();
const _: () = assert!(COPIED_BYTES == 24);

/// References `first .. first + count` of `segment` are dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Copied {
    pub segment: u32,
    pub first: u32,
    pub count: u32,
}

impl Copied {
    /// `None` for a run of no references, or of more than a segment can have.
    pub(in crate::log) fn new(segment: u32, first: u32, count: u32) -> Option<Self> {
        let end = u64::from(first) + u64::from(count);
        let can_be = count > 0 && end <= u64::from(SEGMENT_REFERENCES_MAX);
        can_be.then_some(Copied { segment, first, count })
    }

    pub(super) fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let (layout, _) = head::<CopiedLayout>(octets)?;
        let copied = Copied::new(layout.segment.get(), layout.first.get(), layout.count.get());
        copied.ok_or(Malformed("copies of references that cannot be"))
    }

    /// Number of the reference behind the last one.
    pub(in crate::log) fn end(&self) -> u32 {
        self.first + self.count
    }

    /// Makes it longer by `next`, if that follows.
    pub(in crate::log) fn extend(&mut self, next: &Copied) -> bool {
        let follows = self.segment == next.segment && self.end() == next.first;
        self.count += if follows { next.count } else { 0 };
        follows
    }

    /// Writes the record, of [`COPIED_BYTES`].
    pub(in crate::log) fn write(&self, out: &mut [u8]) {
        let layout = CopiedLayout {
            record: RecordHeader::of(KIND_COPIED, 0, COPIED_BYTES),
            segment: U32::new(self.segment),
            first: U32::new(self.first),
            count: U32::new(self.count),
            reserved: U32::ZERO,
        };
        out[..COPIED_BYTES].copy_from_slice(layout.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_cannot_be_are_malformed() {
        let read = |first, count| {
            let mut octets = [0xa5; COPIED_BYTES];
            Copied { segment: 2, first, count }.write(&mut octets);
            Copied::read(&octets)
        };
        assert_eq!(read(7, 3).map(|copied| copied.end()), Ok(10));
        assert!(read(SEGMENT_REFERENCES_MAX - 1, 1).is_ok());
        assert!(read(SEGMENT_REFERENCES_MAX, 1).is_err());
        assert!(read(1, u32::MAX).is_err() && read(7, 0).is_err());
    }

    #[test]
    fn a_run_is_made_longer_by_what_follows_it_alone() {
        let mut run = Copied { segment: 2, first: 5, count: 2 };
        assert!(!run.extend(&Copied { segment: 3, first: 7, count: 1 }));
        assert!(!run.extend(&Copied { segment: 2, first: 8, count: 1 }));
        assert!(run.extend(&Copied { segment: 2, first: 7, count: 4 }));
        assert_eq!((run.first, run.end()), (5, 11));
    }
}
