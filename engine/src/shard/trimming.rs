//! Queues that hold more than they may let their oldest messages go: one or two where a message
//! came in, a great many where a limit did, and then some at a time.

use super::dead_letters::Testament;
use super::queues::QueueSlot;
use super::Shard;
use crate::dead_letter::Cause;
use crate::log::Memory;
use crate::now::Now;

/// Messages that a queue lets go at once.
const TRIM: usize = 4096;
/// As many of a queue with a dead-letter exchange.
const TRIM_WITH_HEIRS: usize = 512;
/// As many with every message that comes to a queue that is being trimmed.
const TRIM_MEANWHILE: usize = 2;

impl<M: Memory> Shard<M> {
    /// Lets the oldest messages of a queue go until it holds no more than it may; what is too much
    /// for one turn is left to the next ones. Until these are done, it is no more than what came.
    pub(super) fn drop_excess(&mut self, now: Now, at: QueueSlot) {
        let Some((hosted, _)) = self.queues.get_mut(at) else { return };
        let limit = match hosted.is_to_be_trimmed() {
            true => TRIM_MEANWHILE,
            false if hosted.queue.settings().dead_letters.is_some() => TRIM_WITH_HEIRS,
            false => TRIM,
        };
        self.drop_some(now, at, limit);
    }

    fn drop_some(&mut self, now: Now, at: QueueSlot, limit: usize) {
        let may_let_die = self.is_resolved();
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        if !may_let_die {
            if queue.has_excess() {
                self.queues.trim_later(at);
            }
            return;
        }
        let Some(first) = queue.drop_excess(pool) else { return };
        let testament = Testament::of(queue);
        let (store, dead_letters) = (&mut self.store, &mut self.dead_letters);
        dead_letters.take(store, now, &testament, &first, Cause::MaxLength);
        for _ in 1..limit {
            let Some(gone) = queue.drop_excess(pool) else { return };
            dead_letters.take(store, now, &testament, &gone, Cause::MaxLength);
        }
        if queue.has_excess() {
            self.queues.trim_later(at);
        }
    }

    /// Goes on with a queue that has too much. Those whose messages must be moved wait while there
    /// are enough of them on their way.
    pub(super) fn trim(&mut self, now: Now) {
        if !self.can_trim() {
            return;
        }
        if let Some(at) = self.queues.next_to_trim() {
            self.drop_excess(now, at);
        }
    }

    /// True if there is a queue to go on with. Before all that was decided in an earlier run has
    /// been carried out none is, however long that takes: on a full disk until there is room.
    pub(super) fn can_trim(&self) -> bool {
        self.is_resolved()
            && self.queues.any_to_trim()
            && !self.dead_letters.is_busy()
            && self.store.log.takes_settles()
    }
}
