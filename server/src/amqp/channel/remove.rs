//! exchange.delete, queue.delete and queue.purge (behaviour A57, A78, A79).

use haremq_engine::access::Right;
use haremq_engine::mail::Command;
use haremq_engine::topology::{TopologyError, TopologyRequest};

use super::awaited::{Awaited, Awaiting};
use super::declare::{clean, not_default_exchange};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::{exchange, queue, MethodId};

impl Channel {
    pub(super) fn delete_exchange<B: Broker>(
        &mut self,
        id: MethodId,
        args: &exchange::Delete<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name = clean(args.exchange);
        not_default_exchange(&name)?;
        let vhost = cx.session.vhost.clone();
        if name.starts_with("amq.") {
            let name = name.into();
            return Err(TopologyError::SystemExchange { vhost, name }.into());
        }
        cx.session.permit(cx.broker, Right::Configure, "exchange", &name)?;
        let if_unused = args.if_unused;
        let request = TopologyRequest::DeleteExchange { vhost, name: name.into(), if_unused };
        let what = Awaited::Done { answer: exchange::delete_ok };
        self.ask_topology(Awaiting { method: id, nowait: args.nowait, what }, request, cx);
        Ok(())
    }

    pub(super) fn delete_queue<B: Broker>(
        &mut self,
        id: MethodId,
        args: &queue::Delete<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name = clean(self.queue_name(args.queue)?).into_owned();
        cx.session.permit(cx.broker, Right::Configure, "queue", &name)?;
        let queue = match cx.session.usable_queue(cx.broker, &name) {
            Ok(queue) => queue,
            Err(ProtocolError::Topology(TopologyError::NoQueue { .. })) => {
                if !args.nowait {
                    queue::delete_ok(cx.out(self.number()), self.number(), 0);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let what = Awaited::Deleted { name: queue.name.clone(), cancelled: Vec::new() };
        self.awaiting = Some(Awaiting { method: id, nowait: args.nowait, what });
        let delete = Command::Delete {
            queue: queue.id,
            channel: self.key,
            if_unused: args.if_unused,
            if_empty: args.if_empty,
        };
        cx.broker.command(queue.owner, delete);
        Ok(())
    }

    pub(super) fn purge_queue<B: Broker>(
        &mut self,
        id: MethodId,
        args: &queue::Purge<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name = self.queue_name(args.queue)?;
        cx.session.permit(cx.broker, Right::Read, "queue", name)?;
        let queue = cx.session.usable_queue(cx.broker, name)?;
        let what = Awaited::Purged { name: queue.name.clone() };
        self.awaiting = Some(Awaiting { method: id, nowait: args.nowait, what });
        cx.broker.command(queue.owner, Command::Purge { queue: queue.id, channel: self.key });
        Ok(())
    }
}
