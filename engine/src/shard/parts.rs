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

/// See the module. Each list in the order in which its parts were carried out.
#[derive(Debug, Default)]
pub(super) struct Parts {
    plain: VecDeque<Waiting>,
    burying: VecDeque<Waiting>,
}

impl Parts {
    /// `letters`: how many dead letters have waited so far, if it may have made any.
    pub(super) fn add(&mut self, part: Part, letters: Option<u64>) {
        let list = if letters.is_some() { &mut self.burying } else { &mut self.plain };
        list.push_back(Waiting { part, letters: letters.unwrap_or(0), end: None });
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
            let Some(waiting) = list.front_mut().filter(|waiting| waiting.letters <= begun) else {
                continue;
            };
            if *waiting.end.get_or_insert_with(&mut end) <= durable {
                return list.pop_front().map(|waiting| waiting.part);
            }
        }
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.burying.is_empty()
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
}
