//! One live segment: which of its references are dead, and which later segments hold the settles
//! that say so.

use super::bitmap::Bitmap;
use super::record::{IndexPiece, RosterEntry, REFERENCE_BYTES};
use super::{Address, FileId};

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub number: u32,
    pub file: FileId,
    /// Position at which its blocks end, once nothing more is added to it.
    pub sealed_end: Option<u64>,
    /// Last piece of its index, if it has one.
    pub index: Option<IndexPiece>,
    /// References numbered so far.
    references: u32,
    live: u32,
    /// Octets of records that are wanted, as copies of them would be long: of messages and
    /// definitions with a live reference, without those of the dead ones, and of parts of live
    /// messages.
    live_octets: u64,
    dead: Bitmap,
    /// References that are not the first of their record.
    continued: Bitmap,
    /// Live messages that have parts here and their record elsewhere or here.
    pins: u32,
    /// Later segments with settles of this one, or with its Liveness record; ascending. Settles
    /// before the latest Liveness record do not count.
    holders: Vec<u32>,
    /// The latest Liveness record.
    liveness: Option<(Address, u32)>,
    /// Copying may write what it gives back: it has been told.
    pub is_credited: bool,
}

impl Segment {
    pub(super) fn new(number: u32, file: FileId) -> Self {
        Segment {
            number,
            file,
            sealed_end: None,
            index: None,
            references: 0,
            live: 0,
            live_octets: 0,
            dead: Bitmap::default(),
            continued: Bitmap::default(),
            pins: 0,
            holders: Vec::new(),
            liveness: None,
            is_credited: false,
        }
    }

    /// The number that the next reference gets.
    #[inline]
    pub(super) fn references(&self) -> u32 {
        self.references
    }

    /// Numbers the `count` references of one record of so many octets, all live. Returns the first
    /// number.
    #[inline]
    pub(super) fn add_live(&mut self, count: u32, octets: u64) -> u32 {
        let first = self.references;
        self.references += count;
        self.live += count;
        self.live_octets += octets;
        self.note_record(first, count);
        first
    }

    /// References `first .. first + count` are all of one record.
    #[inline]
    pub(super) fn note_record(&mut self, first: u32, count: u32) {
        if count > 1 {
            self.continued.set_run(first + 1, count - 1);
        }
    }

    /// Numbers `count` references, all dead: recovery's shard says which live after all.
    pub(super) fn add_dead(&mut self, count: u32) {
        self.dead.set_run(self.references, count);
        self.references += count;
    }

    /// A reference dies, of a record of so many octets. Gives the octets that are wanted no more;
    /// `None` if the reference was not alive. `is_in_parts`: the record does not hold its
    /// references.
    #[inline]
    pub(super) fn kill(
        &mut self,
        reference: u32,
        octets: u64,
        is_in_parts: impl FnOnce() -> bool,
    ) -> Option<u64> {
        if reference >= self.references || !self.dead.set(reference) {
            return None;
        }
        self.live -= 1;
        let freed = self.share(reference, octets, is_in_parts);
        self.live_octets = self.live_octets.saturating_sub(freed);
        Some(freed)
    }

    /// Octets of a record that go with a reference of it, and come back with it: its own, and all
    /// the rest of the record if no other one is alive.
    #[inline]
    fn share(&self, reference: u32, octets: u64, is_in_parts: impl FnOnce() -> bool) -> u64 {
        if self.continued.is_empty() {
            return octets;
        }
        let each = if is_in_parts() { 0 } else { REFERENCE_BYTES as u64 };
        // After a restart the length is what an index says.
        self.others_if_dead(reference)
            .map_or(each, |others| octets.saturating_sub(each * u64::from(others)))
    }

    /// How many other references that one's record has, if all of them are dead.
    fn others_if_dead(&self, reference: u32) -> Option<u32> {
        let mut end = reference + 1;
        while end < self.references && self.continued.get(end) {
            if !self.dead.get(end) {
                return None;
            }
            end += 1;
        }
        let mut first = reference;
        while first > 0 && self.continued.get(first) {
            first -= 1;
            if !self.dead.get(first) {
                return None;
            }
        }
        Some(end - first - 1)
    }

    #[inline]
    pub(super) fn is_dead(&self, reference: u32) -> bool {
        reference >= self.references || self.dead.get(reference)
    }

    /// None of the references from `first` up to `end` lives.
    pub(super) fn are_dead(&self, first: u32, end: u32) -> bool {
        self.dead.covers(first, end)
    }

    /// All of the references from `first` up to `end` live.
    pub(super) fn are_alive(&self, first: u32, end: u32) -> bool {
        self.dead.is_clear(first, end)
    }

    /// Undoes a death that recovery took for granted. As [`Segment::kill`].
    pub(super) fn revive(
        &mut self,
        reference: u32,
        octets: u64,
        is_in_parts: impl FnOnce() -> bool,
    ) -> bool {
        let revived = reference < self.references && self.dead.get(reference);
        if revived {
            self.live_octets += self.share(reference, octets, is_in_parts);
            self.live += 1;
            self.dead.clear(reference);
        }
        revived
    }

    /// Parts of so many octets in it are those of a live message.
    pub(super) fn pin(&mut self, octets: u64) {
        self.pins += 1;
        self.live_octets += octets;
    }

    /// The message that [`Segment::pin`] told of, with all its parts here, lives no more.
    pub(super) fn unpin(&mut self, octets: u64) {
        debug_assert!(self.pins > 0, "segment {} is not pinned", self.number);
        self.pins = self.pins.saturating_sub(1);
        self.live_octets = self.live_octets.saturating_sub(octets);
    }

    /// Octets of it that are wanted.
    pub(super) fn live_octets(&self) -> u64 {
        self.live_octets
    }

    /// It takes no more records, and nothing in it is wanted.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.is_empty() && self.sealed_end.is_some()
    }

    /// Nothing in it is wanted so far.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0 && self.pins == 0
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
            index: self.index,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_done_when_it_is_sealed_and_every_reference_is_dead() {
        let mut segment = Segment::new(1, FileId(1));
        segment.add_live(2, 100);
        assert!(segment.kill(0, 100, || false).is_some());
        segment.sealed_end = Some(100);
        assert!(!segment.is_done());
        assert!(segment.kill(0, 100, || false).is_none(), "a second death is none");
        assert!(segment.kill(2, 100, || false).is_none(), "there is no such reference");
        assert!(segment.kill(1, 100, || false).is_some() && segment.is_done());
    }

    #[test]
    fn a_record_is_wanted_until_its_last_reference_is_dead() {
        let mut segment = Segment::new(1, FileId(1));
        for (count, octets) in [(1, 80), (3, 400), (2, 1000)] {
            segment.add_live(count, octets);
        }
        assert_eq!(segment.live_octets(), 1480);
        // Each takes its own 16 octets with it, the last one the rest.
        let freed = [(2, 400, 16), (0, 80, 80), (1, 400, 16), (4, 1000, 16), (3, 400, 368)];
        for (reference, octets, expected) in freed {
            assert_eq!(segment.kill(reference, octets, || false), Some(expected), "{reference}");
        }
        assert_eq!(segment.live_octets(), 984);
        assert!(segment.revive(2, 400, || false) && segment.revive(1, 400, || false));
        assert!(!segment.revive(1, 400, || false));
        assert_eq!(segment.live_octets(), 984 + 384);
    }

    #[test]
    fn a_record_in_parts_does_not_get_shorter_with_its_references() {
        let mut segment = Segment::new(1, FileId(1));
        segment.add_live(3, 72);
        for (reference, expected) in [(1, 0), (0, 0), (2, 72)] {
            assert_eq!(segment.kill(reference, 72, || true), Some(expected));
        }
    }

    #[test]
    fn parts_keep_a_segment_whose_references_are_dead() {
        let mut segment = Segment::new(1, FileId(1));
        segment.sealed_end = Some(100);
        segment.pin(500);
        assert!(!segment.is_done());
        assert_eq!(segment.live_octets(), 500);
        segment.unpin(500);
        assert!(segment.is_done());
        assert_eq!(segment.live_octets(), 0);
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
