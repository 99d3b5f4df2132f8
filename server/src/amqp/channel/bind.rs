//! queue.bind, queue.unbind, exchange.bind, exchange.unbind (behaviour A75-A77, A61, B10).

use std::sync::Arc;

use haremq_engine::access::Right;
use haremq_engine::topology::{BindingTarget, TopologyRequest};

use super::awaited::{Awaited, Awaiting, PlainAnswer};
use super::declare::{clean, not_default_exchange, table};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::codec::reader::TableOctets;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::{exchange, queue, MethodId};

/// What the four methods have in common.
struct Binding<'a> {
    source: &'a str,
    target: BindingTarget,
    key: Arc<str>,
    arguments: TableOctets<'a>,
    nowait: bool,
    bind: bool,
    answer: PlainAnswer,
}

impl Channel {
    pub(super) fn bind_queue<B: Broker>(
        &mut self,
        id: MethodId,
        args: &queue::Bind<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let binding = Binding {
            source: args.exchange,
            target: self.queue_target(args.queue)?,
            key: self.binding_key(args.queue, args.key)?,
            arguments: args.arguments,
            nowait: args.nowait,
            bind: true,
            answer: queue::bind_ok,
        };
        self.change_binding(id, binding, cx)
    }

    pub(super) fn unbind_queue<B: Broker>(
        &mut self,
        id: MethodId,
        args: &queue::Unbind<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let binding = Binding {
            source: args.exchange,
            target: self.queue_target(args.queue)?,
            key: self.binding_key(args.queue, args.key)?,
            arguments: args.arguments,
            nowait: false,
            bind: false,
            answer: queue::unbind_ok,
        };
        self.change_binding(id, binding, cx)
    }

    pub(super) fn bind_exchange<B: Broker>(
        &mut self,
        id: MethodId,
        args: &exchange::Bind<'_>,
        bind: bool,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let binding = Binding {
            source: args.source,
            target: BindingTarget::Exchange(clean(args.destination).into()),
            key: args.key.into(),
            arguments: args.arguments,
            nowait: args.nowait,
            bind,
            answer: if bind { exchange::bind_ok } else { exchange::unbind_ok },
        };
        self.change_binding(id, binding, cx)
    }

    fn queue_target(&self, name: &str) -> Result<BindingTarget, ProtocolError> {
        Ok(BindingTarget::Queue(clean(self.queue_name(name)?).into()))
    }

    /// Neither queue nor key: the last queue is bound by its own name (behaviour A71).
    fn binding_key(&self, queue: &str, key: &str) -> Result<Arc<str>, ProtocolError> {
        match (queue, key) {
            ("", "") => self.queue_name(queue).map(Arc::from),
            _ => Ok(key.into()),
        }
    }

    /// Permissions in RabbitMQ's order: destination first (behaviour A117).
    fn change_binding<B: Broker>(
        &mut self,
        id: MethodId,
        binding: Binding<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let source = clean(binding.source);
        let (what, target) = match &binding.target {
            BindingTarget::Queue(name) => ("queue", name),
            BindingTarget::Exchange(name) => ("exchange", name),
        };
        let arguments = table(binding.arguments)?;
        cx.session.permit(cx.broker, Right::Write, what, target)?;
        if what == "exchange" {
            not_default_exchange(target)?;
        }
        not_default_exchange(&source)?;
        cx.session.permit(cx.broker, Right::Read, "exchange", &source)?;
        let key = [binding.key.as_bytes()];
        cx.session.permit_topics(cx.broker, Right::Read, &source, &key)?;
        let vhost = cx.session.vhost.clone();
        let source: Arc<str> = source.into();
        let (target, key, connection) = (binding.target, binding.key, Some(cx.session.id));
        let request = if binding.bind {
            TopologyRequest::Bind { vhost, source, target, key, arguments, connection }
        } else {
            TopologyRequest::Unbind { vhost, source, target, key, arguments, connection }
        };
        let what = Awaited::Done { answer: binding.answer };
        self.ask_topology(Awaiting { method: id, nowait: binding.nowait, what }, request, cx);
        Ok(())
    }
}
