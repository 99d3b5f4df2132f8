//! The clients' side: one connection and channel on each shard, its consumers, what it holds.

use std::collections::{BTreeMap, VecDeque};

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, ShardId};

use crate::mail::Received;
use crate::shadow::{CommitId, Entity, QueueSpec};

#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    pub key: ConsumerKey,
    pub queue: QueueId,
    pub owner: ShardId,
    /// 0: no limit.
    pub prefetch: u32,
    pub no_ack: bool,
}

/// A definition that has been asked for. Answers to one channel come in order.
#[derive(Clone, Debug)]
pub enum Asked {
    Queue(QueueSpec),
    Entity { entity: Entity, puts: bool },
}

#[derive(Debug)]
pub struct Clients {
    /// Serial of each shard's connection.
    connections: Vec<u64>,
    next_connection: u64,
    /// The connections that declare: one on each shard, which lasts as long as the broker runs.
    admins: Vec<u64>,
    pub next_confirm: Vec<u64>,
    pub next_number: u64,
    next_serial: u32,
    next_commit: u32,
    /// Commits that their shards have not decided yet.
    pub undecided: Vec<(usize, ChannelKey)>,
    pub consumers: BTreeMap<u32, Consumer>,
    pub held: Vec<Received>,
    /// Deliveries that have not left for the socket.
    pub unsent: Vec<(ConnectionId, ShardId, u64)>,
    /// By the shard of the admin.
    pub asked: Vec<VecDeque<Asked>>,
}

impl Clients {
    pub fn new(shards: usize) -> Self {
        let mut clients = Clients {
            connections: vec![0; shards],
            next_connection: 1,
            admins: vec![0; shards],
            next_confirm: vec![1; shards],
            next_number: 1,
            next_serial: 1,
            next_commit: 0,
            undecided: Vec::new(),
            consumers: BTreeMap::new(),
            held: Vec::new(),
            unsent: Vec::new(),
            asked: vec![VecDeque::new(); shards],
        };
        clients.reconnect_all();
        clients
    }

    /// The broker is there again, and knows nobody.
    pub fn reconnect_all(&mut self) {
        for shard in 0..self.connections.len() {
            self.reconnect(shard);
        }
        for admin in &mut self.admins {
            *admin = self.next_connection;
            self.next_connection += 1;
        }
        self.undecided.clear();
        self.consumers.clear();
        self.held.clear();
        self.unsent.clear();
        self.asked.iter_mut().for_each(VecDeque::clear);
    }

    pub fn reconnect(&mut self, shard: usize) {
        self.connections[shard] = self.next_connection;
        self.next_connection += 1;
        self.next_confirm[shard] = 1;
    }

    pub fn connection(&self, shard: usize) -> ConnectionId {
        ConnectionId::new(ShardId(shard as u16), self.connections[shard])
    }

    pub fn is_open(&self, connection: ConnectionId) -> bool {
        self.connection(usize::from(connection.shard().0)) == connection
    }

    pub fn channel(&self, shard: usize) -> ChannelKey {
        ChannelKey { connection: self.connection(shard), channel: 1, incarnation: 0 }
    }

    /// Where definitions are asked for on a shard, which then owns the queues among them.
    pub fn admin(&self, shard: usize) -> ChannelKey {
        let connection = ConnectionId::new(ShardId(shard as u16), self.admins[shard]);
        ChannelKey { connection, channel: 1, incarnation: 0 }
    }

    /// A channel whose answer says which transaction it is about.
    pub fn channel_of_commit(&self, shard: usize, id: CommitId) -> ChannelKey {
        ChannelKey { channel: 2, incarnation: id.0, ..self.channel(shard) }
    }

    /// What `next_commit` is going to give.
    pub fn commit_to_come(&self) -> CommitId {
        CommitId(self.next_commit + 1)
    }

    pub fn next_commit(&mut self) -> CommitId {
        self.next_commit += 1;
        CommitId(self.next_commit)
    }

    /// A channel whose answers say which queue they are about.
    pub fn channel_about(&self, shard: usize, queue: QueueId) -> ChannelKey {
        ChannelKey { incarnation: queue.0 as u32, ..self.channel(shard) }
    }

    pub fn new_consumer(&mut self, shard: usize) -> ConsumerKey {
        let serial = self.next_serial;
        self.next_serial += 1;
        ConsumerKey { connection: self.connection(shard), channel: 1, serial }
    }

    pub fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    pub fn next_confirm(&mut self, shard: usize) -> u64 {
        self.next_confirm[shard] += 1;
        self.next_confirm[shard] - 1
    }
}
