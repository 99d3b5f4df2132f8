//! Records: what blocks hold. Layouts and their reading and writing; no state.
//!
//! Section "Record" of docs/log-format.md is this module in prose. Readers take octets whose
//! block checksum was right, and still believe nothing: every length is checked, and what does
//! not fit is [`Malformed`].

mod copied;
mod definition;
mod gone;
mod liveness;
mod message;
mod part;
mod roster;
mod segment_index;
mod settle;

pub(super) use copied::{Copied, COPIED_BYTES};
pub(super) use definition::{write as write_definition, DefinitionView, DEFINITION_HEAD_BYTES};
pub(super) use gone::{write as write_gone, GONE_BYTES};
pub(super) use liveness::{
    length_max as liveness_max, plan as plan_liveness, write as write_liveness, LivenessView,
};
pub(super) use message::{
    content_bytes, write_content as write_message_content, write_head as write_message_head,
    Attributes, MessageView, Payload, MESSAGE_HEAD_BYTES, REFERENCE_BYTES,
};
pub(super) use part::{
    write_head as write_part_head, PartEntry, PartView, PART_ENTRY_BYTES, PART_HEAD_BYTES,
};
pub(super) use roster::{
    write as write_roster, Recycled, RosterEntry, RECYCLED_BYTES, ROSTER_ENTRY_BYTES,
    ROSTER_HEAD_BYTES,
};
pub(super) use segment_index::{
    length as index_length, write as write_segment_index, IndexPiece, IndexScope, SegmentIndexView,
};
pub(super) use settle::{Settle, SETTLE_BYTES};

use roster::RosterView;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::format::{aligned_record, RECORDS_VERSION};

pub(super) const KIND_MESSAGE: u8 = 1;
pub(super) const KIND_PART: u8 = 2;
pub(super) const KIND_DEFINITION: u8 = 3;
pub(super) const KIND_SETTLE: u8 = 4;
pub(super) const KIND_LIVENESS: u8 = 5;
pub(super) const KIND_ROSTER: u8 = 6;
pub(super) const KIND_RECYCLED: u8 = 7;
pub(super) const KIND_MARK: u8 = 8;
pub(super) const KIND_GONE: u8 = 9;
pub(super) const KIND_COPIED: u8 = 10;
pub(super) const KIND_SEGMENT_INDEX: u8 = 18;

/// A reader that does not know the kind must not go on.
const FLAG_MUST_UNDERSTAND: u8 = 0x80;

/// First octets of every record. Records start at multiples of 8 from the block's start.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RecordHeader {
    pub kind: u8,
    pub flags: u8,
    pub reserved: U16,
    /// Octets of the record with this header, without the padding to the next multiple of 8.
    pub length: U32,
}

pub(super) const RECORD_HEADER_BYTES: usize = size_of::<RecordHeader>();

impl RecordHeader {
    /// Header of a record that nobody may skip.
    fn of(kind: u8, flags: u8, length: usize) -> Self {
        let length = u32::try_from(length).expect("records are shorter than blocks");
        RecordHeader {
            kind,
            flags: flags | FLAG_MUST_UNDERSTAND,
            reserved: U16::ZERO,
            length: U32::new(length),
        }
    }
}

/// Writes a Mark record, which is but a header; what `out` has beyond that is room taken up.
pub(super) fn write_mark(out: &mut [u8]) {
    let header = RecordHeader::of(KIND_MARK, 0, out.len());
    let (place, rest) = out.split_at_mut(RECORD_HEADER_BYTES);
    place.copy_from_slice(header.as_bytes());
    rest.fill(0);
}

/// A record that is not what its header says, though its block's checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// One record, told apart by kind.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Message(MessageView<'a>),
    Part(PartView<'a>),
    Definition(DefinitionView<'a>),
    Settle(Settle),
    Copied(Copied),
    Liveness(LivenessView<'a>),
    Roster(RosterView<'a>),
    Recycled(Recycled),
    /// What it says is in other records as well.
    SegmentIndex,
    /// Nothing: it is there for its block's durable mark, or to take up room.
    Mark,
    /// So many references were made by records that damage has taken.
    Gone(u32),
    /// Of a later version, and may be passed over.
    Skipped,
    /// Of a later version, and may not be passed over.
    Unknown,
}

impl<'a> Record<'a> {
    /// Reads the record that `octets` are, header included, padding not.
    pub(super) fn read(header: &RecordHeader, octets: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match header.kind {
            KIND_MESSAGE => Record::Message(MessageView::read(octets)?),
            KIND_PART => Record::Part(PartView::read(octets)?),
            KIND_DEFINITION => Record::Definition(DefinitionView::read(octets)?),
            KIND_SETTLE => Record::Settle(Settle::read(octets)?),
            KIND_COPIED => Record::Copied(Copied::read(octets)?),
            KIND_LIVENESS => Record::Liveness(LivenessView::read(octets)?),
            KIND_ROSTER => Record::Roster(RosterView::read(octets)?),
            KIND_RECYCLED => Record::Recycled(Recycled::read(octets)?),
            KIND_SEGMENT_INDEX => Record::SegmentIndex,
            KIND_MARK => Record::Mark,
            KIND_GONE => Record::Gone(gone::read(octets)?),
            0 => return Err(Malformed("a record of kind 0")),
            _ if header.flags & FLAG_MUST_UNDERSTAND == 0 => Record::Skipped,
            _ => Record::Unknown,
        })
    }
}

/// Octets and header of the record that starts at `offset` of `octets`.
#[inline]
pub(super) fn record_at(octets: &[u8], offset: usize) -> Result<(&RecordHeader, &[u8]), Malformed> {
    let rest = octets.get(offset..).ok_or(Malformed("a record outside its block"))?;
    let (header, _) = RecordHeader::ref_from_prefix(rest)
        .map_err(|_| Malformed("a record header that its block cuts off"))?;
    let length = header.length.get() as usize;
    if length < RECORD_HEADER_BYTES {
        return Err(Malformed("a record shorter than its header"));
    }
    let octets = rest.get(..length).ok_or(Malformed("a record longer than its block"))?;
    Ok((header, octets))
}

/// The records of a block, in order.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// The block up to the end of its payload.
    octets: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// `octets`: a block up to the end of its payload; `first`: offset of the first record.
    pub(super) fn new(octets: &'a [u8], first: usize) -> Self {
        Records { octets, at: first }
    }
}

impl<'a> Iterator for Records<'a> {
    /// Offset in the block, and the record.
    type Item = Result<(usize, u32, Record<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.octets.len() {
            return None;
        }
        let offset = self.at;
        let read = record_at(self.octets, offset).and_then(|(header, octets)| {
            let length = header.length.get();
            self.at = offset + aligned_record(length as usize);
            Ok((offset, length, Record::read(header, octets)?))
        });
        if read.is_err() {
            self.at = self.octets.len();
        }
        Some(read)
    }
}

/// What an unknown record in a segment of `records_version` means.
pub(super) fn is_newer(records_version: u32) -> bool {
    records_version > RECORDS_VERSION
}

/// Fixed-size head of a record, or what is wrong.
fn head<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    octets: &[u8],
) -> Result<(&T, &[u8]), Malformed> {
    T::ref_from_prefix(octets).map_err(|_| Malformed("a record shorter than its kind needs"))
}

/// Array of `count` entries at the start of `octets`, or what is wrong.
fn entries<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    octets: &[u8],
    count: usize,
) -> Result<(&[T], &[u8]), Malformed> {
    <[T]>::ref_from_prefix_with_elems(octets, count)
        .map_err(|_| Malformed("a record shorter than the entries that it counts"))
}
