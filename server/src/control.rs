//! How the management thread talks to the shards: plain requests and answers, nothing shared.
//!
//! The runtime implements the shards' side; management only sends. Times are wall clock
//! milliseconds. Everything here is data for listings.

use std::sync::Arc;

use haremq_engine::ids::{ConnectionId, QueueId};
use haremq_engine::topology::{
    Binding, BindingTarget, Change, Exchange, Queue, Topology, TopologyError, TopologyOutcome,
    TopologyRequest,
};
use tokio::sync::oneshot;

use crate::latency::Latencies;

/// One request to one shard, with the way back.
#[derive(Debug)]
pub enum ControlRequest {
    /// To shard 0: change the topology; answered when every shard routes by it.
    Topology {
        request: TopologyRequest,
        reply: oneshot::Sender<Result<TopologyOutcome, TopologyError>>,
    },
    /// To any shard: a copy of that part of its replica of the definitions.
    Definitions {
        wanted: Wanted,
        reply: oneshot::Sender<Definitions>,
    },
    /// To each shard: its queues' numbers.
    Queues {
        reply: oneshot::Sender<Vec<QueueReport>>,
    },
    /// To the queue's owner.
    Queue {
        queue: QueueId,
        reply: oneshot::Sender<Option<QueueReport>>,
    },
    Connections {
        reply: oneshot::Sender<Vec<ConnectionReport>>,
    },
    Channels {
        reply: oneshot::Sender<Vec<ChannelReport>>,
    },
    Consumers {
        reply: oneshot::Sender<Vec<ConsumerReport>>,
    },
    /// To the shard of the connection: close with 320 and that reason. False: no such connection.
    CloseConnection {
        connection: ConnectionId,
        reason: Arc<str>,
        reply: oneshot::Sender<bool>,
    },
    /// To the shard of the connection: whom it concerns may hold another number of unsettled
    /// deliveries from now on (0: any number). False: there is no such channel or consumer.
    SetPrefetch {
        connection: ConnectionId,
        channel: u16,
        whose: PrefetchOf,
        prefetch: u16,
        reply: oneshot::Sender<bool>,
    },
    /// To the queue's owner. `None`: no such queue; else messages dropped.
    PurgeQueue {
        queue: QueueId,
        reply: oneshot::Sender<Option<u64>>,
    },
    /// To the queue's owner.
    DeleteQueue {
        queue: QueueId,
        if_unused: bool,
        if_empty: bool,
        reply: oneshot::Sender<Result<u64, haremq_engine::queue::QueueError>>,
    },
    Status {
        reply: oneshot::Sender<ShardReport>,
    },
    /// To each shard: how long things take there.
    Latencies {
        reply: oneshot::Sender<Box<Latencies>>,
    },
}

/// Whose prefetch is changed while it consumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefetchOf {
    /// One consumer of the channel, by its tag.
    Consumer(Arc<str>),
    /// Each consumer of the channel, those to come included.
    EachConsumer,
    /// The channel, over all of its consumers.
    Channel,
}

/// Which definitions are asked for. A copy costs the shard time in proportion to its size.
#[derive(Clone, Debug)]
pub enum Wanted {
    Everything,
    /// Nothing that clients declare.
    Accounts,
    /// Without a vhost: of all.
    Queues {
        vhost: Option<Arc<str>>,
    },
    Queue {
        vhost: Arc<str>,
        name: Arc<str>,
    },
    Exchanges {
        vhost: Option<Arc<str>>,
    },
    Exchange {
        vhost: Arc<str>,
        name: Arc<str>,
    },
    Bindings {
        vhost: Option<Arc<str>>,
    },
    BindingsFrom {
        vhost: Arc<str>,
        exchange: Arc<str>,
    },
    BindingsTo {
        vhost: Arc<str>,
        target: BindingTarget,
    },
}

/// What was wanted; the rest is empty.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// See [`Topology::accounts`].
    pub accounts: Vec<Change>,
    pub exchanges: Vec<Exchange>,
    pub queues: Vec<Arc<Queue>>,
    /// Includes the implicit ones.
    pub bindings: Vec<Binding>,
}

impl Definitions {
    /// Copies what is wanted of a replica.
    pub fn of(topology: &Topology, wanted: &Wanted) -> Self {
        let mut copy = Definitions::default();
        let vhosts = |one: &Option<Arc<str>>| match one {
            Some(vhost) => vec![vhost.clone()],
            None => topology.vhosts().map(|vhost| vhost.name.clone()).collect::<Vec<_>>(),
        };
        match wanted {
            Wanted::Everything => {
                copy.accounts = topology.accounts();
                for vhost in vhosts(&None) {
                    copy.exchanges.extend(topology.exchanges(&vhost).cloned());
                    copy.queues.extend(topology.queues(&vhost).cloned());
                    copy.bindings.extend(topology.bindings(&vhost));
                }
            }
            Wanted::Accounts => copy.accounts = topology.accounts(),
            Wanted::Queues { vhost } => {
                for vhost in vhosts(vhost) {
                    copy.queues.extend(topology.queues(&vhost).cloned());
                }
            }
            Wanted::Queue { vhost, name } => {
                copy.queues.extend(topology.queue(vhost, name).cloned())
            }
            Wanted::Exchanges { vhost } => {
                for vhost in vhosts(vhost) {
                    copy.exchanges.extend(topology.exchanges(&vhost).cloned());
                }
            }
            Wanted::Exchange { vhost, name } => {
                copy.exchanges.extend(topology.exchange(vhost, name).cloned());
            }
            Wanted::Bindings { vhost } => {
                for vhost in vhosts(vhost) {
                    copy.bindings.extend(topology.bindings(&vhost));
                }
            }
            Wanted::BindingsFrom { vhost, exchange } => {
                copy.bindings = topology.bindings_from(vhost, exchange);
            }
            Wanted::BindingsTo { vhost, target } => {
                copy.bindings = topology.bindings_to(vhost, target);
            }
        }
        copy
    }
}

#[derive(Clone, Debug)]
pub struct QueueReport {
    pub id: QueueId,
    pub messages_ready: u64,
    pub messages_unacknowledged: u64,
    pub consumers: u64,
    pub message_bytes: u64,
    pub publishes: u64,
    pub deliveries: u64,
    pub acks: u64,
}

#[derive(Clone, Debug)]
pub struct ConnectionReport {
    pub id: ConnectionId,
    /// `127.0.0.1:50168 -> 127.0.0.1:5672`
    pub name: String,
    pub user: Arc<str>,
    pub vhost: Arc<str>,
    /// `starting`, `tuning`, `opening`, `running`, `blocking`, `blocked`, `closing`, `closed`
    pub state: &'static str,
    pub peer_host: String,
    pub peer_port: u16,
    pub host: String,
    pub port: u16,
    pub channels: u32,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat_s: u16,
    pub connected_at_unix_ms: u64,
    pub client_properties: haremq_engine::table::Table,
    pub auth_mechanism: &'static str,
    /// `None`: without TLS.
    pub tls: Option<TlsReport>,
    pub recv_oct: u64,
    pub send_oct: u64,
    pub recv_cnt: u64,
    pub send_cnt: u64,
}

impl ConnectionReport {
    /// What the client calls this connection: `connection_name` of its properties, where that is
    /// text (behaviour A6).
    pub fn name_given_by_client(&self) -> Option<&str> {
        self.client_properties.get("connection_name")?.as_str()
    }
}

/// What TLS has agreed upon, by RabbitMQ's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// `tlsv1.3`
    pub protocol: &'static str,
    /// `ecdhe_rsa`; `any` where the cipher suite does not say
    pub key_exchange: &'static str,
    /// `aes_256_gcm`
    pub cipher: &'static str,
    /// `aead`
    pub hash: &'static str,
    /// `None`: the client has shown no certificate.
    pub certificate: Option<CertificateReport>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// Distinguished name, as RFC 4514 writes it.
    pub subject: String,
    pub issuer: String,
    /// `2026-01-31T12:00:00Z - 2027-01-31T12:00:00Z`
    pub validity: String,
}

#[derive(Clone, Debug)]
pub struct ChannelReport {
    pub connection: ConnectionId,
    pub connection_name: String,
    pub number: u16,
    pub user: Arc<str>,
    pub vhost: Arc<str>,
    pub consumer_count: u64,
    pub messages_unacknowledged: u64,
    pub messages_unconfirmed: u64,
    pub messages_uncommitted: u64,
    pub acks_uncommitted: u64,
    pub prefetch_count: u32,
    pub global_prefetch_count: u32,
    pub confirm: bool,
    pub transactional: bool,
    pub state: &'static str,
}

#[derive(Clone, Debug)]
pub struct ConsumerReport {
    pub vhost: Arc<str>,
    pub queue: Arc<str>,
    pub connection: ConnectionId,
    pub channel: u16,
    pub consumer_tag: Arc<str>,
    pub ack_required: bool,
    pub exclusive: bool,
    pub prefetch_count: u32,
    pub active: bool,
    /// Its queue serves one consumer at a time.
    pub single_active: bool,
    pub arguments: haremq_engine::table::Table,
}

impl ConsumerReport {
    /// In the words of listings.
    pub fn activity_status(&self) -> &'static str {
        match (self.active, self.single_active) {
            (true, true) => "single_active",
            (true, false) => "up",
            (false, _) => "waiting",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ShardReport {
    pub connections: u64,
    /// Connections that came from other shards, following their messages, since the start.
    pub arrivals: u64,
    pub queues: u64,
    /// Octets of segment files.
    pub disk_bytes: u64,
    /// Octets of records in them that are wanted.
    pub live_bytes: u64,
    /// Octets of records copied out of sparse segments since the start.
    pub copied_bytes: u64,
    /// Segments that hold something wanted, and the one written to.
    pub segments: u64,
    /// There is no room on the disk for another segment file.
    pub is_out_of_space: bool,
    /// Octets of messages kept in memory.
    pub memory_bytes: u64,
    /// Octets of memory that queues take to know where their messages are.
    pub index_bytes: u64,
    /// Octets of it that are in the shard's scratch file, and octets that the file takes.
    pub index_paged_bytes: u64,
    pub index_file_bytes: u64,
    /// How often the file has taken nothing more.
    pub index_refusals: u64,
    /// Why publishers are being held back, as connection.blocked says it. `None`: they are not.
    pub blocked: Option<&'static str>,
}

/// Facts that do not change while the broker runs.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// `haremq@host`
    pub node: String,
    pub shards: u16,
    pub data_dir: String,
    pub config_file: Option<String>,
    pub listeners: Vec<std::net::SocketAddr>,
    /// Those with TLS.
    pub ssl_listeners: Vec<std::net::SocketAddr>,
    pub management: Option<std::net::SocketAddr>,
    pub started_unix_ms: u64,
}

/// A shard does not answer: it is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker is stopping")]
pub struct Stopping;

/// A shard's mailbox for control requests. Made by the runtime.
pub trait ControlPort: Send + Sync {
    fn send(&self, request: ControlRequest) -> Result<(), Stopping>;
}

/// All shards' mailboxes, in shard order.
#[derive(Clone)]
pub struct Control {
    pub ports: Arc<[Box<dyn ControlPort>]>,
    pub facts: Arc<NodeFacts>,
}
