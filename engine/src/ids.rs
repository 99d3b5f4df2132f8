//! Names of things that cross module and shard borders. Plain values; nothing here owns anything.

use std::fmt;

/// A shard: one core, one thread, one log. Shard 0 is also the one writer of the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard that validates, logs and publishes every topology change.
    pub const TOPOLOGY_WRITER: ShardId = ShardId(0);
}

/// A queue, for ever: assigned once by the topology writer and never given to another queue, so
/// a record in the log that names a deleted queue is dead without further proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// No queue of the topology has so high a number.
const VALUES_BIT: u64 = 1 << 63;

impl QueueId {
    /// The internal queue in shard 0's log whose live messages are the durable definitions.
    pub const DEFINITIONS: QueueId = QueueId(0);
    /// The internal queue of every shard's log whose live messages are the transactions that this
    /// shard has decided and that are not known to be carried out everywhere.
    pub const TRANSACTIONS: QueueId = QueueId(u64::MAX);

    /// The internal queue of every shard's log whose live references say which messages of
    /// transactions decided by `coordinator` are here already.
    pub const fn carried_out_for(coordinator: ShardId) -> QueueId {
        QueueId(u64::MAX - 1 - coordinator.0 as u64)
    }

    /// The internal queue of every shard's log whose live messages have the long bodies of
    /// transactions that this shard has decided.
    pub const TRANSACTION_BODIES: QueueId = QueueId(u64::MAX - 2 - u16::MAX as u64);

    /// The internal queue of values that the exchange of `store` has seen (behaviour C13): `store`
    /// with its highest bit set.
    pub const fn values_of(store: QueueId) -> QueueId {
        QueueId(store.0 | VALUES_BIT)
    }

    /// Whose values they are.
    pub const fn store_of_values(self) -> QueueId {
        QueueId(self.0 & !VALUES_BIT)
    }

    /// True for internal queues of values.
    pub const fn is_of_values(self) -> bool {
        self.0 & VALUES_BIT != 0 && !self.is_of_transactions()
    }

    /// True for internal queues of transactions: no queue of the topology gets such an id.
    pub const fn is_of_transactions(self) -> bool {
        self.0 >= QueueId::TRANSACTION_BODIES.0
    }
}

/// A client connection. Unique while the broker runs; carries the shard it lives on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// `serial` counts connections of the whole broker process; 48 bits are kept.
    pub const fn new(shard: ShardId, serial: u64) -> Self {
        ConnectionId(((shard.0 as u64) << 48) | (serial & 0xffff_ffff_ffff))
    }
    /// The shard whose thread owns the connection's socket and state.
    pub const fn shard(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }
    /// The process-wide serial number.
    pub const fn serial(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}@{}", self.serial(), self.shard().0)
    }
}

/// A channel of a connection: where answers to a channel's requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    pub connection: ConnectionId,
    pub channel: u16,
    /// Distinguishes successive openings of the same channel number, so that an answer meant for
    /// a closed channel is never taken for one of its successor.
    pub incarnation: u32,
}

/// A consumer. `serial` is unique within its connection, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerKey {
    pub connection: ConnectionId,
    pub channel: u16,
    pub serial: u32,
}

/// Place of a message in its queue: assigned at enqueue, strictly growing, never reused. Order
/// by `Seq` is queue order; a requeued message keeps its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// Where and for how long: one of these shards owns the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub queue: QueueId,
    pub shard: ShardId,
}
