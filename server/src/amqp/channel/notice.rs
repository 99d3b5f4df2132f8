//! What shards tell a channel: answers to what it awaits, confirms, and what happens unasked.

use haremq_engine::mail::Notice;
use haremq_engine::queue::QueueError;
use haremq_engine::topology::{TopologyError, TopologyOutcome};

use super::awaited::{Awaited, Awaiting};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::{basic, queue, MethodId};

impl Channel {
    /// A notice for this channel. One that answers nothing that is awaited is late, and dropped.
    pub(crate) fn notice<B: Broker>(
        &mut self,
        notice: Notice,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        match notice {
            Notice::Confirmed { first, last, accepted, .. } => {
                self.confirmed(first, last, accepted, cx)
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
    ) -> Result<(), Exception> {
        if self.publisher.is_transactional() {
            let commit = MethodId::new(crate::amqp::method::TX, 20);
            return self.committed(first, last, accepted, cx).map_err(|error| error.by(commit));
        }
        self.publisher.confirms.answer(first, last, accepted);
        if !self.confirming {
            self.confirming = true;
            cx.session.confirming.push(self.number());
        }
        Ok(())
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
                    basic::cancel_ok(cx.out(), number, &consumer.tag);
                }
                self.awaiting = None;
                return;
            }
        }
        if cx.session.cancel_notify {
            basic::cancel(cx.out(), number, &consumer.tag);
        }
    }

    fn answer<B: Broker>(
        &mut self,
        awaiting: Awaiting,
        answer: Notice,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        let Awaiting { method, nowait, what } = awaiting;
        let number = self.number();
        let say = !nowait;
        let result = match (what, answer) {
            (Awaited::Done { answer }, Notice::Topology { result, .. }) => {
                result.map_err(ProtocolError::from).map(|_| {
                    if say {
                        answer(cx.out(), number);
                    }
                })
            }
            (Awaited::Declared { name }, Notice::Topology { result, .. }) => match result {
                Ok(TopologyOutcome::Queue { id, created: false }) => {
                    match cx.broker.topology().queue_by_id(id).cloned() {
                        Some(queue) => {
                            self.declared(method, nowait, &queue, None, cx);
                            Ok(())
                        }
                        None => Err(self.queue_error(QueueError::NoQueue, &name, cx)),
                    }
                }
                Ok(_) => {
                    if say {
                        queue::declare_ok(cx.out(), number, &name, 0, 0);
                    }
                    self.last_queue = Some(name);
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            (Awaited::ReplyQueue { name, tag }, Notice::Topology { result, .. }) => result
                .map_err(ProtocolError::from)
                .and_then(|made| self.reply_queue_declared(method, nowait, name, tag, &made, cx)),
            (Awaited::Counts { name, .. }, Notice::Inspected { messages, consumers, .. }) => {
                queue::declare_ok(cx.out(), number, &name, messages, consumers);
                Ok(())
            }
            (Awaited::Counts { again: Some(request), .. }, Notice::Refused { .. }) => {
                self.declare_anew(method, nowait, *request, cx);
                Ok(())
            }
            (Awaited::Purged { .. }, Notice::Purged { messages, .. }) => {
                if say {
                    queue::purge_ok(cx.out(), number, messages);
                }
                Ok(())
            }
            (Awaited::Deleted { .. }, Notice::Deleted { messages, .. }) => {
                if say {
                    queue::delete_ok(cx.out(), number, messages);
                }
                Ok(())
            }
            // Somebody else was faster (behaviour A79).
            (
                Awaited::Deleted { .. },
                Notice::Refused { error: QueueError::NoQueue, .. }
                | Notice::Topology { result: Err(TopologyError::NoQueue { .. }), .. },
            ) => {
                if say {
                    queue::delete_ok(cx.out(), number, 0);
                }
                Ok(())
            }
            (Awaited::Consuming { serial }, Notice::Consuming { .. }) => {
                if let (true, Some(consumer)) = (say, self.consumers.get(serial)) {
                    basic::consume_ok(cx.session.output.frames(), number, &consumer.tag);
                }
                Ok(())
            }
            (Awaited::Consuming { serial }, Notice::Refused { error, .. }) => {
                match self.drop_consumer(serial, cx) {
                    Some(consumer) => Err(self.queue_error(error, &consumer.queue_name, cx)),
                    None => Ok(()),
                }
            }
            (Awaited::Cancelled { serial, tag }, Notice::Cancelled { .. }) => {
                self.drop_consumer(serial, cx);
                if say {
                    basic::cancel_ok(cx.out(), number, &tag);
                }
                Ok(())
            }
            (Awaited::Got { .. }, Notice::Empty { .. }) => {
                basic::get_empty(cx.out(), number);
                Ok(())
            }
            (
                Awaited::Got { name, .. }
                | Awaited::Purged { name }
                | Awaited::Deleted { name }
                | Awaited::Counts { name, again: None },
                Notice::Refused { error, .. },
            ) => Err(self.queue_error(error, &name, cx)),
            // Not the answer to this question.
            (what, _) => {
                self.awaiting = Some(Awaiting { method, nowait, what });
                Ok(())
            }
        };
        result.map_err(|error| error.by(method))
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
