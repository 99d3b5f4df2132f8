//! The SegmentIndex record: what lives in a segment, without the bodies.
//!
//! Section "SegmentIndex" of docs/log-format.md. A segment's index is one record or several, its
//! *pieces*; the last piece names the others. What is said in them is the [`stream`] of
//! `crate::log::index`.
//!
//! [`stream`]: SegmentIndexView::stream

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{entries, head, Malformed, RecordHeader, KIND_SEGMENT_INDEX, RECORD_HEADER_BYTES};
use crate::log::Address;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct IndexHead {
    record: RecordHeader,
    segment: U32,
    first_reference: U32,
    references_end: U32,
    pieces: U32,
}

pub(in crate::log) const INDEX_HEAD_BYTES: usize = size_of::<IndexHead>();

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PieceLayout {
    address: U64,
    length: U32,
    sum: U32,
}

pub(in crate::log) const PIECE_BYTES: usize = size_of::<PieceLayout>();
const _: () = assert!(INDEX_HEAD_BYTES == 24 && PIECE_BYTES == 16);

/// Where a piece of an index lies, and what its octets must sum up to. Whoever names a piece is
/// checked itself, so a piece that has the right sum is the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct IndexPiece {
    pub address: Address,
    /// Octets of the record.
    pub length: u32,
    /// CRC-32 of the record.
    pub sum: u32,
}

/// What a piece is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct IndexScope {
    pub segment: u32,
    /// Number of the first reference that was made after the piece before.
    pub first_reference: u32,
    /// References that had been numbered when it was written.
    pub references_end: u32,
}

/// A SegmentIndex record as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct SegmentIndexView<'a> {
    pub scope: IndexScope,
    pieces: &'a [PieceLayout],
    /// Entries one after the other.
    pub stream: &'a [u8],
}

impl<'a> SegmentIndexView<'a> {
    pub(in crate::log) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, rest) = head::<IndexHead>(octets)?;
        let (pieces, stream) = entries::<PieceLayout>(rest, head.pieces.get() as usize)?;
        let scope = IndexScope {
            segment: head.segment.get(),
            first_reference: head.first_reference.get(),
            references_end: head.references_end.get(),
        };
        Ok(SegmentIndexView { scope, pieces, stream })
    }

    /// Reads the record that a piece was said to be: `octets` begin with it.
    pub(in crate::log) fn of_piece(
        octets: &'a [u8],
        piece: &IndexPiece,
    ) -> Result<Self, Malformed> {
        let record = octets.get(..piece.length as usize);
        let record = record.ok_or(Malformed("an index that its file cuts off"))?;
        if crc32fast::hash(record) != piece.sum {
            return Err(Malformed("an index whose checksum is wrong"));
        }
        let (header, _) = head::<RecordHeader>(record)?;
        if header.kind != KIND_SEGMENT_INDEX || header.length.get() != piece.length {
            return Err(Malformed("another record where an index should be"));
        }
        Self::read(record)
    }

    /// The pieces before this one, in order.
    pub(in crate::log) fn pieces(&self) -> impl Iterator<Item = IndexPiece> + 'a {
        self.pieces.iter().map(|piece| IndexPiece {
            address: Address(piece.address.get()),
            length: piece.length.get(),
            sum: piece.sum.get(),
        })
    }
}

/// Octets of the record with so many pieces before it and such a stream.
pub(in crate::log) const fn length(pieces: usize, stream: usize) -> usize {
    INDEX_HEAD_BYTES + pieces * PIECE_BYTES + stream
}

/// Writes a whole record: `out` has [`length`] octets. Returns their sum.
pub(in crate::log) fn write(
    out: &mut [u8],
    scope: IndexScope,
    pieces: &[IndexPiece],
    stream: &[u8],
) -> u32 {
    let mut record = RecordHeader::of(KIND_SEGMENT_INDEX, 0, out.len());
    // A reader that does not know indexes loses nothing but time.
    record.flags = 0;
    let head = IndexHead {
        record,
        segment: U32::new(scope.segment),
        first_reference: U32::new(scope.first_reference),
        references_end: U32::new(scope.references_end),
        pieces: U32::new(pieces.len() as u32),
    };
    let (place, rest) = out.split_at_mut(INDEX_HEAD_BYTES);
    place.copy_from_slice(head.as_bytes());
    let (places, place) = rest.split_at_mut(pieces.len() * PIECE_BYTES);
    for (place, piece) in places.chunks_exact_mut(PIECE_BYTES).zip(pieces) {
        let layout = PieceLayout {
            address: U64::new(piece.address.0),
            length: U32::new(piece.length),
            sum: U32::new(piece.sum),
        };
        place.copy_from_slice(layout.as_bytes());
    }
    place.copy_from_slice(stream);
    crc32fast::hash(out)
}

const _: () = assert!(RECORD_HEADER_BYTES <= INDEX_HEAD_BYTES);
