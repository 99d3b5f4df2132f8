//! The entities of the topology, as every shard's replica holds them.

use std::sync::Arc;

use crate::ids::{ConnectionId, QueueId, ShardId};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq)]
pub struct Vhost {
    pub name: Arc<str>,
    pub description: Arc<str>,
    pub tags: Vec<Arc<str>>,
    /// `rabbitmqctl trace_on`
    pub tracing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub vhost: Arc<str>,
    /// "" is the default exchange, shown as `amq.default` in errors about permissions.
    pub name: Arc<str>,
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: Arc<Table>,
    /// From `arguments`, parsed once.
    pub alternate_exchange: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub id: QueueId,
    pub vhost: Arc<str>,
    pub name: Arc<str>,
    pub durable: bool,
    pub auto_delete: bool,
    /// The connection that owns an exclusive queue; the queue dies with it (behaviour A68).
    pub exclusive_to: Option<ConnectionId>,
    pub arguments: Arc<Table>,
    /// The shard that holds its messages and consumers.
    pub owner: ShardId,
}

impl Queue {
    /// True if its persistent messages belong in the log: durable, and not bound to die with a
    /// connection that a restart ends anyway.
    pub fn survives_restart(&self) -> bool {
        self.durable && self.exclusive_to.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindingTarget {
    Queue(Arc<str>),
    Exchange(Arc<str>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub vhost: Arc<str>,
    pub source: Arc<str>,
    pub target: BindingTarget,
    pub key: Arc<str>,
    pub arguments: Arc<Table>,
    /// Both ends are durable (behaviour A60).
    pub durable: bool,
}

/// `Debug` must not show the hash.
#[derive(Clone, PartialEq)]
pub struct User {
    pub name: Arc<str>,
    /// RabbitMQ's `rabbit_password_hashing_sha256`: 4 octets salt, then sha256(salt + password)
    /// (behaviour B63). Empty: no password login.
    pub password_hash: Arc<[u8]>,
    pub tags: Vec<Arc<str>>,
}

/// One user's regexes in one vhost (behaviour A115).
#[derive(Clone, Debug, PartialEq)]
pub struct Permission {
    pub vhost: Arc<str>,
    pub user: Arc<str>,
    pub configure: Arc<str>,
    pub write: Arc<str>,
    pub read: Arc<str>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
