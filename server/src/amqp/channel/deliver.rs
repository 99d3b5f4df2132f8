//! Deliveries on their way to the client: basic.deliver and basic.get-ok (behaviour A96, A97).
//!
//! Hot path: one look-up, one append to the output buffer, no allocation.

use haremq_engine::ids::{ConsumerKey, ShardId};
use haremq_engine::mail::{Delivery, DeliveryTo, LongDelivery};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;

use super::awaited::Awaited;
use super::unacked::Unacked;
use super::Channel;
use crate::amqp::codec::frame::{FRAME_END, METHOD};
use crate::amqp::codec::writer;
use crate::amqp::method::{basic, BASIC};
use crate::amqp::session::{Orphan, Session};

impl Channel {
    /// A delivery for this channel; what finds nobody goes back to its queue.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        from: ShardId,
        delivery: &Delivery<'_>,
        session: &mut Session,
        now: Now,
    ) {
        let body_size = delivery.message.body.len() as u64;
        if session.settings.stamps.sent {
            self.send_stamped(from, delivery, body_size, session, now);
        } else {
            self.send(from, delivery, body_size, session);
        }
    }

    /// As `deliver`, of a message whose body comes later.
    #[cold]
    pub(crate) fn deliver_long(
        &mut self,
        from: ShardId,
        long: &LongDelivery<'_>,
        session: &mut Session,
        now: Now,
    ) {
        let LongDelivery { delivery, body_bytes, reading } = *long;
        let orphans = session.orphans.len();
        if session.settings.stamps.sent {
            self.send_stamped(from, &delivery, body_bytes, session, now);
        } else {
            self.send(from, &delivery, body_bytes, session);
        }
        match session.orphans.get_mut(orphans) {
            Some(orphan) => orphan.reading = Some(reading),
            None => session.output.begin_body(self.key.channel, from, reading, body_bytes),
        }
    }

    /// As the operator may ask for: the message says when it was sent.
    #[cold]
    fn send_stamped(
        &mut self,
        from: ShardId,
        delivery: &Delivery<'_>,
        body_size: u64,
        session: &mut Session,
        now: Now,
    ) {
        let stamped = session.settings.stamps.outgoing(delivery.message.properties, now.unix_ms);
        let properties = stamped.as_deref().unwrap_or(delivery.message.properties);
        let message = MessageRef { properties, ..delivery.message };
        self.send(from, &Delivery { message, ..*delivery }, body_size, session);
    }

    #[inline]
    fn send(
        &mut self,
        from: ShardId,
        delivery: &Delivery<'_>,
        body_size: u64,
        session: &mut Session,
    ) {
        match delivery.to {
            DeliveryTo::Consumer { consumer, no_ack } => {
                let to = (consumer, no_ack);
                self.deliver_to_consumer(from, to, delivery, body_size, session);
            }
            DeliveryTo::Get { channel, no_ack, remaining } => {
                let asked = match &self.awaiting {
                    Some(awaiting) => {
                        channel == self.key
                            && matches!(&awaiting.what,
                                Awaited::Got { queue, .. } if *queue == delivery.queue)
                    }
                    None => false,
                };
                if !asked {
                    session.orphans.push(Orphan::of(from, delivery));
                    return;
                }
                self.awaiting = None;
                self.answer_get(from, (no_ack, remaining), delivery, body_size, session);
            }
        }
    }

    #[inline]
    fn deliver_to_consumer(
        &mut self,
        from: ShardId,
        (key, no_ack): (ConsumerKey, bool),
        delivery: &Delivery<'_>,
        body_size: u64,
        session: &mut Session,
    ) {
        let Some(consumer) = self.consumers.get_mut(key.serial) else {
            session.orphans.push(Orphan::of(from, delivery));
            return;
        };
        let tag = self.next_tag;
        self.next_tag += 1;
        let payload_max = session.payload_max;
        let out = session.output.frames(self.key.channel);
        let message = &delivery.message;
        let (exchange, key) = (short(message.exchange), short(message.routing_key));
        let consumer_tag = short(consumer.tag.as_bytes());
        let size = 4 + 1 + consumer_tag.len() + 8 + 1 + 1 + exchange.len() + 1 + key.len();
        out.reserve(size + 8 + 20 + message.properties.len() + message.body.len() + 8);
        let [kind, c1, c0, s3, s2, s1, s0] =
            writer::frame_header(METHOD, self.key.channel, size as u32);
        let tag_length = consumer_tag.len() as u8;
        let head = [kind, c1, c0, s3, s2, s1, s0, 0, BASIC as u8, 0, 60, tag_length];
        out.extend_from_slice(&head);
        out.extend_from_slice(consumer_tag);
        let [t7, t6, t5, t4, t3, t2, t1, t0] = tag.to_be_bytes();
        let redelivered = u8::from(delivery.redelivered);
        let exchange_length = exchange.len() as u8;
        out.extend_from_slice(&[t7, t6, t5, t4, t3, t2, t1, t0, redelivered, exchange_length]);
        out.extend_from_slice(exchange);
        out.push(key.len() as u8);
        out.extend_from_slice(key);
        out.push(FRAME_END);
        let (properties, body) = (message.properties, message.body);
        writer::content(out, self.key.channel, properties, body, body_size, payload_max);
        session.output.mark_delivery(self.key.channel, from, delivery.window_bytes());
        if let Some(granted @ 1..) = &mut consumer.granted {
            *granted -= 1;
            self.limit.grant_ended(1);
            if no_ack {
                self.free_grants(session);
            }
        }
        if no_ack {
            return;
        }
        let DeliveryTo::Consumer { consumer: key, .. } = delivery.to else { return };
        self.unacked.push(Unacked::new(tag, delivery.queue, delivery.seq, Some(key.serial), from));
    }

    fn answer_get(
        &mut self,
        from: ShardId,
        (no_ack, remaining): (bool, u64),
        delivery: &Delivery<'_>,
        body_size: u64,
        session: &mut Session,
    ) {
        let tag = self.next_tag;
        self.next_tag += 1;
        let payload_max = session.payload_max;
        let out = session.output.frames(self.key.channel);
        let message = &delivery.message;
        let (exchange, key) = (short(message.exchange), short(message.routing_key));
        let redelivered = delivery.redelivered;
        basic::get_ok(out, self.key.channel, tag, redelivered, exchange, key, remaining);
        let (properties, body) = (message.properties, message.body);
        writer::content(out, self.key.channel, properties, body, body_size, payload_max);
        if !no_ack {
            self.unacked.push(Unacked::new(tag, delivery.queue, delivery.seq, None, from));
        }
    }
}

/// What fits a short string; names that came over the wire always do.
#[inline]
fn short(octets: &[u8]) -> &[u8] {
    &octets[..octets.len().min(usize::from(u8::MAX))]
}
