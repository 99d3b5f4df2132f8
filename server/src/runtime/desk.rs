//! Where a shard answers the management thread.
//!
//! Most requests are answered from what the shard knows. Those that go the way of a channel's
//! request (purge, delete, topology) leave a slip here until the answer comes back: commands to
//! queues under a connection id that no client can have, topology changes under a ticket.

use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, ShardId};
use haremq_engine::mail::{Command, Notice};
use haremq_engine::queue::QueueError;
use haremq_engine::shard::{ConsumerStats, QueueStats};
use haremq_engine::topology::{Topology, TopologyError, TopologyOutcome};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::control::{ConsumerReport, QueueReport};

type TopologyAnswer = oneshot::Sender<Result<TopologyOutcome, TopologyError>>;

enum Slip {
    Purge(oneshot::Sender<Option<u64>>),
    Delete(oneshot::Sender<Result<u64, QueueError>>),
}

/// One shard's open requests.
pub(super) struct Desk {
    shard: ShardId,
    last: u32,
    slips: FxHashMap<u32, Slip>,
    tickets: FxHashMap<u64, TopologyAnswer>,
}

impl Desk {
    pub(super) fn new(shard: ShardId) -> Self {
        Desk { shard, last: 0, slips: FxHashMap::default(), tickets: FxHashMap::default() }
    }

    /// Whether notices to that connection are for the desk: serial 0 is never a client's.
    pub(super) fn is_addressed(connection: ConnectionId) -> bool {
        connection.serial() == 0
    }

    fn slip(&mut self, slip: Slip) -> ChannelKey {
        self.last = self.last.wrapping_add(1);
        self.slips.insert(self.last, slip);
        let connection = ConnectionId::new(self.shard, 0);
        ChannelKey { connection, channel: 0, incarnation: self.last }
    }

    /// The command that purges the queue, whose answer will go to `reply`.
    pub(super) fn purge(&mut self, queue: QueueId, reply: oneshot::Sender<Option<u64>>) -> Command {
        Command::Purge { queue, channel: self.slip(Slip::Purge(reply)) }
    }

    /// The command that deletes the queue, whose answer will go to `reply`.
    pub(super) fn delete(
        &mut self,
        queue: QueueId,
        if_unused: bool,
        if_empty: bool,
        reply: oneshot::Sender<Result<u64, QueueError>>,
    ) -> Command {
        Command::Delete { queue, channel: self.slip(Slip::Delete(reply)), if_unused, if_empty }
    }

    /// The ticket under which a topology change is to be asked for.
    pub(super) fn ticket(&mut self, reply: TopologyAnswer) -> u64 {
        self.last = self.last.wrapping_add(1);
        let ticket = u64::from(self.last);
        self.tickets.insert(ticket, reply);
        ticket
    }

    /// The answer to a ticket. Nobody may be waiting any more; that is no error.
    pub(super) fn answer(&mut self, ticket: u64, result: Result<TopologyOutcome, TopologyError>) {
        if let Some(reply) = self.tickets.remove(&ticket) {
            let _ = reply.send(result);
        }
    }

    /// The answer to a command.
    pub(super) fn notice(&mut self, notice: Notice) {
        let Some(slip) = self.slips.remove(&notice.channel().incarnation) else { return };
        match (slip, notice) {
            (Slip::Purge(reply), Notice::Purged { messages, .. }) => {
                let _ = reply.send(Some(messages));
            }
            (Slip::Purge(reply), Notice::Refused { .. }) => {
                let _ = reply.send(None);
            }
            (Slip::Delete(reply), Notice::Deleted { messages, .. }) => {
                let _ = reply.send(Ok(messages));
            }
            (Slip::Delete(reply), Notice::Refused { error, .. }) => {
                let _ = reply.send(Err(error));
            }
            (_, notice) => tracing::error!(?notice, "not an answer to what management asked"),
        }
    }
}

pub(super) fn queue_report(stats: &QueueStats) -> QueueReport {
    QueueReport {
        id: stats.id,
        messages_ready: stats.messages_ready,
        messages_unacknowledged: stats.messages_unacknowledged,
        consumers: stats.consumers,
        message_bytes: stats.message_bytes,
        publishes: stats.publishes,
        deliveries: stats.deliveries,
        acks: stats.acks,
    }
}

/// `None`: its queue has gone meanwhile.
pub(super) fn consumer_report(stats: ConsumerStats, topology: &Topology) -> Option<ConsumerReport> {
    let consume = stats.consume;
    let queue = topology.queue_by_id(stats.queue)?;
    Some(ConsumerReport {
        vhost: queue.vhost.clone(),
        queue: queue.name.clone(),
        connection: consume.consumer.connection,
        channel: consume.consumer.channel,
        consumer_tag: consume.tag,
        ack_required: !consume.no_ack,
        exclusive: consume.exclusive,
        prefetch_count: consume.prefetch,
        active: stats.active,
        single_active: stats.single_active,
        arguments: consume.arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_reach_the_request_they_belong_to() {
        let mut desk = Desk::new(ShardId(1));
        let (purge, mut purged) = oneshot::channel();
        let (delete, mut deleted) = oneshot::channel();
        let Command::Purge { channel: purge_key, .. } = desk.purge(QueueId(1), purge) else {
            panic!()
        };
        let Command::Delete { channel: delete_key, .. } =
            desk.delete(QueueId(2), true, false, delete)
        else {
            panic!()
        };
        assert!(Desk::is_addressed(purge_key.connection));
        assert_eq!(delete_key.connection.shard(), ShardId(1));
        desk.notice(Notice::Refused { channel: delete_key, error: QueueError::InUse });
        desk.notice(Notice::Purged { channel: purge_key, messages: 7 });
        assert_eq!(purged.try_recv(), Ok(Some(7)));
        assert_eq!(deleted.try_recv(), Ok(Err(QueueError::InUse)));
        // Answered twice, or for nobody: nothing happens.
        desk.notice(Notice::Purged { channel: purge_key, messages: 7 });
        desk.answer(99, Ok(TopologyOutcome::Done));
    }

    #[test]
    fn a_ticket_is_answered_once() {
        let mut desk = Desk::new(ShardId(0));
        let (reply, mut answer) = oneshot::channel();
        let ticket = desk.ticket(reply);
        desk.answer(ticket, Ok(TopologyOutcome::Created(true)));
        assert_eq!(answer.try_recv(), Ok(Ok(TopologyOutcome::Created(true))));
    }
}
