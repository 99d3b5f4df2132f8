//! Looking behind the first bad block of the newest segment: torn end, or rot?
//!
//! Section "Torn or rotten" of docs/log-format.md. A valid block further on whose durable mark
//! lies beyond the bad place proves that the bad place was durable once: rot. Without such proof
//! nobody was promised anything: the end is torn.

use super::walk::{Stop, CHUNK_BYTES};
use super::RecoveryRead;
use crate::log::block::{claimed, Block, Defect};
use crate::log::format::PAGE_BYTES;
use crate::log::geometry::Geometry;
use crate::log::{FileId, LogError};

#[derive(Clone, Debug)]
pub(super) struct Scan {
    file: FileId,
    geometry: Geometry,
    log: u64,
    /// Where the walk stopped, and why.
    stop: Stop,
    /// Epoch of the last good block.
    epoch: u32,
    at: u64,
    end: u64,
    /// Highest epoch of a valid block seen.
    epoch_max: u32,
    /// Behind what looks like a block that was being written.
    remains_end: u64,
}

impl Scan {
    /// `end`: of the segment.
    pub(super) fn new(
        file: FileId,
        geometry: Geometry,
        log: u64,
        stop: Stop,
        epoch: u32,
        end: u64,
    ) -> Self {
        let at = stop.position;
        let (epoch_max, remains_end) = (epoch, at);
        Scan { file, geometry, log, stop, epoch, at, end, epoch_max, remains_end }
    }

    pub(super) fn epoch_max(&self) -> u32 {
        self.epoch_max
    }
    /// Octets of what was being written when the broker stopped.
    pub(super) fn torn_bytes(&self) -> u64 {
        self.remains_end - self.stop.position
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        let left = self.end.checked_sub(self.at).filter(|left| *left > 0)?;
        Some(RecoveryRead {
            file: self.file,
            offset: self.geometry.offset(self.at),
            length: left.min(CHUNK_BYTES as u64) as usize,
        })
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Result<(), LogError> {
        let mut rest = octets;
        // A short file has nothing more to say.
        if rest.len() < PAGE_BYTES {
            self.at = self.end;
        }
        while rest.len() >= PAGE_BYTES {
            let step = match Block::open(rest, self.at, Some(self.log)) {
                Ok(block) => {
                    self.judge(&block)?;
                    block.length()
                }
                Err(Defect::Cut(_)) if rest.len() < octets.len() => return Ok(()),
                Err(_) => {
                    self.note_remains(rest);
                    PAGE_BYTES
                }
            };
            self.at += step as u64;
            rest = &rest[step..];
        }
        Ok(())
    }

    fn judge(&mut self, block: &Block<'_>) -> Result<(), LogError> {
        let epoch = block.header.epoch.get();
        self.epoch_max = self.epoch_max.max(epoch);
        if epoch < self.epoch {
            return Ok(());
        }
        self.remains_end = self.remains_end.max(self.at + block.length() as u64);
        let durable = block.header.durable.get();
        if durable <= self.stop.position {
            return Ok(());
        }
        Err(LogError::Rot {
            file: self.file.0,
            offset: self.geometry.offset(self.stop.position),
            durable,
            what: self.stop.what,
        })
    }

    fn note_remains(&mut self, octets: &[u8]) {
        if let Ok(header) = claimed(octets, self.at, Some(self.log)) {
            if header.epoch.get() >= self.epoch {
                let end = self.at + u64::from(header.length.get());
                self.remains_end = self.remains_end.max(end.min(self.end));
            }
        }
    }
}
