//! The two places where a shard keeps messages, behind one door.

use super::bodies::Body;
use crate::arena::{Arena, ArenaAddress};
use crate::ids::{QueueId, Seq};
use crate::log::{Address, Fetch, FetchBeginning, Log, Memory, Settling};
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{ChunkPool, Place, Remains, Slot};

/// Messages of purged and deleted queues freed in one call.
const FREED_AT_ONCE: usize = 4096;

/// Log and arena. A queue's slot says in which of them its message lies.
pub(super) struct Store<M: Memory> {
    pub(super) log: Log<M>,
    pub(super) arena: Arena,
}

impl<M: Memory> Store<M> {
    #[inline]
    pub(super) fn fetch(&mut self, slot: &Slot) -> Fetch<'_> {
        match slot.place() {
            Place::Log { address, length, .. } | Place::Spilled { address, length, .. } => {
                self.log.fetch(Address(address), length)
            }
            Place::Arena { address } => Fetch::Ready(self.arena.get(ArenaAddress(address))),
        }
    }

    /// Where in the log the message is, if its record is all of it.
    pub(super) fn address(&self, slot: &Slot) -> Option<Address> {
        match slot.place() {
            Place::Log { address, .. } | Place::Spilled { address, .. } => {
                let address = Address(address);
                (!self.log.is_in_parts(address)).then_some(address)
            }
            Place::Arena { .. } => None,
        }
    }

    /// The message does not lie in one record of the log.
    pub(super) fn is_in_parts(&self, slot: &Slot) -> bool {
        match slot.place() {
            Place::Log { address, .. } | Place::Spilled { address, .. } => {
                self.log.is_in_parts(Address(address))
            }
            Place::Arena { .. } => false,
        }
    }

    /// Reads a message in parts up to its body: `take` gets that, and the octets of a body that it does not
    /// have. The body itself comes behind, of the same parts. `None`: something must be read first.
    pub(super) fn begin_long<T>(
        &mut self,
        slot: &Slot,
        take: impl FnOnce(&MessageRef<'_>, u64) -> T,
    ) -> Option<(T, Option<Body>)> {
        let (Place::Log { address, length, .. } | Place::Spilled { address, length, .. }) =
            slot.place()
        else {
            return None;
        };
        let address = Address(address);
        let FetchBeginning::Ready { stored, left_bytes } =
            self.log.fetch_beginning(address, length)
        else {
            return None;
        };
        let taken = take(&stored.message, left_bytes);
        if left_bytes == 0 {
            return Some((taken, None));
        }
        let body = self.log.open_long(address);
        let body = body.expect("the beginning of a long message has just been read");
        Some((taken, Some(Body::InLog { body, bytes: left_bytes })))
    }

    /// The message is going to be fetched soon, unlike those beside it.
    pub(super) fn prefetch(&mut self, slot: &Slot) {
        match slot.place() {
            Place::Log { address, length, .. } | Place::Spilled { address, length, .. } => {
                self.log.prefetch(Address(address), length);
            }
            Place::Arena { .. } => {}
        }
    }

    /// A queue lets a message go. Only a queue that survives a restart needs a record of it, and
    /// only of a message that does: what others have in the log is dead after one by their
    /// absence.
    #[inline]
    pub(super) fn free(
        &mut self,
        now: Now,
        queue: QueueId,
        survives_restart: bool,
        seq: Seq,
        slot: &Slot,
    ) {
        self.free_run(now, queue, survives_restart, seq, std::slice::from_ref(slot));
    }

    /// As `free`, of messages whose numbers follow one another from `first` on.
    #[inline]
    pub(super) fn free_run(
        &mut self,
        now: Now,
        queue: QueueId,
        survives_restart: bool,
        first: Seq,
        slots: &[Slot],
    ) {
        let mut at = 0;
        while let Some(slot) = slots.get(at) {
            let in_log = match slot.place() {
                Place::Log { .. } if survives_restart => {
                    slots[at..].iter().take_while(|slot| slot.is_in_log()).count()
                }
                Place::Log { .. } | Place::Spilled { .. } | Place::Arena { .. } => 0,
            };
            if in_log == 0 {
                self.release(slot);
                at += 1;
                continue;
            }
            let (run, first) = (&slots[at..at + in_log], first.0 + at as u64);
            self.log.append_settles(now, queue, Seq(first), in_log, |index| {
                let (address, length, reference) = run[index].record();
                let (address, seq) = (Address(address), Seq(first + index as u64));
                Settling { queue, seq, address, length, reference }
            });
            at += in_log;
        }
    }

    /// A message of a queue that no longer exists.
    pub(super) fn release(&mut self, slot: &Slot) {
        match slot.place() {
            Place::Log { address, length, reference }
            | Place::Spilled { address, length, reference } => {
                self.log.release(Address(address), length, reference);
            }
            Place::Arena { address } => self.arena.release(ArenaAddress(address)),
        }
    }

    /// Frees some of what a purge or a queue that is gone has left. True when nothing is.
    pub(super) fn free_some(
        &mut self,
        now: Now,
        remains: &mut Remains,
        pool: &mut ChunkPool,
    ) -> bool {
        let (queue, must_settle) = (remains.queue(), remains.must_settle());
        remains.free(pool, FREED_AT_ONCE, |seq, slot| match must_settle {
            true => self.free(now, queue, true, seq, slot),
            false => self.release(slot),
        })
    }
}
