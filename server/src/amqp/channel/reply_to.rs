//! Direct reply-to (behaviour B19).
//!
//! A consumer of `amq.rabbitmq.reply-to` gets a queue of its own under a name that nobody can
//! guess: transient, exclusive, gone with its consumer. A request published on the same channel
//! has its reply-to rewritten to that name, and replies reach it by the default exchange like any
//! other message. So replies need no way of their own through the broker.

use std::ops::Range;
use std::sync::Arc;

use haremq_engine::mail::{Consume, Credit};
use haremq_engine::table::Table;
use haremq_engine::topology::{TopologyError, TopologyOutcome, TopologyRequest};

use super::awaited::{Awaited, Awaiting};
use super::consume::consumer_tag;
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::{basic, queue, MethodId};
use crate::amqp::session::generated_name;

/// The name that clients consume from and put into reply-to.
pub(super) const QUEUE: &str = "amq.rabbitmq.reply-to";

/// The reply consumer of a channel.
#[derive(Debug)]
pub(super) struct ReplyTo {
    /// Name of its queue.
    pub(super) queue: Arc<str>,
    pub(super) tag: Arc<str>,
}

impl Channel {
    pub(super) fn consume_replies<B: Broker>(
        &mut self,
        id: MethodId,
        args: &basic::Consume<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        if self.reply_to.is_some() {
            return Err(ProtocolError::ReplyConsumerSet);
        }
        if !args.no_ack {
            return Err(ProtocolError::ReplyConsumerAcks);
        }
        let name: Arc<str> = generated_name("amq.rabbitmq.reply-to.", cx.broker).into();
        let request = TopologyRequest::DeclareQueue {
            vhost: cx.session.vhost.clone(),
            name: name.clone(),
            durable: false,
            auto_delete: true,
            exclusive_to: Some(cx.session.id),
            connection: Some(cx.session.id),
            arguments: Arc::default(),
        };
        cx.session.owns_queues = true;
        let tag = consumer_tag(args.consumer_tag, cx.broker);
        let what = Awaited::ReplyQueue { name, tag };
        self.ask_topology(Awaiting { method: id, nowait: args.nowait, what }, request, cx);
        Ok(())
    }

    /// The reply queue is there: consume from it.
    pub(super) fn reply_queue_declared<B: Broker>(
        &mut self,
        id: MethodId,
        nowait: bool,
        name: Arc<str>,
        tag: Arc<str>,
        outcome: &TopologyOutcome,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let declared = match outcome {
            TopologyOutcome::Queue { id, .. } => cx.broker.topology().queue_by_id(*id).cloned(),
            _ => None,
        };
        let queue = declared.ok_or_else(|| TopologyError::NoQueue {
            vhost: cx.session.vhost.clone(),
            name: name.clone(),
        })?;
        self.reply_to = Some(ReplyTo { queue: name, tag: tag.clone() });
        let consume = Consume {
            queue: queue.id,
            consumer: self.consumer_key(cx.session.next_consumer()),
            channel: self.key,
            tag,
            user: cx.session.user.clone(),
            no_ack: true,
            exclusive: true,
            priority: 0,
            credit: Credit::Unlimited,
            prefetch: 0,
            arguments: Table::default(),
        };
        self.start_consumer(id, nowait, &queue, consume, cx);
        Ok(())
    }

    /// Declaring the pseudo queue asks whether somebody listens. False: it is another name.
    pub(super) fn declare_reply_queue<B: Broker>(
        &mut self,
        name: &str,
        nowait: bool,
        cx: &mut Context<'_, B>,
    ) -> Result<bool, ProtocolError> {
        let Some(rest) = name.strip_prefix(QUEUE) else {
            return Ok(false);
        };
        let vhost = cx.session.vhost.clone();
        if !rest.is_empty() && cx.broker.topology().queue(&vhost, name).is_none() {
            return Err(TopologyError::NoQueue { vhost, name: name.into() }.into());
        }
        if !nowait {
            queue::declare_ok(cx.out(self.number()), self.number(), name, 0, 1);
        }
        Ok(true)
    }

    /// Where replies go; the name replaces the `amq.rabbitmq.reply-to` in a request's properties.
    pub(super) fn reply_queue(&self) -> Result<&Arc<str>, ProtocolError> {
        self.reply_to.as_ref().map(|own| &own.queue).ok_or(ProtocolError::NoReplyConsumer)
    }
}

/// Properties with another reply-to; `place` is where the present one stands with its length.
pub(super) fn with_reply_to(properties: &[u8], place: Range<usize>, queue: &str) -> Vec<u8> {
    let queue = &queue.as_bytes()[..queue.len().min(usize::from(u8::MAX))];
    let mut rewritten = Vec::with_capacity(properties.len() + queue.len());
    rewritten.extend_from_slice(properties.get(..place.start).unwrap_or_default());
    rewritten.push(queue.len() as u8);
    rewritten.extend_from_slice(queue);
    rewritten.extend_from_slice(properties.get(place.end..).unwrap_or_default());
    rewritten
}
