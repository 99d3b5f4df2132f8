//! Files whose header is damaged: does one hold a segment that is missed?
//!
//! A damaged file that no roster names may be a free one, which is harmless, or the newest
//! segment, whose loss nothing else would tell. A valid block of this log in it that is newer
//! than everything known proves the latter.

use super::walk::CHUNK_BYTES;
use super::RecoveryRead;
use crate::log::block::{Block, Defect};
use crate::log::format::{BlockHeader, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::{FileId, LogError};

use zerocopy::FromBytes;

/// A damaged file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub file: FileId,
    pub what: &'static str,
}

#[derive(Debug)]
pub(super) struct Evidence {
    geometry: Geometry,
    log: u64,
    /// Newest segment known.
    newest: u32,
    /// Files to look through; the last one is being read.
    suspects: Vec<Suspect>,
    at: u64,
}

impl Evidence {
    pub(super) fn new(geometry: Geometry, log: u64, newest: u32, suspects: Vec<Suspect>) -> Self {
        Evidence { geometry, log, newest, suspects, at: 0 }
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
        let mut offset = 0;
        while let Some(rest) = octets.get(offset..).filter(|rest| rest.len() >= PAGE_BYTES) {
            match self.newer_block(rest, self.at + offset as u64) {
                Ok(Some(durable)) => {
                    let Suspect { file, what } = suspect;
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
    fn newer_block(&self, octets: &[u8], offset: u64) -> Result<Option<u64>, Defect> {
        let Ok((header, _)) = BlockHeader::ref_from_prefix(octets) else { return Ok(None) };
        let position = header.position.get();
        let is_newer = position % self.geometry.segment_bytes == offset
            && position / self.geometry.segment_bytes > u64::from(self.newest);
        if !is_newer {
            return Ok(None);
        }
        Block::open(octets, position, Some(self.log)).map(|block| Some(block.header.durable.get()))
    }
}
