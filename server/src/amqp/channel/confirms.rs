//! Publisher confirms of one channel: which publishes are owed an answer by how many shards.
//!
//! Publishes are numbered from 1 in the order in which they came. The answers of the shards are
//! counted; what has all of its answers and nothing unanswered before it is confirmed, once per
//! turn, by as few frames as possible (behaviour B2-B4).

use std::collections::VecDeque;

use crate::amqp::method::basic;

/// A publish that waits for this many shards; the top bit says that one of them refused it.
type Owed = u16;
const REFUSED: Owed = 1 << 15;

#[derive(Debug, Default)]
pub(crate) struct Confirms {
    /// Publish numbers up to this one have been answered.
    answered: u64,
    /// Of publish `answered + 1` and those after it.
    owed: VecDeque<Owed>,
}

impl Confirms {
    /// Numbers the next publish.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.answered + self.owed.len() as u64 + 1
    }

    /// The publish with number `next()` waits for `shards` answers. True: for none.
    #[inline]
    pub(crate) fn expect(&mut self, shards: usize) -> bool {
        let shards = Owed::try_from(shards).unwrap_or(REFUSED - 1) & !REFUSED;
        self.owed.push_back(shards);
        shards == 0
    }

    /// One shard has answered for `first..=last`.
    #[inline]
    pub(crate) fn answer(&mut self, first: u64, last: u64, accepted: bool) {
        let place = |number: u64| number.saturating_sub(self.answered + 1) as usize;
        if last <= self.answered {
            return;
        }
        let (from, to) = (place(first), (place(last) + 1).min(self.owed.len()));
        for owed in self.owed.range_mut(from.min(to)..to) {
            if *owed & !REFUSED > 0 {
                *owed -= 1;
            }
            if !accepted {
                *owed |= REFUSED;
            }
        }
    }

    /// Publishes without an answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.owed.len()
    }

    /// Takes what can be answered now as runs of the same answer, in order: last number of the
    /// run, its length, accepted.
    pub(crate) fn drain(&mut self, mut run: impl FnMut(u64, u64, bool)) {
        let mut open: Option<(u64, bool)> = None;
        while let Some(&owed) = self.owed.front() {
            if owed & !REFUSED != 0 {
                break;
            }
            let accepted = owed & REFUSED == 0;
            open = match open {
                Some((length, same)) if same == accepted => Some((length + 1, same)),
                other => {
                    if let Some((length, accepted)) = other {
                        run(self.answered, length, accepted);
                    }
                    Some((1, accepted))
                }
            };
            self.answered += 1;
            self.owed.pop_front();
        }
        if let Some((length, accepted)) = open {
            run(self.answered, length, accepted);
        }
    }

    /// Encodes what can be answered now.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>, channel: u16) {
        self.drain(|last, length, accepted| {
            let multiple = length > 1;
            if accepted {
                basic::ack(out, channel, last, multiple);
            } else {
                basic::nack(out, channel, last, multiple);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(confirms: &mut Confirms) -> Vec<(u64, u64, bool)> {
        let mut runs = Vec::new();
        confirms.drain(|last, length, accepted| runs.push((last, length, accepted)));
        runs
    }

    #[test]
    fn one_frame_answers_the_contiguous_prefix() {
        let mut confirms = Confirms::default();
        (0..5).for_each(|_| assert!(!confirms.expect(1)));
        confirms.answer(1, 2, true);
        confirms.answer(4, 5, true);
        assert_eq!(runs(&mut confirms), [(2, 2, true)]);
        assert_eq!(runs(&mut confirms), []);
        confirms.answer(3, 3, true);
        assert_eq!(runs(&mut confirms), [(5, 3, true)]);
        assert_eq!((confirms.next(), confirms.outstanding()), (6, 0));
    }

    #[test]
    fn a_publish_waits_for_every_shard() {
        let mut confirms = Confirms::default();
        confirms.expect(2);
        confirms.answer(1, 1, true);
        assert_eq!(runs(&mut confirms), []);
        confirms.answer(1, 1, true);
        assert_eq!(runs(&mut confirms), [(1, 1, true)]);
    }

    #[test]
    fn a_refusal_splits_the_run_and_one_refusing_shard_is_enough() {
        let mut confirms = Confirms::default();
        confirms.expect(1);
        confirms.expect(2);
        confirms.expect(1);
        confirms.answer(2, 2, false);
        confirms.answer(1, 3, true);
        assert_eq!(runs(&mut confirms), [(1, 1, true), (2, 1, false), (3, 1, true)]);
    }

    #[test]
    fn an_unroutable_publish_is_answered_at_once() {
        let mut confirms = Confirms::default();
        assert!(confirms.expect(0));
        assert_eq!(runs(&mut confirms), [(1, 1, true)]);
    }

    #[test]
    fn answers_for_what_was_answered_or_never_published_are_ignored() {
        let mut confirms = Confirms::default();
        confirms.expect(1);
        confirms.answer(1, 9, true);
        assert_eq!(runs(&mut confirms), [(1, 1, true)]);
        confirms.answer(1, 1, true);
        confirms.answer(2, 2, true);
        confirms.expect(1);
        assert_eq!(runs(&mut confirms), []);
    }
}
