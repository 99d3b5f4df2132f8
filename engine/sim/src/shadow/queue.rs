//! What one queue holds, as plainly as it can be said: a list of messages and what became of them.
//!
//! It is not always known whether a message is still there: nobody was promised it and the power
//! went, its settle may have been lost, its time may be over, it may have had to make room. Such
//! a message is *in doubt* until a delivery of a later one shows that it is gone, or its own that
//! it is there.

use std::collections::HashSet;

use haremq_engine::ids::{ConsumerKey, ShardId};

use crate::violation::{broken, require, Kind, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    /// Held by a consumer, or by a connection that asked by basic.get.
    Unacked(Option<ConsumerKey>),
    /// Settled, purged or dropped at that moment.
    Gone(u64),
}

/// Why a message may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The power went, and nobody was promised it.
    NotPromised,
    /// The power went, and its settle may be lost or not.
    SettleMayBeLost,
    /// Its time was over.
    Expired,
    /// It may have had to make room.
    MadeRoom,
}

#[derive(Clone, Debug)]
pub struct Copy {
    pub number: u64,
    pub persistent: bool,
    pub priority: u8,
    pub expires_unix_ms: Option<u64>,
    pub state: State,
    /// Somebody may have seen it.
    pub seen: bool,
    pub doubt: Option<Doubt>,
    /// The queue may have refused it: its publisher has not been told.
    pub may_be_refused: bool,
    /// It is on stable storage: its shard has said so, or recovery has brought it back.
    pub is_safe: bool,
    /// It was there before the power went the last time.
    pub recovered: bool,
}

/// How a queue was declared.
#[derive(Clone, Debug, Default)]
pub struct QueueSpec {
    pub name: String,
    pub durable: bool,
    pub max_priority: u8,
    pub ttl_ms: Option<u64>,
    pub max_length: Option<u64>,
    /// A full queue refuses new messages, and does not drop old ones.
    pub refuses: bool,
}

/// A message as a queue gets it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub number: u64,
    pub persistent: bool,
    pub priority: u8,
    pub expiration_ms: Option<u64>,
    pub now_unix_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub owner: ShardId,
    pub spec: QueueSpec,
    /// A delete is under way.
    pub closing: bool,
    /// In order of arrival.
    copies: Vec<Copy>,
    /// Messages whose end can no longer be undone.
    ended: HashSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub certain: u64,
    pub possible: u64,
    pub unacked: u64,
}

impl Copy {
    fn may_be_gone(&self, now_unix_ms: u64) -> bool {
        self.doubt.is_some()
            || self.may_be_refused
            || self.expires_unix_ms.is_some_and(|at| now_unix_ms > at)
    }
}

impl Queue {
    pub fn new(owner: ShardId, spec: QueueSpec) -> Self {
        Queue { owner, spec, closing: false, copies: Vec::new(), ended: HashSet::new() }
    }

    pub fn copies(&self) -> &[Copy] {
        &self.copies
    }

    pub fn counts(&self, now_unix_ms: u64) -> Counts {
        let mut counts = Counts { certain: 0, possible: 0, unacked: 0 };
        for copy in &self.copies {
            match copy.state {
                State::Ready => {
                    counts.possible += 1;
                    counts.certain += u64::from(!copy.may_be_gone(now_unix_ms));
                }
                State::Unacked(_) => counts.unacked += 1,
                State::Gone(_) => {}
            }
        }
        counts
    }

    pub fn held_by(&self, key: ConsumerKey) -> u64 {
        let held = |copy: &&Copy| copy.state == State::Unacked(Some(key));
        self.copies.iter().filter(held).count() as u64
    }

    fn possible(&self) -> u64 {
        self.copies.iter().filter(|copy| copy.state == State::Ready).count() as u64
    }

    pub fn arrive(&mut self, arrival: &Arrival) {
        let ttl = [self.spec.ttl_ms, arrival.expiration_ms].into_iter().flatten().min();
        let may_be_full =
            self.spec.refuses && self.spec.max_length.is_some_and(|max| self.possible() >= max);
        self.copies.push(Copy {
            number: arrival.number,
            persistent: arrival.persistent,
            priority: arrival.priority.min(self.spec.max_priority),
            expires_unix_ms: ttl.map(|ttl| arrival.now_unix_ms + ttl),
            state: State::Ready,
            seen: false,
            doubt: None,
            may_be_refused: may_be_full,
            is_safe: false,
            recovered: false,
        });
        self.make_room();
    }

    /// The queue may have dropped the first ones. Whatever is really there, those that went are
    /// among so many of the first that could be there as are beyond the limit.
    fn make_room(&mut self) {
        let Some(max) = self.spec.max_length.filter(|_| !self.spec.refuses) else { return };
        let mut excess = self.possible().saturating_sub(max);
        for priority in (0..=self.spec.max_priority).rev() {
            let of_level =
                |copy: &&mut Copy| copy.state == State::Ready && copy.priority == priority;
            for copy in self.copies.iter_mut().filter(of_level) {
                if excess == 0 {
                    return;
                }
                excess -= 1;
                copy.doubt.get_or_insert(Doubt::MadeRoom);
            }
        }
    }

    fn last(&mut self, number: u64) -> Option<&mut Copy> {
        self.copies.iter_mut().rev().find(|copy| copy.number == number)
    }

    /// The owner says that the message is as safe as it promises to be.
    pub fn confirmed(&mut self, number: u64) {
        let durable = self.spec.durable;
        if let Some(copy) = self.last(number) {
            copy.is_safe |= durable && copy.persistent;
            copy.may_be_refused = false;
        }
    }

    /// The owner says that this queue has refused the message.
    pub fn refused(&mut self, number: u64) {
        self.copies.retain(|copy| copy.number != number);
    }

    pub fn may_have_refused(&self, number: u64) -> bool {
        let doubtful = |copy: &Copy| copy.number == number && copy.may_be_refused;
        self.copies.iter().any(doubtful)
    }

    /// A delivery: it must be the first that is there.
    pub fn delivered(
        &mut self,
        number: u64,
        redelivered: bool,
        to: State,
        now_unix_ms: u64,
    ) -> Verdict {
        let name = self.spec.name.clone();
        let is_it = |copy: &Copy| copy.number == number && !matches!(copy.state, State::Gone(_));
        let Some(at) = self.copies.iter().position(is_it) else {
            let known = self.ended.contains(&number)
                || self.copies.iter().any(|copy| copy.number == number);
            let kind = if known { Kind::Zombie } else { Kind::Phantom };
            return broken(kind, format!("{number} is delivered from {name} and is not in it"));
        };
        let found = self.copies[at].clone();
        if let State::Unacked(holder) = found.state {
            let text = format!("{number} is delivered from {name} and is held by {holder:?}");
            return broken(Kind::Duplicate, text);
        }
        require(found.seen == redelivered, Kind::Flag, || {
            format!("{number} of {name}: seen {}, redelivered {redelivered}", found.seen)
        })?;
        let in_time = found.expires_unix_ms.is_none_or(|expires| now_unix_ms <= expires);
        require(in_time, Kind::Expired, || {
            format!("{number} of {name} is delivered at {now_unix_ms}: {found:?}")
        })?;
        for (index, copy) in self.copies.iter_mut().enumerate() {
            let comes_first = copy.state == State::Ready
                && (copy.priority > found.priority
                    || (copy.priority == found.priority && index < at));
            if !comes_first {
                continue;
            }
            if !copy.may_be_gone(now_unix_ms) {
                let text = format!("{number} of {name} is delivered before {copy:?}");
                return broken(Kind::Order, text);
            }
            copy.state = State::Gone(0);
        }
        let copy = &mut self.copies[at];
        copy.state = to;
        copy.seen = true;
        copy.doubt = None;
        copy.may_be_refused = false;
        copy.is_safe |= copy.recovered;
        Ok(())
    }

    /// A held message is settled; `None`: it comes back.
    pub fn settled(&mut self, number: u64, end: Option<u64>) {
        let held =
            |copy: &&mut Copy| copy.number == number && matches!(copy.state, State::Unacked(_));
        if let Some(copy) = self.copies.iter_mut().find(held) {
            copy.state = end.map_or(State::Ready, State::Gone);
        }
        if end.is_none() {
            self.make_room();
        }
    }

    pub fn purged(&mut self, moment: u64) {
        for copy in self.copies.iter_mut().filter(|copy| copy.state == State::Ready) {
            copy.state = State::Gone(moment);
        }
    }

    /// The wall clock is about to be set back: what may have expired by now may be gone for good.
    pub fn note_expiries(&mut self, now_unix_ms: u64) {
        for copy in self.copies.iter_mut().filter(|copy| copy.state == State::Ready) {
            if copy.expires_unix_ms.is_some_and(|at| now_unix_ms > at) {
                copy.doubt.get_or_insert(Doubt::Expired);
            }
        }
    }

    /// The power went: what comes back is what was promised, and perhaps more. Settles before
    /// moment `settled_until` are on stable storage.
    pub fn crashed(&mut self, settled_until: u64) {
        self.closing = false;
        let ended = &mut self.ended;
        self.copies.retain(|copy| {
            let is_final = matches!(copy.state, State::Gone(at) if at < settled_until && at > 0);
            if is_final {
                ended.insert(copy.number);
            }
            copy.persistent && !is_final
        });
        for copy in &mut self.copies {
            if matches!(copy.state, State::Gone(_)) {
                copy.doubt.get_or_insert(Doubt::SettleMayBeLost);
            }
            if !copy.is_safe {
                copy.doubt.get_or_insert(Doubt::NotPromised);
            }
            copy.state = State::Ready;
            copy.seen = true;
            copy.recovered = true;
        }
        self.make_room();
    }

    /// The broker has stopped cleanly: everything is on stable storage.
    pub fn stopped(&mut self) {
        let ended = &mut self.ended;
        self.copies.retain(|copy| {
            let is_gone = matches!(copy.state, State::Gone(_));
            if is_gone {
                ended.insert(copy.number);
            }
            copy.persistent && !is_gone
        });
        for copy in &mut self.copies {
            copy.is_safe |= copy.doubt.is_none() && !copy.may_be_refused;
        }
    }
}
