//! Giving segments back: when everything in one is dead, its file becomes a later segment's.
//!
//! A segment that holds settles of older live ones is replaced by Liveness records first, so that
//! a settled message does not come back when the settle's segment is written over. A Recycled
//! record follows, and the file is free at once: it can only be written as a later segment, and
//! the first write to a segment waits until everything before it is durable (see `commit`).
//! Section "Recycling" of docs/log-format.md. Segments that do not empty by themselves are emptied by `copying`.

use super::record::{self, Recycled, RECYCLED_BYTES};
use super::segment::Segment;
use super::segments::Segments;
use super::{Log, Memory};
use crate::now::Now;

#[derive(Debug, Default)]
pub(super) struct Reclaim {
    /// Sealed segments with nothing wanted in them.
    done: Vec<u32>,
    /// Such ones whose Liveness records would be too long for now.
    postponed: Vec<u32>,
}

impl Reclaim {
    /// Segments in which nothing was found alive are done from the start.
    pub(super) fn after_recovery(segments: &Segments) -> Self {
        let done = segments.iter().filter(|segment| segment.is_done());
        Reclaim { done: done.map(|segment| segment.number).collect(), postponed: Vec::new() }
    }

    /// Nothing is wanted any more of a segment.
    pub(super) fn done(&mut self, number: u32) {
        self.done.push(number);
    }

    /// A segment has been sealed.
    pub(super) fn sealed(&mut self, segment: &Segment) {
        self.done.append(&mut self.postponed);
        if segment.is_done() {
            self.done.push(segment.number);
        }
    }

    pub(super) fn is_due(&self) -> bool {
        !self.done.is_empty()
    }
}

impl<M: Memory> Log<M> {
    /// Gives back the segments that are done with.
    #[cold]
    pub(super) fn reclaim(&mut self, now: Now) {
        let mut done = std::mem::take(&mut self.reclaim.done);
        // Oldest first: one that is gone needs no Liveness record from the next.
        done.sort_unstable();
        let begun = self.batch.end();
        for number in done {
            self.recycle(now, number);
        }
        self.spent_since(begun);
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
        let older = held.iter().filter_map(|older| self.segments.get(*older));
        let bytes: usize = older.map(|older| record::plan_liveness(older.dead()).0).sum();
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
        self.note_end();
        self.settles_since_us.get_or_insert(now.monotonic_us);
        self.files.release(segment.file, self.end);
    }

    fn append_liveness(&mut self, now: Now, number: u32) {
        let Some(segment) = self.segments.get(number) else { return };
        let dead = segment.dead().clone();
        let references = segment.references();
        let (length, as_runs) = record::plan_liveness(&dead);
        let (at, octets) = self.claim(now, length, 0);
        record::write_liveness(octets, number, references, &dead, as_runs);
        self.note_end();
        let address = self.batch.address(at);
        let holder = self.segments.tail().number;
        if let Some(segment) = self.segments.get_mut(number) {
            segment.note_liveness(address, length as u32, holder);
        }
        self.index.liveness(number, address, length as u32);
    }
}
