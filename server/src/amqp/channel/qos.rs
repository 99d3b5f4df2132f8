//! basic.qos (behaviour A83-A87), and prefetch changed by the operator (behaviour I29).

use haremq_engine::ids::ConsumerKey;
use haremq_engine::mail::{Command, Credit};

use super::consumers::Consumer;
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::basic;
use crate::amqp::session::Session;
use crate::control::PrefetchOf;

impl Channel {
    pub(super) fn qos<B: Broker>(
        &mut self,
        args: &basic::Qos,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        if args.prefetch_size != 0 {
            return Err(ProtocolError::PrefetchSize { size: args.prefetch_size });
        }
        if args.global {
            self.set_channel_limit(args.prefetch_count.into(), cx);
        } else {
            // Whoever sets a prefetch of each consumer is rid of the channel's limit, too.
            self.prefetch = args.prefetch_count.into();
            if self.limit.limit() > 0 {
                self.set_channel_limit(0, cx);
            }
        }
        basic::qos_ok(cx.out(self.number()), self.number());
        Ok(())
    }

    fn set_channel_limit<B: Broker>(&mut self, limit: u32, cx: &mut Context<'_, B>) {
        self.limit.set(limit);
        if self.limit.limit() > 0 {
            self.ration(cx);
        }
        self.send_grants(cx);
    }

    /// Changes a prefetch on behalf of the operator. False: there is no such consumer, or nothing
    /// is changed any more.
    pub(crate) fn change_prefetch<B: Broker>(
        &mut self,
        whose: &PrefetchOf,
        prefetch: u32,
        cx: &mut Context<'_, B>,
    ) -> bool {
        if self.closing {
            return false;
        }
        let key = self.consumer_key(0);
        let set = |serial, consumer: &Consumer, cx: &mut Context<'_, B>| {
            let key = ConsumerKey { serial, ..key };
            let set = Command::SetPrefetch { queue: consumer.queue, consumer: key, prefetch };
            cx.broker.command(consumer.shard, set);
        };
        match whose {
            PrefetchOf::Channel => self.set_channel_limit(prefetch, cx),
            PrefetchOf::EachConsumer => {
                self.prefetch = prefetch;
                for (serial, consumer) in self.consumers.acking_by_serial() {
                    set(serial, consumer, cx);
                }
            }
            PrefetchOf::Consumer(tag) => {
                let serial = self.consumers.serial_of(tag);
                let found = serial.and_then(|serial| Some((serial, self.consumers.get(serial)?)));
                let Some((serial, consumer)) = found else { return false };
                if !consumer.no_ack {
                    set(serial, consumer, cx);
                }
            }
        }
        true
    }

    /// The limit holds for consumers that have started before it, too.
    fn ration<B: Broker>(&mut self, cx: &mut Context<'_, B>) {
        let key = self.consumer_key(0);
        for (serial, consumer) in self.consumers.unrationed() {
            consumer.granted = Some(0);
            let key = ConsumerKey { serial, ..key };
            let ration = Command::Ration { queue: consumer.queue, consumer: key };
            cx.broker.command(consumer.shard, ration);
        }
    }

    /// What a consumer that starts now may take.
    pub(super) fn credit(&self, no_ack: bool) -> Credit {
        match (no_ack, self.limit.limit(), self.prefetch) {
            (true, 0, _) | (false, 0, 0) => Credit::Unlimited,
            (false, 0, prefetch) => Credit::Prefetch(prefetch),
            // What it gets does not count, but while the channel is full, it gets nothing.
            (true, _, _) => Credit::Granted { prefetch: 0 },
            (false, _, prefetch) => Credit::Granted { prefetch },
        }
    }

    /// Hands out what the channel's limit leaves free to those that want it.
    pub(super) fn send_grants<B: Broker>(&mut self, cx: &mut Context<'_, B>) {
        while let Some((serial, credit)) = self.limit.next_grant(self.unacked.by_consumers()) {
            let key = self.consumer_key(serial);
            let Some(consumer) = self.consumers.get_mut(serial) else {
                self.limit.grant_ended(credit);
                continue;
            };
            let granted = consumer.granted.get_or_insert(0);
            *granted = granted.saturating_add(credit);
            let grant = Command::Grant { queue: consumer.queue, consumer: key, credit };
            cx.broker.command(consumer.shard, grant);
        }
    }

    /// A grant has ended without a delivery that counts: others may have it at the end of the turn.
    #[cold]
    pub(super) fn free_grants(&mut self, session: &mut Session) {
        self.grants_free = true;
        if !self.confirming {
            self.confirming = true;
            session.confirming.push(self.key.channel);
        }
    }

    /// A message waits for a grant.
    pub(super) fn wants_grant<B: Broker>(&mut self, serial: u32, cx: &mut Context<'_, B>) {
        if self.consumers.get(serial).is_some() {
            self.limit.wants(serial);
            self.send_grants(cx);
        }
    }

    /// A grant came back unused.
    pub(super) fn grant_returned<B: Broker>(
        &mut self,
        serial: u32,
        credit: u32,
        cx: &mut Context<'_, B>,
    ) {
        if let Some(granted) =
            self.consumers.get_mut(serial).and_then(|consumer| consumer.granted.as_mut())
        {
            *granted = granted.saturating_sub(credit);
            self.limit.grant_ended(credit);
            self.send_grants(cx);
        }
    }
}
