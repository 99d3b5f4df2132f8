//! Parts of transactions that have been carried out on this shard and that their coordinators are
//! told of once they are as safe as they promise to be.
//!
//! A part that rejects messages is not, before these have been moved or their moves stand in the
//! log; it waits for them, and so do later parts of its kind. All others wait for the log alone:
//! moves between shards are among them, so nobody waits in a circle.

use std::collections::VecDeque;

use crate::ids::ShardId;
use crate::log::Position;

/// Something that has been carried out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) coordinator: ShardId,
    pub(super) number: u64,
    /// A queue has refused a message of it.
    pub(super) refused: bool,
}

#[derive(Debug)]
struct Waiting {
    part: Part,
    /// Dead letters that it or earlier parts have made: so many have ever waited.
    letters: u64,
    /// Where it is durable, once that is known.
    end: Option<Position>,
}

/// Parts in the order in which they were carried out.
#[derive(Debug, Default)]
struct List {
    waiting: VecDeque<Waiting>,
    /// Of so many, the first ones, it is known where they are durable.
    known: usize,
}

impl List {
    /// Notes the log's end for all that wait for the log alone from now on: one write is enough
    /// for as many parts as came before it.
    fn note_ends(&mut self, begun: u64, mut end: impl FnMut() -> Position) {
        while let Some(waiting) = self.waiting.get_mut(self.known) {
            if waiting.letters > begun {
                return;
            }
            waiting.end = Some(end());
            self.known += 1;
        }
    }

    fn take_durable(&mut self, durable: Position) -> Option<Part> {
        let end = self.waiting.front()?.end?;
        if end > durable {
            return None;
        }
        self.known -= 1;
        self.waiting.pop_front().map(|waiting| waiting.part)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Parts {
    plain: List,
    burying: List,
}

impl Parts {
    /// `letters`: how many dead letters have waited so far, if it may have made any.
    pub(super) fn add(&mut self, part: Part, letters: Option<u64>) {
        let list = if letters.is_some() { &mut self.burying } else { &mut self.plain };
        list.waiting.push_back(Waiting { part, letters: letters.unwrap_or(0), end: None });
    }

    /// The next part that is done with. `begun`: how many dead letters have been moved, as far as
    /// the log is concerned. `end` gives the log's end, and sees to it that it becomes durable.
    pub(super) fn next_done(
        &mut self,
        begun: u64,
        durable: Position,
        mut end: impl FnMut() -> Position,
    ) -> Option<Part> {
        for list in [&mut self.plain, &mut self.burying] {
            list.note_ends(begun, &mut end);
        }
        self.plain.take_durable(durable).or_else(|| self.burying.take_durable(durable))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.waiting.is_empty() && self.burying.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64) -> Part {
        Part { coordinator: ShardId(0), number, refused: false }
    }

    #[test]
    fn a_part_that_rejects_waits_for_its_dead_letters_and_no_other_waits_for_it() {
        let mut parts = Parts::default();
        parts.add(part(1), Some(5));
        parts.add(part(2), None);
        assert_eq!(parts.next_done(4, Position(9), || Position(9)), Some(part(2)));
        assert_eq!(parts.next_done(4, Position(9), || Position(9)), None);
        assert_eq!(parts.next_done(5, Position(9), || Position(9)), Some(part(1)));
        assert!(parts.is_empty());
    }

    #[test]
    fn a_part_is_done_when_the_log_is_durable_up_to_where_it_ended_and_no_further() {
        let mut parts = Parts::default();
        parts.add(part(1), None);
        assert_eq!(parts.next_done(0, Position(7), || Position(8)), None);
        assert_eq!(parts.next_done(0, Position(8), || Position(99)), Some(part(1)));
    }

    /// Only the first one's end was noted, so that each took a write of its own: delayed messages
    /// went to other shards at two thousand a second.
    #[test]
    fn parts_that_were_carried_out_together_are_done_by_one_write() {
        let mut parts = Parts::default();
        for number in 0..3 {
            parts.add(part(number), None);
            parts.add(part(10 + number), Some(number));
        }
        assert_eq!(parts.next_done(1, Position(7), || Position(8)), None);
        let later = || Position(99);
        let done: Vec<u64> = std::iter::from_fn(|| parts.next_done(2, Position(8), later))
            .map(|part| part.number)
            .collect();
        // The last one's letters were not on their way yet.
        assert_eq!(done, [0, 1, 2, 10, 11]);
        assert_eq!(parts.next_done(2, Position(99), later), Some(part(12)));
        assert!(parts.is_empty());
    }
}
