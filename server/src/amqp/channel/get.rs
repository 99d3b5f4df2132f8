//! basic.get (behaviour A97).

use haremq_engine::access::Right;
use haremq_engine::mail::Command;

use super::awaited::{Awaited, Awaiting};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::{basic, MethodId};

impl Channel {
    pub(super) fn get<B: Broker>(
        &mut self,
        id: MethodId,
        args: &basic::Get<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let name = self.queue_name(args.queue)?;
        cx.session.permit(cx.broker, Right::Read, "queue", name)?;
        let queue = cx.session.usable_queue(cx.broker, name)?;
        let what = Awaited::Got { queue: queue.id, name: queue.name.clone() };
        self.awaiting = Some(Awaiting { method: id, nowait: false, what });
        // So that the shard hears of it if the connection ends before the answer.
        cx.session.asks(queue.owner);
        if !args.no_ack {
            self.expect_acks(&queue, cx);
        }
        let get = Command::Get { queue: queue.id, channel: self.key, no_ack: args.no_ack };
        cx.broker.command(queue.owner, get);
        Ok(())
    }
}
