//! Deliveries of a channel that wait for their acknowledgement, by delivery tag.
//!
//! Tags only grow, so a deque ordered by arrival is ordered by tag: the common case, acks from
//! the front, is a pop; an ack out of order is a binary search that leaves a hole, and holes are
//! swept out when they outnumber the rest.

use std::collections::VecDeque;

use haremq_engine::ids::{QueueId, Seq, ShardId};

/// One delivery. 32 octets: a channel may hold very many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unacked {
    pub(crate) tag: u64,
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
    /// Serial of its consumer; 0: it came by a basic.get.
    pub(crate) consumer: u32,
    pub(crate) shard: ShardId,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Acknowledged in a transaction that is not committed.
    Held,
    /// It took too long and is back in its queue; its consumer has not spoken yet, and holds what
    /// counts against its prefetch.
    Lapsed,
    /// A hole.
    Settled,
}

impl Unacked {
    pub(crate) fn new(
        tag: u64,
        queue: QueueId,
        seq: Seq,
        consumer: Option<u32>,
        shard: ShardId,
    ) -> Self {
        let consumer = consumer.unwrap_or(0);
        Unacked { tag, queue, seq, consumer, shard, state: State::Waiting }
    }

    pub(crate) fn came_by_consumer(&self) -> bool {
        self.consumer != 0
    }

    /// It is in its queue again, or with somebody else: it must not be settled there.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.state == State::Lapsed
    }
}

/// No such delivery waits on this channel (behaviour A99).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownTag(pub(crate) u64);

#[derive(Debug, Default)]
pub(crate) struct UnackedQueue {
    /// The front is never a hole.
    entries: VecDeque<Unacked>,
    holes: usize,
    held: usize,
    lapsed: usize,
    /// Those that consumers hold, i.e. that count against a channel's prefetch.
    by_consumers: u32,
}

impl UnackedQueue {
    /// Holes are tolerated up to this number, or the number of other entries if that is more.
    const HOLES_KEPT: usize = 64;

    pub(crate) fn push(&mut self, entry: Unacked) {
        debug_assert!(self.entries.back().is_none_or(|last| last.tag < entry.tag));
        self.by_consumers += u32::from(entry.came_by_consumer());
        self.entries.push_back(entry);
    }

    /// Deliveries that wait for an ack, without those held by a transaction.
    pub(crate) fn waiting(&self) -> usize {
        self.entries.len() - self.holes - self.held - self.lapsed
    }

    /// The lowest tag that is not settled; 0 if there is none.
    pub(crate) fn first_tag(&self) -> u64 {
        self.entries.front().map_or(0, |entry| entry.tag)
    }

    /// Deliveries below that tag that wait for their ack, oldest first.
    pub(crate) fn waiting_below(&self, tag: u64) -> impl Iterator<Item = &Unacked> {
        let old = self.entries.iter().take_while(move |entry| entry.tag < tag);
        old.filter(|entry| entry.state == State::Waiting)
    }

    /// A delivery took too long and goes back to its queue.
    pub(crate) fn lapse(&mut self, tag: u64) -> Option<Unacked> {
        let index = self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
        let entry = self.entries.get_mut(index).filter(|entry| entry.state == State::Waiting)?;
        entry.state = State::Lapsed;
        self.lapsed += 1;
        Some(*entry)
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Unsettled deliveries of consumers.
    pub(crate) fn by_consumers(&self) -> u32 {
        self.by_consumers
    }

    fn position(&self, tag: u64) -> Result<usize, UnknownTag> {
        let unknown = UnknownTag(tag);
        let index = if self.entries.front().is_some_and(|first| first.tag == tag) {
            0
        } else {
            self.entries.binary_search_by_key(&tag, |entry| entry.tag).map_err(|_| unknown)?
        };
        match self.entries.get(index) {
            Some(entry) if matches!(entry.state, State::Waiting | State::Lapsed) => Ok(index),
            _ => Err(unknown),
        }
    }

    /// Settles what `tag` and `multiple` name (behaviour A98, A99): in `multiple`, tag 0 names
    /// everything and any other tag must itself be waiting. Each is handed to `settled` in order.
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        mut settled: impl FnMut(Unacked),
    ) -> Result<(), UnknownTag> {
        let last = match (tag, multiple) {
            (0, true) => match self.entries.len() {
                0 => return Ok(()),
                length => length - 1,
            },
            _ => self.position(tag)?,
        };
        let first = if multiple { 0 } else { last };
        for index in first..=last {
            if let Some(entry) = self.entries.get_mut(index) {
                if matches!(entry.state, State::Waiting | State::Lapsed) {
                    let was = *entry;
                    entry.state = State::Settled;
                    self.holes += 1;
                    self.lapsed -= usize::from(was.has_lapsed());
                    self.by_consumers -= u32::from(was.came_by_consumer());
                    settled(was);
                }
            }
        }
        self.sweep();
        Ok(())
    }

    /// As `settle`, but only marks: the entries stay until the transaction ends. Each tag is
    /// handed to `held` in order. One that has lapsed is settled at once, for nothing is left to
    /// be committed: it goes to `lapsed`.
    pub(crate) fn hold(
        &mut self,
        tag: u64,
        multiple: bool,
        mut held: impl FnMut(u64),
        mut lapsed: impl FnMut(Unacked),
    ) -> Result<(), UnknownTag> {
        let last = match (tag, multiple) {
            (0, true) => match self.entries.len() {
                0 => return Ok(()),
                length => length - 1,
            },
            _ => self.position(tag)?,
        };
        let first = if multiple { 0 } else { last };
        for entry in self.entries.range_mut(first..=last) {
            if entry.state == State::Waiting {
                entry.state = State::Held;
                self.held += 1;
                held(entry.tag);
            } else if entry.state == State::Lapsed {
                lapsed(*entry);
                entry.state = State::Settled;
                self.holes += 1;
                self.lapsed -= 1;
                self.by_consumers -= u32::from(entry.came_by_consumer());
            }
        }
        self.sweep();
        Ok(())
    }

    /// Settles one held entry.
    pub(crate) fn settle_held(&mut self, tag: u64) -> Option<Unacked> {
        let index = self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
        let entry = self.entries.get_mut(index).filter(|entry| entry.state == State::Held)?;
        entry.state = State::Settled;
        self.held -= 1;
        self.holes += 1;
        self.by_consumers -= u32::from(entry.came_by_consumer());
        let entry = *entry;
        self.sweep();
        Some(entry)
    }

    /// All held entries wait again (behaviour A113).
    pub(crate) fn release_held(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Held {
                entry.state = State::Waiting;
            }
        }
        self.held = 0;
    }

    fn sweep(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.state == State::Settled) {
            self.entries.pop_front();
            self.holes -= 1;
        }
        let others = self.entries.len() - self.holes;
        if self.holes > Self::HOLES_KEPT.max(others) {
            self.entries.retain(|entry| entry.state != State::Settled);
            self.holes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(tag: u64) -> Unacked {
        Unacked::new(tag, QueueId(1), Seq(tag), Some(1), ShardId(0))
    }

    fn settle(queue: &mut UnackedQueue, tag: u64, multiple: bool) -> Result<Vec<u64>, UnknownTag> {
        let mut tags = Vec::new();
        queue.settle(tag, multiple, |entry| tags.push(entry.tag)).map(|()| tags)
    }

    #[test]
    fn an_entry_takes_thirty_two_octets() {
        assert_eq!(std::mem::size_of::<Unacked>(), 32);
    }

    #[test]
    fn tag_zero_with_multiple_names_everything_and_may_name_nothing() {
        let mut queue = UnackedQueue::default();
        assert_eq!(settle(&mut queue, 0, true), Ok(vec![]));
        assert_eq!(settle(&mut queue, 0, false), Err(UnknownTag(0)));
        (1..=3).for_each(|tag| queue.push(entry(tag)));
        assert_eq!(settle(&mut queue, 0, true), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn a_tag_is_settled_once() {
        let mut queue = UnackedQueue::default();
        (1..=3).for_each(|tag| queue.push(entry(tag)));
        assert_eq!(settle(&mut queue, 2, false), Ok(vec![2]));
        assert_eq!(settle(&mut queue, 2, false), Err(UnknownTag(2)));
        assert_eq!(settle(&mut queue, 2, true), Err(UnknownTag(2)));
        assert_eq!(settle(&mut queue, 7, true), Err(UnknownTag(7)));
        assert_eq!(settle(&mut queue, 3, true), Ok(vec![1, 3]));
        assert_eq!(queue.by_consumers(), 0);
    }

    #[test]
    fn a_lapsed_entry_counts_until_it_is_spoken_of() {
        let mut queue = UnackedQueue::default();
        (1..=3).for_each(|tag| queue.push(entry(tag)));
        assert!(queue.lapse(2).is_some());
        assert!(queue.lapse(2).is_none());
        assert_eq!((queue.waiting(), queue.by_consumers()), (2, 3));
        assert_eq!(queue.waiting_below(3).map(|entry| entry.tag).collect::<Vec<_>>(), [1]);
        let mut lapsed = Vec::new();
        queue.settle(2, false, |entry| lapsed.push(entry.has_lapsed())).expect("a known tag");
        assert_eq!(lapsed, [true]);
        assert_eq!(settle(&mut queue, 2, false), Err(UnknownTag(2)));
        assert_eq!((queue.waiting(), queue.by_consumers()), (2, 2));
        queue.lapse(1);
        let (mut held, mut gone) = (Vec::new(), Vec::new());
        queue.hold(3, true, |tag| held.push(tag), |entry| gone.push(entry.tag)).expect("known");
        assert_eq!((held, gone), (vec![3], vec![1]));
        assert_eq!((queue.waiting(), queue.held(), queue.by_consumers()), (0, 1, 1));
    }

    #[test]
    fn held_entries_come_back_in_place_on_rollback() {
        let mut queue = UnackedQueue::default();
        (1..=4).for_each(|tag| queue.push(entry(tag)));
        let mut held = Vec::new();
        assert_eq!(queue.hold(2, true, |tag| held.push(tag), |_| ()), Ok(()));
        assert_eq!(held, [1, 2]);
        assert_eq!((queue.waiting(), queue.held()), (2, 2));
        assert_eq!(settle(&mut queue, 1, false), Err(UnknownTag(1)));
        assert_eq!(queue.settle_held(1).map(|entry| entry.tag), Some(1));
        queue.release_held();
        assert_eq!(settle(&mut queue, 0, true), Ok(vec![2, 3, 4]));
    }

    proptest! {
        /// Against a sorted map.
        #[test]
        fn settles_what_a_map_would(
            steps in prop::collection::vec((0u8..4, any::<u16>(), any::<bool>()), 1..400),
        ) {
            let mut queue = UnackedQueue::default();
            let mut model = BTreeMap::new();
            let mut next = 0u64;
            for (kind, pick, multiple) in steps {
                if kind < 2 {
                    next += 1 + u64::from(pick % 3);
                    queue.push(entry(next));
                    model.insert(next, ());
                    continue;
                }
                let tag = u64::from(pick) % (next + 2);
                let expected: Result<Vec<u64>, UnknownTag> = if tag == 0 && multiple {
                    Ok(model.keys().copied().collect())
                } else if !model.contains_key(&tag) {
                    Err(UnknownTag(tag))
                } else if multiple {
                    Ok(model.range(..=tag).map(|(tag, ())| *tag).collect())
                } else {
                    Ok(vec![tag])
                };
                if let Ok(tags) = &expected {
                    tags.iter().for_each(|tag| { model.remove(tag); });
                }
                prop_assert_eq!(settle(&mut queue, tag, multiple), expected);
                prop_assert_eq!(queue.waiting(), model.len());
                prop_assert_eq!(queue.by_consumers() as usize, model.len());
                prop_assert!(queue.entries.len() <= 2 * model.len() + UnackedQueue::HOLES_KEPT + 1);
            }
        }
    }
}
