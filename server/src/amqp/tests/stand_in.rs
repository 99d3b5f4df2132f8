//! A stand-in for all shards: the real topology, and queues that are the simplest thing that can
//! be right. Everything is answered at once, but only when the world turns.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{
    BodyPart, Command, Consume, Credit, DeliveryTo, Notice, Outcome, Publish, Requester,
};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::queue::QueueError;
use haremq_engine::topology::{Change, Topology, TopologyError, TopologyOutcome, TopologyRequest};

use super::sent::{Message, Sent};
use crate::amqp::broker::Broker;
use crate::amqp::{Counted, Population};

#[derive(Debug)]
struct Consumer {
    consume: Consume,
    held: u32,
    granted: u32,
    asked: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) ready: BTreeMap<u64, Message>,
    pub(super) unacked: BTreeMap<u64, Message>,
    consumers: VecDeque<Consumer>,
    next_seq: u64,
    had_consumers: bool,
}

/// Something for a connection.
#[derive(Clone, Debug)]
pub(super) enum Mail {
    Notice(Notice),
    Delivery(Sent),
}

#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) topology: Topology,
    pub(super) now: Now,
    pub(super) queues: BTreeMap<QueueId, Queue>,
    pub(super) mail: VecDeque<Mail>,
    pub(super) blocked: Option<&'static str>,
    pub(super) is_disk_short: bool,
    /// Parts of long bodies that have been handed over, by shard and channel.
    pub(super) bodies: BTreeMap<(u16, u64, u16), Vec<Vec<u8>>>,
    /// Bodies that wait for a commit, and whether they are whole.
    pub(super) held_bodies: HashMap<ChannelKey, Vec<(Vec<u8>, bool)>>,
    /// Octets of bodies that have come in part, of all connections.
    pub(super) gathered: usize,
    /// Confirms are kept back until asked for.
    pub(super) hold_confirms: bool,
    pub(super) held_confirms: Vec<Notice>,
    /// Queues that refuse publishes.
    pub(super) refusing: Vec<QueueId>,
    /// Octets of window under way, by connection and shard.
    pub(super) windows: BTreeMap<(u64, u16), i64>,
    pub(super) forgotten: Vec<(ConnectionId, ShardId)>,
    /// Bodies of which a piece has been asked for, and those that nobody takes.
    pub(super) wanted_pieces: Vec<u64>,
    pub(super) ended_readings: Vec<u64>,
    /// Every publish: shard, number of queues.
    pub(super) published: Vec<(ShardId, usize)>,
    pub(super) settles: Vec<(Seq, Option<ConsumerKey>, Outcome)>,
    /// Connections follow their messages to other shards.
    pub(super) moves: bool,
    pub(super) population: Population,
    next_queue: u64,
    random: u8,
}

impl StandIn {
    pub(super) fn new() -> Self {
        let mut topology = Topology::new();
        let hash = haremq_engine::access::hash_password([1, 2, 3, 4], b"guest");
        Topology::first_boot(hash.into()).iter().for_each(|change| topology.apply(change));
        StandIn {
            topology,
            now: Now { unix_ms: 1_700_000_000_000, monotonic_us: 1_000_000 },
            queues: BTreeMap::new(),
            mail: VecDeque::new(),
            blocked: None,
            is_disk_short: false,
            bodies: BTreeMap::new(),
            held_bodies: HashMap::new(),
            gathered: 0,
            hold_confirms: false,
            held_confirms: Vec::new(),
            refusing: Vec::new(),
            windows: BTreeMap::new(),
            forgotten: Vec::new(),
            wanted_pieces: Vec::new(),
            ended_readings: Vec::new(),
            published: Vec::new(),
            settles: Vec::new(),
            moves: true,
            population: Population::default(),
            next_queue: 0,
            random: 0,
        }
    }

    /// Decides and applies at once; queues go to two shards in turn.
    pub(super) fn decide(
        &mut self,
        request: &TopologyRequest,
    ) -> Result<TopologyOutcome, TopologyError> {
        let id = self.next_queue + 1;
        let decision = self.topology.decide(request, ShardId((id % 2) as u16), QueueId(id))?;
        for change in &decision.changes {
            if let Change::PutQueue(queue) = change {
                self.next_queue = queue.id.0;
                self.queues.insert(queue.id, Queue::default());
            }
            if let Change::DropQueue { id } = change {
                self.drop_consumers(*id);
            }
            self.topology.apply(change);
        }
        Ok(decision.outcome)
    }

    fn drop_consumers(&mut self, id: QueueId) {
        for consumer in self.queues.remove(&id).into_iter().flat_map(|queue| queue.consumers) {
            let (channel, consumer) = (consumer.consume.channel, consumer.consume.consumer);
            self.notify(Notice::ConsumerGone { channel, consumer });
        }
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        self.mail.push_back(Mail::Notice(notice));
    }

    pub(super) fn queue_named(&self, name: &str) -> &Queue {
        let id = self.topology.queue("/", name).expect("a queue of that name").id;
        &self.queues[&id]
    }

    /// A message that no channel has published.
    pub(super) fn publish_directly(&mut self, name: &str, body: &[u8]) {
        let id = self.topology.queue("/", name).expect("a queue of that name").id;
        let queue = self.queues.entry(id).or_default();
        queue.next_seq += 1;
        let seq = queue.next_seq;
        let body = body.to_vec();
        queue
            .ready
            .insert(seq, Message { seq, body, properties: vec![0, 0], ..Message::default() });
    }

    pub(super) fn release_confirms(&mut self) {
        for notice in std::mem::take(&mut self.held_confirms) {
            self.notify(notice);
        }
    }

    /// Gives ready messages to consumers in turn.
    pub(super) fn dispatch(&mut self) {
        let ids: Vec<_> = self.queues.keys().copied().collect();
        for id in ids {
            while self.dispatch_one(id) {}
        }
    }

    fn dispatch_one(&mut self, id: QueueId) -> bool {
        let shard = self.topology.queue_by_id(id).map_or(ShardId(0), |queue| queue.owner);
        let mut notices = Vec::new();
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let mut sent = None;
        for _ in 0..queue.consumers.len() {
            queue.consumers.rotate_left(1);
            let Some(consumer) = queue.consumers.back_mut() else { break };
            let (channel, key) = (consumer.consume.channel, consumer.consume.consumer);
            let rationed = match consumer.consume.credit {
                Credit::Unlimited => false,
                Credit::Prefetch(limit) if consumer.held >= limit => continue,
                Credit::Prefetch(_) => false,
                Credit::Granted { prefetch } if prefetch > 0 && consumer.held >= prefetch => {
                    continue
                }
                Credit::Granted { .. } => true,
            };
            if queue.ready.is_empty() {
                if rationed && consumer.granted > 0 {
                    let credit = std::mem::take(&mut consumer.granted);
                    notices.push(Notice::Unused { channel, consumer: key, credit });
                }
                continue;
            }
            if rationed && consumer.granted == 0 {
                if !std::mem::replace(&mut consumer.asked, true) {
                    notices.push(Notice::Wants { channel, consumer: key });
                }
                continue;
            }
            let Some((seq, message)) = queue.ready.pop_first() else { break };
            let no_ack = consumer.consume.no_ack;
            if !no_ack {
                consumer.held += 1;
                consumer.granted = consumer.granted.saturating_sub(1);
                queue.unacked.insert(seq, message.clone());
            }
            sent = Some(Sent {
                connection: key.connection,
                from: shard,
                to: DeliveryTo::Consumer { consumer: key, no_ack },
                queue: id,
                message,
            });
            break;
        }
        notices.into_iter().for_each(|notice| self.notify(notice));
        let Some(sent) = sent else { return false };
        let octets = sent.with(|delivery| delivery.window_bytes()) as i64;
        *self.windows.entry((sent.connection.serial(), shard.0)).or_default() += octets;
        self.mail.push_back(Mail::Delivery(sent));
        true
    }

    fn get(&mut self, id: QueueId, channel: ChannelKey, no_ack: bool) {
        let shard = self.topology.queue_by_id(id).map_or(ShardId(0), |queue| queue.owner);
        let Some(queue) = self.queues.get_mut(&id) else {
            return self.notify(Notice::Refused { channel, error: QueueError::NoQueue });
        };
        let Some((seq, message)) = queue.ready.pop_first() else {
            return self.notify(Notice::Empty { channel });
        };
        if !no_ack {
            queue.unacked.insert(seq, message.clone());
        }
        let remaining = queue.ready.len() as u64;
        self.mail.push_back(Mail::Delivery(Sent {
            connection: channel.connection,
            from: shard,
            to: DeliveryTo::Get { channel, no_ack, remaining },
            queue: id,
            message,
        }));
    }

    pub(super) fn settle(
        &mut self,
        id: QueueId,
        seq: Seq,
        key: Option<ConsumerKey>,
        outcome: Outcome,
    ) {
        self.settles.push((seq, key, outcome));
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if let Some(consumer) =
            queue.consumers.iter_mut().find(|consumer| Some(consumer.consume.consumer) == key)
        {
            consumer.held -= 1;
        }
        if let (Some(mut message), Outcome::Requeue) = (queue.unacked.remove(&seq.0), outcome) {
            message.redelivered = true;
            queue.ready.insert(seq.0, message);
        }
    }

    fn consume(&mut self, consume: Consume) {
        let (channel, consumer) = (consume.channel, consume.consumer);
        let Some(queue) = self.queues.get_mut(&consume.queue) else {
            return self.notify(Notice::Refused { channel, error: QueueError::NoQueue });
        };
        let taken = queue.consumers.iter().any(|other| other.consume.exclusive)
            || (consume.exclusive && !queue.consumers.is_empty());
        if taken {
            return self.notify(Notice::Refused { channel, error: QueueError::ExclusiveUse });
        }
        queue.had_consumers = true;
        queue.consumers.push_back(Consumer { consume, held: 0, granted: 0, asked: false });
        self.notify(Notice::Consuming { channel, consumer });
    }

    /// Drops consumers, and the queue if it was waiting for that.
    fn cancel(&mut self, id: QueueId, gone: impl Fn(&Consume) -> bool) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.consumers.retain(|consumer| !gone(&consumer.consume));
        let auto_delete = self.topology.queue_by_id(id).is_some_and(|queue| queue.auto_delete);
        if auto_delete && queue.had_consumers && queue.consumers.is_empty() {
            let _ = self.decide(&TopologyRequest::DropQueue { id });
        }
    }

    fn delete(&mut self, id: QueueId, channel: ChannelKey, if_unused: bool, if_empty: bool) {
        let error = match self.queues.get(&id) {
            None => QueueError::NoQueue,
            Some(queue) if if_unused && !queue.consumers.is_empty() => QueueError::InUse,
            Some(queue) if if_empty && !queue.ready.is_empty() => QueueError::NotEmpty,
            Some(queue) => {
                let messages = queue.ready.len() as u64;
                let _ = self.decide(&TopologyRequest::DropQueue { id });
                return self.notify(Notice::Deleted { channel, messages });
            }
        };
        self.notify(Notice::Refused { channel, error });
    }
}

impl Broker for StandIn {
    fn now(&self) -> Now {
        self.now
    }

    fn random(&mut self) -> [u8; 16] {
        self.random = self.random.wrapping_add(1);
        [self.random; 16]
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn enter(&mut self, what: Counted, name: &Arc<str>, limit: Option<i64>) -> Result<(), i64> {
        self.population.enter(what, name, limit)
    }

    fn leave(&mut self, what: Counted, name: &Arc<str>, number: u64) {
        self.population.leave(what, name, number);
    }

    fn may_move_to(&self, _shard: ShardId) -> bool {
        self.moves
    }

    fn publish(&mut self, shard: ShardId, publish: &Publish<'_>) {
        self.published.push((shard, publish.queues.len()));
        let accepted = !publish.queues.iter().any(|queue| self.refusing.contains(queue));
        for id in publish.queues {
            assert_eq!(self.topology.queue_by_id(*id).map(|queue| queue.owner), Some(shard));
            let Some(queue) = self.queues.get_mut(id).filter(|_| accepted) else { continue };
            queue.next_seq += 1;
            let message = &publish.message;
            queue.ready.insert(
                queue.next_seq,
                Message {
                    seq: queue.next_seq,
                    exchange: message.exchange.to_vec(),
                    key: message.routing_key.to_vec(),
                    properties: message.properties.to_vec(),
                    body: message.body.to_vec(),
                    persistent: message.persistent,
                    priority: message.priority,
                    expiration_ms: message.expiration_ms,
                    redelivered: false,
                },
            );
        }
        if let Some((channel, number)) = publish.confirm {
            let confirm = Notice::Confirmed { channel, first: number, last: number, accepted };
            match self.hold_confirms {
                true => self.held_confirms.push(confirm),
                false => self.notify(confirm),
            }
        }
    }

    fn add_body(&mut self, shard: ShardId, part: &BodyPart<'_>) {
        self.bodies.entry(place(shard, part.channel)).or_default().push(part.octets.to_vec());
    }

    fn publish_body(&mut self, shard: ShardId, channel: ChannelKey, publish: &Publish<'_>) {
        let mut body = self.bodies.remove(&place(shard, channel)).expect("parts").concat();
        body.extend_from_slice(publish.message.body);
        let message = MessageRef { body: &body, ..publish.message };
        self.publish(shard, &Publish { message, ..*publish });
    }

    fn hold_body(&mut self, channel: ChannelKey, octets: &[u8], ends: bool) {
        self.hold(channel, octets, ends);
    }

    fn command(&mut self, shard: ShardId, command: Command) {
        match command {
            Command::NextPiece { reading } => self.wanted_pieces.push(reading),
            Command::EndReading { reading } => self.ended_readings.push(reading),
            Command::DropBody { channel } => {
                self.bodies.remove(&place(shard, channel));
                self.held_bodies.remove(&channel);
            }
            Command::Consume(consume) => self.consume(*consume),
            Command::Cancel { queue, consumer, channel } => {
                self.cancel(queue, |consume| consume.consumer == consumer);
                self.notify(Notice::Cancelled { channel, consumer });
            }
            Command::Abandon { queue, consumer } => {
                self.cancel(queue, |consume| consume.consumer == consumer);
            }
            Command::Get { queue, channel, no_ack } => self.get(queue, channel, no_ack),
            Command::Settle { queue, seq, consumer, outcome } => {
                self.settle(queue, seq, consumer, outcome);
            }
            Command::Acks { .. } => unreachable!("the runtime makes it of settles"),
            Command::Grant { queue, consumer, credit } => {
                let consumers =
                    self.queues.get_mut(&queue).into_iter().flat_map(|q| &mut q.consumers);
                for granted in consumers.filter(|other| other.consume.consumer == consumer) {
                    granted.granted += credit;
                    granted.asked = false;
                }
            }
            Command::GiveBack { queue, consumer } => {
                let consumers =
                    self.queues.get_mut(&queue).into_iter().flat_map(|q| &mut q.consumers);
                for holder in consumers.filter(|other| other.consume.consumer == consumer) {
                    holder.held -= 1;
                }
            }
            Command::Ration { queue, consumer } => {
                let consumers =
                    self.queues.get_mut(&queue).into_iter().flat_map(|q| &mut q.consumers);
                for rationed in consumers.filter(|other| other.consume.consumer == consumer) {
                    let prefetch = rationed.consume.prefetch;
                    rationed.consume.credit = Credit::Granted { prefetch };
                }
            }
            Command::SetPrefetch { queue, consumer, prefetch } => {
                let consumers =
                    self.queues.get_mut(&queue).into_iter().flat_map(|q| &mut q.consumers);
                for other in consumers.filter(|other| other.consume.consumer == consumer) {
                    other.consume.credit = match (other.consume.credit, prefetch) {
                        (Credit::Granted { .. }, prefetch) => Credit::Granted { prefetch },
                        (_, 0) => Credit::Unlimited,
                        (_, prefetch) => Credit::Prefetch(prefetch),
                    };
                }
            }
            Command::Window { connection, bytes } => {
                *self.windows.entry((connection.serial(), shard.0)).or_default() -= bytes as i64;
            }
            Command::Purge { queue, channel } => {
                let notice = match self.queues.get_mut(&queue) {
                    Some(queue) => {
                        let messages = std::mem::take(&mut queue.ready).len() as u64;
                        Notice::Purged { channel, messages }
                    }
                    None => Notice::Refused { channel, error: QueueError::NoQueue },
                };
                self.notify(notice);
            }
            Command::Delete { queue, channel, if_unused, if_empty } => {
                self.delete(queue, channel, if_unused, if_empty);
            }
            Command::Inspect { queue, channel } => {
                let notice = match self.queues.get(&queue) {
                    Some(queue) => Notice::Inspected {
                        channel,
                        messages: queue.ready.len() as u64,
                        consumers: queue.consumers.len() as u64,
                    },
                    None => Notice::Refused { channel, error: QueueError::NoQueue },
                };
                self.notify(notice);
            }
            Command::Commit { channel, transaction } => self.commit(channel, &transaction),
            Command::Forget { connection } => {
                self.forgotten.push((connection, shard));
                let ids: Vec<_> = self.queues.keys().copied().collect();
                for id in ids {
                    let owner = self.topology.queue_by_id(id).map(|queue| queue.owner);
                    if owner == Some(shard) {
                        self.cancel(id, |consume| consume.consumer.connection == connection);
                    }
                }
            }
        }
    }

    fn request(&mut self, from: Requester, request: TopologyRequest) {
        let result = self.decide(&request);
        if let Requester::Channel(channel) = from {
            self.notify(Notice::Topology { channel, result });
        }
    }

    fn gathers(&mut self, before: usize, now: usize) {
        self.gathered = self.gathered + now - before;
    }

    fn is_disk_short(&self) -> bool {
        self.is_disk_short
    }

    fn publishers_blocked(&self) -> Option<&'static str> {
        self.blocked
    }
}

fn place(shard: ShardId, channel: ChannelKey) -> (u16, u64, u16) {
    (shard.0, channel.connection.serial(), channel.channel)
}
