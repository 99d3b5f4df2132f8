//! exchange.declare and queue.declare (behaviour A50-A55, A62-A74).

use std::borrow::Cow;
use std::sync::Arc;

use haremq_engine::access::Right;
use haremq_engine::mail::{Command, Requester};
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{ExchangeKind, Queue, TopologyError, TopologyRequest};

use super::awaited::{Awaited, Awaiting};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::codec::reader::TableOctets;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::{exchange, queue, MethodId};
use crate::amqp::session::generated_name;

/// Names keep their characters but CR and LF (behaviour A72).
pub(super) fn clean(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        Cow::Owned(name.replace(['\r', '\n'], ""))
    } else {
        Cow::Borrowed(name)
    }
}

pub(super) fn table(octets: TableOctets<'_>) -> Result<Arc<Table>, ProtocolError> {
    Table::decode(octets.0)
        .map(Arc::new)
        .map_err(|error| ProtocolError::malformed_table(error, octets.0))
}

pub(super) fn not_default_exchange(name: &str) -> Result<(), ProtocolError> {
    match name {
        "" => Err(TopologyError::DefaultExchange.into()),
        _ => Ok(()),
    }
}

/// A name in the arguments, where one is given as a string.
fn named<'t>(arguments: &'t Table, argument: &str) -> Option<&'t str> {
    arguments.get(argument).and_then(Value::as_str)
}

impl Channel {
    pub(super) fn declare_exchange<B: Broker>(
        &mut self,
        id: MethodId,
        args: &exchange::Declare<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name = clean(args.exchange);
        // Before anything is looked at that the client may not know, as with RabbitMQ.
        if !args.passive && ExchangeKind::from_name(args.kind).is_none() {
            return Err(TopologyError::UnknownExchangeKind { kind: args.kind.into() }.into());
        }
        not_default_exchange(&name)?;
        let vhost = cx.session.vhost.clone();
        let exists = cx.broker.topology().exchange(&vhost, &name).is_some();
        if args.passive {
            if !exists {
                return Err(TopologyError::NoExchange { vhost, name: name.as_ref().into() }.into());
            }
            if !args.nowait {
                exchange::declare_ok(cx.out(self.number()), self.number());
            }
            return Ok(());
        }
        let arguments = table(args.arguments)?;
        cx.session.permit(cx.broker, Right::Configure, "exchange", &name)?;
        if let (false, Some(alternate)) = (exists, named(&arguments, "alternate-exchange")) {
            cx.session.permit(cx.broker, Right::Read, "exchange", &name)?;
            cx.session.permit(cx.broker, Right::Write, "exchange", alternate)?;
        }
        let request = TopologyRequest::DeclareExchange {
            vhost,
            name: name.as_ref().into(),
            kind: args.kind.into(),
            durable: args.durable,
            auto_delete: args.auto_delete,
            internal: args.internal,
            arguments,
        };
        self.ask_topology(
            Awaiting {
                method: id,
                nowait: args.nowait,
                what: Awaited::Done { answer: exchange::declare_ok },
            },
            request,
            cx,
        );
        Ok(())
    }

    pub(super) fn declare_queue<B: Broker>(
        &mut self,
        id: MethodId,
        args: &queue::Declare<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name = clean(args.queue);
        if self.declare_reply_queue(&name, args.nowait, cx)? {
            return Ok(());
        }
        if args.passive {
            let queue = cx.session.usable_queue(cx.broker, &name)?;
            self.declared(id, args.nowait, &queue, None, cx);
            return Ok(());
        }
        let arguments = table(args.arguments)?;
        let name: Arc<str> = match name.as_ref() {
            "" => generated_name("amq.gen-", cx.broker).into(),
            reserved if reserved.starts_with("amq.") => {
                let name = reserved.into();
                return Err(TopologyError::ReservedName { what: "queue", name }.into());
            }
            name => name.into(),
        };
        cx.session.permit(cx.broker, Right::Configure, "queue", &name)?;
        let request = TopologyRequest::DeclareQueue {
            vhost: cx.session.vhost.clone(),
            name: name.clone(),
            // An exclusive queue dies with its connection whatever it says (behaviour A68).
            durable: args.durable && !args.exclusive,
            auto_delete: args.auto_delete,
            exclusive_to: args.exclusive.then_some(cx.session.id),
            connection: Some(cx.session.id),
            arguments: arguments.clone(),
        };
        if let Some(queue) = cx.broker.topology().redeclare_queue(&request)? {
            self.declared(id, args.nowait, &queue, Some(Box::new(request)), cx);
            return Ok(());
        }
        if let Some(dead_letters) = named(&arguments, "x-dead-letter-exchange") {
            cx.session.permit(cx.broker, Right::Read, "queue", &name)?;
            cx.session.permit(cx.broker, Right::Write, "exchange", dead_letters)?;
        }
        self.declare_anew(id, args.nowait, request, cx);
        Ok(())
    }

    /// Asks the writer for a queue.
    pub(super) fn declare_anew<B: Broker>(
        &mut self,
        id: MethodId,
        nowait: bool,
        request: TopologyRequest,
        cx: &mut Context<'_, B>,
    ) {
        let TopologyRequest::DeclareQueue { name, exclusive_to, .. } = &request else {
            return;
        };
        cx.session.owns_queues |= exclusive_to.is_some();
        let what = Awaited::Declared { name: name.clone() };
        self.ask_topology(Awaiting { method: id, nowait, what }, request, cx);
    }

    /// The queue exists; asks its owner for the counts, if anyone wants to know.
    pub(super) fn declared<B: Broker>(
        &mut self,
        id: MethodId,
        nowait: bool,
        queue: &Queue,
        again: Option<Box<TopologyRequest>>,
        cx: &mut Context<'_, B>,
    ) {
        self.last_queue = Some(queue.name.clone());
        if nowait {
            return;
        }
        let what = Awaited::Counts { name: queue.name.clone(), again };
        self.awaiting = Some(Awaiting { method: id, nowait, what });
        let inspect = Command::Inspect { queue: queue.id, channel: self.key };
        cx.broker.command(queue.owner, inspect);
    }

    pub(super) fn ask_topology<B: Broker>(
        &mut self,
        awaiting: Awaiting,
        request: TopologyRequest,
        cx: &mut Context<'_, B>,
    ) {
        self.awaiting = Some(awaiting);
        cx.broker.request(Requester::Channel(self.key), request);
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn names_lose_line_ends_only() {
        assert_eq!(clean("a\r\nb c"), "ab c");
        assert_eq!(clean("plain"), "plain");
    }
}
