//! The header of a segment file, made again from what else says the same.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::IntoBytes;

use super::forge::forge;
use super::overlay::{Octets, Overlay};
use crate::ids::ShardId;
use crate::log::block::Block;
use crate::log::format::{
    BlockHeader, FileHeader, BLOCK_MAX_BYTES, FILE_MAGIC, PAGE_BYTES, RECORDS_VERSION, VERSION,
};
use crate::log::geometry::Geometry;
use crate::log::recovery::RecoveryRead;
use crate::log::FileId;

use zerocopy::FromBytes;

/// Octets of the header that its checksum leaves out.
const UNCHECKED: usize = 12;
/// Where `begun_unix_ms` is, which nothing depends on.
const FREE_OCTETS: usize = 56;

/// What is known of a file's segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub log: u64,
    pub geometry: Geometry,
    pub segment: u32,
    pub previous_end: u64,
    /// Of its first good block, if any.
    pub epoch: u32,
    /// What its first block says the header's checksum is.
    pub wanted: Option<u32>,
}

impl Known {
    /// The first page of the file.
    pub(super) fn page(&self, shard: ShardId) -> (FileHeader, Vec<u8>) {
        let header = FileHeader {
            magic: FILE_MAGIC,
            checksum: U32::ZERO,
            version: U32::new(VERSION),
            log: U64::new(self.log),
            segment_bytes: U64::new(self.geometry.segment_bytes),
            previous_end: U64::new(self.previous_end),
            segment: U32::new(self.segment),
            epoch: U32::new(self.epoch),
            shard: U16::new(shard.0),
            reserved: U16::ZERO,
            records_version: U32::new(RECORDS_VERSION),
            begun_unix_ms: U64::ZERO,
        };
        let mut page = vec![0; PAGE_BYTES];
        let length = size_of::<FileHeader>();
        page[..length].copy_from_slice(header.as_bytes());
        let sum = self.wanted.unwrap_or_else(|| header.sum());
        forge(&mut page[UNCHECKED..length], FREE_OCTETS - UNCHECKED, sum);
        page[8..12].copy_from_slice(&sum.to_le_bytes());
        let header = FileHeader::read_from_prefix(&page).map_or(header, |(header, _)| header);
        (header, page)
    }
}

/// What the valid blocks in a file say of the segment in it: the newest one that has any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    pub log: u64,
    pub segment: u32,
    /// Epoch of the first valid block.
    pub epoch: u32,
    /// Checksum of the file header, if the first block is there to tell.
    pub wanted: Option<u32>,
}

/// Looks for valid blocks of `log`, or of any log, in the whole file.
pub(super) fn witness<D: Octets>(
    overlay: &mut Overlay<'_, D>,
    file: FileId,
    geometry: Geometry,
    log: Option<u64>,
    segment: Option<u32>,
) -> Result<Option<Witness>, D::Error> {
    let mut found: Option<Witness> = None;
    let mut offset = PAGE_BYTES as u64;
    while offset < geometry.segment_bytes {
        let length = (geometry.segment_bytes - offset).min(2 * BLOCK_MAX_BYTES as u64) as usize;
        let octets = overlay.read(RecoveryRead { file, offset, length })?;
        let begun = offset;
        while let Some(rest) = octets.get((offset - begun) as usize..) {
            if rest.len() < PAGE_BYTES || (offset > begun && rest.len() < BLOCK_MAX_BYTES) {
                break;
            }
            let position =
                BlockHeader::ref_from_prefix(rest).map_or(0, |(header, _)| header.position.get());
            let is_here = position % geometry.segment_bytes == offset;
            let block = Block::open(rest, position, log).ok().filter(|_| is_here);
            offset += block.map_or(PAGE_BYTES, |block| block.length()) as u64;
            let Some(block) = block else { continue };
            let number = geometry.segment_of(position);
            let is_meant = segment.is_none_or(|segment| segment == number);
            let is_newer = found.is_none_or(|found| found.segment < number);
            if is_meant && is_newer {
                let is_first = position == geometry.start(number) + PAGE_BYTES as u64;
                found = Some(Witness {
                    log: block.header.log.get(),
                    segment: number,
                    epoch: block.header.epoch.get(),
                    wanted: is_first.then(|| block.header.previous.get()),
                });
            }
        }
        if offset == begun {
            break;
        }
    }
    Ok(found)
}
