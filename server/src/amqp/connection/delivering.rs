//! Deliveries: to the channel that they are for, or back to where they came from; and the bodies of
//! long ones, which are asked for as the socket takes them.

use haremq_engine::ids::ShardId;
use haremq_engine::mail::{BodyPiece, Command, Delivery, DeliveryTo, LongDelivery};
use haremq_engine::now::Now;

use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::session::Orphan;

impl Connection {
    /// A message for a consumer or a basic.get, from the shard that owns its queue. Needs no
    /// broker, so that it can be called while the shard is dispatching; what it has to say to
    /// shards is said by `end_of_turn`.
    #[inline]
    pub fn deliver(&mut self, from: ShardId, delivery: &Delivery<'_>, now: Now) {
        let (number, consumer, no_ack) = match delivery.to {
            DeliveryTo::Consumer { consumer, no_ack } => (consumer.channel, Some(consumer), no_ack),
            DeliveryTo::Get { channel, no_ack, .. } => (channel.channel, None, no_ack),
        };
        match self.channels.get_mut(&number) {
            Some(channel) if !channel.is_closing() => {
                channel.deliver(from, delivery, &mut self.session, now);
                if consumer.is_none() {
                    self.look_whether_waiting(number);
                }
            }
            _ => self.session.orphans.push(Orphan {
                shard: from,
                queue: delivery.queue,
                seq: delivery.seq,
                consumer,
                no_ack,
                octets: delivery.window_bytes(),
                reading: None,
            }),
        }
    }

    /// As `deliver`, of a message whose body comes later, in pieces that the connection asks for.
    pub fn deliver_long(&mut self, from: ShardId, long: &LongDelivery<'_>, now: Now) {
        let delivery = &long.delivery;
        let (number, consumer, no_ack) = match delivery.to {
            DeliveryTo::Consumer { consumer, no_ack } => (consumer.channel, Some(consumer), no_ack),
            DeliveryTo::Get { channel, no_ack, .. } => (channel.channel, None, no_ack),
        };
        match self.channels.get_mut(&number) {
            Some(channel) if !channel.is_closing() => {
                channel.deliver_long(from, long, &mut self.session, now);
                if consumer.is_none() {
                    self.look_whether_waiting(number);
                }
            }
            _ => self.session.orphans.push(Orphan {
                shard: from,
                queue: delivery.queue,
                seq: delivery.seq,
                consumer,
                no_ack,
                octets: delivery.window_bytes(),
                reading: Some(long.reading),
            }),
        }
    }

    /// Some of the body of such a message.
    pub fn piece(&mut self, from: ShardId, piece: &BodyPiece<'_>) {
        self.session.output.piece(from, piece.reading, piece.octets, self.payload_max);
    }

    /// Asks for what the socket has room for. True if anything was asked for.
    pub(super) fn ask_for_pieces<B: Broker>(&mut self, broker: &mut B) -> bool {
        let mut asks = false;
        while let Some((shard, reading)) = self.session.output.next_wanted() {
            broker.command(shard, Command::NextPiece { reading });
            asks = true;
        }
        asks
    }
}
