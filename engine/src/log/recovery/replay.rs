//! Going through the live segments in order, and telling the shard what is in them.
//!
//! A sealed segment has an index as a rule, and then that is all that is read of it. If its index
//! is not what the roster says, the segment is read in full, which finds what there is to find.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::found::Found;
use super::indexed::{IndexReads, KnownIndex};
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
}

/// How the first planned segment is read.
#[derive(Debug)]
enum Way {
    Index(IndexReads),
    /// Everything: it is the newest one, or has no good index.
    Full(Walk),
}

#[derive(Debug)]
pub(super) struct Replay {
    geometry: Geometry,
    /// The first one is being read.
    planned: VecDeque<Planned>,
    way: Option<Way>,
    by_index: usize,
    found: Found,
}

impl Replay {
    /// `planned`: ascending. `dead`: references known to be dead by Liveness records.
    pub(super) fn new(
        geometry: Geometry,
        planned: VecDeque<Planned>,
        dead: FxHashMap<u32, Bitmap>,
    ) -> Self {
        let found = Found::new(geometry, dead);
        let mut replay = Replay { geometry, planned, way: None, by_index: 0, found };
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
            if let Some(index) = planned.index {
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

    fn begin_walk(&mut self) {
        let Some(planned) = self.planned.front() else { return };
        let walk = Walk::new(planned.file, &planned.header, self.geometry, planned.end);
        self.way = walk.next_read().is_some().then_some(Way::Full(walk));
    }

    /// What was found, when all is read; and the notes about the newest segment.
    pub(super) fn found(self) -> (Segments, Multiparts, Option<Builder>) {
        let Found { segments, multiparts, index, .. } = self.found;
        let is_of_newest = segments
            .iter()
            .last()
            .is_some_and(|newest| newest.sealed_end.is_none() && newest.number == index.segment());
        (segments, multiparts, is_of_newest.then_some(index))
    }

    /// Segments of which only the index has been read.
    pub(super) fn by_index(&self) -> usize {
        self.by_index
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        match self.way.as_ref()? {
            Way::Index(reads) => reads.next_read(),
            Way::Full(walk) => walk.next_read(),
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
            Some(Way::Full(_)) => self.walk(octets, visit)?,
        }
        if self.next_read().is_none() {
            match self.way {
                Some(Way::Full(_)) => self.found.end_full(),
                _ => self.by_index += 1,
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
        let (geometry, found) = (self.geometry, &mut self.found);
        let rot = |position, what| LogError::Rot {
            file: planned.file.0,
            offset: geometry.offset(position),
            durable: planned.end,
            what,
        };
        let mut on_block = |position: u64, block: &Block<'_>| {
            let known = found.block(position, block, visit);
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
