//! Mending what a reading cannot pass by: headers, missing segments, holes in the segment that
//! tells which ones live.

use super::fill::Fill;
use super::header::{witness, Known};
use super::overlay::Octets;
use super::roster::{catalogue, describe, rebuilt};
use super::{MendError, Mending};
use crate::log::format::PAGE_BYTES;
use crate::log::geometry::Geometry;
use crate::log::record::{Recycled, RosterEntry};
use crate::log::recovery::catalogue::Catalogue;
use crate::log::recovery::damage::{Damage, Hole, Outcome};
use crate::log::recovery::obstacle::HoleAhead;
use crate::log::recovery::salvage::salvage;
use crate::log::{FileId, LogError};

impl<D: Octets> Mending<'_, D> {
    pub(super) fn mend_header(
        &mut self,
        file: FileId,
        entry: Option<RosterEntry>,
        error: LogError,
    ) -> Result<(), MendError<D::Error>> {
        let catalogue = catalogue(&mut self.overlay, self.config.shard)
            .map_err(MendError::Read)?
            .map_err(MendError::Log)?;
        let newest = catalogue.newest().ok().flatten();
        let (geometry, log) = match &newest {
            Some(newest) => (newest.geometry, Some(newest.header.log.get())),
            // No file says what it is: the blocks do, and the file's size.
            None => match Geometry::new(self.overlay.bytes(file)) {
                Some(geometry) => (geometry, None),
                None => return Err(MendError::Log(error)),
            },
        };
        let number = entry.map(|entry| entry.segment);
        let witness =
            witness(&mut self.overlay, file, geometry, log, number).map_err(MendError::Read)?;
        let (segment, log) = match (witness, number, log) {
            (Some(witness), _, _) => (witness.segment, witness.log),
            (None, Some(number), Some(log)) => (number, log),
            _ => return Err(MendError::Log(error)),
        };
        let known = Known {
            log,
            geometry,
            segment,
            previous_end: self.end_before(segment, geometry, &catalogue)?,
            epoch: witness.map_or(1, |witness| witness.epoch),
            wanted: witness.and_then(|witness| witness.wanted),
        };
        let (_, page) = known.page(self.config.shard);
        self.write(file, 0, &page);
        let what = catalogue.what(file).unwrap_or("its first page is no segment header");
        self.damages.push(Damage {
            file,
            segment,
            offset: 0,
            octets: PAGE_BYTES as u64,
            what,
            references: Some(0),
            is_indexed: false,
            named: 0,
        });
        Ok(())
    }

    /// Where the segment before `segment` ends, or may end.
    fn end_before(
        &mut self,
        segment: u32,
        geometry: Geometry,
        catalogue: &Catalogue,
    ) -> Result<u64, MendError<D::Error>> {
        let Some(before) = segment.checked_sub(1) else { return Ok(0) };
        let limit = geometry.start(segment);
        let Some((file, header)) = catalogue.holding(before) else { return Ok(limit) };
        let said = describe(&mut self.overlay, file, header, geometry, limit);
        Ok(said.map_err(MendError::Read)?.end)
    }

    /// Makes a segment in which nothing lives of one that is lost.
    pub(super) fn make_up(
        &mut self,
        entry: RosterEntry,
        error: LogError,
    ) -> Result<(), MendError<D::Error>> {
        let catalogue = catalogue(&mut self.overlay, self.config.shard)
            .map_err(MendError::Read)?
            .map_err(MendError::Log)?;
        let newest = catalogue.newest().map_err(MendError::Log)?;
        let Some(newest) = newest else { return Err(MendError::Log(error)) };
        // A file that has been written over since is that of a later segment.
        if catalogue.segment_in(entry.file).is_some_and(|held| held > entry.segment) {
            return Err(MendError::Log(error));
        }
        let geometry = newest.geometry;
        let known = Known {
            log: newest.header.log.get(),
            geometry,
            segment: entry.segment,
            previous_end: self.end_before(entry.segment, geometry, &catalogue)?,
            epoch: 1,
            wanted: None,
        };
        let (header, page) = known.page(self.config.shard);
        self.write(entry.file, 0, &page);
        let start = geometry.start(entry.segment);
        let mut hole = Hole {
            file: entry.file,
            from: start + PAGE_BYTES as u64,
            to: entry.end,
            what: "the whole segment is missing",
            epoch: 1,
            previous: header.checksum.get(),
            wanted: None,
            first_reference: 0,
            references: Some(entry.references),
            is_indexed: false,
            named: 0,
            definitions: Vec::new(),
        };
        self.fill(&hole, known.log, geometry, None, &[], &error)?;
        self.toll.hurt.insert(entry.segment);
        hole.from = start;
        self.damages.push(hole.damage(geometry));
        Ok(())
    }

    /// Fills a hole in the segment that tells which ones live.
    pub(super) fn fill_ahead(
        &mut self,
        ahead: HoleAhead,
        error: LogError,
    ) -> Result<(), MendError<D::Error>> {
        let HoleAhead { file, header, mut search, account } = ahead;
        let Some(geometry) = Geometry::new(header.segment_bytes.get()) else {
            return Err(MendError::Log(error));
        };
        let log = header.log.get();
        let next = loop {
            let Some(read) = search.next_read(geometry) else { break None };
            let octets = self.overlay.read(read).map_err(MendError::Read)?;
            match search.supply(&octets) {
                Outcome::GoesOn => {}
                Outcome::Found(next) => break Some(next),
                Outcome::End => break None,
            }
        };
        let Some(next) = next else { return Err(MendError::Log(error)) };
        let before = describe(&mut self.overlay, file, &header, geometry, search.from)
            .map_err(MendError::Read)?;
        let catalogue = catalogue(&mut self.overlay, self.config.shard)
            .map_err(MendError::Read)?
            .map_err(MendError::Log)?;
        let roster = match account.is_complete {
            true => None,
            false => Some(
                rebuilt(&mut self.overlay, &catalogue, &header, geometry)
                    .map_err(MendError::Read)?,
            ),
        };
        // What was recycled before the file was written over, whether or not that was said in the
        // place that is lost.
        let is_reused = |entry: &&RosterEntry| {
            catalogue.segment_in(entry.file).is_some_and(|held| held > entry.segment)
        };
        let reused = account.live().filter(is_reused);
        let recycled: Vec<_> =
            reused.map(|entry| Recycled { segment: entry.segment, file: entry.file }).collect();
        let (lost, named) = salvage(&search.octets, search.from, log);
        let hole = Hole {
            file,
            from: search.from,
            to: next.position,
            what: search.what,
            epoch: search.epoch,
            previous: search.previous,
            wanted: Some(next.previous),
            first_reference: before.references,
            references: Some(next.references.saturating_sub(before.references)),
            is_indexed: false,
            named,
            definitions: Vec::new(),
        };
        self.fill(&hole, log, geometry, roster.as_deref(), &recycled, &error)?;
        self.toll.hurt.insert(header.segment.get());
        lost.into_iter().for_each(|lost| self.toll.lose(lost, None));
        self.damages.push(hole.damage(geometry));
        Ok(())
    }

    fn fill(
        &mut self,
        hole: &Hole,
        log: u64,
        geometry: Geometry,
        roster: Option<&[RosterEntry]>,
        recycled: &[Recycled],
        error: &LogError,
    ) -> Result<(), MendError<D::Error>> {
        let fill = Fill { geometry, log, hole, roster, recycled, liveness: Vec::new() };
        let Some(blocks) = fill.blocks() else { return Err(MendError::Log(error.clone())) };
        self.toll.filled.push(hole.from..hole.to);
        // Of a block only what is not zero is written, and a file may have been cut off.
        self.overlay.extend(hole.file, geometry.segment_bytes);
        for (position, octets) in blocks {
            self.write(hole.file, geometry.offset(position), &octets);
        }
        Ok(())
    }
}
