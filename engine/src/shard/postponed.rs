//! Commands that find a queue with messages which it could have delivered already: they wait until it
//! has. Deliveries are made by the turn, but nobody may see that: a consumer that was there takes
//! what was published before it is cancelled, before a basic.get or a purge comes, and before
//! somebody asks how many messages are ready (RabbitMQ delivers when a message is published).
//!
//! The connection that has sent such a command sends nothing more before it has the answer, so what
//! comes later may go first.

use super::command::asker;
use super::queues::{QueueSlot, Queues};
use super::Shard;
use crate::ids::{ConnectionId, QueueId};
use crate::log::Memory;
use crate::mail::Command;
use crate::now::Now;

/// Deliveries that a command waits for at most: a long backlog does not hold it up.
const DELIVERIES_MAX: u64 = 4096;

/// One command, and when it is carried out at the latest.
#[derive(Debug)]
struct Waiting {
    queue: QueueId,
    /// Deliveries that its queue has made by then, as [`crate::queue::Traffic`] counts them.
    deliveries: u64,
    command: Command,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Postponed(Vec<Waiting>);

impl Postponed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the command if it has to wait.
    pub(super) fn take(
        &mut self,
        queues: &Queues,
        queue: QueueId,
        command: Command,
    ) -> Option<Command> {
        let owing = queues.find(queue).filter(|at| queues.is_dirty(*at));
        let Some(hosted) = owing.and_then(|at| queues.get(at)) else { return Some(command) };
        let ready = hosted.queue.counts().ready.min(DELIVERIES_MAX);
        let deliveries = hosted.queue.traffic().deliveries + ready;
        self.0.push(Waiting { queue, deliveries, command });
        None
    }

    /// A connection that is gone waits for nothing.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.0.retain(|waiting| asker(&waiting.command) != Some(connection));
    }

    /// Those that have waited long enough, in their order.
    fn due(&mut self, queues: &Queues) -> Vec<Command> {
        let owes = |at: QueueSlot, deliveries: u64| {
            queues.is_dirty(at)
                && queues
                    .get(at)
                    .is_some_and(|hosted| hosted.queue.traffic().deliveries < deliveries)
        };
        let still = |waiting: &Waiting| {
            queues.find(waiting.queue).is_some_and(|at| owes(at, waiting.deliveries))
        };
        let (left, due): (Vec<_>, Vec<_>) = self.0.drain(..).partition(still);
        self.0 = left;
        due.into_iter().map(|waiting| waiting.command).collect()
    }
}

impl<M: Memory> Shard<M> {
    /// True if the queue could deliver something at once: commands that look at it wait for the next
    /// [`Shard::dispatch`].
    pub fn owes_deliveries(&self, queue: QueueId) -> bool {
        self.queues.find(queue).is_some_and(|at| self.queues.is_dirty(at))
    }

    /// To be called when queues have had their turns.
    pub(super) fn carry_out_postponed(&mut self, now: Now) {
        if self.postponed.is_empty() {
            return;
        }
        for command in self.postponed.due(&self.queues) {
            self.perform(now, command);
        }
    }
}
