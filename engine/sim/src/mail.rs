//! What crosses from one shard's thread to another's: the engine's mail in owned form.

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{
    BodyPart, Command, Delivery, DeliveryTo, Notice, Outcome, PeerMail, Publish,
};
use haremq_engine::message::MessageRef;

use crate::body::number_put;
use crate::readings::Piece;

/// A publish on its way to a queue's owner.
#[derive(Clone, Debug)]
pub struct Letter {
    pub number: u64,
    pub body: Vec<u8>,
    pub properties: Vec<u8>,
    pub persistent: bool,
    pub priority: u8,
    pub expiration_ms: Option<u64>,
    pub queues: Vec<QueueId>,
    pub confirm: Option<(ChannelKey, u64)>,
}

pub const ROUTING_KEY: &[u8] = b"a.key";

impl Letter {
    pub fn publish(&self) -> Publish<'_> {
        let message = MessageRef {
            exchange: b"",
            routing_key: ROUTING_KEY,
            properties: &self.properties,
            body: &self.body,
            persistent: self.persistent,
            priority: self.priority,
            expiration_ms: self.expiration_ms,
        };
        Publish { message, queues: &self.queues, confirm: self.confirm }
    }
}

/// Some of a body on its way to a queue's owner.
#[derive(Clone, Debug)]
pub struct Part {
    pub channel: ChannelKey,
    pub queues: Vec<QueueId>,
    pub persistent: bool,
    /// Octets of the whole body.
    pub body_bytes: u64,
    pub octets: Vec<u8>,
}

impl Part {
    pub fn body_part(&self) -> BodyPart<'_> {
        let Part { channel, queues, persistent, body_bytes, octets } = self;
        let (channel, persistent, body_bytes) = (*channel, *persistent, *body_bytes);
        BodyPart { channel, queues, persistent, body_bytes, octets }
    }
}

/// A delivery as a client gets it.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: ShardId,
    pub to: DeliveryTo,
    pub queue: QueueId,
    pub seq: Seq,
    pub redelivered: bool,
    pub routing_key: Vec<u8>,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
    pub window_bytes: u64,
    /// The body is still to come, under that number.
    pub reading: Option<u64>,
}

/// What a command of [`Mail::Settle`] does to each of its messages, and in which queue.
pub fn settled_by(command: &Command) -> Option<(QueueId, Outcome)> {
    match *command {
        Command::Settle { queue, outcome, .. } => Some((queue, outcome)),
        Command::Acks { queue, .. } => Some((queue, Outcome::Ack)),
        _ => None,
    }
}

impl Received {
    pub fn of(from: ShardId, delivery: &Delivery<'_>) -> Self {
        Received {
            from,
            to: delivery.to,
            queue: delivery.queue,
            seq: delivery.seq,
            redelivered: delivery.redelivered,
            routing_key: delivery.message.routing_key.to_vec(),
            properties: delivery.message.properties.to_vec(),
            body: delivery.message.body.to_vec(),
            window_bytes: delivery.window_bytes(),
            reading: None,
        }
    }

    /// `None`: it came by a get.
    pub fn consumer(&self) -> Option<ConsumerKey> {
        match self.to {
            DeliveryTo::Consumer { consumer, .. } => Some(consumer),
            DeliveryTo::Get { .. } => None,
        }
    }

    /// Whether acks of this delivery and of the next one may be one.
    pub fn is_followed_by(&self, next: &Received) -> bool {
        let place = |one: &Received| (one.from, one.queue, one.consumer(), one.home());
        place(self) == place(next) && self.seq.0 + 1 == next.seq.0
    }

    pub fn no_ack(&self) -> bool {
        match self.to {
            DeliveryTo::Consumer { no_ack, .. } | DeliveryTo::Get { no_ack, .. } => no_ack,
        }
    }

    pub fn connection(&self) -> ConnectionId {
        match self.to {
            DeliveryTo::Consumer { consumer, .. } => consumer.connection,
            DeliveryTo::Get { channel, .. } => channel.connection,
        }
    }

    /// The shard that the client's connection lives on.
    pub fn home(&self) -> ShardId {
        self.connection().shard()
    }
}

#[derive(Clone, Debug)]
pub enum Mail {
    Publish(Letter),
    BodyPart(Part),
    /// The end of a body of which so many octets have been sent before by that channel. The letter
    /// has all of it.
    PublishBody {
        channel: ChannelKey,
        sent: usize,
        letter: Letter,
    },
    Command(Command),
    /// A settle of that message, or acks of these messages as one.
    Settle {
        numbers: Vec<u64>,
        command: Command,
    },
    Peer(PeerMail),
    Notice(Notice),
    Delivery(Received),
    Piece(Piece),
}

/// The beginning of what a debugger would print of it.
pub fn short(mail: &PeerMail) -> String {
    if let PeerMail::CarryOut { from, number, transaction, again, .. } = mail {
        let publishes = transaction.publishes();
        let all: Vec<_> = publishes.map(|(one, to)| (number_put(&one), to)).collect();
        let again = if *again { " again" } else { "" };
        return format!("CarryOut{again} {number} of {from:?}: {all:?}");
    }
    if let PeerMail::Body { from, number, index, octets } = mail {
        return format!("{} of body {index} of {number} of {from:?}", octets.len());
    }
    format!("{mail:?}").chars().take(160).collect()
}
