//! Publisher confirms: made here and nowhere else.
//!
//! A publish promises that the log is durable up to some position (zero where nothing was
//! promised to survive) before its publisher is told. Confirms of one channel are merged into
//! ranges until they are taken.

use std::collections::VecDeque;

use crate::ids::ChannelKey;
use crate::log::Position;
use crate::mail::Notice;

/// Channels whose ranges may grow side by side.
const OPEN_RANGES: usize = 32;

/// Publishes `first..=last` of a channel.
#[derive(Clone, Copy, Debug)]
struct Promise {
    channel: ChannelKey,
    first: u64,
    last: u64,
    /// What must be durable first.
    end: Position,
}

impl Promise {
    fn of(channel: ChannelKey, number: u64, end: Position) -> Self {
        Promise { channel, first: number, last: number, end }
    }
}

/// Publishes `first..=last` of a channel, ready to be told of.
#[derive(Clone, Copy, Debug)]
struct Range {
    channel: ChannelKey,
    first: u64,
    last: u64,
    /// The latest of their promises.
    end: Position,
    accepted: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Confirms {
    /// In order of their ends.
    promises: VecDeque<Promise>,
    open: [Option<Range>; OPEN_RANGES],
    any_open: bool,
    closed: Vec<Range>,
}

impl Confirms {
    pub(super) fn new() -> Self {
        Confirms {
            promises: VecDeque::new(),
            open: [None; OPEN_RANGES],
            any_open: false,
            closed: Vec::new(),
        }
    }

    /// The publisher is to be told once the log is durable up to `end`. What ends behind `batch`
    /// becomes durable by one write: there a promise takes in the next one of its channel.
    pub(super) fn promise(
        &mut self,
        durable: Position,
        batch: Position,
        end: Position,
        channel: ChannelKey,
        number: u64,
    ) {
        let promise = Promise::of(channel, number, end);
        if end <= durable {
            self.extend(promise, true);
            return;
        }
        if let Some(latest) = self.promises.back_mut() {
            debug_assert!(latest.end <= end);
            let goes_on = latest.channel == channel && latest.last + 1 == number;
            if goes_on && latest.end > batch {
                latest.last = number;
                latest.end = end;
                return;
            }
        }
        self.promises.push_back(promise);
    }

    /// The publisher is to be told that a queue refused.
    pub(super) fn refuse(&mut self, channel: ChannelKey, number: u64) {
        self.extend(Promise::of(channel, number, Position::default()), false);
    }

    /// The log has become durable up to there.
    pub(super) fn advance(&mut self, durable: Position) {
        while let Some(promise) = self.promises.front().filter(|p| p.end <= durable) {
            let promise = *promise;
            self.promises.pop_front();
            self.extend(promise, true);
        }
    }

    fn extend(&mut self, promise: Promise, accepted: bool) {
        let Promise { channel, first, last, end } = promise;
        self.any_open = true;
        let place = &mut self.open[place_of(channel)];
        match place {
            Some(range)
                if range.channel == channel
                    && range.accepted == accepted
                    && range.last + 1 == first =>
            {
                range.last = last;
                range.end = range.end.max(end);
            }
            _ => {
                let range = Range { channel, first, last, end, accepted };
                self.closed.extend(place.replace(range));
            }
        }
    }

    /// Gives out everything that may be told by now.
    ///
    /// # Panics
    /// If a publisher would be told that its message is safe while it is not.
    pub(super) fn drain(&mut self, durable: Position, mut notice: impl FnMut(Notice)) {
        if !self.any_open {
            return;
        }
        self.any_open = false;
        let open = self.open.iter_mut().filter_map(Option::take);
        for range in self.closed.drain(..).chain(open) {
            let Range { channel, first, last, end, accepted } = range;
            assert!(
                end <= durable,
                "a confirm promises {end:?} and the log is durable up to {durable:?}"
            );
            notice(Notice::Confirmed { channel, first, last, accepted });
        }
    }

    /// True if no publisher waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.promises.is_empty() && !self.any_open
    }
}

/// Channels of one connection, and connections that follow one another, get different places.
fn place_of(channel: ChannelKey) -> usize {
    let mixed = channel.connection.serial().wrapping_mul(7) + u64::from(channel.channel);
    (mixed % OPEN_RANGES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConnectionId, ShardId};

    /// No two promises end in one batch.
    const APART: Position = Position(u64::MAX);

    fn channel(number: u16) -> ChannelKey {
        let connection = ConnectionId::new(ShardId(0), 1);
        ChannelKey { connection, channel: number, incarnation: 0 }
    }

    fn told(confirms: &mut Confirms, durable: u64) -> Vec<(u16, u64, u64, bool)> {
        let mut told = Vec::new();
        confirms.advance(Position(durable));
        confirms.drain(Position(durable), |notice| match notice {
            Notice::Confirmed { channel, first, last, accepted } => {
                told.push((channel.channel, first, last, accepted));
            }
            other => panic!("{other:?}"),
        });
        told
    }

    #[test]
    fn publisher_is_told_only_when_its_promise_is_kept() {
        let mut confirms = Confirms::new();
        confirms.promise(Position(0), APART, Position(100), channel(1), 1);
        confirms.promise(Position(0), APART, Position(200), channel(1), 2);
        assert_eq!(told(&mut confirms, 99), []);
        assert_eq!(told(&mut confirms, 100), [(1, 1, 1, true)]);
        assert_eq!(told(&mut confirms, 200), [(1, 2, 2, true)]);
        assert!(confirms.is_quiet());
    }

    #[test]
    fn promises_of_one_batch_are_one_and_those_of_two_are_not() {
        let mut confirms = Confirms::new();
        let batches = [(0, 10, 1), (0, 20, 2), (20, 30, 3), (20, 40, 4), (20, 50, 6), (20, 60, 7)];
        for (batch, end, number) in batches {
            confirms.promise(Position(0), Position(batch), Position(end), channel(1), number);
        }
        assert_eq!(confirms.promises.len(), 3);
        assert_eq!(told(&mut confirms, 20), [(1, 1, 2, true)]);
        assert_eq!(told(&mut confirms, 60), [(1, 3, 4, true), (1, 6, 7, true)]);
        assert!(confirms.is_quiet());
    }

    #[test]
    fn promise_of_nothing_is_kept_at_once() {
        let mut confirms = Confirms::new();
        confirms.promise(Position(0), APART, Position(0), channel(1), 1);
        assert_eq!(told(&mut confirms, 0), [(1, 1, 1, true)]);
    }

    #[test]
    fn confirms_of_interleaved_channels_merge_into_one_range_each() {
        let mut confirms = Confirms::new();
        for number in 1..=50 {
            confirms.promise(Position(0), APART, Position(number), channel(1), number);
            confirms.promise(Position(0), APART, Position(number), channel(2), number);
        }
        let mut all = told(&mut confirms, 50);
        all.sort_unstable();
        assert_eq!(all, [(1, 1, 50, true), (2, 1, 50, true)]);
    }

    #[test]
    fn refusal_splits_a_range_and_touches_no_other_number() {
        let mut confirms = Confirms::new();
        for number in [1, 2, 4] {
            confirms.promise(Position(9), APART, Position(9), channel(1), number);
        }
        confirms.refuse(channel(1), 3);
        let mut all = told(&mut confirms, 9);
        all.sort_unstable();
        assert_eq!(all, [(1, 1, 2, true), (1, 3, 3, false), (1, 4, 4, true)]);
    }

    #[test]
    #[should_panic(expected = "a confirm promises")]
    fn confirm_ahead_of_the_device_is_caught() {
        let mut confirms = Confirms::new();
        confirms.promise(Position(9), APART, Position(9), channel(1), 1);
        confirms.drain(Position(8), |_| ());
    }
}
