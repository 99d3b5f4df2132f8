//! What all channels of a connection share: who is logged in where, what may be done, the output.

use std::sync::Arc;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use haremq_engine::access::{Access, Right};
use haremq_engine::ids::{ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{Command, Delivery, DeliveryTo, Outcome};
use haremq_engine::topology::{ExchangeKind, Queue, TopologyError};

use super::broker::Broker;
use super::drift::Drift;
use super::error::ProtocolError;
use super::output::Output;
use super::settings::ConnectionSettings;

/// A delivery that found nobody; it goes back to its queue at the end of the turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orphan {
    /// The shard it came from.
    pub(crate) shard: ShardId,
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
    pub(crate) consumer: Option<ConsumerKey>,
    /// The owner has settled it already.
    pub(crate) no_ack: bool,
    /// What it took of the delivery window.
    pub(crate) octets: u64,
    /// Its body would be read by the shard under that number.
    pub(crate) reading: Option<u64>,
}

impl Orphan {
    /// Of a delivery whose body came with it.
    pub(crate) fn of(shard: ShardId, delivery: &Delivery<'_>) -> Orphan {
        let (consumer, no_ack) = match delivery.to {
            DeliveryTo::Consumer { consumer, no_ack } => (Some(consumer), no_ack),
            DeliveryTo::Get { no_ack, .. } => (None, no_ack),
        };
        let (queue, seq, octets) = (delivery.queue, delivery.seq, delivery.window_bytes());
        Orphan { shard, queue, seq, consumer, no_ack, octets, reading: None }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Arc<ConnectionSettings>,
    pub(crate) id: ConnectionId,
    pub(crate) user: Arc<str>,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) vhost: Arc<str>,
    pub(crate) output: Output,
    /// Largest payload of a frame, as negotiated.
    pub(crate) payload_max: u32,
    /// Client capabilities.
    pub(crate) cancel_notify: bool,
    pub(crate) blocked_notify: bool,
    /// A transaction has got longer in this turn.
    pub(crate) gathers: bool,
    /// Channels with confirms to be sent at the end of the turn.
    pub(crate) confirming: Vec<u16>,
    pub(crate) orphans: Vec<Orphan>,
    /// An exchange whose alternate exchange is named and was looked for in this turn; by its place
    /// in the topology.
    pub(crate) missing_alternate: Option<u32>,
    /// Where its messages go.
    pub(crate) drift: Drift,
    /// Shards that hold consumers of this connection, or answer its gets.
    pub(crate) asked: Vec<ShardId>,
    /// It has asked for a queue that dies with it.
    pub(crate) owns_queues: bool,
    /// When deliveries are next looked through for those that wait too long for their
    /// acknowledgement, in monotonic microseconds.
    pub(crate) ack_check_us: u64,
    access: Option<Arc<Access>>,
    /// Version of the topology that `access` was taken from.
    access_version: Option<u64>,
    next_consumer: u32,
    next_incarnation: u32,
}

impl Session {
    pub(crate) fn new(settings: Arc<ConnectionSettings>, id: ConnectionId) -> Self {
        Session {
            settings,
            id,
            user: Arc::from(""),
            tags: Vec::new(),
            vhost: Arc::from(""),
            output: Output::default(),
            payload_max: 0,
            cancel_notify: false,
            blocked_notify: false,
            missing_alternate: None,
            gathers: false,
            confirming: Vec::new(),
            orphans: Vec::new(),
            drift: Drift::new(id.shard()),
            asked: Vec::new(),
            owns_queues: false,
            ack_check_us: 0,
            access: None,
            access_version: None,
            next_consumer: 0,
            next_incarnation: 0,
        }
    }

    /// Never 0, so that 0 can stand for "no consumer" in compact records.
    pub(crate) fn next_consumer(&mut self) -> u32 {
        self.next_consumer += 1;
        self.next_consumer
    }

    pub(crate) fn next_incarnation(&mut self) -> u32 {
        self.next_incarnation += 1;
        self.next_incarnation
    }

    /// Notes down that a shard must hear of the end of the connection.
    pub(crate) fn asks(&mut self, shard: ShardId) {
        if !self.asked.contains(&shard) {
            self.asked.push(shard);
        }
    }

    /// Whether the user may do that to a queue or exchange (behaviour A115-A117). An empty
    /// exchange name is the default exchange.
    pub(crate) fn permit<B: Broker>(
        &mut self,
        broker: &B,
        right: Right,
        what: &'static str,
        name: &str,
    ) -> Result<(), ProtocolError> {
        let topology = broker.topology();
        if self.access_version != Some(topology.version()) {
            self.access = topology.access(&self.vhost, &self.user);
            self.access_version = Some(topology.version());
        }
        let name = if name.is_empty() { "amq.default" } else { name };
        match &self.access {
            Some(access) if access.allows(right, name) => Ok(()),
            _ => Err(ProtocolError::AccessRefused {
                what,
                name: name.into(),
                vhost: self.vhost.clone(),
                user: self.user.clone(),
            }),
        }
    }

    /// Whether the user may publish to that exchange with these keys, or bind to it by them, where
    /// it is a topic exchange and the user has a topic permission for it (behaviour A119). All
    /// keys of a message must be allowed, those in its headers too.
    pub(crate) fn permit_topics<B: Broker>(
        &self,
        broker: &B,
        right: Right,
        exchange: &str,
        keys: &[&[u8]],
    ) -> Result<(), ProtocolError> {
        let topology = broker.topology();
        let Some(access) = topology.topic_access(&self.vhost, &self.user, exchange) else {
            return Ok(());
        };
        let found = topology.exchange(&self.vhost, exchange);
        if found.is_none_or(|exchange| exchange.kind != ExchangeKind::Topic) {
            return Ok(());
        }
        for key in keys {
            let key = String::from_utf8_lossy(key);
            let allowed = match right {
                Right::Read => access.may_read(&key),
                Right::Configure | Right::Write => access.may_write(&key),
            };
            if !allowed {
                return Err(ProtocolError::TopicRefused {
                    key: key.into_owned(),
                    exchange: exchange.into(),
                    vhost: self.vhost.clone(),
                    user: self.user.clone(),
                });
            }
        }
        Ok(())
    }

    /// A queue that this connection may use: it exists, and is not another one's exclusive
    /// (behaviour A67).
    pub(crate) fn usable_queue<B: Broker>(
        &self,
        broker: &B,
        name: &str,
    ) -> Result<Arc<Queue>, ProtocolError> {
        let vhost = &self.vhost;
        let queue = broker
            .topology()
            .queue(vhost, name)
            .ok_or_else(|| TopologyError::NoQueue { vhost: vhost.clone(), name: name.into() })?;
        match queue.exclusive_to {
            Some(owner) if owner != self.id => {
                Err(TopologyError::Locked { vhost: vhost.clone(), name: name.into() }.into())
            }
            _ => Ok(queue.clone()),
        }
    }

    /// Sends deliveries back that came too late.
    pub(crate) fn return_orphans<B: Broker>(&mut self, broker: &mut B) {
        for orphan in std::mem::take(&mut self.orphans) {
            let window = Command::Window { connection: self.id, bytes: orphan.octets };
            broker.command(orphan.shard, window);
            if let Some(reading) = orphan.reading {
                broker.command(orphan.shard, Command::EndReading { reading });
            }
            if !orphan.no_ack {
                broker.command(
                    orphan.shard,
                    Command::Settle {
                        queue: orphan.queue,
                        seq: orphan.seq,
                        consumer: orphan.consumer,
                        outcome: Outcome::Requeue,
                    },
                );
            }
        }
    }
}

/// `amq.gen-` and the like: the prefix and 22 url-safe characters that nobody can guess
/// (behaviour A70, A88).
pub(crate) fn generated_name<B: Broker>(prefix: &str, broker: &mut B) -> String {
    let mut name = String::with_capacity(prefix.len() + 22);
    name.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(broker.random(), &mut name);
    name
}
