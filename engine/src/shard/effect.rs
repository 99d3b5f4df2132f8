//! What a shard wants of the world, and what it tells about itself.

use std::sync::Arc;

use crate::ids::{QueueId, ShardId};
use crate::log::LogEffect;
use crate::mail::{BodyPiece, Consume, Delivery, LongDelivery, Notice, PeerMail};
use crate::topology::{MissingExchange, TopologyError, TopologyOutcome};

/// What a shard wants done.
#[derive(Debug)]
pub enum Effect<B> {
    Log(LogEffect<B>),
    /// To the shard of the channel's connection.
    Notice(Notice),
    Peer {
        to: ShardId,
        mail: PeerMail,
    },
    /// Answer to a [`Requester::Management`](crate::mail::Requester::Management) request.
    Answer {
        ticket: u64,
        result: Result<TopologyOutcome, TopologyError>,
    },
    /// Dead letters have been dropped, for want of an exchange. Told once of each exchange.
    Missing(MissingExchange),
    /// Messages that came back too often have been dropped, so many of this queue by now: it has
    /// no dead-letter exchange. Told now and then.
    GivenUp {
        vhost: Arc<str>,
        queue: Arc<str>,
        messages: u64,
    },
    /// A vhost or a user is gone: every connection of this shard must look whether it may stay.
    Review,
}

/// Takes deliveries as they are made. Must not call back into the shard.
pub trait Outlet {
    fn deliver(&mut self, delivery: Delivery<'_>);
    /// The beginning of a delivery.
    fn begin(&mut self, long: LongDelivery<'_>);
    /// Some of its body, which has been asked for.
    fn piece(&mut self, piece: BodyPiece<'_>);
}

/// Numbers of one queue, for listings.
#[derive(Clone, Debug)]
pub struct QueueStats {
    pub id: QueueId,
    pub messages_ready: u64,
    pub messages_unacknowledged: u64,
    pub consumers: u64,
    /// Octets of bodies, ready and unacknowledged.
    pub message_bytes: u64,
    pub publishes: u64,
    pub deliveries: u64,
    pub acks: u64,
}

/// One consumer, for listings.
#[derive(Clone, Debug)]
pub struct ConsumerStats {
    pub queue: QueueId,
    pub consume: Consume,
    pub active: bool,
    /// Its queue serves one consumer at a time (behaviour B16).
    pub single_active: bool,
}
