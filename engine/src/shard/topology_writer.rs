//! Shard 0's other duty: deciding every change of the topology, in one order for all shards.
//!
//! A request is decided at once, against the authority, which runs ahead of all replicas; so any
//! number of requests can be under way. What was decided is applied by the replicas (shard 0's
//! own among them) only once it is durable, and answered only once every shard has applied it:
//! nobody can see, route by or be told of a definition that a crash could take back. Everything
//! happens in the order of the requests, so answers to one requester keep theirs.

use std::collections::VecDeque;
use std::sync::Arc;

use super::definitions::{Definitions, Record};
use crate::ids::ShardId;
use crate::log::{Log, Memory, Position};
use crate::mail::Requester;
use crate::now::Now;
use crate::topology::{
    Change, DefinitionLimits, Topology, TopologyError, TopologyOutcome, TopologyRequest,
};

pub(super) type Answer = (Requester, Result<TopologyOutcome, TopologyError>);

/// So many queues more than the shard with the fewest may one have that a connection declares on.
const UNEVENNESS: u64 = 1;

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
    /// Queues of each shard.
    queues: Vec<u64>,
    limits: DefinitionLimits,
}

impl TopologyWriter {
    pub(super) fn new(
        authority: Topology,
        definitions: Definitions,
        shards: u16,
        limits: DefinitionLimits,
    ) -> Self {
        let mut queues = vec![0; usize::from(shards)];
        for queue in authority.all_queues() {
            if let Some(count) = queues.get_mut(usize::from(queue.owner.0)) {
                *count += 1;
            }
        }
        TopologyWriter {
            authority,
            definitions,
            version: 0,
            pending: VecDeque::new(),
            spread: 0,
            applied: vec![0; usize::from(shards)],
            queues,
            limits,
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
        let owner = self.owner_for(from, request);
        let id = self.definitions.next_queue();
        let decided = self.authority.decide(request, owner, id).and_then(|decision| {
            check_size(&decision.changes, log.definition_bytes_max())?;
            let queues = self.queues.iter().sum();
            for change in &decision.changes {
                self.limits.check(&self.authority, queues, change)?;
            }
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
                    if change.new_queue() == Some(id) {
                        // Before the queue's own record, and before anything can name the id.
                        end = end.max(self.definitions.queue_given(now, log));
                    }
                    self.count(change);
                    self.authority.apply(change);
                }
                end = end.max(self.definitions.write(now, log, &decision.changes));
                (Ok(decision.outcome), Some(decision.changes.into()), end)
            }
        };
        self.pending.push_back(Pending { from, result, changes, version: self.version, end });
    }

    /// The shard for a new queue. A connection that works with one queue moves to it, and one
    /// that declares many may serve others with them: so queues are spread evenly, and what is
    /// left of choice goes to the shard of the connection. A queue that nobody else may use is
    /// always there.
    fn owner_for(&self, from: Requester, request: &TopologyRequest) -> ShardId {
        let counts = || self.queues.iter().copied();
        let least = counts().min().unwrap_or(0);
        let at_least = ShardId(counts().position(|count| count == least).unwrap_or(0) as u16);
        let Requester::Channel(channel) = from else { return at_least };
        let home = channel.connection.shard();
        let exclusive = matches!(
            request,
            TopologyRequest::DeclareQueue { exclusive_to: Some(owner), .. }
                if *owner == channel.connection
        );
        match self.queues.get(usize::from(home.0)) {
            Some(count) if exclusive || *count <= least + UNEVENNESS => home,
            _ => at_least,
        }
    }

    /// Keeps `queues`: to be called before the change is applied.
    fn count(&mut self, change: &Change) {
        let (id, put) = match change {
            Change::PutQueue(queue) => (queue.id, Some(queue.owner)),
            Change::DropQueue { id } => (*id, None),
            _ => return,
        };
        let (owner, step) = match (put, self.authority.queue_by_id(id)) {
            (Some(owner), None) => (owner, 1),
            (None, Some(queue)) => (queue.owner, -1),
            _ => return,
        };
        if let Some(count) = self.queues.get_mut(usize::from(owner.0)) {
            *count = count.saturating_add_signed(step);
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

    /// The log record of the definition with that content, if it is the one that counts.
    pub(super) fn definition(&mut self, payload: &[u8]) -> Option<&mut Record> {
        self.definitions.record_mut(payload)
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
