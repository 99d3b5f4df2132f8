//! A broker for fuzz targets that drive connections: the real topology, and queues that keep
//! nothing. Everything is answered at once; what is published goes to all consumers of its queues.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use haremq::amqp::{Broker, Connection, ConnectionSettings};
use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, Seq, ShardId};
use haremq_engine::mail::{
    BodyPart, Command, Consume, Credit, Delivery, DeliveryTo, Notice, Publish, Requester,
};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::queue::QueueError;
use haremq_engine::topology::{Change, Topology, TopologyRequest};

const SHARD: ShardId = ShardId(0);

/// Properties and body of a message for somebody.
type Sent = (DeliveryTo, QueueId, Vec<u8>, Vec<u8>);

pub struct Answering {
    topology: Topology,
    now: Now,
    notices: VecDeque<Notice>,
    deliveries: VecDeque<Sent>,
    consumers: BTreeMap<QueueId, Vec<Consume>>,
    /// What has come of long bodies, and how long each is going to be.
    bodies: HashMap<ChannelKey, (Vec<u8>, u64)>,
    /// Those of transactions, and whether they are whole.
    held: HashMap<ChannelKey, Vec<(Vec<u8>, bool)>>,
    next_queue: u64,
    next_seq: u64,
}

impl Answering {
    pub fn new() -> Self {
        let mut topology = Topology::new();
        let hash = haremq_engine::access::hash_password([0; 4], b"guest");
        Topology::first_boot(hash.into()).iter().for_each(|change| topology.apply(change));
        Answering {
            topology,
            now: Now { unix_ms: 1, monotonic_us: 1 },
            notices: VecDeque::new(),
            deliveries: VecDeque::new(),
            consumers: BTreeMap::new(),
            bodies: HashMap::new(),
            held: HashMap::new(),
            next_queue: 1,
            next_seq: 0,
        }
    }

    pub fn connection(&self) -> Connection {
        let address = "127.0.0.1:1".parse().expect("an address");
        let settings = Arc::new(ConnectionSettings::default());
        Connection::new(settings, ConnectionId::new(SHARD, 1), SHARD, address, address, self.now)
    }

    /// Presents `octets` in slices until nothing more is taken; hands over all answers.
    pub fn converse(&mut self, connection: &mut Connection, octets: &[u8], slice: usize) {
        let mut unread = Vec::new();
        for part in octets.chunks(slice.max(1)) {
            unread.extend_from_slice(part);
            loop {
                let consumed = connection.receive(&unread, self);
                assert!(consumed <= unread.len());
                unread.drain(..consumed);
                let answered = self.turn(connection);
                if consumed == 0 && !answered {
                    break;
                }
            }
        }
    }

    fn turn(&mut self, connection: &mut Connection) -> bool {
        let mut answered = false;
        while let Some(notice) = self.notices.pop_front() {
            answered = true;
            connection.notice(notice, self);
        }
        while let Some((to, queue, properties, body)) = self.deliveries.pop_front() {
            answered = true;
            self.next_seq += 1;
            let message = MessageRef {
                exchange: b"",
                routing_key: b"key",
                properties: &properties,
                body: &body,
                persistent: false,
                priority: 0,
                expiration_ms: None,
            };
            let seq = Seq(self.next_seq);
            let delivery = Delivery { to, queue, seq, redelivered: false, message };
            connection.deliver(SHARD, &delivery, self.now);
        }
        connection.end_of_turn(self);
        let octets = connection.output().len();
        connection.wrote(octets, self);
        answered
    }

    /// Lets the time of every deadline pass, then ends the connection.
    pub fn finish(&mut self, connection: &mut Connection) {
        for _ in 0..4 {
            if let Some(due) = connection.deadline_us() {
                self.now.monotonic_us = self.now.monotonic_us.max(due);
                connection.tick(self);
                self.turn(connection);
            }
        }
        let reports = (connection.report(), connection.channel_reports());
        assert_eq!(reports.0.channels as usize, reports.1.len());
        connection.disconnected(self);
        assert!(connection.is_finished());
        assert!(self.consumers.values().all(Vec::is_empty), "every consumer is cancelled");
        assert!(self.held.is_empty(), "every transaction is committed or dropped");
        assert!(self.bodies.is_empty(), "every body that has begun is whole or dropped");
    }
}

impl Broker for Answering {
    fn now(&self) -> Now {
        self.now
    }

    fn random(&mut self) -> [u8; 16] {
        self.next_seq += 1;
        [self.next_seq as u8; 16]
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn publish(&mut self, _shard: ShardId, publish: &Publish<'_>) {
        for queue in publish.queues {
            for consume in self.consumers.get(queue).into_iter().flatten() {
                if matches!(consume.credit, Credit::Granted { .. }) {
                    let (channel, consumer) = (consume.channel, consume.consumer);
                    self.notices.push_back(Notice::Wants { channel, consumer });
                    continue;
                }
                let to =
                    DeliveryTo::Consumer { consumer: consume.consumer, no_ack: consume.no_ack };
                let message = &publish.message;
                let (properties, body) = (message.properties.to_vec(), message.body.to_vec());
                self.deliveries.push_back((to, *queue, properties, body));
            }
        }
        if let Some((channel, number)) = publish.confirm {
            let (first, last, accepted) = (number, number, number % 7 != 0);
            self.notices.push_back(Notice::Confirmed { channel, first, last, accepted });
        }
    }

    fn add_body(&mut self, _shard: ShardId, part: &BodyPart<'_>) {
        let (body, whole) =
            self.bodies.entry(part.channel).or_insert((Vec::new(), part.body_bytes));
        assert_eq!(*whole, part.body_bytes, "another body begins before this one has ended");
        body.extend_from_slice(part.octets);
        assert!((body.len() as u64) < *whole, "the last octets come with the message");
    }

    fn publish_body(&mut self, shard: ShardId, channel: ChannelKey, publish: &Publish<'_>) {
        let (mut body, whole) = self.bodies.remove(&channel).expect("parts come first");
        body.extend_from_slice(publish.message.body);
        assert_eq!(body.len() as u64, whole, "a body is as long as its header has said");
        let message = MessageRef { body: &body, ..publish.message };
        self.publish(shard, &Publish { message, ..*publish });
    }

    fn hold_body(&mut self, channel: ChannelKey, octets: &[u8], ends: bool) {
        let held = self.held.entry(channel).or_default();
        if held.last().is_none_or(|(_, is_whole)| *is_whole) {
            held.push((Vec::new(), false));
        }
        if let Some((body, is_whole)) = held.last_mut() {
            body.extend_from_slice(octets);
            *is_whole = ends;
        }
    }

    fn command(&mut self, _shard: ShardId, command: Command) {
        let notice = match command {
            Command::Consume(consume) => {
                let (channel, consumer) = (consume.channel, consume.consumer);
                self.consumers.entry(consume.queue).or_default().push(*consume);
                Notice::Consuming { channel, consumer }
            }
            Command::Cancel { queue, consumer, channel } => {
                if let Some(consumers) = self.consumers.get_mut(&queue) {
                    consumers.retain(|consume| consume.consumer != consumer);
                }
                Notice::Cancelled { channel, consumer }
            }
            Command::Abandon { queue, consumer } => {
                if let Some(consumers) = self.consumers.get_mut(&queue) {
                    consumers.retain(|consume| consume.consumer != consumer);
                }
                return;
            }
            Command::Get { queue, channel, no_ack } => {
                if queue.0 % 2 == 0 {
                    let to = DeliveryTo::Get { channel, no_ack, remaining: 3 };
                    self.deliveries.push_back((to, queue, vec![0, 0], b"body".to_vec()));
                    return;
                }
                Notice::Empty { channel }
            }
            Command::Grant { queue, consumer, credit } => {
                let consumers = self.consumers.get(&queue).into_iter().flatten();
                let Some(consume) = consumers.into_iter().find(|c| c.consumer == consumer) else {
                    return;
                };
                let (channel, credit) = (consume.channel, credit / 2);
                Notice::Unused { channel, consumer, credit }
            }
            Command::Purge { channel, .. } => Notice::Purged { channel, messages: 0 },
            Command::Delete { queue, channel, if_unused, .. } => {
                if if_unused {
                    Notice::Refused { channel, error: QueueError::InUse }
                } else {
                    self.request(Requester::Nobody, TopologyRequest::DropQueue { id: queue });
                    Notice::Deleted { channel, messages: 0 }
                }
            }
            Command::Inspect { channel, .. } => {
                Notice::Inspected { channel, messages: 0, consumers: 0 }
            }
            Command::Commit { channel, transaction } => {
                let mut held = self.held.remove(&channel).unwrap_or_default().into_iter();
                for (index, (mut message, targets)) in transaction.publishes().enumerate() {
                    let long = match transaction.long_body_bytes(index) {
                        0 => None,
                        bytes => {
                            let (body, is_whole) = held.next().expect("a body for each");
                            assert!(is_whole && body.len() as u64 == bytes);
                            Some(body)
                        }
                    };
                    message.body = long.as_deref().unwrap_or(message.body);
                    for target in targets {
                        let (queues, confirm) = (&[target.queue], None);
                        self.publish(target.shard, &Publish { message, queues, confirm });
                    }
                }
                Notice::Committed { channel, refused: transaction.settles().len() % 7 == 6 }
            }
            // Nothing may have come of it yet.
            Command::DropBody { channel } => {
                self.bodies.remove(&channel);
                self.held.remove(&channel);
                return;
            }
            Command::Settle { .. }
            | Command::Acks { .. }
            | Command::SetPrefetch { .. }
            | Command::Ration { .. }
            | Command::GiveBack { .. }
            | Command::Window { .. }
            | Command::NextPiece { .. }
            | Command::EndReading { .. }
            | Command::Forget { .. } => return,
        };
        self.notices.push_back(notice);
    }

    fn request(&mut self, from: Requester, request: TopologyRequest) {
        let decided = self.topology.decide(&request, SHARD, QueueId(self.next_queue));
        let result = decided.map(|decision| {
            for change in &decision.changes {
                if let Change::DropQueue { id } = change {
                    for consume in self.consumers.remove(id).into_iter().flatten() {
                        let (channel, consumer) = (consume.channel, consume.consumer);
                        self.notices.push_back(Notice::ConsumerGone { channel, consumer });
                    }
                }
                self.topology.apply(change);
            }
            self.next_queue += 1;
            decision.outcome
        });
        if let Requester::Channel(channel) = from {
            self.notices.push_back(Notice::Topology { channel, result });
        }
    }
}
