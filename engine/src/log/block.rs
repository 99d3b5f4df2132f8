//! One block: sealing it when it is full, and judging whether octets are one.
//!
//! Section "Block" of docs/log-format.md. A block is valid where its position is the one that it
//! is read at, its log is this log, and its checksum is right; whether it is *stale* is for the
//! reader to judge, who knows the epoch of the block before it.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::format::{
    whole_pages, BlockHeader, BLOCK_HEADER_BYTES, BLOCK_MAGIC, BLOCK_MAX_BYTES, BLOCK_UNCHECKED,
    PAGE_BYTES,
};
use super::record::Records;

/// What every block of one run of the broker says of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub log: u64,
    pub epoch: u32,
    /// The durable mark.
    pub durable: u64,
    /// Checksum of the latest block, or of the file header if there is none in its segment.
    pub previous: u32,
}

/// What a block says of its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Census {
    /// Where the last record ends, from the block's start.
    pub end: usize,
    pub records: u32,
    pub first_reference: u32,
}

/// Makes a block of `octets`, which begin at the block's start and reach to its last page's end
/// or further. Returns its length.
pub(super) fn seal(octets: &mut [u8], position: u64, census: Census, stamp: &mut Stamp) -> usize {
    let length = whole_pages(census.end);
    assert!(length <= BLOCK_MAX_BYTES, "a block of {length} octets cannot be addressed");
    octets[census.end..length].fill(0);
    let mut header = BlockHeader {
        magic: BLOCK_MAGIC,
        checksum: U32::ZERO,
        log: U64::new(stamp.log),
        position: U64::new(position),
        durable: U64::new(stamp.durable),
        epoch: U32::new(stamp.epoch),
        length: U32::new(length as u32),
        payload: U32::new((census.end - BLOCK_HEADER_BYTES) as u32),
        records: U32::new(census.records),
        first_reference: U32::new(census.first_reference),
        previous: U32::new(stamp.previous),
        reserved: [0; 8],
    };
    octets[..BLOCK_HEADER_BYTES].copy_from_slice(header.as_bytes());
    stamp.previous = crc32fast::hash(&octets[BLOCK_UNCHECKED..census.end]);
    header.checksum = U32::new(stamp.previous);
    octets[..BLOCK_HEADER_BYTES].copy_from_slice(header.as_bytes());
    length
}

/// Why octets are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// They may be one, of that length: there are not enough of them.
    Cut(usize),
    Bad(&'static str),
}

/// A valid block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub header: &'a BlockHeader,
    /// Header and records, without padding.
    octets: &'a [u8],
}

impl<'a> Block<'a> {
    /// Judges the block that `octets` begin with. `log` is not compared if `None`.
    pub(super) fn open(octets: &'a [u8], position: u64, log: Option<u64>) -> Result<Self, Defect> {
        let header = claimed(octets, position, log)?;
        let length = header.length.get() as usize;
        let end = BLOCK_HEADER_BYTES + header.payload.get() as usize;
        if length > octets.len() {
            return Err(Defect::Cut(length));
        }
        if crc32fast::hash(&octets[BLOCK_UNCHECKED..end]) != header.checksum.get() {
            return Err(Defect::Bad("a block whose checksum is wrong"));
        }
        Ok(Block { header, octets: &octets[..end] })
    }

    /// Octets with padding.
    pub(super) fn length(&self) -> usize {
        self.header.length.get() as usize
    }
    pub(super) fn octets(&self) -> &'a [u8] {
        self.octets
    }
    pub(super) fn records(&self) -> Records<'a> {
        Records::new(self.octets, BLOCK_HEADER_BYTES)
    }
}

/// The header that `octets` begin with, if it could be one of that log at that position; its
/// checksum is not looked at.
pub(super) fn claimed(
    octets: &[u8],
    position: u64,
    log: Option<u64>,
) -> Result<&BlockHeader, Defect> {
    let Ok((header, _)) = BlockHeader::ref_from_prefix(octets) else {
        return Err(Defect::Cut(PAGE_BYTES));
    };
    if header.magic != BLOCK_MAGIC {
        return Err(Defect::Bad("no block where one should start"));
    }
    if header.position.get() != position || log.is_some_and(|log| log != header.log.get()) {
        return Err(Defect::Bad("a block of another place"));
    }
    let length = header.length.get() as usize;
    let fits = (PAGE_BYTES..=BLOCK_MAX_BYTES).contains(&length)
        && length.is_multiple_of(PAGE_BYTES)
        && header.payload.get() as usize <= length - BLOCK_HEADER_BYTES;
    if !fits {
        return Err(Defect::Bad("a block of impossible length"));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { log: 77, epoch: 2, durable: 4096, previous: 5 };

    fn sealed() -> Vec<u8> {
        let mut octets = vec![0xa5; 2 * PAGE_BYTES];
        let census = Census { end: 5000, records: 3, first_reference: 9 };
        let mut stamp = STAMP;
        assert_eq!(seal(&mut octets, 8192, census, &mut stamp), 2 * PAGE_BYTES);
        assert_ne!(stamp.previous, STAMP.previous);
        octets
    }

    #[test]
    fn a_sealed_block_opens_where_it_belongs_and_nowhere_else() {
        let octets = sealed();
        let block = Block::open(&octets, 8192, Some(77)).expect("valid");
        assert_eq!((block.length(), block.octets().len()), (8192, 5000));
        assert!(octets[5000..].iter().all(|octet| *octet == 0), "padding is zero");
        assert!(Block::open(&octets, 8192, None).is_ok());
        assert!(Block::open(&octets, 4096, Some(77)).is_err(), "another position");
        assert!(Block::open(&octets, 8192, Some(78)).is_err(), "another log");
        assert!(matches!(Block::open(&octets[..4096], 8192, None), Err(Defect::Cut(8192))));
    }

    #[test]
    fn every_flipped_bit_of_header_and_payload_is_found() {
        let mut octets = sealed();
        for bit in 0..5000 * 8 {
            octets[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::open(&octets, 8192, Some(77)).is_err(), "bit {bit}");
            octets[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
