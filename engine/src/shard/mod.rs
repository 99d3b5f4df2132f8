//! The shard: where log, arena, queues and topology meet. One per core; owned by its thread.
//!
//! Calls in, effects out. A turn of the runtime is: hand in what arrived ([`Shard::publish`],
//! [`Shard::command`], [`Shard::peer`], [`Shard::complete`], [`Shard::tick`]); carry out
//! [`Shard::poll_effect`] until it is empty; [`Shard::dispatch`]; carry out effects again.

use std::sync::Arc;

use crate::ids::{QueueId, ShardId};
use crate::log::{
    LogCompletion, LogConfig, LogEffect, LogError, Memory, RecoveryRead, SegmentFile,
};
use crate::mail::{Command, Delivery, Notice, PeerMail, Publish, Requester};
use crate::now::Now;
use crate::topology::{Change, Topology, TopologyError, TopologyOutcome};

#[derive(Clone, Debug)]
pub struct ShardConfig {
    pub shard: ShardId,
    /// Of the whole broker.
    pub shards: u16,
    pub log: LogConfig,
    /// Octets of deliveries on their way to one connection's socket, from this shard.
    pub window_bytes: u64,
    /// Deliveries made by one call of `dispatch` at most.
    pub dispatch_batch: usize,
    /// For the user that an empty data directory starts with.
    pub guest_password_hash: Arc<[u8]>,
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Effect<B> {
    Log(LogEffect<B>),
    Notice(Notice),
    Peer {
        to: ShardId,
        mail: PeerMail,
    },
    /// Answer to a [`Requester::Management`] request.
    Answer {
        ticket: u64,
        result: Result<TopologyOutcome, TopologyError>,
    },
}

/// Takes deliveries as they are made. Must not call back into the shard.
pub trait Outlet {
    fn deliver(&mut self, delivery: Delivery<'_>);
}

/// Numbers of one queue, for listings.
#[derive(Clone, Debug)]
pub struct QueueStats {
    pub id: QueueId,
    pub messages_ready: u64,
    pub messages_unacknowledged: u64,
    pub consumers: u64,
    pub message_bytes: u64,
    pub publishes: u64,
    pub deliveries: u64,
    pub acks: u64,
}

/// One consumer, for listings.
#[derive(Clone, Debug)]
pub struct ConsumerStats {
    pub queue: QueueId,
    pub consume: crate::mail::Consume,
    pub active: bool,
}

pub struct Shard<M: Memory> {
    _memory: M,
}

impl<M: Memory> Shard<M> {
    pub fn publish(&mut self, _now: Now, _publish: &Publish<'_>) {
        todo!()
    }
    pub fn command(&mut self, _now: Now, _command: Command) {
        todo!()
    }
    pub fn peer(&mut self, _now: Now, _mail: PeerMail) {
        todo!()
    }
    /// An error is final: the process must say it and exit.
    pub fn complete(
        &mut self,
        _now: Now,
        _completion: LogCompletion<M::Buffer>,
    ) -> Result<(), LogError> {
        todo!()
    }
    /// Call when `deadline_us` has passed.
    pub fn tick(&mut self, _now: Now) {
        todo!()
    }
    pub fn deadline_us(&self) -> Option<u64> {
        todo!()
    }
    pub fn poll_effect(&mut self, _now: Now) -> Option<Effect<M::Buffer>> {
        todo!()
    }
    /// Gives ready messages to consumers with credit. True: there is more to do at once.
    pub fn dispatch(&mut self, _now: Now, _outlet: &mut impl Outlet) -> bool {
        todo!()
    }
    pub fn topology(&self) -> &Topology {
        todo!()
    }
    /// Clean stop: make everything durable. Quiet when nothing is left to do.
    pub fn stop(&mut self, _now: Now) {
        todo!()
    }
    pub fn is_quiet(&self) -> bool {
        todo!()
    }
    pub fn queue_stats(&self, _id: QueueId) -> Option<QueueStats> {
        todo!()
    }
    pub fn all_queue_stats(&self) -> Vec<QueueStats> {
        todo!()
    }
    pub fn consumers(&self) -> Vec<ConsumerStats> {
        todo!()
    }
    /// False while publishers of this shard should not be read from.
    pub fn has_room(&self) -> bool {
        todo!()
    }
    /// Management's way in: on shard 0 only. Others reach it by [`PeerMail::Request`].
    pub fn request(&mut self, now: Now, ticket: u64, request: crate::topology::TopologyRequest) {
        self.peer(now, PeerMail::Request { from: Requester::Management(ticket), request });
    }
}

/// A shard that is reading its log back.
pub struct ShardBoot<M: Memory> {
    _memory: M,
}

impl<M: Memory> ShardBoot<M> {
    pub fn new(_config: ShardConfig, _memory: M, _files: Vec<SegmentFile>) -> Self {
        todo!()
    }
    pub fn next_read(&mut self) -> Option<RecoveryRead> {
        todo!()
    }
    pub fn supply(&mut self, _octets: &[u8]) -> Result<(), LogError> {
        todo!()
    }
    /// Shard 0, when all is read: the durable topology (of a first boot: its beginnings), for
    /// `finish` of every shard.
    pub fn definitions(&mut self) -> Arc<[Change]> {
        todo!()
    }
    /// Messages of queues that are not in `definitions` are dead. Queues owned by this shard
    /// come back with their messages.
    pub fn finish(self, _now: Now, _definitions: &[Change]) -> Result<Shard<M>, LogError> {
        todo!()
    }
}
