//! One live segment: which of its references are dead, and which later segments hold the settles
//! that say so.

use super::bitmap::Bitmap;
use super::record::RosterEntry;
use super::{Address, FileId};

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub number: u32,
    pub file: FileId,
    /// Position at which its blocks end, once nothing more is added to it.
    pub sealed_end: Option<u64>,
    /// References numbered so far.
    references: u32,
    live: u32,
    dead: Bitmap,
    /// Live messages that have parts here and their record elsewhere or here.
    pins: u32,
    /// Later segments with settles of this one, or with its Liveness record; ascending. Settles
    /// before the latest Liveness record do not count.
    holders: Vec<u32>,
    /// The latest Liveness record.
    liveness: Option<(Address, u32)>,
}

impl Segment {
    pub(super) fn new(number: u32, file: FileId) -> Self {
        Segment {
            number,
            file,
            sealed_end: None,
            references: 0,
            live: 0,
            dead: Bitmap::default(),
            pins: 0,
            holders: Vec::new(),
            liveness: None,
        }
    }

    /// The number that the next reference gets.
    #[inline]
    pub(super) fn references(&self) -> u32 {
        self.references
    }

    /// Numbers `count` references, all live. Returns the first number.
    #[inline]
    pub(super) fn add_live(&mut self, count: u32) -> u32 {
        let first = self.references;
        self.references += count;
        self.live += count;
        first
    }

    /// Numbers `count` references, all dead: recovery's shard says which live after all.
    pub(super) fn add_dead(&mut self, count: u32) {
        self.dead.set_run(self.references, count);
        self.references += count;
    }

    /// True if the reference was alive.
    #[inline]
    pub(super) fn kill(&mut self, reference: u32) -> bool {
        let died = reference < self.references && self.dead.set(reference);
        self.live -= u32::from(died);
        died
    }

    #[inline]
    pub(super) fn is_dead(&self, reference: u32) -> bool {
        reference >= self.references || self.dead.get(reference)
    }

    /// Undoes a death that recovery took for granted.
    pub(super) fn revive(&mut self, reference: u32) -> bool {
        let revived = reference < self.references && self.dead.clear(reference);
        self.live += u32::from(revived);
        revived
    }

    pub(super) fn pin(&mut self) {
        self.pins += 1;
    }

    pub(super) fn unpin(&mut self) {
        debug_assert!(self.pins > 0, "segment {} is not pinned", self.number);
        self.pins = self.pins.saturating_sub(1);
    }

    /// It takes no more records, and nothing in it is wanted.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.live == 0 && self.pins == 0 && self.sealed_end.is_some()
    }

    /// Segment `holder` now has a settle of this one.
    #[inline]
    pub(super) fn note_holder(&mut self, holder: u32) {
        if holder != self.number && self.holders.last() != Some(&holder) {
            self.holders.push(holder);
        }
    }

    pub(super) fn is_held_by(&self, holder: u32) -> bool {
        self.holders.binary_search(&holder).is_ok()
    }

    /// A Liveness record of this segment has been written: it stands for all settles before.
    pub(super) fn note_liveness(&mut self, address: Address, length: u32, holder: u32) {
        self.liveness = Some((address, length));
        self.holders.clear();
        self.holders.push(holder);
    }

    pub(super) fn dead(&self) -> &Bitmap {
        &self.dead
    }

    /// `None` while it is open.
    pub(super) fn roster_entry(&self) -> Option<RosterEntry> {
        Some(RosterEntry {
            segment: self.number,
            file: self.file,
            end: self.sealed_end?,
            liveness: self.liveness,
            references: self.references,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_done_when_it_is_sealed_and_every_reference_is_dead() {
        let mut segment = Segment::new(1, FileId(1));
        segment.add_live(2);
        assert!(segment.kill(0));
        segment.sealed_end = Some(100);
        assert!(!segment.is_done());
        assert!(!segment.kill(0), "a second death is none");
        assert!(!segment.kill(2), "there is no such reference");
        assert!(segment.kill(1) && segment.is_done());
    }

    #[test]
    fn parts_keep_a_segment_whose_references_are_dead() {
        let mut segment = Segment::new(1, FileId(1));
        segment.sealed_end = Some(100);
        segment.pin();
        assert!(!segment.is_done());
        segment.unpin();
        assert!(segment.is_done());
    }

    #[test]
    fn a_liveness_record_takes_the_place_of_earlier_holders() {
        let mut segment = Segment::new(1, FileId(1));
        for holder in [1, 3, 3, 5] {
            segment.note_holder(holder);
        }
        assert!(segment.is_held_by(3) && segment.is_held_by(5) && !segment.is_held_by(1));
        segment.note_liveness(Address(0), 24, 8);
        assert!(!segment.is_held_by(3) && segment.is_held_by(8));
    }
}
