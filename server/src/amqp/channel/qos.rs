//! basic.qos (behaviour A83-A87).

use haremq_engine::ids::ConsumerKey;
use haremq_engine::mail::{Command, Credit};

use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::basic;

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
            self.limit.set(args.prefetch_count.into());
            if self.limit.limit() > 0 {
                self.ration(cx);
            }
            self.send_grants(cx);
        } else {
            self.prefetch = args.prefetch_count.into();
        }
        basic::qos_ok(cx.out(), self.number());
        Ok(())
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
            (true, _, _) | (false, 0, 0) => Credit::Unlimited,
            (false, 0, prefetch) => Credit::Prefetch(prefetch),
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
