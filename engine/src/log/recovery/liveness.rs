//! Reading the Liveness records that the roster names, before the segments that they are about.

use rustc_hash::FxHashMap;

use super::RecoveryRead;
use crate::log::bitmap::Bitmap;
use crate::log::block::{Block, Defect};
use crate::log::format::{whole_pages, BLOCK_TARGET_BYTES};
use crate::log::geometry::Geometry;
use crate::log::record::{record_at, Malformed, Record};
use crate::log::{Address, FileId, LogError};

/// A Liveness record that is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The segment that it is about.
    pub segment: u32,
    /// The file that it is in.
    pub file: FileId,
    pub address: Address,
    pub length: u32,
}

#[derive(Debug)]
pub(super) struct LivenessReads {
    geometry: Geometry,
    log: u64,
    /// The last one is being read.
    wanted: Vec<Wanted>,
    pub dead: FxHashMap<u32, Bitmap>,
    /// Those that are damaged, if that is to be passed by.
    pub damaged: Option<Vec<Wanted>>,
}

impl LivenessReads {
    /// `dead`: what is known already, and is later than what the records say.
    pub(super) fn new(
        geometry: Geometry,
        log: u64,
        wanted: Vec<Wanted>,
        dead: FxHashMap<u32, Bitmap>,
    ) -> Self {
        LivenessReads { geometry, log, wanted, dead, damaged: None }
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        let wanted = self.wanted.last()?;
        let offset = self.geometry.offset(wanted.address.block().0);
        // Several short records share a block, a long one has a block of its own.
        let record = whole_pages(wanted.address.offset() + wanted.length as usize);
        let length =
            (BLOCK_TARGET_BYTES.max(record) as u64).min(self.geometry.segment_bytes - offset);
        Some(RecoveryRead { file: wanted.file, offset, length: length as usize })
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Result<(), LogError> {
        let Some(wanted) = self.wanted.pop() else { return Ok(()) };
        match (self.take(wanted, octets), &mut self.damaged) {
            (Err(_), Some(damaged)) => {
                damaged.push(wanted);
                Ok(())
            }
            (result, _) => result,
        }
    }

    fn take(&mut self, wanted: Wanted, octets: &[u8]) -> Result<(), LogError> {
        let position = wanted.address.block().0;
        let rot = |what| LogError::Rot {
            file: wanted.file.0,
            offset: self.geometry.offset(position),
            durable: position + octets.len() as u64,
            what,
        };
        let block =
            Block::open(octets, position, Some(self.log)).map_err(|defect| match defect {
                Defect::Cut(_) => rot("a block that its file cuts off"),
                Defect::Bad(what) => rot(what),
            })?;
        let record = record_at(block.octets(), wanted.address.offset())
            .and_then(|(header, octets)| Record::read(header, octets));
        match record {
            Ok(Record::Liveness(liveness)) if liveness.segment == wanted.segment => {
                self.dead.insert(wanted.segment, liveness.dead());
                Ok(())
            }
            Ok(_) => Err(rot("another record where the roster says a liveness record is")),
            Err(Malformed(what)) => Err(rot(what)),
        }
    }
}
