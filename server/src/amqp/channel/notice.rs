//! What shards tell a channel: answers to what it awaits, confirms, and what happens unasked.

use std::sync::Arc;

use haremq_engine::mail::Notice;
use haremq_engine::queue::QueueError;
use haremq_engine::topology::TopologyOutcome;

use super::awaited::{Awaited, Awaiting};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::{basic, queue};

impl Channel {
    /// A notice for this channel. One that answers nothing that is awaited is late, and dropped.
    pub(crate) fn notice<B: Broker>(
        &mut self,
        notice: Notice,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        match notice {
            Notice::Confirmed { first, last, accepted, .. } => {
                self.confirmed(first, last, accepted, cx);
                Ok(())
            }
            Notice::Wants { consumer, .. } => {
                self.wants_grant(consumer.serial, cx);
                Ok(())
            }
            Notice::Unused { consumer, credit, .. } => {
                self.grant_returned(consumer.serial, credit, cx);
                Ok(())
            }
            Notice::ConsumerGone { consumer, .. } => {
                self.consumer_gone(consumer.serial, cx);
                Ok(())
            }
            answer => match self.awaiting.take() {
                Some(awaiting) => self.answer(awaiting, answer, cx),
                None => Ok(()),
            },
        }
    }

    #[inline]
    fn confirmed<B: Broker>(
        &mut self,
        first: u64,
        last: u64,
        accepted: bool,
        cx: &mut Context<'_, B>,
    ) {
        self.publisher.confirms.answer(first, last, accepted);
        if !self.confirming {
            self.confirming = true;
            cx.session.confirming.push(self.number());
        }
    }

    /// The queue has gone under a consumer (behaviour B14). If that consumer is just being
    /// cancelled, it is the answer to that.
    fn consumer_gone<B: Broker>(&mut self, serial: u32, cx: &mut Context<'_, B>) {
        let Some(consumer) = self.drop_consumer(serial, cx) else {
            return;
        };
        let number = self.number();
        if let Some(Awaiting { nowait, what: Awaited::Cancelled { serial: awaited, .. }, .. }) =
            &self.awaiting
        {
            if *awaited == serial {
                if !nowait {
                    basic::cancel_ok(cx.out(number), number, &consumer.tag);
                }
                self.awaiting = None;
                return;
            }
        }
        if !cx.session.cancel_notify {
            return;
        }
        match &mut self.awaiting {
            // RabbitMQ's channel is busy with the deletion and looks at nothing else before it has
            // answered; there are clients that rely on that order.
            Some(Awaiting { what: Awaited::Deleted { cancelled, .. }, .. }) => {
                cancelled.push(consumer.tag.clone());
            }
            _ => basic::cancel(cx.out(number), number, &consumer.tag),
        }
    }

    /// The answer to queue.delete, and then what went with the queue.
    fn deleted<B: Broker>(
        &mut self,
        nowait: bool,
        messages: u64,
        cancelled: &[Arc<str>],
        cx: &mut Context<'_, B>,
    ) {
        let number = self.number();
        if !nowait {
            queue::delete_ok(cx.out(number), number, messages);
        }
        for tag in cancelled {
            basic::cancel(cx.out(number), number, tag);
        }
    }

    /// The answer to what was awaited; anything else is put aside.
    fn answer<B: Broker>(
        &mut self,
        awaiting: Awaiting,
        answer: Notice,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        let method = awaiting.method;
        let answered = match answer {
            Notice::Topology { result: Ok(outcome), .. } => {
                self.topology_changed(awaiting, outcome, cx)
            }
            Notice::Topology { result: Err(error), .. } => Err(error.into()),
            Notice::Refused { error, .. } => self.refused(awaiting, error, cx),
            Notice::Committed { refused, .. } if matches!(awaiting.what, Awaited::Committed) => {
                self.committed(refused, cx)
            }
            answer => {
                self.carried_out(awaiting, answer, cx);
                Ok(())
            }
        };
        answered.map_err(|error| error.by(method))
    }

    /// Every shard routes by the change that was asked for.
    fn topology_changed<B: Broker>(
        &mut self,
        awaiting: Awaiting,
        outcome: TopologyOutcome,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let number = self.number();
        let Awaiting { method, nowait, what } = awaiting;
        match (what, outcome) {
            (Awaited::Done { answer }, _) => {
                if !nowait {
                    answer(cx.out(number), number);
                }
            }
            (Awaited::Declared { name }, TopologyOutcome::Queue { id, created: false }) => {
                // Another connection was faster; its counts are asked for.
                let queue = cx.broker.topology().queue_by_id(id).cloned();
                let queue =
                    queue.ok_or_else(|| self.queue_error(QueueError::NoQueue, &name, cx))?;
                self.declared(method, nowait, &queue, None, cx);
            }
            (Awaited::Declared { name }, _) => {
                if !nowait {
                    queue::declare_ok(cx.out(number), number, &name, 0, 0);
                }
                self.last_queue = Some(name);
            }
            (Awaited::ReplyQueue { name, tag }, outcome) => {
                self.reply_queue_declared(method, nowait, name, tag, &outcome, cx)?;
            }
            (what, _) => self.awaiting = Some(Awaiting { method, nowait, what }),
        }
        Ok(())
    }

    /// A queue has said no.
    fn refused<B: Broker>(
        &mut self,
        awaiting: Awaiting,
        error: QueueError,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let Awaiting { method, nowait, what } = awaiting;
        let name = match what {
            Awaited::Counts { again: Some(request), .. } => {
                self.declare_anew(method, nowait, *request, cx);
                return Ok(());
            }
            // Somebody else was faster (behaviour A79).
            Awaited::Deleted { cancelled, .. } if error == QueueError::NoQueue => {
                self.deleted(nowait, 0, &cancelled, cx);
                return Ok(());
            }
            Awaited::Consuming { serial } => match self.drop_consumer(serial, cx) {
                Some(consumer) => consumer.queue_name,
                None => return Ok(()),
            },
            Awaited::Got { name, .. }
            | Awaited::Purged { name }
            | Awaited::Deleted { name, .. }
            | Awaited::Counts { name, again: None } => name,
            what => {
                self.awaiting = Some(Awaiting { method, nowait, what });
                return Ok(());
            }
        };
        Err(self.queue_error(error, &name, cx))
    }

    /// A queue has done what it was asked for.
    fn carried_out<B: Broker>(
        &mut self,
        awaiting: Awaiting,
        answer: Notice,
        cx: &mut Context<'_, B>,
    ) {
        let number = self.number();
        let say = !awaiting.nowait;
        let out = cx.session.output.frames(number);
        match (&awaiting.what, answer) {
            (Awaited::Counts { name, .. }, Notice::Inspected { messages, consumers, .. }) => {
                queue::declare_ok(out, number, name, messages, consumers);
            }
            (Awaited::Purged { .. }, Notice::Purged { messages, .. }) => {
                if say {
                    queue::purge_ok(out, number, messages);
                }
            }
            (Awaited::Deleted { cancelled, .. }, Notice::Deleted { messages, .. }) => {
                self.deleted(!say, messages, cancelled, cx);
            }
            (Awaited::Consuming { serial }, Notice::Consuming { .. }) => {
                if let (true, Some(consumer)) = (say, self.consumers.get(*serial)) {
                    basic::consume_ok(out, number, &consumer.tag);
                }
            }
            (Awaited::Cancelled { serial, tag }, Notice::Cancelled { .. }) => {
                if say {
                    basic::cancel_ok(out, number, tag);
                }
                self.drop_consumer(*serial, cx);
            }
            (Awaited::Got { .. }, Notice::Empty { .. }) => basic::get_empty(out, number),
            // Not the answer to this question.
            _ => self.awaiting = Some(awaiting),
        }
    }

    fn queue_error<B>(
        &self,
        error: QueueError,
        name: &std::sync::Arc<str>,
        cx: &Context<'_, B>,
    ) -> ProtocolError {
        ProtocolError::Queue { error, name: name.clone(), vhost: cx.session.vhost.clone() }
    }
}
