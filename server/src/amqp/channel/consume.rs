//! basic.consume and basic.cancel (behaviour A88-A91, B14, B15).

use std::sync::Arc;

use haremq_engine::access::Right;
use haremq_engine::ids::ConsumerKey;
use haremq_engine::mail::{Command, Consume, Credit};
use haremq_engine::table::Table;
use haremq_engine::topology::{Queue, TopologyError};

use super::awaited::{Awaited, Awaiting};
use super::consumers::Consumer;
use super::declare::table;
use super::{reply_to, Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::{basic, MethodId};
use crate::amqp::session::generated_name;

/// Where to begin to read a stream: no other queue can do that, and the client counts on it.
const STREAM_OFFSET: &str = "x-stream-offset";

impl Channel {
    pub(super) fn consume<B: Broker>(
        &mut self,
        id: MethodId,
        args: &basic::Consume<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name: Arc<str> = self.queue_name(args.queue)?.into();
        let arguments = table(args.arguments)?;
        if self.consumers.serial_of(args.consumer_tag).is_some() {
            let tag = args.consumer_tag.to_owned();
            return Err(ProtocolError::ConsumerTagReused { tag });
        }
        let limit = cx.session.settings.consumer_max_per_channel;
        if let Some(limit) = limit.filter(|limit| self.consumers.len() as u64 >= *limit) {
            return Err(ProtocolError::TooManyConsumers { limit });
        }
        if *name == *reply_to::QUEUE {
            return self.consume_replies(id, args, cx);
        }
        cx.session.permit(cx.broker, Right::Read, "queue", &name)?;
        let queue = cx.session.usable_queue(cx.broker, &name)?;
        if arguments.get(STREAM_OFFSET).is_some() {
            let (vhost, name) = (cx.session.vhost.clone(), queue.name.clone());
            let (argument, module) = (STREAM_OFFSET.into(), "rabbit_classic_queue");
            return Err(TopologyError::ForeignArgument { vhost, name, argument, module }.into());
        }
        let priority = self.consumer_priority(&queue, &arguments, cx)?;
        let tag = consumer_tag(args.consumer_tag, cx.broker);
        let consume = Consume {
            queue: queue.id,
            consumer: self.consumer_key(cx.session.next_consumer()),
            channel: self.key,
            tag,
            user: cx.session.user.clone(),
            no_ack: args.no_ack,
            exclusive: args.exclusive,
            priority,
            credit: self.credit(args.no_ack),
            prefetch: self.prefetch,
            arguments: Arc::unwrap_or_clone(arguments),
        };
        self.start_consumer(id, args.nowait, &queue, consume, cx);
        Ok(())
    }

    /// Sends a consumer to the owner of its queue and waits for the answer.
    pub(super) fn start_consumer<B: Broker>(
        &mut self,
        id: MethodId,
        nowait: bool,
        queue: &Queue,
        consume: Consume,
        cx: &mut Context<'_, B>,
    ) {
        let serial = consume.consumer.serial;
        self.consumers.insert(
            serial,
            Consumer {
                tag: consume.tag.clone(),
                queue: queue.id,
                queue_name: queue.name.clone(),
                shard: queue.owner,
                no_ack: consume.no_ack,
                granted: matches!(consume.credit, Credit::Granted { .. }).then_some(0),
            },
        );
        cx.session.asks(queue.owner);
        if !consume.no_ack {
            self.expect_acks(queue, cx);
        }
        self.awaiting = Some(Awaiting { method: id, nowait, what: Awaited::Consuming { serial } });
        cx.broker.command(queue.owner, Command::Consume(Box::new(consume)));
    }

    pub(super) fn consumer_key(&self, serial: u32) -> ConsumerKey {
        ConsumerKey { connection: self.key.connection, channel: self.key.channel, serial }
    }

    /// `x-priority` (behaviour B15); beyond 32 bits is as good as the end of them.
    fn consumer_priority<B>(
        &self,
        queue: &Queue,
        arguments: &Table,
        cx: &Context<'_, B>,
    ) -> Result<i32, ProtocolError> {
        let Some(value) = arguments.get("x-priority") else {
            return Ok(0);
        };
        match value.as_integer() {
            Some(priority) => Ok(priority.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32),
            None => Err(ProtocolError::ConsumerPriority {
                queue: queue.name.clone(),
                vhost: cx.session.vhost.clone(),
                value: value.clone(),
            }),
        }
    }

    pub(super) fn cancel<B: Broker>(
        &mut self,
        id: MethodId,
        args: &basic::Cancel<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let serial = self.consumers.serial_of(args.consumer_tag);
        let Some((serial, consumer)) =
            serial.and_then(|serial| Some((serial, self.consumers.get(serial)?)))
        else {
            if !args.nowait {
                basic::cancel_ok(cx.out(self.number()), self.number(), args.consumer_tag);
            }
            return Ok(());
        };
        let cancel = Command::Cancel {
            queue: consumer.queue,
            consumer: self.consumer_key(serial),
            channel: self.key,
        };
        cx.broker.command(consumer.shard, cancel);
        let what = Awaited::Cancelled { serial, tag: consumer.tag.clone() };
        self.awaiting = Some(Awaiting { method: id, nowait: args.nowait, what });
        Ok(())
    }

    /// A consumer is no more: its grants are free for others.
    pub(super) fn drop_consumer<B: Broker>(
        &mut self,
        serial: u32,
        cx: &mut Context<'_, B>,
    ) -> Option<Consumer> {
        let consumer = self.consumers.remove(serial)?;
        self.limit.forget(serial);
        self.limit.grant_ended(consumer.granted.unwrap_or(0));
        if self.reply_to.as_ref().is_some_and(|reply_to| reply_to.tag == consumer.tag) {
            self.reply_to = None;
        }
        self.send_grants(cx);
        Some(consumer)
    }
}

/// The client's tag, or a generated one (behaviour A88).
pub(super) fn consumer_tag<B: Broker>(tag: &str, broker: &mut B) -> Arc<str> {
    match tag {
        "" => generated_name("amq.ctag-", broker).into(),
        tag => tag.into(),
    }
}
