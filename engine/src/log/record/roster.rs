//! The Roster record, first in every segment: which segments live, and what is needed to read
//! them; and the Recycled record: one of them lives no more.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{entries, head, IndexPiece, Malformed, RecordHeader, KIND_RECYCLED, KIND_ROSTER};
use crate::log::{Address, FileId};

/// `record.flags`: another Roster record follows.
const MORE: u8 = 1;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RosterHead {
    record: RecordHeader,
    count: U32,
    reserved: U32,
}

pub(in crate::log) const ROSTER_HEAD_BYTES: usize = size_of::<RosterHead>();

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryLayout {
    segment: U32,
    file: U32,
    end: U64,
    liveness: U64,
    liveness_length: U32,
    references: U32,
    index: U64,
    index_length: U32,
    index_sum: U32,
}

pub(in crate::log) const ROSTER_ENTRY_BYTES: usize = size_of::<EntryLayout>();
const _: () = assert!(ROSTER_HEAD_BYTES == 16 && ROSTER_ENTRY_BYTES == 48);

/// A live, sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct RosterEntry {
    pub segment: u32,
    pub file: FileId,
    /// Position at which its blocks end.
    pub end: u64,
    /// Its latest Liveness record.
    pub liveness: Option<(Address, u32)>,
    /// References numbered in it.
    pub references: u32,
    /// The last piece of its index.
    pub index: Option<IndexPiece>,
}

impl RosterEntry {
    fn layout(&self) -> EntryLayout {
        let (liveness, length) = self.liveness.unwrap_or((Address(0), 0));
        let no_index = IndexPiece { address: Address(0), length: 0, sum: 0 };
        let index = self.index.unwrap_or(no_index);
        EntryLayout {
            segment: U32::new(self.segment),
            file: U32::new(self.file.0),
            end: U64::new(self.end),
            liveness: U64::new(liveness.0),
            liveness_length: U32::new(length),
            references: U32::new(self.references),
            index: U64::new(index.address.0),
            index_length: U32::new(index.length),
            index_sum: U32::new(index.sum),
        }
    }
}

impl From<&EntryLayout> for RosterEntry {
    fn from(layout: &EntryLayout) -> Self {
        let length = layout.liveness_length.get();
        let index = IndexPiece {
            address: Address(layout.index.get()),
            length: layout.index_length.get(),
            sum: layout.index_sum.get(),
        };
        RosterEntry {
            segment: layout.segment.get(),
            file: FileId(layout.file.get()),
            end: layout.end.get(),
            liveness: (length != 0).then_some((Address(layout.liveness.get()), length)),
            references: layout.references.get(),
            index: (index.length != 0).then_some(index),
        }
    }
}

/// A Roster record as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct RosterView<'a> {
    entries: &'a [EntryLayout],
    /// Another Roster record follows.
    pub more: bool,
}

impl<'a> RosterView<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, rest) = head::<RosterHead>(octets)?;
        let (entries, _) = entries::<EntryLayout>(rest, head.count.get() as usize)?;
        Ok(RosterView { entries, more: head.record.flags & MORE != 0 })
    }
    pub(in crate::log) fn entries(&self) -> impl Iterator<Item = RosterEntry> + 'a {
        self.entries.iter().map(RosterEntry::from)
    }
}

/// Writes a whole record: `out` has room for its head and the entries.
pub(in crate::log) fn write(out: &mut [u8], entries: &[RosterEntry], more: bool) {
    let head = RosterHead {
        record: RecordHeader::of(KIND_ROSTER, if more { MORE } else { 0 }, out.len()),
        count: U32::new(entries.len() as u32),
        reserved: U32::ZERO,
    };
    let (place, rest) = out.split_at_mut(ROSTER_HEAD_BYTES);
    place.copy_from_slice(head.as_bytes());
    for (place, entry) in rest.chunks_exact_mut(ROSTER_ENTRY_BYTES).zip(entries) {
        place.copy_from_slice(entry.layout().as_bytes());
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RecycledLayout {
    record: RecordHeader,
    segment: U32,
    file: U32,
}

pub(in crate::log) const RECYCLED_BYTES: usize = size_of::<RecycledLayout>();
const _: () = assert!(RECYCLED_BYTES == 16);

/// Nothing of `segment` matters any more: `file` may be written over once this is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Recycled {
    pub segment: u32,
    pub file: FileId,
}

impl Recycled {
    pub(super) fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let (layout, _) = head::<RecycledLayout>(octets)?;
        Ok(Recycled { segment: layout.segment.get(), file: FileId(layout.file.get()) })
    }
    /// Writes the record, of [`RECYCLED_BYTES`].
    pub(in crate::log) fn write(&self, out: &mut [u8]) {
        let layout = RecycledLayout {
            record: RecordHeader::of(KIND_RECYCLED, 0, RECYCLED_BYTES),
            segment: U32::new(self.segment),
            file: U32::new(self.file.0),
        };
        out[..RECYCLED_BYTES].copy_from_slice(layout.as_bytes());
    }
}
