//! What crosses between a connection's shard and a queue's shard, and between shards.
//!
//! Three kinds of mail: a [`Command`] goes from a connection to the shard that owns a queue, a
//! [`Notice`] comes back to the connection, [`PeerMail`] is between shards themselves. Whether
//! sender and receiver are on one core (a function call) or on two (a ring) is the runtime's
//! business; every value here can do both. Order is kept from any one shard to any other one.
//! The two hot kinds, a publish and a delivery, carry bytes and therefore have borrowed forms.

use std::sync::Arc;

use crate::dead_letter::Letter;
use crate::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use crate::message::MessageRef;
use crate::queue::QueueError;
use crate::table::Table;
use crate::topology::{Change, TopologyError, TopologyOutcome, TopologyRequest};
use crate::transaction::Transaction;

/// One publish for the queues of one shard. Hot path: borrowed, never stored as such.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    pub message: MessageRef<'a>,
    /// Queues of the receiving shard only, each once.
    pub queues: &'a [QueueId],
    /// The channel and publish number to confirm to when the message is as safe as it promises
    /// to be; `None` outside confirm mode.
    pub confirm: Option<(ChannelKey, u64)>,
}

/// Octets of a body that cross at once: a record of the log that holds them fills whole pages.
pub const BODY_PART_BYTES: usize = 256 * 1024 - 80;

/// The next octets of a body that is too long to be gathered before it is stored. A channel has one
/// such body under way at a time; its last octets come with [`Shard::publish_body`], or it is given
/// up by [`Command::DropBody`].
///
/// [`Shard::publish_body`]: crate::shard::Shard::publish_body
#[derive(Clone, Copy, Debug)]
pub struct BodyPart<'a> {
    pub channel: ChannelKey,
    /// Queues of the receiving shard only: the same each time.
    pub queues: &'a [QueueId],
    /// As in the message that is going to have this body.
    pub persistent: bool,
    /// Octets that the body is going to have.
    pub body_bytes: u64,
    pub octets: &'a [u8],
}

/// One message on its way to a consumer or to a basic.get. Hot path: borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub to: DeliveryTo,
    pub queue: QueueId,
    pub seq: Seq,
    pub redelivered: bool,
    pub message: MessageRef<'a>,
}

impl Delivery<'_> {
    /// What this delivery takes of its connection's transport window, and what
    /// [`Command::Window`] gives back once it has left: about its octets on the wire. A basic.get
    /// takes none.
    pub fn window_bytes(&self) -> u64 {
        /// Frame headers, method and content header without the parts counted below.
        const FRAMING_BYTES: usize = 64;
        match self.to {
            DeliveryTo::Get { .. } => 0,
            DeliveryTo::Consumer { .. } => {
                let MessageRef { exchange, routing_key, properties, body, .. } = self.message;
                let octets = exchange.len() + routing_key.len() + properties.len() + body.len();
                (octets + FRAMING_BYTES) as u64
            }
        }
    }
}

/// A delivery whose body is too long to cross at once: it follows in [`BodyPiece`]s, each of which the
/// connection asks for by [`Command::NextPiece`] when it has room.
#[derive(Clone, Copy, Debug)]
pub struct LongDelivery<'a> {
    /// Its message has no body.
    pub delivery: Delivery<'a>,
    pub body_bytes: u64,
    /// The owner's number for the body that is being read.
    pub reading: u64,
}

/// The next octets of the body of a [`LongDelivery`]. The body ends with the last one, or with its
/// connection.
#[derive(Clone, Copy, Debug)]
pub struct BodyPiece<'a> {
    pub connection: ConnectionId,
    pub reading: u64,
    pub octets: &'a [u8],
}

/// Who receives a [`Delivery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryTo {
    Consumer {
        consumer: ConsumerKey,
        /// True: the owner has settled it already; nobody will ack it.
        no_ack: bool,
    },
    /// Answer to [`Command::Get`]; `remaining` counts ready messages left (behaviour A97).
    Get { channel: ChannelKey, no_ack: bool, remaining: u64 },
}

impl DeliveryTo {
    /// The connection that takes it.
    #[inline]
    pub fn connection(self) -> ConnectionId {
        match self {
            DeliveryTo::Consumer { consumer, .. } => consumer.connection,
            DeliveryTo::Get { channel, .. } => channel.connection,
        }
    }
}

/// What becomes of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// basic.ack: done with.
    Ack,
    /// basic.reject / nack with requeue=false: dropped, or dead-lettered where the queue says so.
    Reject,
    /// Back to its original position with the redelivered flag (behaviour A103).
    Requeue,
}

/// How many unsettled deliveries a consumer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// no-ack, or prefetch 0.
    Unlimited,
    /// basic.qos(global=false): the owner returns one credit with each settle of this consumer.
    Prefetch(u32),
    /// basic.qos(global=true): the channel's limit spans queues and shards, so the owner holds
    /// only what the channel has granted by [`Command::Grant`] and tells by [`Notice::Wants`]
    /// when a message waits for a grant. Settles return nothing by themselves. `prefetch` is a
    /// per-consumer limit that applies as well (0: none).
    Granted { prefetch: u32 },
}

/// basic.consume, as the queue's owner needs it.
#[derive(Clone, Debug)]
pub struct Consume {
    pub queue: QueueId,
    pub consumer: ConsumerKey,
    pub channel: ChannelKey,
    /// Consumer tag: for listings only.
    pub tag: Arc<str>,
    pub user: Arc<str>,
    pub no_ack: bool,
    pub exclusive: bool,
    /// `x-priority`; higher is served first (behaviour B15).
    pub priority: i32,
    pub credit: Credit,
    /// Prefetch as the client set it, for listings.
    pub prefetch: u32,
    pub arguments: Table,
}

/// From a connection to the owner of a queue.
#[derive(Clone, Debug)]
pub enum Command {
    /// Answered by [`Notice::Consuming`] or [`Notice::Refused`]; the answer precedes any delivery.
    Consume(Box<Consume>),
    /// Answered by [`Notice::Cancelled`], after the last delivery to that consumer. Deliveries it
    /// holds stay unsettled until settled by their channel.
    Cancel { queue: QueueId, consumer: ConsumerKey, channel: ChannelKey },
    /// Its channel is over: the consumer gets nothing more. Not answered.
    Abandon { queue: QueueId, consumer: ConsumerKey },
    /// Answered by a [`Delivery`] with [`DeliveryTo::Get`], [`Notice::Empty`] or [`Notice::Refused`].
    Get { queue: QueueId, channel: ChannelKey, no_ack: bool },
    /// Settles one delivery. `consumer` is `None` for one that came by a get. Unknown queues and
    /// sequence numbers are ignored: the queue may have gone meanwhile.
    Settle { queue: QueueId, seq: Seq, consumer: Option<ConsumerKey>, outcome: Outcome },
    /// Acks of `count` deliveries of messages that follow one another in their queue: as if each had
    /// been settled by itself, lowest first.
    Acks { queue: QueueId, first: Seq, count: u32, consumer: Option<ConsumerKey> },
    /// A consumer has no hand on a delivery any more that was settled without it: what it may
    /// hold is as much again as before.
    GiveBack { queue: QueueId, consumer: ConsumerKey },
    /// More deliveries for a [`Credit::Granted`] consumer.
    Grant { queue: QueueId, consumer: ConsumerKey, credit: u32 },
    /// New limit for a live consumer (0: unlimited).
    SetPrefetch { queue: QueueId, consumer: ConsumerKey, prefetch: u32 },
    /// The channel has got a limit that spans its consumers (basic.qos global=true): a live
    /// consumer becomes a [`Credit::Granted`] one without grants. What it holds stays.
    Ration { queue: QueueId, consumer: ConsumerKey },
    /// `channel.flow`-like transport window: this many octets of deliveries have left for the
    /// socket of `connection`, as many more may be sent to it from this shard.
    Window { connection: ConnectionId, bytes: u64 },
    /// queue.purge; answered by [`Notice::Purged`].
    Purge { queue: QueueId, channel: ChannelKey },
    /// queue.delete; answered by [`Notice::Deleted`] when every shard has forgotten the queue, or
    /// [`Notice::Refused`].
    Delete { queue: QueueId, channel: ChannelKey, if_unused: bool, if_empty: bool },
    /// Counts for a declare-ok; answered by [`Notice::Inspected`].
    Inspect { queue: QueueId, channel: ChannelKey },
    /// tx.commit, to the connection's own shard, which holds the long bodies
    /// ([`Shard::hold_body`]); answered by [`Notice::Committed`].
    ///
    /// [`Shard::hold_body`]: crate::shard::Shard::hold_body
    Commit { channel: ChannelKey, transaction: Arc<Transaction> },
    /// A body of which [`BodyPart`]s have come is not going to be whole; bodies that the shard holds for a
    /// transaction are not going to be committed.
    DropBody { channel: ChannelKey },
    /// There is room for the next [`BodyPiece`] of a [`LongDelivery`]: answered by one.
    NextPiece { reading: u64 },
    /// Nobody takes the body of a [`LongDelivery`] any more.
    EndReading { reading: u64 },
    /// The connection is gone; sent to each shard it had consumers on, after the settles of all
    /// it held. Drops consumers and transport window. The connection takes no more notices.
    Forget { connection: ConnectionId },
}

/// From an owner (or the topology writer) to a connection.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Publishes `first..=last` of that channel are settled as far as this shard is concerned.
    /// `accepted` false is a nack (reject-publish). The only place that makes one with
    /// `accepted` true stands beside the assertion that the log is durable that far.
    Confirmed {
        channel: ChannelKey,
        first: u64,
        last: u64,
        accepted: bool,
    },
    Consuming {
        channel: ChannelKey,
        consumer: ConsumerKey,
    },
    Cancelled {
        channel: ChannelKey,
        consumer: ConsumerKey,
    },
    /// The queue has gone under a live consumer (behaviour B14).
    ConsumerGone {
        channel: ChannelKey,
        consumer: ConsumerKey,
    },
    /// A granted consumer has messages waiting and no credit left.
    Wants {
        channel: ChannelKey,
        consumer: ConsumerKey,
    },
    /// The queue of a granted consumer has nothing left to deliver: so much of what was granted
    /// is free again for the channel's other consumers.
    Unused {
        channel: ChannelKey,
        consumer: ConsumerKey,
        credit: u32,
    },
    Empty {
        channel: ChannelKey,
    },
    Purged {
        channel: ChannelKey,
        messages: u64,
    },
    Deleted {
        channel: ChannelKey,
        messages: u64,
    },
    Inspected {
        channel: ChannelKey,
        messages: u64,
        consumers: u64,
    },
    /// Everything of a transaction has been carried out and is as safe as it promises to be.
    /// `refused`: a queue that refuses messages when it is full has refused one.
    Committed {
        channel: ChannelKey,
        refused: bool,
    },
    /// A command was refused by the queue.
    Refused {
        channel: ChannelKey,
        error: QueueError,
    },
    /// Answer to a [`TopologyRequest`] of that channel; every shard routes by it already.
    Topology {
        channel: ChannelKey,
        result: Result<TopologyOutcome, TopologyError>,
    },
}

impl Notice {
    /// The channel the notice is for.
    pub fn channel(&self) -> ChannelKey {
        match self {
            Notice::Confirmed { channel, .. }
            | Notice::Consuming { channel, .. }
            | Notice::Cancelled { channel, .. }
            | Notice::ConsumerGone { channel, .. }
            | Notice::Wants { channel, .. }
            | Notice::Unused { channel, .. }
            | Notice::Empty { channel }
            | Notice::Purged { channel, .. }
            | Notice::Deleted { channel, .. }
            | Notice::Inspected { channel, .. }
            | Notice::Committed { channel, .. }
            | Notice::Refused { channel, .. }
            | Notice::Topology { channel, .. } => *channel,
        }
    }
}

/// Who asked for a topology change, and so gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester {
    Channel(ChannelKey),
    /// A request of the management thread; the number is its own.
    Management(u64),
    /// The queue `QueueId` is being deleted by its owner on behalf of `channel`; the answer
    /// becomes [`Notice::Deleted`] with that count.
    Deletion {
        channel: ChannelKey,
        messages: u64,
    },
    /// Nobody waits (auto-delete, connection gone).
    Nobody,
}

/// Between shards.
#[derive(Clone, Debug)]
pub enum PeerMail {
    /// To shard 0: validate, log, spread, answer.
    Request { from: Requester, request: TopologyRequest },
    /// From shard 0: apply these, in order of `version`, and say so.
    Update { version: u64, changes: Arc<[Change]> },
    /// A copy of something that an exchange remembers, for these queues of the receiver
    /// (behaviour C11). Not answered.
    Copy { queues: Arc<[QueueId]>, letter: Arc<Letter> },
    /// Say by [`PeerMail::Vouched`] when what that transaction, which `from` is going to decide, settles of the
    /// receiver's queues can only be there or be gone after a crash, and not come back as another message.
    Vouch { from: ShardId, request: u64, transaction: Arc<Transaction> },
    /// Answer to a [`PeerMail::Vouch`].
    Vouched { request: u64 },
    /// Carry out the receiver's part of a transaction, and say so by [`PeerMail::CarriedOut`]
    /// when it is as safe as it promises to be. `journaled`: mark what is done until
    /// [`PeerMail::Forget`]. `again`: leave out what is marked, it was done before a crash.
    CarryOut {
        from: ShardId,
        number: u64,
        transaction: Arc<Transaction>,
        journaled: bool,
        again: bool,
    },
    /// The next octets of a long body of a transaction of `from`, that [`PeerMail::CarryOut`] is
    /// going to need. `index`: of the publish. Answered by [`PeerMail::BodyTaken`].
    Body { from: ShardId, number: u64, index: usize, octets: Arc<[u8]> },
    /// `by` has room for as many more parts of bodies as these.
    BodyTaken { by: ShardId, parts: usize },
    /// Answer to a [`PeerMail::CarryOut`].
    CarriedOut { number: u64, refused: bool },
    /// The marks of that transaction are needed no more.
    Forget { from: ShardId, number: u64 },
    /// After a start: of the marks of an earlier run only those of these transactions of `from`
    /// are needed.
    Outlived { from: ShardId, journals: Arc<[u64]> },
    /// After a start: the sender has had carried out what it had decided before.
    Resolved,
    /// To shard 0: `shard` routes by everything up to `version`.
    Applied { shard: ShardId, version: u64 },
}
