//! What one queue holds, as plainly as it can be said: a list of messages and what became of them.
//!
//! It is not always known whether a message is still there: nobody was promised it and the power
//! went, its settle may have been lost, its time may be over, it may have had to make room. Such
//! a message is *in doubt* until a delivery of a later one shows that it is gone, or its own that
//! it is there.

use std::collections::HashSet;

use haremq_engine::ids::{ConsumerKey, ShardId};

use super::commits::{CommitId, Commits, Evidence, Put};
use super::copy::{Copy, Doubt, State};
use crate::violation::{broken, require, Kind, Verdict};

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
    /// What has shown of transactions since it was taken last.
    evidence: Vec<Evidence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub certain: u64,
    pub possible: u64,
    pub unacked: u64,
}

impl Queue {
    pub fn new(owner: ShardId, spec: QueueSpec) -> Self {
        let (copies, ended, evidence) = Default::default();
        Queue { owner, spec, closing: false, copies, ended, evidence }
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
            put_by: None,
            taken_by: None,
            is_put_anew: false,
            is_unordered: false,
        });
        self.make_room();
    }

    /// A transaction puts a message. `again`: it was decided before the power went, and will be put
    /// until it is there for good.
    pub fn put(&mut self, id: CommitId, put: &Put, again: bool, now_unix_ms: u64) {
        let Put { number, priority, expiration_ms, .. } = *put;
        let persistent = true;
        self.arrive(&Arrival { number, persistent, priority, expiration_ms, now_unix_ms });
        let closing = self.closing;
        if let Some(copy) = self.last(number) {
            copy.put_by = Some(id);
            // Others may have been seen before the power went, and this is not told apart.
            copy.seen = again;
            if closing {
                // It is not taken; if the power undoes the delete, the next start may put it, also
                // when the client has had its answer.
                copy.cast_doubt(Doubt::MadeRoom);
                copy.is_put_anew = true;
                copy.is_unordered = true;
            }
        }
    }

    /// A transaction settles a message for good.
    pub fn take(&mut self, id: CommitId, number: u64, again: bool, moment: u64) {
        let is_it = |copy: &&mut Copy| {
            copy.number == number
                && match copy.state {
                    State::Unacked(_) => true,
                    State::Ready => again,
                    State::Gone(_) => false,
                }
        };
        if let Some(copy) = self.copies.iter_mut().find(is_it) {
            copy.state = State::Gone(moment);
            copy.taken_by = Some(id);
        }
    }

    /// It is known what became of a transaction.
    pub fn learn_fate(&mut self, id: CommitId, happened: bool) {
        let Queue { copies, ended, spec, .. } = self;
        copies.retain_mut(|copy| {
            let is_put = copy.put_by == Some(id);
            let is_taken = copy.taken_by == Some(id);
            if copy.doubt == Some(Doubt::Commit(id)) && (is_put || is_taken) {
                copy.doubt = None;
            }
            if is_put && happened {
                copy.is_safe |= spec.durable && copy.persistent;
            }
            if is_taken && !happened {
                copy.taken_by = None;
            }
            let is_gone = (is_put && !happened) || (is_taken && happened);
            if is_gone {
                ended.insert(copy.number);
            }
            !is_gone
        });
    }

    pub fn take_evidence(&mut self) -> Vec<Evidence> {
        std::mem::take(&mut self.evidence)
    }

    /// Everything has been taken out: what is missing is not there.
    pub fn note_missing(&mut self, now_unix_ms: u64) {
        let missing = self.copies.iter().filter(|copy| copy.state == State::Ready);
        self.evidence.extend(missing.filter_map(|copy| copy.absence(now_unix_ms)));
    }

    /// After a start, before anybody does anything: so many messages are there. If that leaves no
    /// choice, it is known which.
    pub fn learn_count(&mut self, ready: u64, now_unix_ms: u64) {
        let counts = self.counts(now_unix_ms);
        if counts.certain == counts.possible {
            return;
        }
        if counts.certain == ready {
            let Queue { copies, ended, evidence, .. } = self;
            copies.retain_mut(|copy| {
                if copy.state != State::Ready || !copy.may_be_gone(now_unix_ms) {
                    return true;
                }
                evidence.extend(copy.absence(now_unix_ms));
                copy.state = State::Gone(0);
                let is_final = copy.is_absent_for_good(now_unix_ms);
                if is_final {
                    ended.insert(copy.number);
                }
                !is_final
            });
        } else if counts.possible == ready {
            for copy in self.copies.iter_mut().filter(|copy| copy.state == State::Ready) {
                self.evidence.extend(copy.presence());
                // What time and limits do may still happen.
                copy.doubt = copy.doubt.filter(|doubt| doubt.rank() >= Doubt::Expired.rank());
                copy.may_be_refused = false;
                copy.is_safe |= copy.recovered;
            }
        }
    }

    /// The queue may have dropped the first ones. Whatever is really there, those that went are
    /// among so many of the first that could be there as are beyond the limit.
    fn make_room(&mut self) {
        let Some(max) = self.spec.max_length.filter(|_| !self.spec.refuses) else { return };
        let mut excess = self.possible().saturating_sub(max);
        for priority in (0..=self.spec.max_priority).rev() {
            let is_there = |copy: &Copy| copy.state == State::Ready && copy.priority == priority;
            let there = self.copies.iter().filter(|copy| is_there(copy)).count() as u64;
            let gone = excess.min(there);
            excess -= gone;
            let mut first = gone;
            for copy in self.copies.iter_mut().filter(|copy| is_there(copy)) {
                // What a start has put again may stand anywhere.
                if gone > 0 && copy.is_unordered {
                    copy.cast_doubt(Doubt::MadeRoom);
                } else if first > 0 {
                    first -= 1;
                    copy.cast_doubt(Doubt::MadeRoom);
                }
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
        require(in_time || found.is_put_anew, Kind::Expired, || {
            format!("{number} of {name} is delivered at {now_unix_ms}: {found:?}")
        })?;
        self.evidence.extend(found.presence());
        let mut passed_over = Vec::new();
        for (index, copy) in self.copies.iter_mut().enumerate() {
            let comes_first = copy.state == State::Ready
                && !(copy.is_unordered || found.is_unordered)
                && (copy.priority > found.priority
                    || (copy.priority == found.priority && index < at));
            if !comes_first {
                continue;
            }
            if !copy.may_be_gone(now_unix_ms) {
                let text = format!("{number} of {name} is delivered before {copy:?}");
                return broken(Kind::Order, text);
            }
            self.evidence.extend(copy.absence(now_unix_ms));
            copy.state = State::Gone(0);
            if copy.is_absent_for_good(now_unix_ms) {
                passed_over.push(copy.number);
            }
        }
        let copy = &mut self.copies[at];
        copy.state = to;
        copy.seen = true;
        copy.doubt = None;
        copy.may_be_refused = false;
        copy.is_safe |= copy.recovered;
        if !passed_over.is_empty() {
            self.copies.retain(|copy| !passed_over.contains(&copy.number));
            self.ended.extend(passed_over);
        }
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
            if copy.expires_unix_ms.is_some_and(|at| now_unix_ms >= at) {
                copy.cast_doubt(Doubt::Expired);
            }
        }
    }

    /// The power went: what comes back is what was promised, and perhaps more. Settles before
    /// moment `settled_until` are on stable storage. `one_log`: there is but one shard.
    pub fn crashed(&mut self, settled_until: u64, commits: &Commits, one_log: bool) {
        self.closing = false;
        let ended = &mut self.ended;
        self.copies.retain(|copy| {
            let State::Gone(at) = copy.state else { return copy.persistent };
            let is_final = (at < settled_until && at > 0)
                || copy.taken_by.is_some_and(|id| commits.is_done(id));
            if is_final {
                ended.insert(copy.number);
            }
            copy.persistent && !is_final
        });
        for copy in &mut self.copies {
            let put_by = copy.put_by.filter(|id| commits.is_interrupted(*id));
            let taken_by = copy.taken_by.filter(|id| commits.is_interrupted(*id));
            if matches!(copy.state, State::Gone(_)) {
                copy.cast_doubt(match taken_by {
                    Some(id) if put_by.is_none() => Doubt::Commit(id),
                    _ => Doubt::SettleMayBeLost,
                });
            }
            if !copy.is_safe {
                copy.cast_doubt(put_by.map_or(Doubt::NotPromised, Doubt::Commit));
            }
            // The next start puts it again, and there may be no room for it then.
            copy.may_be_refused |= self.spec.refuses && put_by.is_some();
            copy.is_put_anew |= put_by.is_some();
            copy.is_unordered |= put_by.is_some() && !one_log;
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
