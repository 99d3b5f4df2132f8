//! Transactions of clients: which shards have been handed their parts, and what became of each.
//!
//! While the broker runs, what a part does is known from the moment at which its shard is handed
//! it. When the power goes before a commit is answered, all of it has happened or nothing has, and
//! nobody says which. Whatever shows of one of its parts afterwards (a message that is there, one
//! that is not, one that is there again) decides it for all the others.

use std::collections::BTreeMap;

use haremq_engine::ids::{QueueId, Seq, ShardId};
use haremq_engine::mail::Outcome;
use haremq_engine::transaction::TransactionSettle;

use crate::violation::{require, Kind, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitId(pub u32);

/// A message that a commit publishes to one queue.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    pub shard: ShardId,
    pub queue: QueueId,
    pub number: u64,
    pub priority: u8,
    pub expiration_ms: Option<u64>,
    /// It is to survive a restart.
    pub is_lasting: bool,
    /// Its queue refuses what it has no room for.
    pub may_refuse: bool,
}

/// A delivery that a commit settles.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    pub shard: ShardId,
    pub queue: QueueId,
    pub seq: Seq,
    pub number: u64,
    pub outcome: Outcome,
    /// Its queue survives a restart.
    pub is_lasting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client waits for its answer.
    Open,
    /// The power went, and what was decided is still being carried out.
    Interrupted,
    /// Whatever has become of it is final.
    Closed,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Commit {
    pub puts: Vec<Put>,
    pub takes: Vec<Take>,
    phase: Phase,
    /// True: all of it happened. False: nothing did.
    fate: Option<bool>,
    /// Shards that have been handed their parts, and when.
    handed: Vec<(ShardId, u64)>,
}

impl Commit {
    pub fn new(puts: Vec<Put>, takes: Vec<Take>) -> Self {
        Commit { puts, takes, phase: Phase::Open, fate: None, handed: Vec::new() }
    }

    fn lasts_on(&self, shard: ShardId) -> bool {
        self.puts.iter().any(|put| put.shard == shard && put.is_lasting)
            || self.takes.iter().any(|take| take.shard == shard && take.is_lasting)
    }
}

/// Something shows of a part of a commit: it has happened, or has not.
pub(super) type Evidence = (CommitId, bool);

#[derive(Debug, Default)]
pub struct Commits {
    all: BTreeMap<CommitId, Commit>,
    by_message: BTreeMap<u64, CommitId>,
}

impl Commits {
    pub fn add(&mut self, id: CommitId, commit: Commit) {
        self.by_message.extend(commit.puts.iter().map(|put| (put.number, id)));
        self.all.insert(id, commit);
    }

    pub fn get(&self, id: CommitId) -> Option<&Commit> {
        self.all.get(&id)
    }

    /// The commit that publishes that message to that queue.
    pub fn of_message(&self, number: u64, queue: QueueId) -> Option<CommitId> {
        let id = *self.by_message.get(&number)?;
        let puts = &self.all.get(&id)?.puts;
        puts.iter().any(|put| put.number == number && put.queue == queue).then_some(id)
    }

    /// The latest commit that does nothing but settle these deliveries. One of them alone does not tell it: what has
    /// been requeued may have come again, and be settled by a later commit while the earlier one is carried out.
    pub fn of_settles(&self, settles: &[TransactionSettle]) -> Option<CommitId> {
        let is_one = |(take, settle): (&Take, &TransactionSettle)| {
            (take.queue, take.seq, take.outcome) == (settle.queue, settle.seq, settle.outcome)
        };
        let is_it = |commit: &Commit| {
            let is_as_long = commit.puts.is_empty() && commit.takes.len() == settles.len();
            is_as_long && commit.takes.iter().zip(settles).all(is_one)
        };
        self.all.iter().rev().find(|(_, commit)| is_it(commit)).map(|(id, _)| *id)
    }

    /// A shard is handed its part. False: it has been handed it before.
    pub fn handed(&mut self, id: CommitId, shard: ShardId, moment: u64) -> bool {
        let Some(commit) = self.all.get_mut(&id) else { return false };
        let is_new = commit.handed.iter().all(|(known, _)| *known != shard);
        if is_new {
            commit.handed.push((shard, moment));
        }
        is_new
    }

    /// The client is told that it has happened: the moments up to which settles are final by that,
    /// by shard.
    pub fn answered(&mut self, id: CommitId) -> Option<Vec<(ShardId, u64)>> {
        let commit = self.all.get_mut(&id).filter(|commit| commit.phase == Phase::Open)?;
        commit.phase = Phase::Closed;
        commit.fate = Some(true);
        let commit = &*commit;
        let lasting = commit.handed.iter().filter(|(shard, _)| commit.lasts_on(*shard));
        Some(lasting.copied().collect())
    }

    pub fn nothing_owed(&self) -> bool {
        self.all.values().all(|commit| commit.phase != Phase::Open)
    }

    /// The power went before it was answered, and it is not yet certain that all that was decided
    /// has been carried out.
    pub fn is_interrupted(&self, id: CommitId) -> bool {
        self.all.get(&id).is_some_and(|commit| commit.phase == Phase::Interrupted)
    }

    /// It is known to have happened, in every part.
    pub fn is_done(&self, id: CommitId) -> bool {
        self.all
            .get(&id)
            .is_some_and(|commit| commit.phase == Phase::Closed && commit.fate == Some(true))
    }

    /// The power went. What stands in a log before something that was promised is decided.
    /// How many were under way.
    pub fn crashed(&mut self, settled_until: impl Fn(ShardId) -> u64) -> u64 {
        let mut interrupted = 0;
        for commit in self.all.values_mut().filter(|commit| commit.phase == Phase::Open) {
            commit.phase = Phase::Interrupted;
            interrupted += 1;
            let is_covered = |(shard, moment): &(ShardId, u64)| {
                commit.lasts_on(*shard) && *moment < settled_until(*shard)
            };
            if commit.handed.iter().any(is_covered) {
                commit.fate = Some(true);
            }
        }
        interrupted
    }

    /// All that was decided has been carried out. Those whose fate is known, and what it is.
    pub fn let_in(&mut self) -> Vec<Evidence> {
        let mut known = Vec::new();
        for (id, commit) in &mut self.all {
            if commit.phase == Phase::Interrupted {
                commit.phase = Phase::Closed;
                known.extend(commit.fate.map(|happened| (*id, happened)));
            }
        }
        known
    }

    /// Something shows of a commit. True if it was not known before, and is to be told to all
    /// queues.
    pub fn note(&mut self, (id, happened): Evidence) -> Verdict<bool> {
        let Some(commit) = self.all.get_mut(&id) else { return Ok(false) };
        if commit.phase == Phase::Open {
            // Nobody knows yet whether it will last.
            return Ok(false);
        }
        let before = commit.fate;
        require(before.is_none_or(|known| known == happened), Kind::Torn, || {
            format!("of {id:?} something has happened and something has not: {commit:?}")
        })?;
        commit.fate = Some(happened);
        // What is known of interrupted ones is told when all have been carried out.
        Ok(before.is_none() && commit.phase == Phase::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settles: &[(u64, Outcome)]) -> (Commit, Vec<TransactionSettle>) {
        let (shard, queue) = (ShardId(0), QueueId(1));
        let settle = |&(number, outcome): &(u64, Outcome)| {
            let (seq, consumer) = (Seq(number), None);
            TransactionSettle { shard, queue, seq, consumer, outcome }
        };
        let take = |&(number, outcome): &(u64, Outcome)| {
            let (seq, is_lasting) = (Seq(number), true);
            Take { shard, queue, seq, number, outcome, is_lasting }
        };
        let takes = settles.iter().map(take).collect();
        (Commit::new(Vec::new(), takes), settles.iter().map(settle).collect())
    }

    /// It was: the other shard's part of the first one was taken for the second, and an ack in it was not known.
    #[test]
    fn a_commit_is_not_taken_for_a_later_one_that_settles_what_it_has_requeued() {
        let mut commits = Commits::default();
        let (first, settles) = of(&[(41, Outcome::Requeue), (4, Outcome::Ack)]);
        commits.add(CommitId(9), first);
        let (second, settles_later) = of(&[(41, Outcome::Ack)]);
        commits.add(CommitId(19), second);
        assert_eq!(commits.of_settles(&settles), Some(CommitId(9)));
        assert_eq!(commits.of_settles(&settles_later), Some(CommitId(19)));
    }
}
