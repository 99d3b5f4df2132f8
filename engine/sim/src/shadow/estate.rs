//! Queues whose dead messages go from one to the next: what counts is that each message is in
//! one of them.
//!
//! When and where a message dies is the engine's affair; that it neither vanishes nor doubles on
//! its way is not. An estate is a chain: its first queue takes publishes, the last one keeps what
//! comes to it. Between shards a message may arrive twice after a crash, within one never.

use std::collections::BTreeMap;

use haremq_engine::ids::{QueueId, ShardId};

use super::commits::{CommitId, Commits, Evidence};
use crate::violation::{broken, require, Kind, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In one of the queues, from that index on, ready or on its way to the next.
    From(usize),
    /// Held by somebody who got it from that queue.
    Held(usize),
    /// Acked, or rejected where nothing follows, at that moment.
    Done(u64),
}

#[derive(Clone, Debug)]
struct Token {
    place: Place,
    persistent: bool,
    /// Its shard has said that it is safe.
    confirmed: bool,
    /// The power went and nobody was promised it, or its end.
    in_doubt: bool,
    /// The queue it was delivered from last, since the power came.
    seen_in: Option<usize>,
    /// More than one of it may be there: the power went while it crossed to another shard.
    may_be_double: bool,
    /// Deliveries since the power came the last time.
    deliveries: u32,
    /// The transaction that published it.
    put_by: Option<CommitId>,
    /// The power went, and it is there if that transaction has happened.
    waits_for: Option<CommitId>,
}

#[derive(Clone, Debug)]
pub struct Estate {
    /// From where messages are published to to where they end.
    pub queues: Vec<QueueId>,
    /// Of the first one.
    pub owner: ShardId,
    /// All queues are on one shard.
    pub on_one_shard: bool,
    /// The first queue keeps no more than so many and refuses: what it refuses goes on.
    pub buries_refused: bool,
    tokens: BTreeMap<u64, Token>,
    /// What has shown of transactions since it was taken last.
    evidence: Vec<Evidence>,
}

impl Estate {
    pub fn new(
        queues: Vec<QueueId>,
        owner: ShardId,
        on_one_shard: bool,
        buries_refused: bool,
    ) -> Self {
        let (tokens, evidence) = Default::default();
        Estate { queues, owner, on_one_shard, buries_refused, tokens, evidence }
    }

    pub fn index(&self, queue: QueueId) -> Option<usize> {
        self.queues.iter().position(|known| *known == queue)
    }

    pub fn is_last(&self, queue: QueueId) -> bool {
        self.queues.last() == Some(&queue)
    }

    /// Messages that may be in memory only.
    pub fn transient(&self) -> u64 {
        let copies = if self.on_one_shard { 1 } else { 2 };
        let held = |token: &&Token| !token.persistent && !matches!(token.place, Place::Done(_));
        copies * self.tokens.values().filter(held).count() as u64
    }

    /// Messages that may be there.
    pub fn possible(&self) -> usize {
        let there = |token: &&Token| !matches!(token.place, Place::Done(_));
        self.tokens.values().filter(there).count()
    }

    pub fn arrive(&mut self, number: u64, persistent: bool) {
        let token = Token {
            place: Place::From(0),
            persistent,
            confirmed: false,
            in_doubt: false,
            seen_in: None,
            may_be_double: false,
            deliveries: 0,
            put_by: None,
            waits_for: None,
        };
        self.tokens.insert(number, token);
    }

    /// A transaction puts a message.
    pub fn put(&mut self, id: CommitId, number: u64) {
        self.arrive(number, true);
        if let Some(token) = self.tokens.get_mut(&number) {
            token.put_by = Some(id);
        }
    }

    /// A start carries out again that it is settled, wherever it has come to.
    pub fn settled_again(&mut self, number: u64) {
        if let Some(token) = self.tokens.get_mut(&number) {
            token.in_doubt = true;
        }
    }

    /// It is known what became of a transaction.
    pub fn learn_fate(&mut self, id: CommitId, happened: bool) {
        self.tokens.retain(|_, token| {
            if token.put_by == Some(id) && happened {
                token.confirmed = true;
                token.waits_for = None;
            }
            token.put_by != Some(id) || happened
        });
    }

    pub fn take_evidence(&mut self) -> Vec<Evidence> {
        std::mem::take(&mut self.evidence)
    }

    /// Everything has been taken out: what is missing is not there.
    pub fn note_missing(&mut self) {
        let missing = self
            .tokens
            .values()
            .filter(|token| !token.in_doubt && !matches!(token.place, Place::Done(_)));
        self.evidence.extend(missing.filter_map(|token| token.waits_for).map(|id| (id, false)));
    }

    pub fn confirmed(&mut self, number: u64) {
        if let Some(token) = self.tokens.get_mut(&number) {
            token.confirmed |= token.persistent;
        }
    }

    pub fn delivered(
        &mut self,
        queue: QueueId,
        number: u64,
        redelivered: bool,
        end: Option<u64>,
    ) -> Verdict {
        let Some(at) = self.index(queue) else { return Ok(()) };
        let Some(token) = self.tokens.get_mut(&number) else {
            return broken(Kind::Phantom, format!("{number} was never published to {queue:?}"));
        };
        match token.place {
            Place::Held(_) | Place::Done(_) if token.may_be_double => {}
            Place::Held(holder) => {
                let text = format!("{number} is delivered from {queue:?}, and held from {holder}");
                return broken(Kind::Duplicate, text);
            }
            Place::Done(moment) => {
                let text = format!("{number} is delivered from {queue:?} after {moment}");
                return broken(Kind::Zombie, text);
            }
            Place::From(first) => {
                require(at >= first || token.may_be_double, Kind::Duplicate, || {
                    format!("{number} is delivered from {queue:?} though it had left it: {first}")
                })?
            }
        }
        let must_be_flagged = token.seen_in == Some(at) && !token.may_be_double;
        require(!must_be_flagged || redelivered, Kind::Flag, || {
            format!("{number} of {queue:?} has been seen there, and is not marked")
        })?;
        self.evidence.extend(token.put_by.map(|id| (id, true)));
        token.seen_in = Some(at);
        token.place = end.map_or(Place::Held(at), Place::Done);
        token.deliveries += 1;
        Ok(())
    }

    /// A held message is settled. `goes_on`: it is rejected, or comes back and may have done so
    /// too often.
    pub fn settled(&mut self, queue: QueueId, number: u64, how: Settling, moment: u64) {
        let (Some(at), is_last) = (self.index(queue), self.is_last(queue)) else { return };
        let Some(token) = self.tokens.get_mut(&number) else { return };
        if token.place != Place::Held(at) {
            return;
        }
        token.place = match how {
            Settling::Ack => Place::Done(moment),
            Settling::Reject if is_last => Place::Done(moment),
            Settling::Reject => Place::From(at + 1),
            Settling::Requeue => Place::From(at),
        };
    }

    pub fn crashed(&mut self, settled_until: u64, commits: &Commits) {
        let on_one_shard = self.on_one_shard;
        self.tokens.retain(|_, token| {
            // Between shards a final ack at the end does not say that the beginning is settled.
            let is_final = matches!(token.place, Place::Done(at) if at < settled_until);
            token.persistent && !(is_final && on_one_shard)
        });
        for token in self.tokens.values_mut() {
            let put_by = token.put_by.filter(|id| commits.is_interrupted(*id));
            token.waits_for = put_by.filter(|_| !token.confirmed).or(token.waits_for);
            let is_promised = token.confirmed || token.waits_for.is_some();
            token.in_doubt |= !is_promised || matches!(token.place, Place::Done(_));
            token.place = Place::From(0);
            token.seen_in = None;
            token.may_be_double |= !on_one_shard;
            token.deliveries = 0;
        }
    }

    /// Everything is on stable storage and nothing is on its way.
    pub fn stopped(&mut self) {
        self.tokens.retain(|_, token| {
            let is_done = matches!(token.place, Place::Done(_));
            token.persistent && (!is_done || token.may_be_double)
        });
        for token in self.tokens.values_mut() {
            token.confirmed |= !token.in_doubt && token.waits_for.is_none();
        }
    }

    /// Everything that was there has been taken, since the power came the last time.
    pub fn check_drained(&self) -> Verdict {
        for (number, token) in &self.tokens {
            let is_in_doubt = token.in_doubt || token.waits_for.is_some();
            let is_due = !is_in_doubt && !matches!(token.place, Place::Done(_));
            require(!is_due, Kind::Lost, || format!("{number} of {:?}: {token:?}", self.queues))?;
            let is_double = token.deliveries > 1 && !token.may_be_double;
            require(!is_double, Kind::Duplicate, || format!("{number} twice: {token:?}"))?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    Ack,
    Reject,
    Requeue,
}
