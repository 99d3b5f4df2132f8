//! A connection to talk to, with a broker that counts and forgets.

use std::hint::black_box;
use std::sync::Arc;

use haremq::amqp::{Broker, Connection, ConnectionSettings};
use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{BodyPart, Command, Delivery, DeliveryTo, Notice, Publish, Requester};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::topology::{Topology, TopologyRequest};

pub(crate) const SHARD: ShardId = ShardId(0);

/// Counts what it is given.
pub(crate) struct Counter {
    topology: Topology,
    pub(crate) octets: usize,
    consumers: Vec<haremq_engine::mail::Consume>,
}

impl Counter {
    /// With user guest and queue `bench`.
    pub(crate) fn new() -> Self {
        let mut topology = Topology::new();
        let hash = haremq_engine::access::hash_password([0; 4], b"guest");
        Topology::first_boot(hash.into()).iter().for_each(|change| topology.apply(change));
        let declare = TopologyRequest::DeclareQueue {
            vhost: "/".into(),
            name: "bench".into(),
            durable: false,
            auto_delete: false,
            exclusive_to: None,
            connection: None,
            arguments: Default::default(),
        };
        let decision = topology.decide(&declare, SHARD, QueueId(1)).expect("a queue");
        decision.changes.iter().for_each(|change| topology.apply(change));
        Counter { topology, octets: 0, consumers: Vec::new() }
    }
}

impl Broker for Counter {
    fn now(&self) -> Now {
        Now::default()
    }
    fn random(&mut self) -> [u8; 16] {
        [7; 16]
    }
    fn topology(&self) -> &Topology {
        &self.topology
    }
    fn publish(&mut self, _shard: ShardId, publish: &Publish<'_>) {
        self.octets += publish.message.body.len();
    }
    fn add_body(&mut self, _shard: ShardId, part: &BodyPart<'_>) {
        self.octets += part.octets.len();
    }
    fn publish_body(&mut self, shard: ShardId, _channel: ChannelKey, publish: &Publish<'_>) {
        self.publish(shard, publish);
    }
    fn hold_body(&mut self, _channel: ChannelKey, octets: &[u8], _ends: bool) {
        self.octets += octets.len();
    }
    fn command(&mut self, _shard: ShardId, command: Command) {
        if let Command::Consume(consume) = command {
            self.consumers.push(*consume);
        }
    }
    fn request(&mut self, _from: Requester, _request: TopologyRequest) {}
}

pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind];
    octets.extend(channel.to_be_bytes());
    octets.extend((payload.len() as u32).to_be_bytes());
    octets.extend(payload);
    octets.push(0xce);
    octets
}

/// basic.publish to queue `bench`, delivery mode 1.
pub(crate) fn publish(size: usize) -> Vec<u8> {
    let mut octets = frame(1, 1, b"\0\x3c\0\x28\0\0\0\x05bench\0");
    let mut header = b"\0\x3c\0\0".to_vec();
    header.extend((size as u64).to_be_bytes());
    header.extend(b"\x10\0\x01");
    octets.extend(frame(2, 1, &header));
    octets.extend(frame(3, 1, &vec![b'x'; size]));
    octets
}

/// A connection with channel 1 open.
pub(crate) fn open(broker: &mut Counter) -> Connection {
    let address = "127.0.0.1:1".parse().expect("an address");
    let settings = Arc::new(ConnectionSettings::default());
    let id = ConnectionId::new(SHARD, 1);
    let mut connection = Connection::new(settings, id, SHARD, address, address, Now::default());
    let mut octets = b"AMQP\0\0\x09\x01".to_vec();
    octets.extend(frame(1, 0, b"\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US"));
    octets.extend(frame(1, 0, b"\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0"));
    octets.extend(frame(1, 0, b"\0\x0a\0\x28\x01/\0\0"));
    octets.extend(frame(1, 1, b"\0\x14\0\x0a\0"));
    let consumed = connection.receive(&octets, broker);
    assert_eq!(consumed, octets.len(), "{:?}", connection.reason());
    drain(&mut connection, broker);
    connection
}

pub(crate) fn drain(connection: &mut Connection, broker: &mut Counter) {
    connection.end_of_turn(broker);
    let octets = connection.output().len();
    black_box(connection.output());
    connection.wrote(octets, broker);
}

/// A connection with a consumer of queue `bench`, and a delivery for it.
pub(crate) fn consuming<'a>(
    broker: &mut Counter,
    no_ack: bool,
    body: &'a [u8],
) -> (Connection, Delivery<'a>) {
    let mut connection = open(broker);
    let mut consume = b"\0\x3c\0\x14\0\0\x05bench\x01t".to_vec();
    consume.push(if no_ack { 2 } else { 0 });
    consume.extend([0, 0, 0, 0]);
    connection.receive(&frame(1, 1, &consume), broker);
    let consumer = broker.consumers.pop().expect("a consumer");
    let (channel, key): (_, ConsumerKey) = (consumer.channel, consumer.consumer);
    connection.notice(Notice::Consuming { channel, consumer: key }, broker);
    drain(&mut connection, broker);
    let message = MessageRef {
        exchange: b"",
        routing_key: b"bench",
        properties: b"\x10\0\x01",
        body,
        persistent: false,
        priority: 0,
        expiration_ms: None,
    };
    let to = DeliveryTo::Consumer { consumer: key, no_ack };
    let (queue, seq) = (QueueId(1), Seq(1));
    (connection, Delivery { to, queue, seq, redelivered: false, message })
}

/// basic.ack of everything.
pub(crate) fn ack_all() -> Vec<u8> {
    frame(1, 1, b"\0\x3c\0\x50\0\0\0\0\0\0\0\0\x01")
}
