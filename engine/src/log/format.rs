//! Octets of segment files: sizes, the file header, the block header.
//!
//! Plain layouts, read and written with zerocopy; all integers little-endian and unaligned.
//! Sections "File" and "Block" of docs/log-format.md are this file in prose. Knows no state.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Unit of everything a device is asked to do, and of block starts and lengths.
pub(super) const PAGE_BYTES: usize = 4096;
/// Length of a [`BlockHeader`]; records start here.
pub(super) const BLOCK_HEADER_BYTES: usize = 64;
/// A block that holds more than one record is not longer than this.
pub(super) const BLOCK_TARGET_BYTES: usize = 64 * 1024;
/// No block is longer than this: offsets of records in it have 20 bits.
pub(super) const BLOCK_MAX_BYTES: usize = 1 << 20;
/// Format version that a reader must know to read what is written here.
pub(super) const VERSION: u32 = 1;
/// Highest version of records that is written and understood: 2 has Copied records.
pub(super) const RECORDS_VERSION: u32 = 2;
/// References (message x queue) that one segment numbers at most: their bitmap must fit a record.
pub(super) const SEGMENT_REFERENCES_MAX: u32 = 1 << 21;
/// Smallest segment that leaves room for header, roster and records.
pub(super) const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// Positions stay below this: a page number has 44 bits.
pub(super) const POSITION_MAX: u64 = 1 << 56;

pub(super) const FILE_MAGIC: [u8; 8] = *b"HareMQsg";
pub(super) const BLOCK_MAGIC: [u8; 4] = *b"HqBl";

/// First octets of a segment file; the rest of the page is zero. Within 512 octets, so that no
/// device tears it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FileHeader {
    pub magic: [u8; 8],
    /// crc32 of everything from `version` on.
    pub checksum: U32,
    pub version: U32,
    /// Identity of the log: the same in all its files and blocks.
    pub log: U64,
    pub segment_bytes: U64,
    /// Position at which the preceding segment ends (0: there is none). All of that segment was
    /// durable before this header was written.
    pub previous_end: U64,
    pub segment: U32,
    pub epoch: U32,
    pub shard: U16,
    pub reserved: U16,
    /// Highest format version of records that may be in this segment.
    pub records_version: U32,
    /// When the segment was begun, wall clock.
    pub begun_unix_ms: U64,
}

/// First octets of a block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BlockHeader {
    pub magic: [u8; 4],
    /// crc32 of the header from `log` on, and of the payload.
    pub checksum: U32,
    pub log: U64,
    pub position: U64,
    /// Everything below this position was durable when the block was built.
    pub durable: U64,
    pub epoch: U32,
    /// Octets of the block, padding included; a multiple of [`PAGE_BYTES`].
    pub length: U32,
    /// Octets of records.
    pub payload: U32,
    pub records: U32,
    /// Number, in its segment, of the first reference made in this block.
    pub first_reference: U32,
    /// Checksum of the block before this one, or of the file header for the segment's first.
    pub previous: U32,
    pub reserved: [u8; 8],
}

const _: () = assert!(size_of::<FileHeader>() == 64);
const _: () = assert!(size_of::<BlockHeader>() == BLOCK_HEADER_BYTES);

/// Octets of the file header that its checksum leaves out: magic and checksum.
const FILE_UNCHECKED: usize = 12;
/// Octets of the block header that its checksum leaves out: magic and checksum.
pub(super) const BLOCK_UNCHECKED: usize = 8;

impl FileHeader {
    /// The checksum that the header should carry.
    pub(super) fn sum(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[FILE_UNCHECKED..])
    }
}

/// `bytes` up to the next page.
pub(super) const fn whole_pages(bytes: usize) -> usize {
    (bytes + PAGE_BYTES - 1) & !(PAGE_BYTES - 1)
}

/// `bytes` up to the next record boundary.
pub(super) const fn aligned_record(bytes: usize) -> usize {
    (bytes + 7) & !7
}
