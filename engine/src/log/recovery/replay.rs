//! Going through the live segments in order, and telling the shard what is in them.
//!
//! A sealed segment has an index as a rule, and then that is all that is read of it. If its index
//! is not what the roster says, the segment is read in full, which finds what there is to find.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::damage::Search;
use super::found::Found;
use super::indexed::{IndexReads, KnownIndex};
use super::toll::Toll;
use super::walk::Walk;
use super::{unknown_record, Recovered, RecoveryRead};
use crate::log::bitmap::Bitmap;
use crate::log::block::Block;
use crate::log::format::FileHeader;
use crate::log::geometry::Geometry;
use crate::log::index::Builder;
use crate::log::parts::Multiparts;
use crate::log::record::Malformed;
use crate::log::segment::Segment;
use crate::log::segments::Segments;
use crate::log::{FileId, LogError};

/// Segments whose indexes may be on their way beside the one that is waited for.
const SEGMENTS_AHEAD: usize = 8;

/// A live segment that is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub file: FileId,
    pub header: FileHeader,
    /// Position up to which every block is good.
    pub end: u64,
    /// It takes no more records.
    pub is_sealed: bool,
    /// Where its index should be.
    pub index: Option<KnownIndex>,
    /// References numbered in it, where the roster says so.
    pub references: Option<u32>,
}

/// How the first planned segment is read.
#[derive(Debug)]
pub(super) enum Way {
    Index(IndexReads),
    /// Everything: it is the newest one, or has no good index.
    Full(Walk),
    /// The next good block behind damage.
    Search(Search),
    /// The index, for what has been lost by damage.
    Census(IndexReads),
}

#[derive(Debug)]
pub(super) struct Replay {
    pub(super) geometry: Geometry,
    /// The first one is being read.
    pub(super) planned: VecDeque<Planned>,
    pub(super) way: Option<Way>,
    by_index: usize,
    /// If damage is to be passed by.
    pub(super) toll: Option<Toll>,
    pub(super) found: Found,
}

impl Replay {
    /// `planned`: ascending. `dead`: references known to be dead by Liveness records.
    pub(super) fn new(
        geometry: Geometry,
        planned: VecDeque<Planned>,
        dead: FxHashMap<u32, Bitmap>,
    ) -> Self {
        let found = Found::new(geometry, dead);
        let mut replay = Replay { geometry, planned, way: None, by_index: 0, toll: None, found };
        replay.begin();
        replay
    }

    /// Begins the first planned segment that has anything in it.
    fn begin(&mut self) {
        self.way = None;
        while let Some(planned) = self.planned.front() {
            let mut segment = Segment::new(planned.header.segment.get(), planned.file);
            segment.sealed_end = planned.is_sealed.then_some(planned.end);
            self.found.begin(segment);
            if let Some(index) = planned.index.filter(|_| self.toll.is_none()) {
                self.way = Some(Way::Index(IndexReads::new(planned, index, self.geometry)));
                return;
            }
            self.begin_walk();
            if self.way.is_some() {
                return;
            }
            self.planned.pop_front();
        }
    }

    pub(super) fn begin_walk(&mut self) {
        let Some(planned) = self.planned.front() else { return };
        let walk = Walk::new(planned.file, &planned.header, self.geometry, planned.end);
        self.way = walk.next_read().is_some().then_some(Way::Full(walk));
    }

    /// What was found, when all is read; the notes about the newest segment; and the references that
    /// have been made anew.
    pub(super) fn found(self) -> (Segments, Multiparts, Option<Builder>, FxHashMap<u32, Bitmap>) {
        let Found { segments, multiparts, index, copied, .. } = self.found;
        let is_of_newest = segments
            .iter()
            .last()
            .is_some_and(|newest| newest.sealed_end.is_none() && newest.number == index.segment());
        (segments, multiparts, is_of_newest.then_some(index), copied)
    }

    /// Segments of which only the index has been read.
    pub(super) fn by_index(&self) -> usize {
        self.by_index
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        match self.way.as_ref()? {
            Way::Index(reads) | Way::Census(reads) => reads.next_read(),
            Way::Full(walk) => walk.next_read(),
            Way::Search(search) => search.next_read(self.geometry),
        }
    }

    pub(super) fn read_ahead(&self) -> Vec<RecoveryRead> {
        let mut ahead = Vec::new();
        if let Some(Way::Full(walk)) = &self.way {
            ahead.extend(walk.read_ahead());
        }
        for planned in self.planned.iter().skip(1).take(SEGMENTS_AHEAD) {
            if let Some(index) = planned.index {
                ahead.extend(IndexReads::new(planned, index, self.geometry).next_read());
            }
        }
        ahead
    }

    pub(super) fn supply(
        &mut self,
        octets: &[u8],
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), LogError> {
        match &mut self.way {
            None => return Ok(()),
            Some(Way::Index(reads)) => {
                let is_good = reads.supply(octets).and_then(|()| match reads.next_read() {
                    Some(_) => Ok(()),
                    None => self.found.indexed(reads, visit),
                });
                if is_good.is_err() {
                    // The index says nothing that the segment does not say itself.
                    self.begin_walk();
                }
            }
            Some(Way::Full(_)) => match self.walk(octets, visit) {
                Err(LogError::Rot { what, .. }) if self.passes_by() => self.begin_search(what),
                result => result?,
            },
            Some(Way::Search(_)) => self.search(octets),
            Some(Way::Census(_)) => self.census(octets),
        }
        if self.next_read().is_none() {
            match self.way {
                Some(Way::Index(_)) => self.by_index += 1,
                _ => self.found.end_full(),
            }
            if self.begin_census() {
                return Ok(());
            }
            self.planned.pop_front();
            self.begin();
        }
        Ok(())
    }

    fn walk(
        &mut self,
        octets: &[u8],
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), LogError> {
        let (Some(Way::Full(walk)), Some(planned)) = (&mut self.way, self.planned.front()) else {
            return Ok(());
        };
        let (geometry, found, toll) = (self.geometry, &mut self.found, &mut self.toll);
        let rot = |position, what| LogError::Rot {
            file: planned.file.0,
            offset: geometry.offset(position),
            durable: planned.end,
            what,
        };
        let mut on_block = |position: u64, block: &Block<'_>| {
            let known = found.block(position, block, &mut |told| {
                if let (Some(toll), Recovered::Settled { queue, first, last, among }) =
                    (&mut *toll, &told)
                {
                    toll.settled(*queue, *first, *last, among);
                }
                visit(told);
            });
            if let Some(toll) = toll {
                toll.blocks += 1;
                toll.octets += block.length() as u64;
            }
            match known.map_err(|Malformed(what)| rot(position, what))? {
                true => Ok(()),
                false => {
                    let offset = geometry.offset(position);
                    Err(unknown_record(planned.file, &planned.header, offset))
                }
            }
        };
        if let Some(stop) = walk.supply(octets, &mut on_block)? {
            return Err(rot(stop.position, stop.what));
        }
        Ok(())
    }
}
