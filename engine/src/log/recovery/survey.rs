//! First look at the newest segment: where it ends, and what it says about the older ones.
//!
//! Its roster lists the live segments; the Recycled and Liveness records after it say what has
//! changed since. If a crash left it without a whole roster, the segment before it says the same
//! of the time before. Section "Recovery" of docs/log-format.md.

use rustc_hash::{FxHashMap, FxHashSet};

use super::damage::Search;
use super::scan::Scan;
use super::walk::Walk;
use super::{unknown_record, RecoveryRead};
use crate::log::bitmap::Bitmap;
use crate::log::block::Block;
use crate::log::format::FileHeader;
use crate::log::geometry::Geometry;
use crate::log::record::{Malformed, Record, RosterEntry};
use crate::log::{FileId, LogError};

/// What a segment says about the others.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub roster: Vec<RosterEntry>,
    /// The last Roster record has been read.
    pub is_complete: bool,
    pub recycled: FxHashSet<u32>,
    /// Dead references by the latest Liveness records of the segment.
    pub dead: FxHashMap<u32, Bitmap>,
}

impl Account {
    fn note(&mut self, record: &Record<'_>) -> Result<(), Malformed> {
        match record {
            Record::Roster(_) if self.is_complete => Err(Malformed("a roster in mid-segment")),
            Record::Roster(roster) => {
                self.roster.extend(roster.entries());
                self.is_complete = !roster.more;
                Ok(())
            }
            _ if !self.is_complete => Err(Malformed("a segment that starts without a roster")),
            Record::Recycled(recycled) => {
                self.recycled.insert(recycled.segment);
                Ok(())
            }
            Record::Liveness(liveness) => {
                self.dead.insert(liveness.segment, liveness.dead());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Segments of the roster that live still.
    pub(super) fn live(&self) -> impl Iterator<Item = &RosterEntry> {
        self.roster.iter().filter(|entry| !self.recycled.contains(&entry.segment))
    }
}

/// Where a segment ends.
#[derive(Clone, Copy, Debug)]
enum Extent {
    /// It is the newest: at its first bad block.
    Open,
    /// There, and every block before is good.
    Sealed,
}

#[derive(Debug)]
pub(super) struct Survey {
    header: FileHeader,
    geometry: Geometry,
    extent: Extent,
    walk: Walk,
    scan: Option<Scan>,
    pub account: Account,
}

impl Survey {
    /// Of the newest segment.
    pub(super) fn of_newest(file: FileId, header: &FileHeader, geometry: Geometry) -> Self {
        let end = geometry.start(header.segment.get()) + geometry.segment_bytes;
        Self::new(file, header, geometry, Extent::Open, end)
    }

    /// Of the segment before it, which ends at `end`.
    pub(super) fn of_sealed(
        file: FileId,
        header: &FileHeader,
        geometry: Geometry,
        end: u64,
    ) -> Self {
        Self::new(file, header, geometry, Extent::Sealed, end)
    }

    fn new(
        file: FileId,
        header: &FileHeader,
        geometry: Geometry,
        extent: Extent,
        end: u64,
    ) -> Self {
        let walk = Walk::new(file, header, geometry, end);
        let account = Account::default();
        Survey { header: *header, geometry, extent, walk, scan: None, account }
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        match &self.scan {
            Some(scan) => scan.next_read(),
            None => self.walk.next_read(),
        }
    }

    pub(super) fn read_ahead(&self) -> Vec<RecoveryRead> {
        match &self.scan {
            Some(_) => Vec::new(),
            None => self.walk.read_ahead().collect(),
        }
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Result<(), LogError> {
        if let Some(scan) = &mut self.scan {
            return scan.supply(octets);
        }
        let (file, header, geometry) = (self.walk.file, &self.header, self.geometry);
        let account = &mut self.account;
        let mut on_block = |position: u64, block: &Block<'_>| {
            let offset = geometry.offset(position);
            for record in block.records() {
                let record = record.and_then(|(_, _, record)| {
                    account.note(&record)?;
                    Ok(record)
                });
                match record {
                    Ok(Record::Unknown) => return Err(unknown_record(file, header, offset)),
                    Ok(_) => {}
                    Err(Malformed(what)) => {
                        let durable = block.header.durable.get();
                        return Err(LogError::Rot { file: file.0, offset, durable, what });
                    }
                }
            }
            Ok(())
        };
        let Some(stop) = self.walk.supply(octets, &mut on_block)? else { return Ok(()) };
        let start = geometry.start(header.segment.get());
        let end = start + geometry.segment_bytes;
        match self.extent {
            Extent::Open => {
                let (log, epoch) = (header.log.get(), self.walk.epoch());
                self.scan = Some(Scan::new(file, geometry, log, stop, epoch, end));
                Ok(())
            }
            Extent::Sealed => Err(LogError::Rot {
                file: file.0,
                offset: geometry.offset(stop.position),
                durable: end,
                what: stop.what,
            }),
        }
    }

    /// For good blocks behind where it has stopped.
    pub(super) fn search(&self, what: &'static str) -> Search {
        Search::new(self.walk.clone(), what)
    }

    pub(super) fn segment(&self) -> u32 {
        self.header.segment.get()
    }
    pub(super) fn header(&self) -> &FileHeader {
        &self.header
    }
    pub(super) fn file(&self) -> FileId {
        self.walk.file
    }
    /// Position behind its last good block.
    pub(super) fn end(&self) -> u64 {
        self.walk.position()
    }
    /// Checksum of that block.
    pub(super) fn previous(&self) -> u32 {
        self.walk.previous()
    }
    /// Highest epoch of any valid block seen, stale ones included.
    pub(super) fn epoch_max(&self) -> u32 {
        self.scan.as_ref().map_or(self.walk.epoch(), Scan::epoch_max)
    }
    pub(super) fn torn_bytes(&self) -> u64 {
        self.scan.as_ref().map_or(0, Scan::torn_bytes)
    }
}
