//! Copying forward, as far as it concerns the queues: they say what they hold, and learn where it
//! lies after.
//!
//! A message that has left its queue's index and is not freed yet (a dead letter on its way, what
//! a deleted queue has left) is not moved: it goes by itself.

use super::queues::Queues;
use super::topology_writer::TopologyWriter;
use super::transactions::{Held, Transactions};
use super::values::Values;
use super::Shard;
use crate::ids::{QueueId, Seq};
use crate::log::{Address, Holders, LogSpace, Memory, Recovery, Relocated, Settling};
use crate::now::Now;
use crate::queue::{Backlog, ChunkPool, Place};

/// Bales of the queues' indexes that are unpacked in one turn: each may have to be read.
const BALES_PER_TURN: u64 = 8;

struct Holding<'a> {
    queues: &'a mut Queues,
    writer: Option<&'a mut TopologyWriter>,
    values: &'a mut Values,
    transactions: &'a mut Transactions,
    /// Bales that had been unpacked before this turn.
    unpacked: u64,
}

impl Holding<'_> {
    /// Where a reference of an internal queue lies: a value, a journal record or a mark.
    fn internal(&mut self, queue: QueueId, seq: Seq) -> Option<&mut Held> {
        match queue.is_of_values() {
            true => self.values.held_mut(queue, seq),
            false => self.transactions.held_mut(queue, seq),
        }
    }
}

fn is_internal(queue: QueueId) -> bool {
    queue.is_of_values() || queue.is_of_transactions()
}

impl Holders for Holding<'_> {
    fn holds(&mut self, held: &Settling) -> bool {
        if is_internal(held.queue) {
            let found = self.internal(held.queue, held.seq);
            return found.is_some_and(|found| {
                (found.address, found.reference) == (held.address, held.reference)
            });
        }
        let queue = self.queues.find(held.queue).and_then(|at| self.queues.get_mut(at));
        match queue.and_then(|(hosted, pool)| hosted.queue.place(pool, held.seq)) {
            Some(Place::Log { address, reference, .. })
            | Some(Place::Spilled { address, reference, .. }) => {
                (Address(address), reference) == (held.address, held.reference)
            }
            Some(Place::Arena { .. }) | None => false,
        }
    }

    fn moved(&mut self, held: &Settling, to: &Relocated) {
        let Settling { queue, seq, address, length, reference } = *held;
        if is_internal(queue) {
            let Some(found) = self.internal(queue, seq) else {
                panic!("{held:?} was copied and nothing is held there");
            };
            let Relocated { address, length, reference, .. } = *to;
            *found = Held { address, length, reference };
            return;
        }
        let from = Place::Log { address: address.0, length, reference };
        let Relocated { address, length, reference, .. } = *to;
        let to = Place::Log { address: address.0, length, reference };
        let queue = self.queues.find(queue).and_then(|at| self.queues.get_mut(at));
        let moved = queue.is_some_and(|(hosted, pool)| hosted.queue.relocate(pool, seq, from, to));
        assert!(moved, "{held:?} was copied and its queue does not hold it");
        self.queues.keep_within();
    }

    fn holds_definition(&mut self, held: &Settling, payload: &[u8]) -> bool {
        let record = self.writer.as_mut().and_then(|writer| writer.definition(payload));
        record.is_some_and(|record| {
            (record.address, record.reference) == (held.address, held.reference)
        })
    }

    fn is_weary(&self) -> bool {
        self.queues.pool.bales_unpacked() >= self.unpacked + BALES_PER_TURN
    }

    fn definition_moved(&mut self, held: &Settling, payload: &[u8], to: &Relocated) {
        let record = self.writer.as_mut().and_then(|writer| writer.definition(payload));
        let Some(record) = record else {
            panic!("{held:?} was copied and no definition is held there");
        };
        (record.address, record.length, record.reference) = (to.address, to.length, to.reference);
    }
}

/// Keeps what the log holds of a queue, but for messages that have been copied, and settled where
/// the copies were.
pub(super) fn keep<M: Memory>(
    recovery: &mut Recovery<M>,
    pool: &mut ChunkPool,
    backlog: &mut Backlog,
) {
    let mut copied = Vec::new();
    for (seq, slot) in backlog.messages(pool) {
        let Place::Log { address, length, reference } = slot.place() else { continue };
        match recovery.is_copied(Address(address), reference) {
            true => copied.push(seq),
            false => recovery.keep(Address(address), length, reference),
        }
    }
    for seq in copied {
        backlog.settled(pool, seq, seq, |_| true);
    }
}

impl<M: Memory> Shard<M> {
    /// What this shard's log takes and what it holds.
    pub fn log_space(&self) -> LogSpace {
        self.store.log.space()
    }

    /// The log needs another file, and the disk has no room for it: publishers should wait.
    #[inline]
    pub fn is_out_of_space(&self) -> bool {
        self.store.log.is_out_of_space()
    }

    /// Goes on giving sparse segments back, if that is due. True: there is more to do at once.
    pub(super) fn copy_forward(&mut self, now: Now) -> bool {
        if !self.is_resolved() {
            // What is of an earlier run is told by where it lies.
            return false;
        }
        let Shard { store, queues, writer, values, transactions, .. } = self;
        let (writer, unpacked) = (writer.as_mut(), queues.pool.bales_unpacked());
        let mut holding = Holding { queues, writer, values, transactions, unpacked };
        store.log.copy_forward(now, &mut holding)
    }
}
