//! Giving segments back: when everything in one is dead, its file becomes the next segment's.
//!
//! A segment that holds settles of older live ones is replaced by Liveness records first, so that
//! a settled message does not come back when the settle's segment is written over. The Recycled
//! record that follows must be durable before the file is used again. Section "Recycling" of
//! docs/log-format.md. (Copying sparse segments forward belongs here too: it would make segments
//! idle that are not so by themselves.)

use super::record::{self, Recycled, RECYCLED_BYTES};
use super::segment::Segment;
use super::segments::Segments;
use super::{FileId, Log, Memory};
use crate::now::Now;

/// A recycled segment whose Recycled record is not durable yet.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    file: FileId,
    /// Where that record ends.
    end: u64,
}

#[derive(Debug, Default)]
pub(super) struct Reclaim {
    /// Sealed segments with nothing wanted in them.
    idle: Vec<u32>,
    /// Idle ones whose Liveness records would be too long for now.
    postponed: Vec<u32>,
    leaving: Vec<Leaving>,
    due: bool,
}

impl Reclaim {
    /// Segments in which nothing was found alive are idle from the start.
    pub(super) fn after_recovery(segments: &Segments) -> Self {
        let mut reclaim = Reclaim::default();
        segments.iter().filter(|segment| segment.is_idle()).for_each(|segment| {
            reclaim.idle(segment, true);
        });
        reclaim
    }

    /// Nothing is wanted any more of `segment`. `at_once`: no write will follow that says so.
    pub(super) fn idle(&mut self, segment: &Segment, at_once: bool) {
        if segment.sealed_end.is_some() {
            self.idle.push(segment.number);
            self.due |= at_once;
        }
    }

    pub(super) fn segment_sealed(&mut self) {
        self.idle.append(&mut self.postponed);
    }

    pub(super) fn durable_advanced(&mut self) {
        self.due = !self.idle.is_empty() || !self.leaving.is_empty();
    }

    pub(super) fn is_due(&self) -> bool {
        self.due
    }
}

impl<M: Memory> Log<M> {
    /// Frees the files of segments that are done with, and starts on those that may be.
    #[cold]
    pub(super) fn reclaim(&mut self, now: Now) {
        self.reclaim.due = false;
        let durable = self.commit.durable();
        let files = &mut self.files;
        self.reclaim.leaving.retain(|leaving| {
            let stays = leaving.end > durable;
            if !stays {
                files.release(leaving.file);
            }
            stays
        });
        let segments = &self.segments;
        let is_reclaimable =
            |number: &u32| segments.get(*number).is_some_and(|held| held.is_reclaimable(durable));
        let (mut ready, idle): (Vec<u32>, Vec<u32>) =
            std::mem::take(&mut self.reclaim.idle).into_iter().partition(is_reclaimable);
        self.reclaim.idle = idle;
        // Oldest first: one that is gone needs no Liveness record from the next.
        ready.sort_unstable();
        for number in ready {
            self.recycle(now, number);
        }
    }

    fn recycle(&mut self, now: Now, number: u32) {
        let held: Vec<u32> = self
            .segments
            .iter()
            .take_while(|segment| segment.number < number)
            .filter(|segment| segment.is_held_by(number))
            .map(|segment| segment.number)
            .collect();
        // Recycling must give more than it takes, or it would feed itself.
        let lengths = held.iter().filter_map(|older| self.segments.get(*older));
        let bytes: usize = lengths.map(|older| record::plan_liveness(older.dead()).0).sum();
        if bytes as u64 > self.geometry.segment_bytes / 4 {
            self.reclaim.postponed.push(number);
            return;
        }
        for older in held {
            self.append_liveness(now, older);
        }
        let Some(segment) = self.segments.remove(number) else { return };
        let (_, octets) = self.claim(now, RECYCLED_BYTES, 0);
        Recycled { segment: number, file: segment.file }.write(octets);
        self.end = self.batch.end();
        self.settles_since_us.get_or_insert(now.monotonic_us);
        self.reclaim.leaving.push(Leaving { file: segment.file, end: self.end });
    }

    fn append_liveness(&mut self, now: Now, number: u32) {
        let Some(segment) = self.segments.get(number) else { return };
        let dead = segment.dead().clone();
        let references = segment.references();
        let (length, as_runs) = record::plan_liveness(&dead);
        let (at, octets) = self.claim(now, length, 0);
        record::write_liveness(octets, number, references, &dead, as_runs);
        self.end = self.batch.end();
        let address = self.batch.address(at);
        let holder = self.segments.tail().number;
        if let Some(segment) = self.segments.get_mut(number) {
            segment.note_liveness(address, length as u32, holder);
        }
    }
}
