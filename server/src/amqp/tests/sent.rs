//! Messages of the stand-in, and deliveries of them.

use haremq_engine::ids::{ConnectionId, QueueId, Seq, ShardId};
use haremq_engine::mail::{Delivery, DeliveryTo};
use haremq_engine::message::MessageRef;

#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) exchange: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) properties: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) persistent: bool,
    pub(super) priority: u8,
    pub(super) expiration_ms: Option<u64>,
    pub(super) redelivered: bool,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) connection: ConnectionId,
    pub(super) from: ShardId,
    pub(super) to: DeliveryTo,
    pub(super) queue: QueueId,
    pub(super) message: Message,
}

impl Sent {
    pub(super) fn with<R>(&self, f: impl FnOnce(&Delivery<'_>) -> R) -> R {
        let message = &self.message;
        f(&Delivery {
            to: self.to,
            queue: self.queue,
            seq: Seq(message.seq),
            redelivered: message.redelivered,
            message: MessageRef {
                exchange: &message.exchange,
                routing_key: &message.key,
                properties: &message.properties,
                body: &message.body,
                persistent: message.persistent,
                priority: message.priority,
                expiration_ms: message.expiration_ms,
            },
        })
    }
}
