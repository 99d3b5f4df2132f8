//! The model: what publishers and consumers have been told, and so what must be there.
//!
//! It sees everything at the moment at which the owning shard is handed it or says it, knows
//! nothing of logs, blocks or memory, and never changes what the engine does. Plain queues are
//! followed exactly (`queue`), queues with dead-letter exchanges by what is conserved (`estate`),
//! definitions by their answers (`definitions`), transactions by what shows of their parts
//! (`commits`).

mod commits;
mod copy;
mod definitions;
mod estate;
mod queue;

use std::collections::BTreeMap;

use haremq_engine::ids::{ChannelKey, ConsumerKey, QueueId, ShardId};
use haremq_engine::mail::{DeliveryTo, Outcome};
use haremq_engine::transaction::Transaction;

use commits::Commits;

pub use commits::{Commit, CommitId, Put, Take};
pub use copy::{Copy, Doubt, State};
pub use definitions::{Definitions, Entity, SOURCE, VHOST};
pub use estate::{Estate, Settling};
pub use queue::{Arrival, Counts, Queue, QueueSpec};

use crate::body::{number_of, number_put, properties};
use crate::mail::{Letter, Received, ROUTING_KEY};
use crate::violation::{broken, require, Kind, Verdict};

/// A publish that a shard has to answer for.
#[derive(Clone, Debug)]
struct Owed {
    queues: Vec<QueueId>,
    /// Those of them that may have had no room for it when it came.
    refusing: Vec<QueueId>,
    number: u64,
    /// Its confirm says that the log is durable up to here.
    is_logged: bool,
    moment: u64,
}

#[derive(Default)]
pub struct Shadow {
    pub queues: BTreeMap<QueueId, Queue>,
    pub estates: Vec<Estate>,
    pub definitions: Definitions,
    commits: Commits,
    /// All that was decided before the last start has been carried out.
    is_let_in: bool,
    owed: BTreeMap<(ShardId, ChannelKeyOrd, u64), Owed>,
    /// Settles before this moment can no longer be undone, for each shard.
    settled_until: BTreeMap<ShardId, u64>,
    /// Counts what happens.
    moment: u64,
    pub confirmed: u64,
    pub refused: u64,
    pub delivered: u64,
    pub settled: u64,
    /// Transactions answered.
    pub committed: u64,
    /// Transactions under way when the power went.
    pub interrupted: u64,
}

/// Connection serial and channel number.
type ChannelKeyOrd = (u64, u16);

fn ordered(channel: ChannelKey) -> ChannelKeyOrd {
    (channel.connection.serial(), channel.channel)
}

impl Shadow {
    pub fn add_queue(&mut self, id: QueueId, owner: ShardId, spec: QueueSpec) -> Verdict {
        let name = spec.name.clone();
        let before = self.queues.insert(id, Queue::new(owner, spec));
        require(before.is_none(), Kind::Definition, || format!("{id:?} of {name} was given twice"))
    }

    fn estate_of(&mut self, queue: QueueId) -> Option<&mut Estate> {
        self.estates.iter_mut().find(|estate| estate.index(queue).is_some())
    }

    /// The owner is handed a publish.
    pub fn published(&mut self, owner: ShardId, letter: &Letter, now_unix_ms: u64) {
        self.moment += 1;
        let Letter { number, persistent, priority, expiration_ms, .. } = *letter;
        let mut is_logged = false;
        let mut refusing = Vec::new();
        for id in &letter.queues {
            if let Some(estate) = self.estate_of(*id) {
                estate.arrive(number, persistent);
                is_logged |= persistent && !estate.buries_refused;
                refusing.extend(estate.buries_refused.then_some(*id));
                continue;
            }
            let Some(queue) = self.queues.get_mut(id) else { continue };
            if queue.closing {
                // It may be there still.
                refusing.extend(queue.spec.refuses.then_some(*id));
                continue;
            }
            queue.arrive(&Arrival { number, persistent, priority, expiration_ms, now_unix_ms });
            let may_refuse = queue.may_have_refused(number);
            is_logged |= queue.spec.durable && persistent && !may_refuse;
            refusing.extend(may_refuse.then_some(*id));
        }
        if let Some((channel, confirm)) = letter.confirm {
            let queues = letter.queues.clone();
            let owed = Owed { queues, refusing, number, is_logged, moment: self.moment };
            self.owed.insert((owner, ordered(channel), confirm), owed);
        }
    }

    /// A shard answers for a publish.
    pub fn answered(
        &mut self,
        from: ShardId,
        channel: ChannelKey,
        confirm: u64,
        accepted: bool,
    ) -> Verdict {
        let Some(owed) = self.owed.remove(&(from, ordered(channel), confirm)) else {
            let text = format!("{from:?} answers for publish {confirm} of {channel:?} unasked");
            return broken(Kind::Confirm, text);
        };
        if !accepted {
            self.refused += 1;
            return self.note_refusal(&owed);
        }
        self.confirmed += 1;
        if owed.is_logged {
            let until = self.settled_until.entry(from).or_default();
            *until = owed.moment.max(*until);
        }
        for id in &owed.queues {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.confirmed(owed.number);
            } else if let Some(estate) = self.estate_of(*id) {
                estate.confirmed(owed.number);
            }
        }
        Ok(())
    }

    fn note_refusal(&mut self, owed: &Owed) -> Verdict {
        require(!owed.refusing.is_empty(), Kind::Confirm, || {
            format!("{} is refused, though all of {:?} had room", owed.number, owed.queues)
        })?;
        if let [only] = owed.refusing.as_slice() {
            if let Some(queue) = self.queues.get_mut(only) {
                queue.refused(owed.number);
            }
        }
        Ok(())
    }

    /// True if every publish that was handed in has been answered.
    pub fn nothing_owed(&self) -> bool {
        self.owed.is_empty() && self.commits.nothing_owed()
    }

    /// A shard gives a delivery out.
    pub fn delivered(&mut self, received: &Received, now_unix_ms: u64) -> Verdict {
        self.moment += 1;
        self.delivered += 1;
        let number = number_of(&received.body)?;
        let end = received.no_ack().then_some(self.moment);
        if let Some(estate) = self.estate_of(received.queue) {
            estate.delivered(received.queue, number, received.redelivered, end)?;
            return self.weigh_evidence();
        }
        let Some(queue) = self.queues.get_mut(&received.queue) else {
            let text = format!("{number} is delivered from {:?}, which is gone", received.queue);
            return broken(Kind::Phantom, text);
        };
        let holder = match received.to {
            DeliveryTo::Consumer { consumer, .. } => Some(consumer),
            DeliveryTo::Get { .. } => None,
        };
        let to = end.map_or(State::Unacked(holder), State::Gone);
        queue.delivered(number, received.redelivered, to, now_unix_ms)?;
        let persistent = received.properties.get(2) == Some(&2);
        let is_whole = received.routing_key == ROUTING_KEY
            && received.properties == properties(number, persistent);
        require(is_whole, Kind::Corrupt, || {
            format!("{number} has other properties: {received:?}")
        })?;
        self.weigh_evidence()
    }

    /// A shard is handed a settle.
    pub fn settled(&mut self, id: QueueId, number: u64, outcome: Outcome) {
        self.moment += 1;
        self.settled += 1;
        let moment = self.moment;
        if let Some(estate) = self.estate_of(id) {
            let how = match outcome {
                Outcome::Ack => Settling::Ack,
                Outcome::Reject => Settling::Reject,
                Outcome::Requeue => Settling::Requeue,
            };
            return estate.settled(id, number, how, moment);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.settled(number, (outcome != Outcome::Requeue).then_some(moment));
        }
    }

    /// A shard is handed a purge.
    pub fn purged(&mut self, id: QueueId) {
        self.moment += 1;
        if let Some(queue) = self.queues.get_mut(&id).filter(|queue| !queue.closing) {
            queue.purged(self.moment);
        }
    }

    /// A shard is handed a delete.
    pub fn closing(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.closing = true;
        }
    }

    /// A delete is answered.
    pub fn deleted(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.remove(&id) {
            self.definitions.queue_gone(&queue.spec.name);
        }
    }

    pub fn held_by(&self, key: ConsumerKey, queue: QueueId) -> u64 {
        self.queues.get(&queue).map_or(0, |queue| queue.held_by(key))
    }

    /// The wall clock is set back.
    pub fn note_expiries(&mut self, now_unix_ms: u64) {
        self.queues.values_mut().for_each(|queue| queue.note_expiries(now_unix_ms));
    }

    /// The power went and came. `exists` says which queues came back.
    pub fn crashed(&mut self, exists: impl Fn(QueueId) -> bool, one_log: bool) -> Verdict {
        self.owed.clear();
        self.is_let_in = false;
        let settled_until = std::mem::take(&mut self.settled_until);
        let until = |owner: ShardId| settled_until.get(&owner).copied().unwrap_or(0);
        self.interrupted += self.commits.crashed(until);
        self.keep(exists)?;
        for queue in self.queues.values_mut() {
            queue.crashed(until(queue.owner), &self.commits, one_log);
        }
        for estate in &mut self.estates {
            estate.crashed(until(estate.owner), &self.commits);
        }
        Ok(())
    }

    /// A client asks for a transaction.
    pub fn commit_asked(&mut self, id: CommitId, commit: Commit) {
        self.commits.add(id, commit);
    }

    /// A shard is handed its part of a transaction of another one.
    pub fn part_asked(
        &mut self,
        shard: ShardId,
        of: &Transaction,
        again: bool,
        now_unix_ms: u64,
    ) -> Verdict {
        let message = of.publishes().next();
        let found = match message {
            Some((message, targets)) => number_put(&message).and_then(|number| {
                targets.iter().find_map(|to| self.commits.of_message(number, to.queue))
            }),
            None => self.commits.of_settles(of.settles()),
        };
        match found {
            Some(id) => self.part_handed(id, shard, again, now_unix_ms),
            // A dead letter under way.
            None => Ok(()),
        }
    }

    /// A shard is handed its part of a transaction, and does it.
    pub fn part_handed(
        &mut self,
        id: CommitId,
        shard: ShardId,
        again: bool,
        now_unix_ms: u64,
    ) -> Verdict {
        self.moment += 1;
        let moment = self.moment;
        if again && self.commits.note((id, true))? {
            self.learn_fate(id, true);
        }
        if !self.commits.handed(id, shard, moment) {
            return Ok(());
        }
        let Some(commit) = self.commits.get(id).cloned() else { return Ok(()) };
        for put in commit.puts.iter().filter(|put| put.shard == shard) {
            if let Some(estate) = self.estate_of(put.queue) {
                estate.put(id, put.number);
            } else if let Some(queue) = self.queues.get_mut(&put.queue) {
                queue.put(id, put, again, now_unix_ms);
            }
        }
        for take in commit.takes.iter().filter(|take| take.shard == shard) {
            let is_end = take.outcome != Outcome::Requeue;
            match self.queues.get_mut(&take.queue) {
                Some(queue) if is_end => queue.take(id, take.number, again, moment),
                // After a start everything has come back anyway.
                _ if again && !is_end => {}
                _ if again => {
                    if let Some(estate) = self.estate_of(take.queue) {
                        estate.settled_again(take.number);
                    }
                }
                _ => self.settled(take.queue, take.number, take.outcome),
            }
        }
        Ok(())
    }

    /// A client is told that its transaction has happened, and if queues have `refused` some of it.
    pub fn committed(&mut self, id: CommitId, refused: bool) -> Verdict {
        let Some(parts) = self.commits.answered(id) else {
            return broken(Kind::Confirm, format!("{id:?} is answered unasked"));
        };
        self.committed += 1;
        for (shard, moment) in parts {
            let until = self.settled_until.entry(shard).or_default();
            *until = moment.max(*until);
        }
        let Some(puts) = self.commits.get(id).map(|commit| commit.puts.clone()) else {
            return Ok(());
        };
        let mut doubtful = Vec::new();
        for put in puts.iter().filter(|put| refused && put.may_refuse) {
            let queue = self.queues.get(&put.queue).filter(|queue| !queue.closing);
            if queue.is_none_or(|queue| queue.may_have_refused(put.number)) {
                doubtful.push((put.queue, put.number));
            }
        }
        require(!refused || !doubtful.is_empty(), Kind::Confirm, || {
            format!("{id:?} is refused, though all of {puts:?} had room")
        })?;
        if let [(queue, number)] = doubtful.as_slice() {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.refused(*number);
            }
        }
        self.refused += u64::from(refused);
        for put in puts.iter().filter(|put| !doubtful.contains(&(put.queue, put.number))) {
            if let Some(queue) = self.queues.get_mut(&put.queue) {
                queue.confirmed(put.number);
            } else if let Some(estate) = self.estate_of(put.queue) {
                estate.confirmed(put.number);
            }
        }
        Ok(())
    }

    /// After a start: all that was decided before it has been carried out, and nobody has done
    /// anything since. `ready` says how many messages a queue has.
    pub fn let_in(
        &mut self,
        ready: impl Fn(&Queue, QueueId) -> Option<u64>,
        now_unix_ms: u64,
    ) -> Verdict {
        if std::mem::replace(&mut self.is_let_in, true) {
            return Ok(());
        }
        for (id, happened) in self.commits.let_in() {
            self.learn_fate(id, happened);
        }
        for (id, queue) in &mut self.queues {
            if let Some(ready) = ready(queue, *id).filter(|_| !queue.closing) {
                queue.learn_count(ready, now_unix_ms);
            }
        }
        self.weigh_evidence()
    }

    /// Everything that is there has been taken out.
    pub fn note_missing(&mut self, now_unix_ms: u64) -> Verdict {
        self.queues.values_mut().for_each(|queue| queue.note_missing(now_unix_ms));
        self.estates.iter_mut().for_each(Estate::note_missing);
        self.weigh_evidence()
    }

    fn weigh_evidence(&mut self) -> Verdict {
        let mut found: Vec<_> = self.queues.values_mut().flat_map(Queue::take_evidence).collect();
        found.extend(self.estates.iter_mut().flat_map(Estate::take_evidence));
        for (id, happened) in found {
            if self.commits.note((id, happened))? {
                self.learn_fate(id, happened);
            }
        }
        Ok(())
    }

    fn learn_fate(&mut self, id: CommitId, happened: bool) {
        self.queues.values_mut().for_each(|queue| queue.learn_fate(id, happened));
        self.estates.iter_mut().for_each(|estate| estate.learn_fate(id, happened));
    }

    /// The broker has stopped cleanly; call before [`Shadow::crashed`].
    pub fn stopped(&mut self) {
        self.queues.values_mut().for_each(Queue::stopped);
        self.estates.iter_mut().for_each(Estate::stopped);
    }

    fn keep(&mut self, exists: impl Fn(QueueId) -> bool) -> Verdict {
        let mut gone = Vec::new();
        for (id, queue) in &self.queues {
            let is_back = exists(*id);
            let is_right = queue.closing || is_back == queue.spec.durable;
            require(is_right, Kind::Definition, || {
                format!("{}: durable {}, back {is_back}", queue.spec.name, queue.spec.durable)
            })?;
            if !is_back {
                gone.push(*id);
            }
        }
        for id in gone {
            self.deleted(id);
        }
        for id in self.estates.iter().flat_map(|estate| &estate.queues) {
            require(exists(*id), Kind::Definition, || format!("{id:?} is not back"))?;
        }
        Ok(())
    }

    /// Copies that are in memory only, those that may be gone included.
    pub fn transient(&self) -> u64 {
        let in_queue = |queue: &Queue| {
            let held = |copy: &&Copy| {
                let is_safe = copy.persistent && queue.spec.durable;
                !matches!(copy.state, State::Gone(at) if at > 0) && !is_safe
            };
            queue.copies().iter().filter(held).count() as u64
        };
        let in_queues: u64 = self.queues.values().map(in_queue).sum();
        in_queues + self.estates.iter().map(Estate::transient).sum::<u64>()
    }
}
