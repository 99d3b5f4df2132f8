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

/// A place, and the message that is followed in it, if there is one.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The message, or the last one that was.
    seq: Seq,
    at: QueueSlot,
    passage: Passage,
    since_us: u64,
    /// When it is given up. 0: nobody is followed, so that one comparison tells whether the place is free.
    until_us: u64,
}

impl Place {
    const FREE: Place =
        Place { seq: Seq(0), at: 0, passage: Passage::EnqueueToDeliver, since_us: 0, until_us: 0 };

    fn follow(&mut self, now_us: u64, at: QueueSlot, seq: Seq, passage: Passage) {
        let until_us = now_us.saturating_add(GIVE_UP_US);
        *self = Place { seq, at, passage, since_us: now_us, until_us };
    }

    /// Whether that is the message. The number is asked first: for most messages it is another one.
    #[inline]
    fn follows(&self, at: QueueSlot, seq: Seq) -> bool {
        self.seq == seq && self.at == at && self.until_us != 0
    }

    fn sample(&self, now_us: u64) -> Sample {
        Sample { passage: self.passage, took_us: now_us.saturating_sub(self.since_us) }
    }
}

#[derive(Debug)]
pub(super) struct Sampling {
    places: [Place; PLACES],
    done: Vec<Sample>,
}

impl Sampling {
    pub(super) fn new() -> Self {
        Sampling { places: [Place::FREE; PLACES], done: Vec::new() }
    }

    /// A message is in its queue.
    #[inline]
    pub(super) fn enqueued(&mut self, now_us: u64, at: QueueSlot, seq: Seq) {
        let place = &mut self.places[place_of(at)];
        if now_us < place.until_us {
            return;
        }
        if place.until_us != 0 {
            self.done.push(place.sample(now_us));
        }
        place.follow(now_us, at, seq, Passage::EnqueueToDeliver);
    }

    /// A message has been handed to a consumer.
    #[inline]
    pub(super) fn delivered(&mut self, now_us: u64, at: QueueSlot, seq: Seq, settled: bool) {
        let place = &mut self.places[place_of(at)];
        if !place.follows(at, seq) {
            return;
        }
        if place.passage == Passage::EnqueueToDeliver {
            self.done.push(place.sample(now_us));
        }
        match settled {
            true => *place = Place::FREE,
            false => place.follow(now_us, at, seq, Passage::DeliverToAck),
        }
    }

    /// A delivery was settled.
    #[inline]
    pub(super) fn settled(&mut self, now_us: u64, at: QueueSlot, seq: Seq) {
        let place = &mut self.places[place_of(at)];
        if !place.follows(at, seq) {
            return;
        }
        if place.passage == Passage::DeliverToAck {
            self.done.push(place.sample(now_us));
        }
        *place = Place::FREE;
    }

    /// As `delivered`, of messages whose numbers follow one another from `first` on.
    #[inline]
    pub(super) fn delivered_run(
        &mut self,
        now_us: u64,
        at: QueueSlot,
        first: Seq,
        count: u64,
        settled: bool,
    ) {
        if let Some(seq) = self.among(at, first, count) {
            self.delivered(now_us, at, seq, settled);
        }
    }

    /// As `settled`, likewise.
    #[inline]
    pub(super) fn settled_run(&mut self, now_us: u64, at: QueueSlot, first: Seq, count: u64) {
        if let Some(seq) = self.among(at, first, count) {
            self.settled(now_us, at, seq);
        }
    }

    /// The message that is followed in the queue's place, if it may be one of these.
    #[inline]
    fn among(&self, at: QueueSlot, first: Seq, count: u64) -> Option<Seq> {
        let seq = self.places[place_of(at)].seq;
        seq.0.checked_sub(first.0).filter(|after| *after < count).map(|_| seq)
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Sample> + '_ {
        self.done.drain(..)
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
