//! Replay that goes on behind damage, so that all of it is found and what it has taken can be
//! named. A log is never opened on what was found like this.

use super::damage::{Hole, Next, Outcome, Search};
use super::indexed::IndexReads;
use super::replay::{Replay, Way};
use super::salvage::salvage;
use super::toll::Toll;
use crate::log::format::SEGMENT_REFERENCES_MAX;

impl Replay {
    /// Damage in sealed segments is noted and passed by, and everything is read. `toll`: what is
    /// known already.
    pub(super) fn pass_by(&mut self, toll: Toll) {
        self.toll = Some(toll);
        if let Some(Way::Index(_)) = self.way {
            self.begin_walk();
        }
    }

    /// What damage has taken, when all is read.
    pub(super) fn toll(&mut self) -> Option<Toll> {
        let mut toll = self.toll.take()?;
        toll.copied(&self.found.copied, self.geometry);
        Some(toll)
    }

    pub(super) fn passes_by(&self) -> bool {
        self.toll.is_some() && self.planned.front().is_some_and(|planned| planned.is_sealed)
    }

    pub(super) fn begin_search(&mut self, what: &'static str) {
        if let Some(Way::Full(walk)) = self.way.take() {
            self.way = Some(Way::Search(Search::new(walk, what)));
        }
    }

    pub(super) fn search(&mut self, octets: &[u8]) {
        let Some(Way::Search(search)) = &mut self.way else { return };
        let outcome = search.supply(octets);
        let Some(Way::Search(search)) = self.way.take() else { return };
        match outcome {
            Outcome::GoesOn => self.way = Some(Way::Search(search)),
            Outcome::End => self.note_hole(search, None),
            Outcome::Found(next) => {
                let walk = search.walk.clone();
                self.note_hole(search, Some(next));
                self.way = Some(Way::Full(walk));
            }
        }
    }

    fn note_hole(&mut self, search: Search, next: Option<Next>) {
        let (Some(toll), Some(planned)) = (&mut self.toll, self.planned.front()) else { return };
        let tail = self.found.segments.tail_mut();
        let first_reference = tail.references();
        let end = next.map(|next| next.references).or(planned.references);
        let missed = end.map(|end| end.saturating_sub(first_reference).min(SEGMENT_REFERENCES_MAX));
        tail.add_dead(missed.unwrap_or(0));
        toll.hurt.insert(tail.number);
        let (lost, named) = salvage(&search.octets, search.from, search.walk.log());
        let is_dead = |reference: u32| self.found.is_known_dead(reference);
        let all_dead =
            missed.is_some_and(|missed| (first_reference..first_reference + missed).all(is_dead));
        if !all_dead {
            lost.into_iter().for_each(|lost| toll.lose(lost, None));
        }
        toll.holes.push(Hole {
            file: planned.file,
            from: search.from,
            to: next.map_or(planned.end, |next| next.position),
            what: search.what,
            epoch: search.epoch,
            previous: search.previous,
            wanted: next.map(|next| next.previous),
            first_reference,
            references: missed,
            is_indexed: false,
            named,
            definitions: Vec::new(),
        });
    }

    /// The segment has been read to its end. True if its index, whatever it says of what is lost,
    /// is to be read before the next one.
    pub(super) fn begin_census(&mut self) -> bool {
        let (Some(toll), Some(planned)) = (&mut self.toll, self.planned.front()) else {
            return false;
        };
        let segment = planned.header.segment.get();
        for broken in self.found.broken.drain(..) {
            toll.broken(segment, broken);
        }
        let is_over = matches!(self.way, Some(Way::Census(_)));
        if is_over || !toll.hurt.contains(&segment) {
            return false;
        }
        let pieces = self.found.pieces.iter().map(|address| (planned.file, *address));
        toll.void_pieces.extend(pieces);
        let Some(index) = planned.index else { return false };
        self.way = Some(Way::Census(IndexReads::new(planned, index, self.geometry)));
        true
    }

    pub(super) fn census(&mut self, octets: &[u8]) {
        let Some(Way::Census(reads)) = &mut self.way else { return };
        let (Some(toll), Some(planned)) = (&mut self.toll, self.planned.front()) else { return };
        if reads.supply(octets).is_err() {
            reads.give_up();
            return;
        }
        if reads.next_read().is_some() {
            return;
        }
        let (segment, found) = (planned.header.segment.get(), &self.found);
        // An index that does not add up tells nothing, and what the octets say stands.
        let _ = toll.count(segment, reads, self.geometry, |number| found.is_known_dead(number));
    }
}
