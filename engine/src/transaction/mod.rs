//! What a tx.commit carries out: publishes and settles that happen all or not at all.
//!
//! Built by the channel, carried out by shards (`shard::transactions`), kept in the log between
//! the decision and its end ([`journal`]).

mod journal;
mod note;

use std::ops::Range;

pub use journal::JournalError;
pub use note::Note;

use crate::ids::{ConsumerKey, QueueId, Seq, ShardId, Target};
use crate::mail::Outcome;
use crate::message::MessageRef;

/// Publishes of one transaction: their numbers are stored in 20 bits.
pub const TRANSACTION_PUBLISHES_MAX: usize = 1 << 20;

/// What is longer makes room for itself alone: as much again would be too much.
const LONG_OCTETS: usize = 1 << 20;

/// A settle of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionSettle {
    /// The owner of the queue.
    pub shard: ShardId,
    pub queue: QueueId,
    pub seq: Seq,
    /// Whose credit comes back; `None` for a delivery of a basic.get. Not kept in the log.
    pub consumer: Option<ConsumerKey>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    targets: Range<usize>,
    exchange: Range<usize>,
    routing_key: Range<usize>,
    properties: Range<usize>,
    body: Range<usize>,
    /// Octets of a body that is not here.
    long_body_bytes: u64,
    persistent: bool,
    priority: u8,
    expiration_ms: Option<u64>,
}

/// See the module. Publishes are routed already; each keeps its number. Long bodies are not among its
/// octets: the coordinator's log has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    publishes: Vec<Held>,
    targets: Vec<Target>,
    octets: Vec<u8>,
    settles: Vec<TransactionSettle>,
}

impl Transaction {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.settles.is_empty()
    }

    /// Adds a message for those queues.
    ///
    /// # Panics
    /// At more than [`TRANSACTION_PUBLISHES_MAX`] of them.
    pub fn publish(&mut self, message: &MessageRef<'_>, targets: impl Iterator<Item = Target>) {
        self.publish_long(message, 0, targets);
    }

    /// As [`Transaction::publish`], of a message whose body of so many octets is in the coordinator's
    /// log; `message` has none then. 0: it has its body.
    pub fn publish_long(
        &mut self,
        message: &MessageRef<'_>,
        long_body_bytes: u64,
        targets: impl Iterator<Item = Target>,
    ) {
        assert!(self.publishes.len() < TRANSACTION_PUBLISHES_MAX, "too many publishes");
        let start = self.targets.len();
        self.targets.extend(targets);
        let held = Held {
            targets: start..self.targets.len(),
            exchange: self.append(message.exchange),
            routing_key: self.append(message.routing_key),
            properties: self.append(message.properties),
            body: self.append(message.body),
            long_body_bytes,
            persistent: message.persistent,
            priority: message.priority,
            expiration_ms: message.expiration_ms,
        };
        self.publishes.push(held);
    }

    pub fn settle(&mut self, settle: TransactionSettle) {
        self.settles.push(settle);
    }

    fn append(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        if octets.len() > LONG_OCTETS {
            self.octets.reserve_exact(octets.len());
        }
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }

    /// Every publish with the queues it goes to, in order.
    pub fn publishes(&self) -> impl Iterator<Item = (MessageRef<'_>, &[Target])> {
        self.publishes.iter().map(|held| {
            let octets = |range: &Range<usize>| &self.octets[range.clone()];
            let message = MessageRef {
                exchange: octets(&held.exchange),
                routing_key: octets(&held.routing_key),
                properties: octets(&held.properties),
                body: octets(&held.body),
                persistent: held.persistent,
                priority: held.priority,
                expiration_ms: held.expiration_ms,
            };
            (message, &self.targets[held.targets.clone()])
        })
    }

    /// Octets of the body of that publish, if it is in the coordinator's log; else 0.
    pub fn long_body_bytes(&self, index: usize) -> u64 {
        self.publishes.get(index).map_or(0, |held| held.long_body_bytes)
    }

    /// The publishes whose bodies are in the coordinator's log.
    pub fn long_publishes(&self) -> impl Iterator<Item = usize> + '_ {
        let all = self.publishes.iter().enumerate();
        all.filter(|(_, held)| held.long_body_bytes > 0).map(|(index, _)| index)
    }

    /// Those of them that go to queues of that shard.
    pub(crate) fn long_publishes_to(&self, shard: ShardId) -> impl Iterator<Item = usize> + '_ {
        self.long_publishes().filter(move |index| {
            let targets = &self.targets[self.publishes[*index].targets.clone()];
            targets.iter().any(|target| target.shard == shard)
        })
    }

    /// The body of that publish is lost to damage: it goes nowhere.
    pub(crate) fn lose(&mut self, index: usize) {
        if let Some(held) = self.publishes.get_mut(index) {
            (held.targets, held.long_body_bytes) = (0..0, 0);
        }
    }

    /// True if both publish to one of that shard's queues.
    pub(crate) fn meets(&self, other: &Transaction, shard: ShardId) -> bool {
        let mut mine = self.targets.iter().filter(|target| target.shard == shard);
        mine.any(|target| other.targets.contains(target))
    }

    pub fn settles(&self) -> &[TransactionSettle] {
        &self.settles
    }

    /// Every shard that has something to do, ascending.
    pub fn participants(&self) -> Vec<ShardId> {
        let targets = self.publishes().flat_map(|(_, targets)| targets).map(|target| target.shard);
        let mut shards: Vec<ShardId> =
            targets.chain(self.settles.iter().map(|settle| settle.shard)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}
