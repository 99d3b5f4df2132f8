//! How positions, pages, segments and file offsets relate, and what limits follow from the
//! segment size. Pure arithmetic, shared by writing, reading back and recovery.

use std::ops::Range;

use super::format::{
    BLOCK_HEADER_BYTES, PAGE_BYTES, POSITION_MAX, SEGMENT_BYTES_MIN, SEGMENT_REFERENCES_MAX,
};
use super::record::ROSTER_ENTRY_BYTES;
use super::{Address, Position};

/// Longest record, where segments are large enough.
const RECORD_BYTES_MAX: u64 = 512 * 1024;

/// Longest block of an index, where segments are large enough.
const INDEX_BYTES_MAX: usize = 256 * 1024;

const OFFSET_BITS: u32 = 20;

impl Address {
    /// Records of blocks that begin at `position`, which is that of a page, or behind it have
    /// this address or a higher one.
    pub fn first_from(position: Position) -> Self {
        let page = position.0.div_ceil(PAGE_BYTES as u64);
        Address(page << OFFSET_BITS)
    }

    /// `position` is that of the block.
    pub(super) fn new(position: u64, offset: usize) -> Self {
        debug_assert!(offset < 1 << OFFSET_BITS);
        Address((position / PAGE_BYTES as u64) << OFFSET_BITS | offset as u64)
    }
    /// Number of the block's first page since the log began.
    pub(super) const fn page(self) -> u64 {
        self.0 >> OFFSET_BITS
    }
    /// Offset of the record in its block.
    pub(super) const fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize
    }
    /// Where the block starts.
    pub(super) const fn block(self) -> Position {
        Position(self.page() * PAGE_BYTES as u64)
    }
}

/// The segment size and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub segment_bytes: u64,
}

impl Geometry {
    /// `None` for a size that no log can have.
    pub(super) fn new(segment_bytes: u64) -> Option<Self> {
        let fits = segment_bytes >= SEGMENT_BYTES_MIN
            && segment_bytes.is_multiple_of(PAGE_BYTES as u64)
            && segment_bytes < POSITION_MAX;
        fits.then_some(Geometry { segment_bytes })
    }
    /// Position at which the segment starts, with its file header.
    pub(super) const fn start(self, segment: u32) -> u64 {
        segment as u64 * self.segment_bytes
    }
    pub(super) const fn segment_of(self, position: u64) -> u32 {
        (position / self.segment_bytes) as u32
    }
    pub(super) const fn segment_of_address(self, address: Address) -> u32 {
        self.segment_of(address.block().0)
    }
    /// Addresses of all records of the segment.
    pub(super) fn addresses(self, segment: u32) -> Range<Address> {
        let start = u64::from(segment) * self.segment_bytes;
        Address::new(start, 0)..Address::new(start + self.segment_bytes, 0)
    }
    /// Offset in the file of its segment.
    pub(super) const fn offset(self, position: u64) -> u64 {
        position % self.segment_bytes
    }
    /// True if the whole segment has positions that an address can name.
    pub(super) fn holds(self, segment: u32) -> bool {
        (u64::from(segment) + 1)
            .checked_mul(self.segment_bytes)
            .is_some_and(|end| end <= POSITION_MAX)
    }
    /// Longest record: several fit a segment beside its header and roster.
    pub(super) fn record_bytes_max(self) -> usize {
        RECORD_BYTES_MAX.min(self.segment_bytes / 4 - BLOCK_HEADER_BYTES as u64) as usize & !7
    }
    /// Live segments that a roster of not quite half a segment can list.
    pub(super) fn segments_max(self) -> usize {
        (self.segment_bytes / 16 * 7) as usize / ROSTER_ENTRY_BYTES
    }
    /// Longest SegmentIndex record.
    pub(super) fn index_bytes_max(self) -> usize {
        let share = (self.segment_bytes / 128) as usize & !(PAGE_BYTES - 1);
        share.clamp(PAGE_BYTES, INDEX_BYTES_MAX) - BLOCK_HEADER_BYTES
    }
    /// Position behind the last block of a segment that holds anything but the end of its index.
    pub(super) fn limit(self, segment: u32) -> u64 {
        let reserve = self.index_bytes_max() + BLOCK_HEADER_BYTES;
        self.start(segment) + self.segment_bytes - reserve as u64
    }
    /// References that a segment numbers before it is sealed early.
    pub(super) fn references_max(self) -> u32 {
        SEGMENT_REFERENCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gives_back_block_and_offset() {
        let address = Address::new(7 * PAGE_BYTES as u64, 1_048_568);
        assert_eq!(address.page(), 7);
        assert_eq!(address.offset(), 1_048_568);
        assert_eq!(address.block(), Position(7 * PAGE_BYTES as u64));
    }

    #[test]
    fn sizes_that_no_log_can_have_are_refused() {
        for bytes in [0, 4096, SEGMENT_BYTES_MIN - 4096, SEGMENT_BYTES_MIN + 1, u64::MAX] {
            assert_eq!(Geometry::new(bytes), None, "{bytes}");
        }
        assert!(Geometry::new(SEGMENT_BYTES_MIN).is_some());
    }

    #[test]
    fn a_segment_beyond_the_last_page_number_is_not_held() {
        let geometry = Geometry::new(1 << 30).expect("a good size");
        assert!(geometry.holds((1 << 26) - 1));
        assert!(!geometry.holds(1 << 26));
    }
}
