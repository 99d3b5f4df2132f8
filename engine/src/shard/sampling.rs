//! How long messages take: one message at a time is followed through each of a few places, from
//! the queue to its consumer and to its ack.
//!
//! A place is shared by all queues whose number falls on it. Following only one message there
//! costs a comparison for each of the others, and no memory per message.

use super::queues::QueueSlot;
use crate::ids::Seq;

/// Messages followed at the same time.
const PLACES: usize = 64;
/// One that has not come through by then makes room, and counts as it is.
const GIVE_UP_US: u64 = 60_000_000;

/// A part of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passage {
    /// From being put into a queue to being handed to a consumer.
    EnqueueToDeliver,
    /// From there until it was settled, by ack or otherwise.
    DeliverToAck,
}

/// What one message has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub passage: Passage,
    /// Microseconds, to the turn.
    pub took_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Followed {
    at: QueueSlot,
    seq: Seq,
    passage: Passage,
    since_us: u64,
}

#[derive(Debug)]
pub(super) struct Sampling {
    places: [Option<Followed>; PLACES],
    done: Vec<Sample>,
}

impl Sampling {
    pub(super) fn new() -> Self {
        Sampling { places: [None; PLACES], done: Vec::new() }
    }

    /// A message is in its queue.
    #[inline]
    pub(super) fn enqueued(&mut self, now_us: u64, at: QueueSlot, seq: Seq) {
        let place = &mut self.places[place_of(at)];
        if let Some(followed) = place {
            if now_us.saturating_sub(followed.since_us) < GIVE_UP_US {
                return;
            }
            self.done.push(followed.sample(now_us));
        }
        *place = Some(Followed { at, seq, passage: Passage::EnqueueToDeliver, since_us: now_us });
    }

    /// A message has been handed to a consumer.
    #[inline]
    pub(super) fn delivered(&mut self, now_us: u64, at: QueueSlot, seq: Seq, settled: bool) {
        let place = &mut self.places[place_of(at)];
        let Some(followed) = place.filter(|followed| followed.is(at, seq)) else { return };
        if followed.passage == Passage::EnqueueToDeliver {
            self.done.push(followed.sample(now_us));
        }
        let next = Followed { passage: Passage::DeliverToAck, since_us: now_us, ..followed };
        *place = (!settled).then_some(next);
    }

    /// A delivery was settled.
    #[inline]
    pub(super) fn settled(&mut self, now_us: u64, at: QueueSlot, seq: Seq) {
        let place = &mut self.places[place_of(at)];
        let Some(followed) = place.filter(|followed| followed.is(at, seq)) else { return };
        if followed.passage == Passage::DeliverToAck {
            self.done.push(followed.sample(now_us));
        }
        *place = None;
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Sample> + '_ {
        self.done.drain(..)
    }
}

impl Followed {
    fn is(&self, at: QueueSlot, seq: Seq) -> bool {
        self.at == at && self.seq == seq
    }

    fn sample(&self, now_us: u64) -> Sample {
        Sample { passage: self.passage, took_us: now_us.saturating_sub(self.since_us) }
    }
}

fn place_of(at: QueueSlot) -> usize {
    at as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(sampling: &mut Sampling) -> Vec<(Passage, u64)> {
        sampling.take().map(|sample| (sample.passage, sample.took_us)).collect()
    }

    #[test]
    fn one_message_of_a_queue_is_followed_and_then_the_next() {
        let mut sampling = Sampling::new();
        sampling.enqueued(100, 3, Seq(1));
        sampling.enqueued(110, 3, Seq(2));
        sampling.delivered(150, 3, Seq(1), false);
        sampling.delivered(150, 3, Seq(2), false);
        sampling.settled(180, 3, Seq(2));
        assert_eq!(taken(&mut sampling), [(Passage::EnqueueToDeliver, 50)]);
        sampling.settled(250, 3, Seq(1));
        assert_eq!(taken(&mut sampling), [(Passage::DeliverToAck, 100)]);
        sampling.enqueued(300, 3, Seq(3));
        sampling.delivered(301, 3, Seq(3), true);
        sampling.settled(999, 3, Seq(3));
        assert_eq!(taken(&mut sampling), [(Passage::EnqueueToDeliver, 1)]);
    }

    #[test]
    fn queues_that_share_a_place_do_not_disturb_each_other() {
        let (mut sampling, one, other) = (Sampling::new(), 1, 1 + PLACES as QueueSlot);
        sampling.enqueued(0, one, Seq(5));
        sampling.enqueued(0, other, Seq(5));
        sampling.delivered(10, other, Seq(5), true);
        assert_eq!(taken(&mut sampling), []);
        sampling.delivered(20, one, Seq(5), true);
        assert_eq!(taken(&mut sampling), [(Passage::EnqueueToDeliver, 20)]);
    }

    #[test]
    fn a_message_that_never_comes_through_makes_room_and_counts() {
        let mut sampling = Sampling::new();
        sampling.enqueued(0, 0, Seq(1));
        sampling.enqueued(GIVE_UP_US, 0, Seq(2));
        assert_eq!(taken(&mut sampling), [(Passage::EnqueueToDeliver, GIVE_UP_US)]);
        sampling.delivered(GIVE_UP_US + 7, 0, Seq(2), true);
        assert_eq!(taken(&mut sampling), [(Passage::EnqueueToDeliver, 7)]);
    }
}
