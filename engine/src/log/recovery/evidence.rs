//! Files whose header is damaged: does one hold a segment that is missed?
//!
//! A damaged file that no roster names may be a free one, which is harmless, or the newest
//! segment, whose loss nothing else would tell. A valid block of this log in it that is newer
//! than everything known proves the latter.
//!
//! A file whose first page is blank was never used, as a rule, and all of it is blank then. It may
//! also be that of a segment whose first write was torn, which nobody was promised anything of. A
//! newer block whose durable mark lies in its own segment proves that the header was there.

use super::walk::CHUNK_BYTES;
use super::RecoveryRead;
use crate::log::block::{Block, Defect};
use crate::log::format::{BlockHeader, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::{FileId, LogError};

use zerocopy::FromBytes;

/// Nothing but zeros. No octet of a page is passed over early: so the compiler looks at many at once, and
/// files that were never used are most of what a start with a short log reads.
fn is_zero(page: &[u8]) -> bool {
    page.iter().fold(0, |all, octet| all | octet) == 0
}

/// A file without a header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    file: FileId,
    what: &'static str,
    is_blank: bool,
}

impl Suspect {
    /// Its header is damaged.
    pub(super) fn damaged(file: FileId, what: &'static str) -> Self {
        Suspect { file, what, is_blank: false }
    }

    /// Its first page is blank.
    pub(super) fn blank(file: FileId) -> Self {
        Suspect { file, what: "its first page has been cleared", is_blank: true }
    }
}

#[derive(Debug)]
pub(super) struct Evidence {
    geometry: Geometry,
    /// Identity of the log and its newest segment, if any header tells them.
    known: Option<(u64, u32)>,
    /// Files to look through; the last one is being read.
    suspects: Vec<Suspect>,
    at: u64,
}

impl Evidence {
    pub(super) fn new(
        geometry: Geometry,
        known: Option<(u64, u32)>,
        suspects: Vec<Suspect>,
    ) -> Self {
        Evidence { geometry, known, suspects, at: 0 }
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        let file = self.suspects.last()?.file;
        let left = self.geometry.segment_bytes - self.at;
        let length = left.min(CHUNK_BYTES as u64) as usize;
        Some(RecoveryRead { file, offset: self.at, length })
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Result<(), LogError> {
        let Some(suspect) = self.suspects.last().copied() else { return Ok(()) };
        let asked = self.next_read().map_or(0, |read| read.length);
        let Suspect { file, what, is_blank } = suspect;
        if is_blank && self.at == 0 && octets.chunks(PAGE_BYTES).all(is_zero) {
            // Never used: there is no need to read the rest.
            self.suspects.pop();
            return Ok(());
        }
        let mut offset = 0;
        while let Some(rest) = octets.get(offset..).filter(|rest| rest.len() >= PAGE_BYTES) {
            match self.newer_block(rest, self.at + offset as u64, is_blank) {
                Ok(Some(durable)) => {
                    return Err(LogError::Rot { file: file.0, offset: 0, durable, what });
                }
                // The next read begins with it.
                Err(Defect::Cut(_)) if offset > 0 && octets.len() == asked => break,
                _ => offset += PAGE_BYTES,
            }
        }
        self.at += offset as u64;
        if self.at >= self.geometry.segment_bytes || octets.len() < asked {
            self.suspects.pop();
            self.at = 0;
        }
        Ok(())
    }

    /// The durable mark of the block that `octets` begin with, if it is newer than what is known.
    /// `has_begun`: and if its segment had been begun for good when it was written.
    fn newer_block(
        &self,
        octets: &[u8],
        offset: u64,
        has_begun: bool,
    ) -> Result<Option<u64>, Defect> {
        let Ok((header, _)) = BlockHeader::ref_from_prefix(octets) else { return Ok(None) };
        let (position, durable) = (header.position.get(), header.durable.get());
        let segment = position / self.geometry.segment_bytes;
        let is_newer = position % self.geometry.segment_bytes == offset
            && self.known.is_none_or(|(_, newest)| segment > u64::from(newest))
            && (!has_begun || durable > position - offset);
        if !is_newer {
            return Ok(None);
        }
        let log = self.known.map(|(log, _)| log);
        Block::open(octets, position, log).map(|block| Some(block.header.durable.get()))
    }
}
