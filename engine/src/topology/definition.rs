//! The entities of the topology, as every shard's replica holds them.

use std::sync::Arc;

use super::TopologyError;
use crate::access::PasswordHashing;
use crate::ids::{ConnectionId, QueueId, ShardId, Target};
use crate::table::{Table, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Vhost {
    pub name: Arc<str>,
    pub description: Arc<str>,
    pub tags: Vec<Arc<str>>,
    /// `rabbitmqctl trace_on`
    pub tracing: bool,
    /// What a queue of no stated type is; there are only classic ones.
    pub default_queue_type: Option<Arc<str>>,
    /// It is not deleted while this stands (behaviour B65).
    pub protected_from_deletion: bool,
    pub limits: VhostLimits,
}

/// How much of something there may be; absent or negative: any number (behaviour B59).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostLimits {
    pub max_connections: Option<i64>,
    pub max_queues: Option<i64>,
}

/// As [`VhostLimits`], of one user (behaviour B60).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    pub max_connections: Option<i64>,
    pub max_channels: Option<i64>,
}

/// Whether there may not be one more when there are `count`. Gives the limit that is reached.
pub fn limit_reached(limit: Option<i64>, count: u64) -> Option<i64> {
    limit.filter(|limit| u64::try_from(*limit).is_ok_and(|limit| count >= limit))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
    ConsistentHash,
    Random,
    LocalRandom,
    ModulusHash,
    Delayed,
    RecentHistory,
    Deduplication,
}

impl ExchangeKind {
    const ALL: [ExchangeKind; 11] = [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
        ExchangeKind::ConsistentHash,
        ExchangeKind::Random,
        ExchangeKind::LocalRandom,
        ExchangeKind::ModulusHash,
        ExchangeKind::Delayed,
        ExchangeKind::RecentHistory,
        ExchangeKind::Deduplication,
    ];

    /// The name of the type in exchange.declare; `None` if there is no such type here.
    pub fn from_name(name: &str) -> Option<ExchangeKind> {
        ExchangeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
    pub fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
            ExchangeKind::ConsistentHash => "x-consistent-hash",
            ExchangeKind::Random => "x-random",
            ExchangeKind::LocalRandom => "x-local-random",
            ExchangeKind::ModulusHash => "x-modulus-hash",
            ExchangeKind::Delayed => "x-delayed-message",
            ExchangeKind::RecentHistory => "x-recent-history",
            ExchangeKind::Deduplication => "x-message-deduplication",
        }
    }
    /// True if exchanges of the type keep messages, in a queue of their own.
    pub fn keeps_messages(self) -> bool {
        use ExchangeKind::{Deduplication, Delayed, RecentHistory};
        matches!(self, Delayed | RecentHistory | Deduplication)
    }
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
    /// The queue behind an exchange that keeps messages; clients never see it.
    pub store: Option<Target>,
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
    /// Where messages for it go.
    pub fn target(&self) -> Target {
        Target { queue: self.id, shard: self.owner }
    }
    /// Refuses a connection that an exclusive queue does not belong to (behaviour A67): for
    /// passive declare, consume, get, bind, unbind, purge and delete.
    pub fn check_lock(&self, connection: Option<ConnectionId>) -> Result<(), TopologyError> {
        if self.exclusive_to.is_none() || self.exclusive_to == connection {
            Ok(())
        } else {
            Err(self.locked())
        }
    }
    pub(super) fn locked(&self) -> TopologyError {
        TopologyError::Locked { vhost: self.vhost.clone(), name: self.name.clone() }
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
    /// 4 octets salt, then the digest of salt and password (behaviour B63). Empty: no password
    /// login.
    pub password_hash: Arc<[u8]>,
    pub hashing: PasswordHashing,
    pub tags: Vec<Arc<str>>,
    pub limits: UserLimits,
}

impl User {
    /// What a password is checked against; `None`: no password login.
    pub fn credentials(&self) -> Option<(PasswordHashing, &[u8])> {
        (!self.password_hash.is_empty()).then_some((self.hashing, &*self.password_hash))
    }
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

/// What one user may publish to a topic exchange and take from it, by routing key (behaviour
/// A119).
#[derive(Clone, Debug, PartialEq)]
pub struct TopicPermission {
    pub vhost: Arc<str>,
    pub user: Arc<str>,
    pub exchange: Arc<str>,
    pub write: Arc<str>,
    pub read: Arc<str>,
}

/// A setting of the whole broker that it keeps for its clients and does not read.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalParameter {
    pub name: Arc<str>,
    /// JSON.
    pub value: Arc<str>,
}

impl Exchange {
    /// The alternate exchange that `arguments` name. Octets that are not UTF-8 name none.
    pub(super) fn alternate_in(arguments: &Table) -> Option<Arc<str>> {
        arguments.get("alternate-exchange").and_then(Value::as_str).map(Into::into)
    }
    /// The default exchange is shown as `amq.default` where a name is needed (behaviour A55).
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() {
            "amq.default"
        } else {
            &self.name
        }
    }
}

impl BindingTarget {
    /// The queue's or exchange's name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            BindingTarget::Queue(name) | BindingTarget::Exchange(name) => name,
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
