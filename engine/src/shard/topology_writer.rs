//! Shard 0's other duty: deciding every change of the topology, in one order for all shards.
//!
//! A request is decided at once, against the authority, which runs ahead of all replicas; so any
//! number of requests can be under way. What was decided is applied by the replicas (shard 0's
//! own among them) only once it is durable, and answered only once every shard has applied it:
//! nobody can see, route by or be told of a definition that a crash could take back. Everything
//! happens in the order of the requests, so answers to one requester keep theirs.

use std::collections::VecDeque;
use std::sync::Arc;

use super::definitions::Definitions;
use crate::ids::ShardId;
use crate::log::{Log, Memory, Position};
use crate::mail::Requester;
use crate::now::Now;
use crate::topology::{Change, Topology, TopologyError, TopologyOutcome, TopologyRequest};

pub(super) type Answer = (Requester, Result<TopologyOutcome, TopologyError>);

#[derive(Debug)]
struct Pending {
    from: Requester,
    result: Result<TopologyOutcome, TopologyError>,
    /// `None`: nothing is to be changed.
    changes: Option<Arc<[Change]>>,
    /// Every shard must have applied this version before the answer goes out.
    version: u64,
    /// What must be durable before the changes are applied.
    end: Position,
}

/// See the module.
#[derive(Debug)]
pub(super) struct TopologyWriter {
    authority: Topology,
    definitions: Definitions,
    /// Version of the last change decided.
    version: u64,
    pending: VecDeque<Pending>,
    /// How many of `pending` have been sent to the replicas.
    spread: usize,
    /// Version that each shard has applied.
    applied: Vec<u64>,
    /// For requests that come from no shard in particular.
    next_owner: u16,
}

impl TopologyWriter {
    pub(super) fn new(authority: Topology, definitions: Definitions, shards: u16) -> Self {
        TopologyWriter {
            authority,
            definitions,
            version: 0,
            pending: VecDeque::new(),
            spread: 0,
            applied: vec![0; usize::from(shards)],
            next_owner: 0,
        }
    }

    /// Decides a request.
    pub(super) fn request<M: Memory>(
        &mut self,
        now: Now,
        log: &mut Log<M>,
        from: Requester,
        request: &TopologyRequest,
    ) {
        let owner = self.owner_for(from);
        let id = self.definitions.next_queue();
        let decided = self.authority.decide(request, owner, id).and_then(|decision| {
            check_size(&decision.changes, log.definition_bytes_max())?;
            Ok(decision)
        });
        let (result, changes, end) = match decided {
            Err(error) => (Err(error), None, Position::default()),
            Ok(decision) if decision.changes.is_empty() => {
                (Ok(decision.outcome), None, Position::default())
            }
            Ok(decision) => {
                self.version += 1;
                let mut end = Position::default();
                for change in &decision.changes {
                    if matches!(change, Change::PutQueue(queue) if queue.id == id) {
                        // Before the queue's own record, and before anything can name the id.
                        end = end.max(self.definitions.queue_given(now, log));
                    }
                    self.authority.apply(change);
                }
                end = end.max(self.definitions.write(now, log, &decision.changes));
                (Ok(decision.outcome), Some(decision.changes.into()), end)
            }
        };
        self.pending.push_back(Pending { from, result, changes, version: self.version, end });
    }

    /// The shard for a new queue. That of the connection which declares it: the one most likely
    /// to use it, and then its messages never cross a ring. The acceptor spreads connections
    /// over the shards, so this spreads queues as well. For everybody else: each shard in turn.
    fn owner_for(&mut self, from: Requester) -> ShardId {
        let shards = self.applied.len() as u16;
        match from {
            Requester::Channel(channel) if channel.connection.shard().0 < shards => {
                channel.connection.shard()
            }
            _ => {
                self.next_owner = (self.next_owner + 1) % shards;
                ShardId(self.next_owner)
            }
        }
    }

    /// The next changes to be applied by all shards, if the log is durable so far.
    pub(super) fn next_to_spread(&mut self, durable: Position) -> Option<(u64, Arc<[Change]>)> {
        while let Some(pending) = self.pending.get(self.spread) {
            if pending.end > durable {
                return None;
            }
            self.spread += 1;
            if let Some(changes) = &pending.changes {
                return Some((pending.version, Arc::clone(changes)));
            }
        }
        None
    }

    /// A shard routes by everything up to `version`.
    pub(super) fn applied(&mut self, shard: ShardId, version: u64) {
        if let Some(applied) = self.applied.get_mut(usize::from(shard.0)) {
            *applied = version.max(*applied);
        }
    }

    /// The next answer that may be given: every shard has applied what it rests on.
    pub(super) fn next_answer(&mut self) -> Option<Answer> {
        let everywhere = self.applied.iter().copied().min().unwrap_or(0);
        if self.spread == 0 || self.pending.front()?.version > everywhere {
            return None;
        }
        self.spread -= 1;
        self.pending.pop_front().map(|pending| (pending.from, pending.result))
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }
}

/// A definition must fit one record of the log.
fn check_size(changes: &[Change], bytes_max: usize) -> Result<(), TopologyError> {
    for record in changes.iter().filter_map(Change::to_record) {
        if record.len() > bytes_max {
            return Err(TopologyError::DefinitionTooLarge { bytes: record.len(), bytes_max });
        }
    }
    Ok(())
}
