//! How much of the log is wanted, how much there is, and what follows from it: when sparse
//! segments are to be copied forward, which one first, and how many files may be kept.

use std::ops::Range;

use super::format::PAGE_BYTES;
use super::segment::Segment;
use super::segments::Segments;
use super::{Address, FileId, Log, Memory};

/// Segments beyond twice what is wanted, before copying begins: the one that is written to, the
/// one before it, and one that is being emptied.
const SLACK_SEGMENTS: u64 = 3;
/// The same, before publishers write no more than copying goes through (`pace`): one less than there may be, which is
/// the one that has been gone through and is not given back yet.
const SLACK_SEGMENTS_MAX: u64 = 5;
/// Files beyond what segments may take, before free ones are deleted.
const FILES_BEYOND: u64 = 5;

/// What a log takes and what it holds. Octets are those of records, or of files where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogSpace {
    /// Segments that hold something wanted, and the one written to.
    pub segments: u64,
    /// Octets of records that are wanted, each without the references that are dead.
    pub live_octets: u64,
    /// Octets of all segment files, free ones included.
    pub file_octets: u64,
    /// Octets of records copied forward since the start.
    pub copied_octets: u64,
    /// Octets of records of giving segments back that are not on stable storage.
    pub reclaiming_octets: u64,
    /// There is no room on the disk for another file.
    pub is_out_of_space: bool,
}

/// The running sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Space {
    /// Octets of records that were wanted, since the start and from before.
    taken_octets: u64,
    /// Of them, those that are not any more.
    freed_octets: u64,
}

impl Space {
    pub(super) fn after_recovery(segments: &Segments) -> Self {
        let taken_octets = segments.iter().map(Segment::live_octets).sum();
        Space { taken_octets, freed_octets: 0 }
    }

    /// So many octets of a record have been appended that are wanted.
    #[inline]
    pub(super) fn taken(&mut self, octets: u64) {
        self.taken_octets += octets;
    }

    /// So many octets are wanted no more.
    #[inline]
    pub(super) fn freed(&mut self, octets: u64) {
        self.freed_octets += octets;
    }

    pub(super) fn live_octets(&self) -> u64 {
        self.taken_octets.saturating_sub(self.freed_octets)
    }

    /// Grows by all that is appended and by all that is let go.
    pub(super) fn activity(&self) -> u64 {
        self.taken_octets + self.freed_octets
    }
}

impl<M: Memory> Log<M> {
    /// Addresses of the records in the block that begins at that octet of that file, if a live
    /// segment is in it.
    pub fn addresses_at(&self, file: u32, offset: u64) -> Option<Range<Address>> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.file == FileId(file))?;
        let position = self.geometry.start(segment.number) + offset;
        Some(Address::new(position, 0)..Address::new(position + PAGE_BYTES as u64, 0))
    }

    /// What the log takes and what it holds.
    pub fn space(&self) -> LogSpace {
        LogSpace {
            segments: self.segments.len() as u64,
            live_octets: self.space.live_octets(),
            file_octets: self.files.count(self.segments.len()) * self.geometry.segment_bytes,
            copied_octets: self.copying.copied_octets(),
            reclaiming_octets: self.reclaiming_octets(),
            is_out_of_space: self.is_out_of_space(),
        }
    }

    /// There is no file for the next segment but the reserve, and no room on the disk for one.
    #[inline]
    pub fn is_out_of_space(&self) -> bool {
        self.files.is_starved() && !self.files.has_spare()
    }

    fn exceeds(&self, slack_segments: u64) -> bool {
        let used = self.segments.len() as u64 * self.geometry.segment_bytes;
        used > 2 * self.space.live_octets() + slack_segments * self.geometry.segment_bytes
    }

    /// Segments take more than they should, or the disk is full.
    pub(super) fn is_compaction_due(&self) -> bool {
        self.exceeds(SLACK_SEGMENTS) || self.is_out_of_space()
    }

    /// Segments take so much more than they should that it should not become worse.
    pub(super) fn is_far_behind(&self) -> bool {
        self.exceeds(SLACK_SEGMENTS_MAX)
    }

    /// Files that there may be, free ones included.
    pub(super) fn files_max(&self) -> u64 {
        let twice = (2 * self.space.live_octets()).div_ceil(self.geometry.segment_bytes);
        twice + SLACK_SEGMENTS + FILES_BEYOND
    }

    /// Octets that copies of the segment take, with what is said of the old ones, as a rule.
    pub(super) fn copies_of(&self, segment: &Segment) -> u64 {
        let copies = segment.live_octets();
        copies + copies / 32
    }

    /// Octets that copying the segment would give back.
    fn gain(&self, segment: &Segment) -> u64 {
        self.geometry.segment_bytes.saturating_sub(self.copies_of(segment))
    }

    /// The segment that gives back most when it is copied, but for those of `except`. A segment
    /// full of copies gives nothing back: copying does not feed itself.
    pub(super) fn sparsest(&self, except: &[u32]) -> Option<u32> {
        let durable = self.commit.durable();
        let segment_bytes = self.geometry.segment_bytes;
        let enough = segment_bytes / 8;
        let is_eligible = |segment: &&Segment| {
            !segment.is_done()
                && segment.sealed_end.is_some_and(|end| end <= durable)
                && !except.contains(&segment.number)
        };
        self.segments
            .iter()
            .filter(is_eligible)
            .map(|segment| (self.gain(segment), segment.number))
            .filter(|(gain, _)| *gain >= enough && self.has_room_for(segment_bytes - gain))
            .max_by_key(|(gain, number)| (*gain, u32::MAX - number))
            .map(|(_, number)| number)
    }

    /// On a full disk: there is room for so many octets that are to give back more, and an eighth of
    /// a segment for settles beside them.
    pub(super) fn has_room_for(&self, octets: u64) -> bool {
        if !self.files.is_starved() {
            return true;
        }
        let segment_bytes = self.geometry.segment_bytes;
        let used = self.geometry.offset(self.batch.start()) + self.batch.used() as u64;
        let room = segment_bytes.saturating_sub(used) + self.files.free() * segment_bytes;
        room >= octets + segment_bytes / 8
    }
}
