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
        let (number, is_answer) = addressee(delivery.to);
        match self.channels.get_mut(&number) {
            Some(channel) if !channel.is_closing() => {
                channel.deliver(from, delivery, &mut self.session, now);
                if is_answer {
                    self.look_whether_waiting(number);
                }
            }
            _ => self.session.orphans.push(Orphan::of(from, delivery)),
        }
    }

    /// As `deliver`, of a message whose body comes later, in pieces that the connection asks for.
    pub fn deliver_long(&mut self, from: ShardId, long: &LongDelivery<'_>, now: Now) {
        let (number, is_answer) = addressee(long.delivery.to);
        match self.channels.get_mut(&number) {
            Some(channel) if !channel.is_closing() => {
                channel.deliver_long(from, long, &mut self.session, now);
                if is_answer {
                    self.look_whether_waiting(number);
                }
            }
            _ => {
                let orphan = Orphan::of(from, &long.delivery);
                self.session.orphans.push(Orphan { reading: Some(long.reading), ..orphan });
            }
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

/// The channel's number, and whether it is the answer to a basic.get.
#[inline]
fn addressee(to: DeliveryTo) -> (u16, bool) {
    match to {
        DeliveryTo::Consumer { consumer, .. } => (consumer.channel, false),
        DeliveryTo::Get { channel, .. } => (channel.channel, true),
    }
}
