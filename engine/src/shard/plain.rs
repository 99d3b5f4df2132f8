//! The short way in, of nearly all messages: for one queue that takes whatever comes.
//!
//! Does what [`Shard::take_message`] would do. Whatever that asks for which none of these messages
//! needs is asked once, when the queue gets its settings: [`QueueSettings::is_plain`].
//!
//! [`QueueSettings::is_plain`]: crate::queue::QueueSettings::is_plain

use super::publish::{Intake, SHORT_QUEUE};
use super::Shard;
use crate::ids::QueueId;
use crate::log::{Memory, Position};
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{Arrival, Place, Slot};

impl<M: Memory> Shard<M> {
    /// Stores a message and gives it to its one queue. `None`, and nothing has been done: it has
    /// to go the long way.
    #[inline]
    pub(super) fn take_plainly(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        queues: &[QueueId],
    ) -> Option<Intake> {
        let &[id] = queues else { return None };
        if message.expiration_ms.is_some() {
            return None;
        }
        let at = self.queues.find(id)?;
        let queue = &self.queues.get(at)?.queue;
        if !queue.is_plain() || queue.is_closed() {
            return None;
        }
        let is_in_log = message.persistent && queue.settings().survives_restart;
        if !is_in_log {
            let short_bytes = (self.config.memory_max_bytes / SHORT_QUEUE) as u64;
            let is_short = queue.counts().ready_bytes <= short_bytes;
            if !self.has_memory(message, is_short) {
                return None;
            }
        }
        let body_bytes = message.body.len() as u64;
        let arrival = Arrival { priority: message.priority, body_bytes, expiration_ms: None };
        let (hosted, pool, work) = self.queues.intake(at)?;
        let (seq, slot) = hosted.queue.take_place(pool, &arrival);
        let (place, end) = if is_in_log {
            let placed = self.store.log.append_message(now, message, None, &[(id, seq)]);
            let (address, length) = (placed.address.0, placed.length);
            (Place::Log { address, length, reference: placed.reference }, placed.end)
        } else {
            let address = self.store.arena.append(now, message, 1).0;
            (Place::Arena { address }, Position::default())
        };
        match slot {
            Some(slot) => *slot = Slot::ready(place, body_bytes, false),
            None => hosted.queue.push(pool, seq, place, body_bytes, None, now.unix_ms),
        }
        work.note(hosted);
        self.sampling.enqueued(now.monotonic_us, at, seq);
        self.queues.keep_within();
        Some(Intake { end, ..Intake::default() })
    }
}
