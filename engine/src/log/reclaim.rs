//! Giving segments back: when everything in one is dead, its file becomes a later segment's.
//!
//! A segment that holds settles of older live ones is replaced by Liveness records first, so that
//! a settled message does not come back when the settle's segment is written over. A Recycled
//! record follows, and the file is free at once: it can only be written as a later segment, and
//! the first write to a segment waits until everything before it is durable (see `commit`).
//! Where all that is more than one write may hold of it (`share`), it goes on when that is durable.
//! Section "Recycling" of docs/log-format.md. Segments that do not empty by themselves are emptied by `copying`.
//!
//! Where that takes many long Liveness records, as for a segment of nothing but settles of messages
//! in a great many others, it waits until several such segments are given back for one record of
//! each of these others: a *sweep*, some records in a turn.

use super::format::aligned_record;
use super::record::{self, Recycled, RECYCLED_BYTES};
use super::segment::Segment;
use super::segments::Segments;
use super::{Log, Memory};
use crate::now::Now;

#[derive(Debug, Default)]
pub(super) struct Reclaim {
    /// Sealed segments with nothing wanted in them.
    done: Vec<u32>,
    /// The one of them that is being given back, of which it is known that this is worth it.
    begun: Option<u32>,
    /// Such ones whose Liveness records would be too long for now.
    postponed: Vec<u32>,
    /// Segments that a Liveness record is being written of for the sake of those, the oldest last.
    sweep: Vec<u32>,
}

/// Octets of Liveness records written in one turn of a sweep, reached by the last one.
const SWEEP_OCTETS: u64 = 128 * 1024;

impl Reclaim {
    /// Segments in which nothing was found alive are done from the start.
    pub(super) fn after_recovery(segments: &Segments) -> Self {
        let done = segments.iter().filter(|segment| segment.is_done());
        Reclaim { done: done.map(|segment| segment.number).collect(), ..Reclaim::default() }
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
        let waits = done.iter().position(|number| !self.recycle(now, *number));
        done.drain(..waits.unwrap_or(done.len()));
        self.reclaim.done.append(&mut done);
        self.spent_since(begun);
        if self.reclaim.sweep.is_empty() && !self.reclaim.postponed.is_empty() {
            self.reclaim.sweep = self.sweep_worth_it();
        }
    }

    /// The segments of which a Liveness record each is to be written so that all that are postponed
    /// can go, if that gives back more than twice what it takes.
    fn sweep_worth_it(&self) -> Vec<u32> {
        let postponed = &self.reclaim.postponed;
        let is_held = |segment: &&Segment| {
            postponed.iter().any(|holder| segment.is_held_by(*holder))
                && !postponed.contains(&segment.number)
        };
        let held: Vec<&Segment> = self.segments.iter().rev().filter(is_held).collect();
        let octets: u64 = held.iter().map(|segment| record::liveness_max(segment.dead())).sum();
        let segment_bytes = self.geometry.segment_bytes;
        let gives_back = postponed.len() as u64 * segment_bytes;
        if gives_back < 2 * octets + segment_bytes || !self.has_room_for(octets) {
            return Vec::new();
        }
        held.into_iter().map(|segment| segment.number).collect()
    }

    /// Goes on with a sweep, if one is under way. True: there is more to do at once.
    pub(super) fn sweep(&mut self, now: Now) -> bool {
        let begun = self.batch.end();
        while let Some(number) = self.reclaim.sweep.last().copied() {
            let held = self.segments.get(number);
            let octets = held.map_or(0, |held| record::liveness_max(held.dead()));
            if !self.has_room_for(octets) || !self.takes_of_reclaiming(octets as usize, 0) {
                return false;
            }
            if self.batch.end() - begun >= SWEEP_OCTETS {
                return true;
            }
            self.reclaim.sweep.pop();
            let postponed = &self.reclaim.postponed;
            let held = self.segments.get(number);
            let is_held = |held: &Segment| postponed.iter().any(|holder| held.is_held_by(*holder));
            if held.is_some_and(is_held) {
                self.append_liveness(now, number);
            }
            if self.reclaim.sweep.is_empty() {
                let mut postponed = std::mem::take(&mut self.reclaim.postponed);
                self.reclaim.done.append(&mut postponed);
            }
        }
        false
    }

    /// False: it goes on with the next batch.
    fn recycle(&mut self, now: Now, number: u32) -> bool {
        let held: Vec<u32> = self
            .segments
            .iter()
            .take_while(|segment| segment.number < number)
            .filter(|segment| segment.is_held_by(number))
            .map(|segment| segment.number)
            .collect();
        if self.reclaim.begun != Some(number) && !self.is_worth_it(&held) {
            self.reclaim.postponed.push(number);
            return true;
        }
        self.reclaim.begun = Some(number);
        for older in held {
            if !self.append_liveness(now, older) {
                return false;
            }
        }
        if !self.takes_of_reclaiming(RECYCLED_BYTES, 0) {
            return false;
        }
        self.reclaim.begun = None;
        let Some(file) = self.segments.get(number).map(|segment| segment.file) else { return true };
        // It is there until the record is: where the record has to go to the next segment, the index of this one still
        // tells of what is settled in it. A crash may leave this segment and not the record.
        let (_, octets) = self.claim(now, RECYCLED_BYTES, 0);
        Recycled { segment: number, file }.write(octets);
        self.segment_back(number);
        self.segments.remove(number);
        self.note_end();
        self.note_reclaiming(RECYCLED_BYTES);
        self.settles_since_us.get_or_insert(now.monotonic_us);
        self.files.release(file, self.end);
        true
    }

    /// Recycling must give more than it takes, or it would feed itself: the Liveness records of
    /// these segments are not too long.
    fn is_worth_it(&self, held: &[u32]) -> bool {
        let older = held.iter().filter_map(|older| self.segments.get(*older));
        let enough = self.geometry.segment_bytes / 4;
        let bytes = older.scan(0, |sum, older| {
            *sum += record::plan_liveness(older.dead()).0 as u64;
            Some(*sum)
        });
        bytes.into_iter().all(|bytes| bytes <= enough)
    }

    /// False: it has to wait for the next batch.
    fn append_liveness(&mut self, now: Now, number: u32) -> bool {
        let Some(segment) = self.segments.get(number) else { return true };
        let (length, as_runs) = record::plan_liveness(segment.dead());
        if !self.takes_of_reclaiming(aligned_record(length), 0) {
            return false;
        }
        let Some(segment) = self.segments.get(number) else { return true };
        let (dead, references) = (segment.dead().clone(), segment.references());
        let (at, octets) = self.claim(now, length, 0);
        record::write_liveness(octets, number, references, &dead, as_runs);
        self.note_end();
        let address = self.batch.address(at);
        let holder = self.segments.tail().number;
        if let Some(segment) = self.segments.get_mut(number) {
            segment.note_liveness(address, length as u32, holder);
        }
        self.index.liveness(number, address, length as u32);
        self.note_reclaiming(aligned_record(length));
        true
    }
}
