//! A broker without shards, for tests: a real topology, made-up queues, connections and consumers,
//! behind a real management port on a free port.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use haremq_engine::access::{hash_password, PasswordHashing};
use haremq_engine::ids::{ConnectionId, QueueId, ShardId};
use haremq_engine::queue::QueueError;
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{
    Change, Permission, Queue, Topology, TopologyError, TopologyOutcome, TopologyRequest, User,
    UserLimits,
};
use tokio::sync::oneshot;

use super::token::OperatorToken;
use crate::control::{
    ChannelReport, ConnectionReport, ConsumerReport, Control, ControlPort, ControlRequest,
    Definitions, NodeFacts, PrefetchOf, QueueReport, ShardReport, Stopping, Wanted,
};
use crate::latency::Latencies;

/// Shards that the broker pretends to have.
const SHARDS: u16 = 2;

/// What the pretended shards know.
pub(crate) struct World {
    pub(crate) topology: Topology,
    pub(crate) queues: Vec<QueueReport>,
    pub(crate) connections: Vec<ConnectionReport>,
    pub(crate) channels: Vec<ChannelReport>,
    pub(crate) consumers: Vec<ConsumerReport>,
    /// Connections that were closed, and why.
    pub(crate) closed: Vec<(ConnectionId, String)>,
    /// Prefetches that were changed: channel, whose, to what.
    pub(crate) prefetches: Vec<(u16, PrefetchOf, u16)>,
    /// Copies of the definitions that were asked for.
    pub(crate) definitions_asked: usize,
    /// Of those, the ones of everything there is, or of everything of a kind.
    pub(crate) whole_copies: usize,
    /// Why publishers are held back.
    pub(crate) blocked: Option<&'static str>,
    next_queue: u64,
}

/// The broker; stops when dropped.
pub(crate) struct FakeBroker {
    pub(crate) address: SocketAddr,
    pub(crate) token: OperatorToken,
    world: Arc<Mutex<World>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

struct FakeShard {
    shard: ShardId,
    world: Arc<Mutex<World>>,
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeBroker {
    /// With what a fresh start has: vhost `/`, user guest.
    pub(crate) fn start() -> Self {
        let mut topology = Topology::new();
        for change in Topology::first_boot(hash_password([1, 2, 3, 4], b"guest").into()) {
            topology.apply(&change);
        }
        let world = Arc::new(Mutex::new(World {
            topology,
            queues: Vec::new(),
            connections: Vec::new(),
            channels: Vec::new(),
            consumers: Vec::new(),
            closed: Vec::new(),
            prefetches: Vec::new(),
            definitions_asked: 0,
            whole_copies: 0,
            blocked: None,
            next_queue: 1,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its number");
        let ports = (0..SHARDS).map(|shard| {
            let world = Arc::clone(&world);
            Box::new(FakeShard { shard: ShardId(shard), world }) as Box<dyn ControlPort>
        });
        let control = Control { ports: ports.collect(), facts: Arc::new(facts(address)) };
        let token = OperatorToken::random().expect("random octets");
        let (stop, stopped) = oneshot::channel();
        let own = token.clone();
        let thread = std::thread::spawn(move || super::run(control, listener, own, stopped));
        FakeBroker { address, token, world, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Stops the port and waits until it has.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("management thread").expect("management port");
        }
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn facts(management: SocketAddr) -> NodeFacts {
    NodeFacts {
        node: "haremq@localhost".to_owned(),
        shards: SHARDS,
        data_dir: "/".to_owned(),
        config_file: None,
        listeners: vec![SocketAddr::from(([127, 0, 0, 1], 5672))],
        ssl_listeners: Vec::new(),
        management: Some(management),
        started_unix_ms: 1_795_344_891_000,
    }
}

impl World {
    /// A user with a password, tags, and permissions on `/` if patterns are given.
    pub(crate) fn add_user(&mut self, name: &str, tags: &[&str], patterns: Option<[&str; 3]>) {
        self.topology.apply(&Change::PutUser(User {
            name: name.into(),
            password_hash: hash_password([9; 4], b"p").into(),
            hashing: PasswordHashing::default(),
            limits: UserLimits::default(),
            tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
        }));
        if let Some([configure, write, read]) = patterns {
            self.topology.apply(&Change::PutPermission(Permission {
                vhost: "/".into(),
                user: name.into(),
                configure: configure.into(),
                write: write.into(),
                read: read.into(),
            }));
        }
    }

    /// A durable queue in `/` with that many ready and unacknowledged messages.
    pub(crate) fn add_queue(&mut self, name: &str, arguments: Table, counts: [u64; 2]) -> QueueId {
        let id = QueueId(self.next_queue);
        self.next_queue += 1;
        let queue = Queue {
            id,
            vhost: "/".into(),
            name: name.into(),
            durable: true,
            auto_delete: false,
            exclusive_to: None,
            arguments: Arc::new(arguments),
            owner: ShardId(1),
        };
        self.topology.apply(&Change::PutQueue(queue.into()));
        self.queues.push(report(id, counts));
        id
    }

    /// A connection of that user on the second shard, with one channel.
    pub(crate) fn add_connection(&mut self, serial: u64, user: &str) -> ConnectionId {
        let id = ConnectionId::new(ShardId(1), serial);
        let name = "127.0.0.1:50168 -> 127.0.0.1:5672".to_owned();
        self.channels.push(ChannelReport {
            connection: id,
            connection_name: name.clone(),
            number: 1,
            user: user.into(),
            vhost: "/".into(),
            consumer_count: 1,
            messages_unacknowledged: 0,
            messages_unconfirmed: 0,
            messages_uncommitted: 0,
            acks_uncommitted: 0,
            prefetch_count: 7,
            global_prefetch_count: 0,
            confirm: true,
            transactional: false,
            state: "running",
        });
        let product = ("product".into(), Value::Bytes((*b"pika").into()));
        self.connections.push(ConnectionReport {
            id,
            name,
            user: user.into(),
            vhost: "/".into(),
            state: "running",
            peer_host: "127.0.0.1".to_owned(),
            peer_port: 50168,
            host: "127.0.0.1".to_owned(),
            port: 5672,
            channels: 1,
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat_s: 60,
            connected_at_unix_ms: 1_795_354_286_548,
            client_properties: Table(vec![product]),
            auth_mechanism: "PLAIN",
            tls: None,
            recv_oct: 1298,
            send_oct: 1070,
            recv_cnt: 25,
            send_cnt: 21,
        });
        id
    }

    /// A consumer of that connection's channel 1.
    pub(crate) fn add_consumer(&mut self, queue: QueueId, connection: ConnectionId) {
        let known = self.topology.queue_by_id(queue).expect("a queue that exists");
        self.consumers.push(ConsumerReport {
            vhost: known.vhost.clone(),
            queue: known.name.clone(),
            connection,
            channel: 1,
            consumer_tag: "ct1".into(),
            ack_required: true,
            exclusive: false,
            prefetch_count: 7,
            active: true,
            single_active: false,
            arguments: Table::default(),
        });
        if let Some(report) = self.queues.iter_mut().find(|report| report.id == queue) {
            report.consumers += 1;
        }
    }

    fn definitions(&mut self, wanted: &Wanted) -> Definitions {
        self.definitions_asked += 1;
        let whole =
            !matches!(wanted, Wanted::Accounts | Wanted::Queue { .. } | Wanted::Exchange { .. });
        self.whole_copies += usize::from(whole);
        Definitions::of(&self.topology, wanted)
    }

    fn change(&mut self, request: &TopologyRequest) -> Result<TopologyOutcome, TopologyError> {
        let id = QueueId(self.next_queue);
        let decision = self.topology.decide(request, ShardId(1), id)?;
        for change in &decision.changes {
            self.topology.apply(change);
        }
        if let TopologyOutcome::Queue { created: true, .. } = decision.outcome {
            self.next_queue += 1;
            self.queues.push(report(id, [0, 0]));
        }
        Ok(decision.outcome)
    }

    fn purge(&mut self, queue: QueueId) -> Option<u64> {
        let report = self.queues.iter_mut().find(|report| report.id == queue)?;
        Some(std::mem::take(&mut report.messages_ready))
    }

    fn delete(
        &mut self,
        queue: QueueId,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, QueueError> {
        let report = self.queues.iter().find(|report| report.id == queue);
        let report = report.ok_or(QueueError::NoQueue)?;
        if if_unused && report.consumers > 0 {
            return Err(QueueError::InUse);
        }
        if if_empty && report.messages_ready > 0 {
            return Err(QueueError::NotEmpty);
        }
        let messages = report.messages_ready;
        self.queues.retain(|report| report.id != queue);
        self.change(&TopologyRequest::DropQueue { id: queue }).expect("always possible");
        Ok(messages)
    }

    fn close(&mut self, connection: ConnectionId, reason: &str) -> bool {
        let before = self.connections.len();
        self.connections.retain(|report| report.id != connection);
        self.channels.retain(|report| report.connection != connection);
        self.consumers.retain(|report| report.connection != connection);
        let found = self.connections.len() < before;
        if found {
            self.closed.push((connection, reason.to_owned()));
        }
        found
    }
}

fn report(id: QueueId, [ready, unacknowledged]: [u64; 2]) -> QueueReport {
    QueueReport {
        id,
        messages_ready: ready,
        messages_unacknowledged: unacknowledged,
        consumers: 0,
        message_bytes: 10 * (ready + unacknowledged),
        publishes: ready + unacknowledged,
        deliveries: unacknowledged,
        acks: 0,
    }
}

impl ControlPort for FakeShard {
    fn send(&self, request: ControlRequest) -> Result<(), Stopping> {
        let mut world = lock(&self.world);
        // Everything but the topology lives on the second shard.
        let owns = self.shard == ShardId(1);
        fn listed<T: Clone>(owns: bool, all: &[T]) -> Vec<T> {
            if owns {
                all.to_vec()
            } else {
                Vec::new()
            }
        }
        // An asker that has gone needs no answer.
        match request {
            ControlRequest::Topology { request, reply } => {
                assert_eq!(self.shard, ShardId::TOPOLOGY_WRITER, "only the writer decides");
                let _ = reply.send(world.change(&request));
            }
            ControlRequest::Definitions { wanted, reply } => {
                let _ = reply.send(world.definitions(&wanted));
            }
            ControlRequest::Queue { queue, reply } => {
                assert!(owns, "asked the wrong shard");
                let report = world.queues.iter().find(|report| report.id == queue);
                let _ = reply.send(report.cloned());
            }
            ControlRequest::Queues { reply } => drop(reply.send(listed(owns, &world.queues))),
            ControlRequest::Connections { reply } => {
                let _ = reply.send(listed(owns, &world.connections));
            }
            ControlRequest::Channels { reply } => drop(reply.send(listed(owns, &world.channels))),
            ControlRequest::Consumers { reply } => {
                let _ = reply.send(listed(owns, &world.consumers));
            }
            ControlRequest::CloseConnection { connection, reason, reply } => {
                let _ = reply.send(owns && world.close(connection, &reason));
            }
            ControlRequest::SetPrefetch { connection, channel, whose, prefetch, reply } => {
                let is_there = listed(owns, &world.channels)
                    .iter()
                    .any(|one| one.connection == connection && one.number == channel);
                world.prefetches.push((channel, whose, prefetch));
                let _ = reply.send(is_there);
            }
            ControlRequest::PurgeQueue { queue, reply } => {
                assert!(owns, "asked the wrong shard");
                let _ = reply.send(world.purge(queue));
            }
            ControlRequest::DeleteQueue { queue, if_unused, if_empty, reply } => {
                assert!(owns, "asked the wrong shard");
                let _ = reply.send(world.delete(queue, if_unused, if_empty));
            }
            ControlRequest::Latencies { reply } => {
                let mut latencies = Latencies::new();
                latencies.commit.saturating_record_n(100, 9);
                latencies.commit.saturating_record(5_000);
                let _ = reply.send(Box::new(latencies));
            }
            ControlRequest::Status { reply } => {
                let _ = reply.send(ShardReport {
                    connections: listed(owns, &world.connections).len() as u64,
                    arrivals: 3,
                    queues: listed(owns, &world.queues).len() as u64,
                    disk_bytes: 50_000_000,
                    live_bytes: 20_000_000,
                    copied_bytes: 4_000_000,
                    segments: 2,
                    is_out_of_space: false,
                    memory_bytes: 1_000,
                    index_bytes: 500,
                    index_paged_bytes: 300,
                    index_file_bytes: 4096,
                    index_refusals: 0,
                    blocked: world.blocked,
                });
            }
        }
        Ok(())
    }
}
