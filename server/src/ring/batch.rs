//! What crosses a ring at once: everything one shard had for another in one turn, in order.

use std::any::Any;

use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, Seq};
use haremq_engine::mail::{
    BodyPart, BodyPiece, Command, Delivery, DeliveryTo, LongDelivery, Notice, PeerMail, Publish,
};
use haremq_engine::message::MessageRef;

/// Something of the runtime's own, which travels in order with all other mail.
pub type Parcel = Box<dyn Any + Send>;

/// One item of a batch, as it is read. Borrowed kinds borrow from the batch.
#[derive(Debug)]
pub enum Mail<'a> {
    Publish(Publish<'a>),
    BodyPart(BodyPart<'a>),
    /// A publish whose body the channel's parts begin.
    PublishBody(ChannelKey, Publish<'a>),
    Delivery(Delivery<'a>),
    LongDelivery(LongDelivery<'a>),
    BodyPiece(BodyPiece<'a>),
    Command(Command),
    Notice(Notice),
    Peer(PeerMail),
    Parcel(Parcel),
    /// Whether the sender has room for publishes from now on.
    Room(bool),
}

/// The order of kinds; the items themselves lie in one vector per kind, so that the two hot ones
/// are as small as they can be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Publish,
    BodyPart,
    PublishBody,
    Delivery,
    LongDelivery,
    BodyPiece,
    Command,
    Notice,
    Peer,
    Parcel,
    Room,
}

/// A message whose octets lie in the batch, one string behind the other.
#[derive(Clone, Copy, Debug)]
struct PackedMessage {
    start: usize,
    exchange_length: u32,
    routing_key_length: u32,
    properties_length: u32,
    body_length: u32,
    expiration_ms: Option<u64>,
    persistent: bool,
    priority: u8,
}

#[derive(Clone, Copy, Debug)]
struct PackedPublish {
    message: PackedMessage,
    queues_start: u32,
    queues_length: u32,
    confirm: Option<(ChannelKey, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct PackedBodyPart {
    channel: ChannelKey,
    queues_start: u32,
    queues_length: u32,
    persistent: bool,
    body_bytes: u64,
    start: usize,
    length: u32,
}

#[derive(Clone, Copy, Debug)]
struct PackedDelivery {
    message: PackedMessage,
    to: DeliveryTo,
    queue: QueueId,
    seq: Seq,
    redelivered: bool,
}

/// What a long delivery has beside the delivery: octets of its body, and the number of its reading.
type PackedBody = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct PackedPiece {
    connection: ConnectionId,
    reading: u64,
    start: usize,
    length: u32,
}

/// A batch being filled, on its way, or being read.
#[derive(Debug, Default)]
pub struct RingBatch {
    kinds: Vec<Kind>,
    octets: Vec<u8>,
    queues: Vec<QueueId>,
    publishes: Vec<PackedPublish>,
    body_parts: Vec<PackedBodyPart>,
    /// Whose parts begin the bodies of which publishes, in order.
    body_channels: Vec<ChannelKey>,
    deliveries: Vec<PackedDelivery>,
    /// Of those whose bodies come later, in order.
    bodies: Vec<PackedBody>,
    pieces: Vec<PackedPiece>,
    commands: Vec<Command>,
    notices: Vec<Notice>,
    peers: Vec<PeerMail>,
    parcels: Vec<Parcel>,
    rooms: Vec<bool>,
    /// When the first publish was put in, in monotonic microseconds.
    first_publish_us: Option<u64>,
}

/// Octets of memory that a batch keeps when it is emptied for reuse.
const KEPT_OCTETS: usize = 1 << 20;

impl RingBatch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Items in it.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Octets of messages in it.
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    /// `now_us` is monotonic.
    pub fn publish(&mut self, now_us: u64, publish: &Publish<'_>) {
        self.put_publish(now_us, publish);
        self.kinds.push(Kind::Publish);
    }

    #[inline]
    fn put_publish(&mut self, now_us: u64, publish: &Publish<'_>) {
        self.first_publish_us.get_or_insert(now_us);
        let message = pack(&mut self.octets, &publish.message);
        let queues_start = length(self.queues.len());
        self.queues.extend_from_slice(publish.queues);
        self.publishes.push(PackedPublish {
            message,
            queues_start,
            queues_length: length(publish.queues.len()),
            confirm: publish.confirm,
        });
    }

    pub fn body_part(&mut self, part: &BodyPart<'_>) {
        let BodyPart { channel, queues, persistent, body_bytes, octets } = *part;
        let (queues_start, start) = (length(self.queues.len()), self.octets.len());
        self.queues.extend_from_slice(queues);
        self.octets.extend_from_slice(octets);
        self.body_parts.push(PackedBodyPart {
            channel,
            queues_start,
            queues_length: length(queues.len()),
            persistent,
            body_bytes,
            start,
            length: length(octets.len()),
        });
        self.kinds.push(Kind::BodyPart);
    }

    /// `now_us` is monotonic.
    pub fn publish_body(&mut self, now_us: u64, channel: ChannelKey, publish: &Publish<'_>) {
        self.put_publish(now_us, publish);
        self.body_channels.push(channel);
        self.kinds.push(Kind::PublishBody);
    }

    pub fn deliver(&mut self, delivery: &Delivery<'_>) {
        self.put_delivery(delivery);
        self.kinds.push(Kind::Delivery);
    }

    pub fn deliver_long(&mut self, long: &LongDelivery<'_>) {
        self.put_delivery(&long.delivery);
        self.bodies.push((long.body_bytes, long.reading));
        self.kinds.push(Kind::LongDelivery);
    }

    pub fn piece(&mut self, piece: &BodyPiece<'_>) {
        let BodyPiece { connection, reading, octets } = *piece;
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        let length = length(octets.len());
        self.pieces.push(PackedPiece { connection, reading, start, length });
        self.kinds.push(Kind::BodyPiece);
    }

    #[inline]
    fn put_delivery(&mut self, delivery: &Delivery<'_>) {
        let message = pack(&mut self.octets, &delivery.message);
        let Delivery { to, queue, seq, redelivered, message: _ } = *delivery;
        self.deliveries.push(PackedDelivery { message, to, queue, seq, redelivered });
    }

    pub fn command(&mut self, command: Command) {
        self.commands.push(command);
        self.kinds.push(Kind::Command);
    }

    pub fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
        self.kinds.push(Kind::Notice);
    }

    pub fn peer(&mut self, mail: PeerMail) {
        self.peers.push(mail);
        self.kinds.push(Kind::Peer);
    }

    pub fn parcel(&mut self, parcel: Parcel) {
        self.parcels.push(parcel);
        self.kinds.push(Kind::Parcel);
    }

    pub fn room(&mut self, has_room: bool) {
        self.rooms.push(has_room);
        self.kinds.push(Kind::Room);
    }

    /// When the first publish was put in, in monotonic microseconds, and how many there are.
    pub fn publishes(&self) -> Option<(u64, u64)> {
        self.first_publish_us.map(|first_us| (first_us, self.publishes.len() as u64))
    }

    /// Whether there is something in it for a log to write: messages, or parts of their bodies.
    pub fn fills_a_log(&self) -> bool {
        !self.publishes.is_empty() || !self.body_parts.is_empty()
    }

    /// Hands every item to `visit`, in the order they were put in, and leaves the batch empty.
    pub fn drain(&mut self, mut visit: impl FnMut(Mail<'_>)) {
        let mut publishes = self.publishes.drain(..);
        let mut body_parts = self.body_parts.drain(..);
        let mut body_channels = self.body_channels.drain(..);
        let mut deliveries = self.deliveries.drain(..);
        let mut bodies = self.bodies.drain(..);
        let mut pieces = self.pieces.drain(..);
        let mut commands = self.commands.drain(..);
        let mut notices = self.notices.drain(..);
        let mut peers = self.peers.drain(..);
        let mut parcels = self.parcels.drain(..);
        let mut rooms = self.rooms.drain(..);
        for kind in self.kinds.drain(..) {
            let mail = match kind {
                Kind::Publish => publishes.next().map(|packed| {
                    Mail::Publish(unpack_publish(&self.octets, &self.queues, packed))
                }),
                Kind::PublishBody => {
                    publishes.next().zip(body_channels.next()).map(|(packed, channel)| {
                        let publish = unpack_publish(&self.octets, &self.queues, packed);
                        Mail::PublishBody(channel, publish)
                    })
                }
                Kind::BodyPart => body_parts.next().map(|packed| {
                    let (start, queues) = (packed.start, packed.queues_start as usize);
                    Mail::BodyPart(BodyPart {
                        channel: packed.channel,
                        queues: &self.queues[queues..queues + packed.queues_length as usize],
                        persistent: packed.persistent,
                        body_bytes: packed.body_bytes,
                        octets: &self.octets[start..start + packed.length as usize],
                    })
                }),
                Kind::Delivery => deliveries
                    .next()
                    .map(|packed| Mail::Delivery(unpack_delivery(&self.octets, packed))),
                Kind::LongDelivery => {
                    deliveries.next().zip(bodies.next()).map(|(packed, (body_bytes, reading))| {
                        let delivery = unpack_delivery(&self.octets, packed);
                        Mail::LongDelivery(LongDelivery { delivery, body_bytes, reading })
                    })
                }
                Kind::BodyPiece => pieces.next().map(|packed| {
                    let PackedPiece { connection, reading, start, length } = packed;
                    let octets = &self.octets[start..start + length as usize];
                    Mail::BodyPiece(BodyPiece { connection, reading, octets })
                }),
                Kind::Command => commands.next().map(Mail::Command),
                Kind::Notice => notices.next().map(Mail::Notice),
                Kind::Peer => peers.next().map(Mail::Peer),
                Kind::Parcel => parcels.next().map(Mail::Parcel),
                Kind::Room => rooms.next().map(Mail::Room),
            };
            visit(mail.expect("a batch has an item for each kind it lists"));
        }
        self.octets.clear();
        self.queues.clear();
        self.first_publish_us = None;
    }

    /// Gives up memory that one huge message made it take.
    pub(super) fn shrink(&mut self) {
        self.octets.shrink_to(KEPT_OCTETS);
    }
}

fn length(octets: usize) -> u32 {
    u32::try_from(octets).expect("no part of a message is over 4 GiB")
}

fn pack(octets: &mut Vec<u8>, message: &MessageRef<'_>) -> PackedMessage {
    let start = octets.len();
    let MessageRef { exchange, routing_key, properties, body, .. } = *message;
    octets.reserve(exchange.len() + routing_key.len() + properties.len() + body.len());
    octets.extend_from_slice(exchange);
    octets.extend_from_slice(routing_key);
    octets.extend_from_slice(properties);
    octets.extend_from_slice(body);
    PackedMessage {
        start,
        exchange_length: length(exchange.len()),
        routing_key_length: length(routing_key.len()),
        properties_length: length(properties.len()),
        body_length: length(body.len()),
        expiration_ms: message.expiration_ms,
        persistent: message.persistent,
        priority: message.priority,
    }
}

#[inline]
fn unpack_publish<'a>(
    octets: &'a [u8],
    queues: &'a [QueueId],
    packed: PackedPublish,
) -> Publish<'a> {
    let start = packed.queues_start as usize;
    Publish {
        message: unpack(octets, &packed.message),
        queues: &queues[start..start + packed.queues_length as usize],
        confirm: packed.confirm,
    }
}

#[inline]
fn unpack_delivery(octets: &[u8], packed: PackedDelivery) -> Delivery<'_> {
    let PackedDelivery { message, to, queue, seq, redelivered } = packed;
    Delivery { to, queue, seq, redelivered, message: unpack(octets, &message) }
}

fn unpack<'a>(octets: &'a [u8], packed: &PackedMessage) -> MessageRef<'a> {
    let rest = &octets[packed.start..];
    let (exchange, rest) = rest.split_at(packed.exchange_length as usize);
    let (routing_key, rest) = rest.split_at(packed.routing_key_length as usize);
    let (properties, rest) = rest.split_at(packed.properties_length as usize);
    MessageRef {
        exchange,
        routing_key,
        properties,
        body: &rest[..packed.body_length as usize],
        persistent: packed.persistent,
        priority: packed.priority,
        expiration_ms: packed.expiration_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haremq_engine::ids::{ConnectionId, ConsumerKey, ShardId};
    use haremq_engine::mail::Outcome;

    fn message<'a>(exchange: &'a [u8], key: &'a [u8], body: &'a [u8]) -> MessageRef<'a> {
        MessageRef {
            exchange,
            routing_key: key,
            properties: b"\x10\x00\x02",
            body,
            persistent: true,
            priority: 7,
            expiration_ms: Some(60_000),
        }
    }

    #[test]
    fn mail_comes_out_as_it_went_in_and_in_order() {
        let connection = ConnectionId::new(ShardId(3), 9);
        let channel = ChannelKey { connection, channel: 1, incarnation: 4 };
        let consumer = ConsumerKey { connection, channel: 1, serial: 2 };
        let mut batch = RingBatch::new();
        for round in 0..2 {
            batch.publish(
                0,
                &Publish {
                    message: message(b"orders", b"a.b", b"first"),
                    queues: &[QueueId(1), QueueId(2)],
                    confirm: Some((channel, 8)),
                },
            );
            batch.command(Command::Settle {
                queue: QueueId(5),
                seq: Seq(6),
                consumer: Some(consumer),
                outcome: Outcome::Requeue,
            });
            batch.deliver(&Delivery {
                to: DeliveryTo::Consumer { consumer, no_ack: false },
                queue: QueueId(7),
                seq: Seq(8),
                redelivered: true,
                message: message(b"", b"q", b""),
            });
            batch.notice(Notice::Empty { channel });
            batch.publish(
                0,
                &Publish {
                    message: message(b"", b"", b"second"),
                    queues: &[QueueId(3)],
                    confirm: None,
                },
            );
            assert_eq!(batch.len(), 5);

            let mut seen = Vec::new();
            batch.drain(|mail| {
                seen.push(match mail {
                    Mail::Publish(publish) => {
                        assert_eq!(publish.message.properties, b"\x10\x00\x02");
                        assert_eq!(publish.message.priority, 7);
                        assert_eq!(publish.message.expiration_ms, Some(60_000));
                        format!(
                            "publish {:?} {:?} {:?} {:?}",
                            String::from_utf8_lossy(publish.message.exchange),
                            String::from_utf8_lossy(publish.message.body),
                            publish.queues,
                            publish.confirm.map(|(_, number)| number),
                        )
                    }
                    Mail::Delivery(delivery) => format!(
                        "delivery {:?} {} {}",
                        delivery.seq, delivery.redelivered, delivery.message.persistent
                    ),
                    Mail::Command(Command::Settle { seq, .. }) => format!("settle {seq:?}"),
                    Mail::Notice(Notice::Empty { channel }) => format!("empty {}", channel.channel),
                    other => format!("{other:?}"),
                });
            });
            assert_eq!(
                seen,
                [
                    "publish \"orders\" \"first\" [QueueId(1), QueueId(2)] Some(8)",
                    "settle Seq(6)",
                    "delivery Seq(8) true true",
                    "empty 1",
                    "publish \"\" \"second\" [QueueId(3)] None",
                ],
                "round {round}"
            );
            assert!(batch.is_empty());
            assert_eq!(batch.octets(), 0);
        }
    }

    #[test]
    fn a_reused_batch_does_not_keep_the_memory_of_one_huge_message() {
        let mut batch = RingBatch::new();
        let body = vec![0; 8 << 20];
        batch.publish(
            0,
            &Publish { message: message(b"", b"", &body), queues: &[QueueId(1)], confirm: None },
        );
        batch.drain(|_| ());
        batch.shrink();
        assert!(batch.octets.capacity() <= KEPT_OCTETS);
    }
}
