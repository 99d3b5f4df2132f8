//! What one message costs in the AMQP layer: octets in to the call of a shard, and the call of a
//! shard to octets out. Nothing behind it: the broker here counts and forgets.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use haremq::amqp::{Broker, Connection, ConnectionSettings};
use haremq_engine::ids::{ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{Command, Delivery, DeliveryTo, Notice, Publish, Requester};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::topology::{Topology, TopologyRequest};

const SHARD: ShardId = ShardId(0);
const MESSAGES: usize = 1_000;

/// Counts what it is given.
struct Counter {
    topology: Topology,
    octets: usize,
    consumers: Vec<haremq_engine::mail::Consume>,
}

impl Counter {
    /// With user guest and queue `bench`.
    fn new() -> Self {
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
    fn command(&mut self, _shard: ShardId, command: Command) {
        if let Command::Consume(consume) = command {
            self.consumers.push(*consume);
        }
    }
    fn request(&mut self, _from: Requester, _request: TopologyRequest) {}
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind];
    octets.extend(channel.to_be_bytes());
    octets.extend((payload.len() as u32).to_be_bytes());
    octets.extend(payload);
    octets.push(0xce);
    octets
}

/// basic.publish to queue `bench`, delivery mode 1.
fn publish(size: usize) -> Vec<u8> {
    let mut octets = frame(1, 1, b"\0\x3c\0\x28\0\0\0\x05bench\0");
    let mut header = b"\0\x3c\0\0".to_vec();
    header.extend((size as u64).to_be_bytes());
    header.extend(b"\x10\0\x01");
    octets.extend(frame(2, 1, &header));
    octets.extend(frame(3, 1, &vec![b'x'; size]));
    octets
}

/// A connection with channel 1 open.
fn open(broker: &mut Counter) -> Connection {
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

fn drain(connection: &mut Connection, broker: &mut Counter) {
    connection.end_of_turn(broker);
    let octets = connection.output().len();
    black_box(connection.output());
    connection.wrote(octets, broker);
}

fn decode_publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode publish");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for size in [16, 1024] {
        let batch = publish(size).repeat(MESSAGES);
        let mut broker = Counter::new();
        let mut connection = open(&mut broker);
        group.bench_function(format!("{size} B"), |bencher| {
            bencher.iter(|| {
                let consumed = connection.receive(black_box(&batch), &mut broker);
                assert_eq!(consumed, batch.len());
            });
        });
        black_box(broker.octets);
    }
    group.finish();
}

fn encode_deliver(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode deliver");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (size, no_ack) in [(16, true), (16, false), (1024, true), (1024, false)] {
        let body = vec![b'x'; size];
        let mut broker = Counter::new();
        let mut connection = open(&mut broker);
        let mut consume = b"\0\x3c\0\x14\0\0\x05bench\x01t".to_vec();
        consume.push(if no_ack { 2 } else { 0 });
        consume.extend([0, 0, 0, 0]);
        connection.receive(&frame(1, 1, &consume), &mut broker);
        let consumer = broker.consumers.pop().expect("a consumer");
        let (channel, key): (_, ConsumerKey) = (consumer.channel, consumer.consumer);
        connection.notice(Notice::Consuming { channel, consumer: key }, &mut broker);
        drain(&mut connection, &mut broker);
        let delivery = Delivery {
            to: DeliveryTo::Consumer { consumer: key, no_ack },
            queue: QueueId(1),
            seq: Seq(1),
            redelivered: false,
            message: MessageRef {
                exchange: b"",
                routing_key: b"bench",
                properties: b"\x10\0\x01",
                body: &body,
                persistent: false,
                priority: 0,
                expiration_ms: None,
            },
        };
        // basic.ack of everything.
        let ack = frame(1, 1, b"\0\x3c\0\x50\0\0\0\0\0\0\0\0\x01");
        let name = format!("{size} B {}", if no_ack { "auto-ack" } else { "with ack" });
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    for _ in 0..MESSAGES {
                        connection.deliver(SHARD, black_box(&delivery));
                    }
                    drain(&mut connection, &mut broker);
                    if !no_ack {
                        connection.receive(&ack, &mut broker);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decode_publish, encode_deliver);
criterion_main!(benches);
