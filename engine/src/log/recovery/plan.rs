//! From what the newest segment says: which segments to read, in which files, and which Liveness
//! records before them. Tells a segment that was recycled from one that is lost.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::catalogue::{Catalogue, Content};
use super::evidence::Suspect;
use super::indexed::KnownIndex;
use super::liveness::{LivenessReads, Wanted};
use super::replay::{Planned, Replay};
use super::survey::Account;
use crate::log::bitmap::Bitmap;
use crate::log::format::{BLOCK_MAX_BYTES, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::record::RosterEntry;
use crate::log::LogError;

#[derive(Debug)]
pub(super) struct Plan {
    geometry: Geometry,
    log: u64,
    /// Ascending.
    segments: VecDeque<Planned>,
    wanted: Vec<Wanted>,
    /// Dead references by Liveness records that have been read already.
    dead: FxHashMap<u32, Bitmap>,
}

impl Plan {
    /// `base`: the segment that `account` is from; `None` if nothing was ever durable.
    pub(super) fn new(
        catalogue: &Catalogue,
        geometry: Geometry,
        account: Account,
        base: Option<Planned>,
    ) -> Result<Self, Unplanned> {
        let mut segments = VecDeque::new();
        let mut wanted = Vec::new();
        if let Some(base) = base {
            let live: Vec<RosterEntry> = account.live().copied().collect();
            for entry in &live {
                let last = segments.back().map(|last: &Planned| last.header.segment.get());
                let is_ordered = last.is_none_or(|last| last < entry.segment)
                    && entry.segment < base.header.segment.get();
                if !is_ordered || !is_end(entry, geometry) {
                    return Err(roster_rot(&base, "a roster that cannot be").into());
                }
                let planned = planned(catalogue, entry, base.header.shard.get());
                let absent = |error| Unplanned { error, entry: Some(*entry) };
                segments.push_back(planned.map_err(absent)?);
            }
            segments.push_back(base);
            for entry in live {
                let known = account.dead.contains_key(&entry.segment);
                let Some((address, length)) = entry.liveness.filter(|_| !known) else { continue };
                let holder = geometry.segment_of_address(address);
                let is_holder = |held: &&Planned| held.header.segment.get() == holder;
                let fits = address.offset() + length as usize <= BLOCK_MAX_BYTES;
                let Some(held) = segments.iter().find(is_holder).filter(|_| fits) else {
                    return Err(roster_rot(&base, "a roster that names a record nowhere").into());
                };
                let (segment, file) = (entry.segment, held.file);
                wanted.push(Wanted { segment, file, address, length });
            }
        }
        let log = base.map_or(0, |base| base.header.log.get());
        Ok(Plan { geometry, log, segments, wanted, dead: account.dead })
    }

    /// Every segment is to be read in full.
    pub(super) fn ignore_indexes(&mut self) {
        for planned in &mut self.segments {
            planned.index = None;
        }
    }

    /// Damaged files that may hold a segment that nobody knows of. One that a live segment should
    /// be in has been found out already.
    pub(super) fn suspects(&self, catalogue: &Catalogue) -> Vec<Suspect> {
        let damaged = catalogue.damaged().map(|(listed, what)| Suspect::damaged(listed.file, what));
        let blank = catalogue.blank(self.geometry.segment_bytes).map(Suspect::blank);
        damaged.chain(blank).collect()
    }

    pub(super) fn liveness_reads(&mut self) -> LivenessReads {
        let wanted = std::mem::take(&mut self.wanted);
        LivenessReads::new(self.geometry, self.log, wanted, std::mem::take(&mut self.dead))
    }

    pub(super) fn replay(self, dead: FxHashMap<u32, Bitmap>) -> Replay {
        Replay::new(self.geometry, self.segments, dead)
    }
}

/// Why there is no plan; and the segment that is not where it should be, if that is why.
#[derive(Debug)]
pub(super) struct Unplanned {
    pub error: LogError,
    pub entry: Option<RosterEntry>,
}

impl From<LogError> for Unplanned {
    fn from(error: LogError) -> Self {
        Unplanned { error, entry: None }
    }
}

/// The end of the entry's segment can be one.
fn is_end(entry: &RosterEntry, geometry: Geometry) -> bool {
    let start = geometry.start(entry.segment) + PAGE_BYTES as u64;
    let limit = geometry.start(entry.segment) + geometry.segment_bytes;
    (start..=limit).contains(&entry.end) && entry.end.is_multiple_of(PAGE_BYTES as u64)
}

/// The entry's segment, if it is where it should be.
fn planned(catalogue: &Catalogue, entry: &RosterEntry, shard: u16) -> Result<Planned, LogError> {
    let (file, segment, end) = (entry.file, entry.segment, entry.end);
    match catalogue.get(file).map(|listed| listed.content) {
        Some(Content::Segment(header)) if header.segment.get() == segment => {
            let known = entry.index.map(|piece| KnownIndex { piece, references: entry.references });
            let references = Some(entry.references);
            Ok(Planned { file, header, end, is_sealed: true, index: known, references })
        }
        Some(Content::Blank) => {
            let what = "its first page has been cleared";
            Err(LogError::Rot { file: file.0, offset: 0, durable: end, what })
        }
        Some(Content::Damaged(what)) => {
            Err(LogError::Rot { file: file.0, offset: 0, durable: end, what })
        }
        _ => Err(LogError::Missing { segment, shard }),
    }
}

fn roster_rot(base: &Planned, what: &'static str) -> LogError {
    LogError::Rot { file: base.file.0, offset: PAGE_BYTES as u64, durable: base.end, what }
}
