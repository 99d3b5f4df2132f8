//! Walking over the blocks of one segment in order, in large reads.
//!
//! Section "Validity" of docs/log-format.md: a block is good if it is whole, of this log and
//! place, not of an earlier epoch than the one before it, and names the checksum of that one.

use super::RecoveryRead;
use crate::log::block::{Block, Defect};
use crate::log::format::{FileHeader, BLOCK_MAX_BYTES, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::{FileId, LogError};

/// Octets of one read: any block fits.
pub(super) const CHUNK_BYTES: usize = BLOCK_MAX_BYTES;

/// How many of them may be on their way beside the one that is waited for.
const CHUNKS_AHEAD: usize = 4;

/// Where a walk met something that is not the next block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub position: u64,
    pub what: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub file: FileId,
    geometry: Geometry,
    log: u64,
    /// Position of the next block.
    at: u64,
    end: u64,
    /// Epoch and checksum of the block before.
    epoch: u32,
    previous: u32,
}

impl Walk {
    /// Over the segment that `header` begins, up to position `end`.
    pub(super) fn new(file: FileId, header: &FileHeader, geometry: Geometry, end: u64) -> Self {
        Walk {
            file,
            geometry,
            log: header.log.get(),
            at: geometry.start(header.segment.get()) + PAGE_BYTES as u64,
            end,
            epoch: header.epoch.get(),
            previous: header.checksum.get(),
        }
    }

    /// Goes on at a block behind a damaged place, believing what it says of the one before it.
    pub(super) fn resume(&mut self, position: u64, block: &Block<'_>) {
        self.at = position;
        self.epoch = block.header.epoch.get();
        self.previous = block.header.previous.get();
    }

    /// Gives up the rest of the segment.
    pub(super) fn give_up(&mut self) {
        self.at = self.end;
    }

    pub(super) fn log(&self) -> u64 {
        self.log
    }
    /// Where the segment's blocks end.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Behind the last good block.
    pub(super) fn position(&self) -> u64 {
        self.at
    }
    /// Epoch of the last good block, or of the segment.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }
    /// Checksum of the last good block, or of the file header.
    pub(super) fn previous(&self) -> u32 {
        self.previous
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        let left = self.end.checked_sub(self.at).filter(|left| *left > 0)?;
        Some(RecoveryRead {
            file: self.file,
            offset: self.geometry.offset(self.at),
            length: left.min(CHUNK_BYTES as u64) as usize,
        })
    }

    /// What `next_read` will ask for later on, cut where chunks would be if no block lay across.
    pub(super) fn read_ahead(&self) -> impl Iterator<Item = RecoveryRead> + '_ {
        let first = self.at - self.geometry.offset(self.at) % CHUNK_BYTES as u64;
        let starts = (first..self.end).step_by(CHUNK_BYTES).skip(1).take(CHUNKS_AHEAD);
        starts.map(|start| RecoveryRead {
            file: self.file,
            offset: self.geometry.offset(start),
            length: (self.end - start).min(CHUNK_BYTES as u64) as usize,
        })
    }

    /// Takes the octets of `next_read`. `Some` if the walk ends before its end.
    pub(super) fn supply(
        &mut self,
        octets: &[u8],
        on_block: &mut dyn FnMut(u64, &Block<'_>) -> Result<(), LogError>,
    ) -> Result<Option<Stop>, LogError> {
        let stop = |position, what| Ok(Some(Stop { position, what }));
        let mut rest = octets;
        loop {
            if self.at >= self.end {
                return Ok(None);
            }
            let block = match Block::open(rest, self.at, Some(self.log)) {
                Ok(block) => block,
                // The next read begins with it.
                Err(Defect::Cut(_)) if rest.len() < octets.len() => return Ok(None),
                Err(Defect::Cut(_)) => return stop(self.at, "a block that its file cuts off"),
                Err(Defect::Bad(what)) => return stop(self.at, what),
            };
            if self.at + block.length() as u64 > self.end {
                return stop(self.at, "a block that reaches over the end of its segment");
            }
            if block.header.epoch.get() < self.epoch {
                return stop(self.at, "a block of an earlier epoch than the one before it");
            }
            if block.header.previous.get() != self.previous {
                return stop(self.at, "a block that does not follow the one before it");
            }
            on_block(self.at, &block)?;
            self.epoch = block.header.epoch.get();
            self.previous = block.header.checksum.get();
            self.at += block.length() as u64;
            rest = &rest[block.length()..];
        }
    }
}
