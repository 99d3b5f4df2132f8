//! The clients' side, for tests that say what happens step by step.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, ShardId};
use haremq_engine::mail::{
    Command, Consume, Credit, DeliveryTo, Notice, Outcome, Publish, Requester,
};
use haremq_engine::message::MessageRef;
use haremq_engine::shard::QueueStats;
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{TopologyOutcome, TopologyRequest};

use crate::world::{message, Event, Received, World};

pub(crate) fn channel(shard: u16, connection: u64) -> ChannelKey {
    let connection = ConnectionId::new(ShardId(shard), connection);
    ChannelKey { connection, channel: 1, incarnation: 0 }
}

pub(crate) fn consumer(channel: ChannelKey, serial: u32) -> ConsumerKey {
    ConsumerKey { connection: channel.connection, channel: channel.channel, serial }
}

pub(crate) fn arguments(fields: &[(&str, i64)]) -> Arc<Table> {
    let fields = fields.iter().map(|(name, value)| ((*name).into(), Value::I64(*value)));
    Arc::new(Table(fields.collect()))
}

pub(crate) fn declare(name: &str, durable: bool, arguments: Arc<Table>) -> TopologyRequest {
    TopologyRequest::DeclareQueue {
        vhost: "/".into(),
        name: name.into(),
        durable,
        auto_delete: false,
        exclusive_to: None,
        connection: None,
        arguments,
    }
}

impl World {
    pub(crate) fn owner(&self, queue: QueueId) -> ShardId {
        self.shards[0].topology().queue_by_id(queue).expect("a queue that exists").owner
    }

    /// Declares a queue through a channel of that shard and waits for the answer.
    pub(crate) fn declare_on(&mut self, shard: u16, request: TopologyRequest) -> QueueId {
        let from = channel(shard, 900);
        self.request(Requester::Channel(from), request);
        self.settle_down();
        let answers = self.take_notices();
        match answers.as_slice() {
            [Notice::Topology { channel, result: Ok(TopologyOutcome::Queue { id, .. }) }] => {
                assert_eq!(*channel, from);
                *id
            }
            other => panic!("a declare was answered with {other:?}"),
        }
    }

    pub(crate) fn durable_queue(&mut self, name: &str) -> QueueId {
        self.declare_on(0, declare(name, true, Arc::default()))
    }

    pub(crate) fn queue_with(&mut self, name: &str, fields: &[(&str, i64)]) -> QueueId {
        self.declare_on(0, declare(name, true, arguments(fields)))
    }

    /// Publishes to queues of one shard.
    pub(crate) fn send(&mut self, queues: &[QueueId], body: &str, persistent: bool) {
        let message = message(body.as_bytes(), persistent);
        self.send_message(queues, message, None);
    }

    pub(crate) fn send_message(
        &mut self,
        queues: &[QueueId],
        message: MessageRef<'_>,
        confirm: Option<(ChannelKey, u64)>,
    ) {
        let owner = self.owner(queues[0]);
        self.publish(owner, &Publish { message, queues, confirm });
    }

    pub(crate) fn send_confirmed(
        &mut self,
        queues: &[QueueId],
        body: &str,
        persistent: bool,
        confirm: (ChannelKey, u64),
    ) {
        self.send_message(queues, message(body.as_bytes(), persistent), Some(confirm));
    }

    pub(crate) fn consume(&mut self, queue: QueueId, key: ConsumerKey, credit: Credit) {
        self.consume_as(queue, key, credit, |_| ());
    }

    pub(crate) fn consume_as(
        &mut self,
        queue: QueueId,
        key: ConsumerKey,
        credit: Credit,
        change: impl FnOnce(&mut Consume),
    ) {
        let connection = key.connection;
        let mut consume = Consume {
            queue,
            consumer: key,
            channel: ChannelKey { connection, channel: key.channel, incarnation: 0 },
            tag: "tag".into(),
            user: "guest".into(),
            no_ack: false,
            exclusive: false,
            priority: 0,
            credit,
            prefetch: 0,
            arguments: Table::default(),
        };
        change(&mut consume);
        let owner = self.owner(queue);
        self.command(owner, Command::Consume(Box::new(consume)));
    }

    pub(crate) fn settle(&mut self, received: &Received, outcome: Outcome) {
        let consumer = match received.to {
            DeliveryTo::Consumer { consumer, .. } => Some(consumer),
            DeliveryTo::Get { .. } => None,
        };
        let Received { queue, seq, from, .. } = *received;
        self.command(from, Command::Settle { queue, seq, consumer, outcome });
    }

    /// Acks so many deliveries, this one and those of the messages behind it, as one.
    pub(crate) fn ack_run(&mut self, received: &Received, count: u32) {
        let consumer = match received.to {
            DeliveryTo::Consumer { consumer, .. } => Some(consumer),
            DeliveryTo::Get { .. } => None,
        };
        let Received { queue, seq: first, from, .. } = *received;
        self.command(from, Command::Acks { queue, first, count, consumer });
    }

    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.events.retain(|event| match event {
            Event::Notice { notice, .. } => {
                notices.push(notice.clone());
                false
            }
            Event::Delivery(_) => true,
        });
        notices
    }

    pub(crate) fn take_deliveries(&mut self) -> Vec<Received> {
        let mut received = Vec::new();
        self.events.retain(|event| match event {
            Event::Delivery(delivery) => {
                received.push(delivery.clone());
                false
            }
            Event::Notice { .. } => true,
        });
        received
    }

    /// Settles down and gives what was delivered.
    pub(crate) fn deliveries(&mut self) -> Vec<Received> {
        self.settle_down();
        self.take_deliveries()
    }

    pub(crate) fn notices(&mut self) -> Vec<Notice> {
        self.settle_down();
        self.take_notices()
    }

    /// Asks for so many messages of a queue by basic.get; what has come of it is held.
    pub(crate) fn hold(&mut self, queue: QueueId, count: usize) -> Vec<Received> {
        let owner = self.owner(queue);
        for _ in 0..count {
            self.command(owner, Command::Get { queue, channel: channel(0, 5), no_ack: false });
        }
        self.deliveries()
    }

    pub(crate) fn stats(&self, queue: QueueId) -> QueueStats {
        let owner = usize::from(self.owner(queue).0);
        self.shards[owner].queue_stats(queue).expect("its owner has the queue")
    }

    pub(crate) fn counts(&self, queue: QueueId) -> (u64, u64) {
        let stats = self.stats(queue);
        (stats.messages_ready, stats.messages_unacknowledged)
    }
}

pub(crate) fn bodies(received: &[Received]) -> Vec<String> {
    received.iter().map(|one| String::from_utf8_lossy(&one.body).into_owned()).collect()
}
