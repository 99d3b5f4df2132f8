//! Messages that queues of this shard have let go and that are on their way to other queues.
//!
//! A dead message has left its queue's index, but what it takes in log or arena stays its own
//! until it has arrived: a crash before that gives it back to its queue. Moves are begun in the
//! order of the deaths, so many in a turn; no more than a number and no longer than its slot is
//! kept of one that waits. What is between two shards is bounded in number and octets.
//! `moving` carries the moves out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::given_up::GivenUp;
use super::store::Store;
use crate::dead_letter::{Burial, Cause, Letter};
use crate::ids::{QueueId, Seq};
use crate::log::{Address, Memory, Settling};
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{DeadLetterRule, Place, Queue, Removed, Slot};
use crate::topology::{MissingExchanges, Routes};

/// Letters that may be on their way to other shards at a time.
const CROSSINGS_MAX: usize = 1024;
/// Octets of them, reached by the last one at most.
const CROSSING_OCTETS_MAX: usize = 4 << 20;
/// Messages that wait, before sweeps for expired ones find no more for now.
const WAITING_FOR_SWEEP: usize = 4096;
/// Messages that wait, before publishers should.
const WAITING_MAX: usize = 1 << 16;

/// What a queue wants done with messages that it lets go.
#[derive(Clone, Debug)]
pub(super) struct Testament {
    queue: QueueId,
    survives_restart: bool,
    rule: Option<Arc<DeadLetterRule>>,
}

impl Testament {
    pub(super) fn of(queue: &Queue) -> Self {
        Testament {
            queue: queue.id(),
            survives_restart: queue.settings().survives_restart,
            rule: queue.settings().dead_letters.clone(),
        }
    }

    /// True if its messages are dead-lettered.
    pub(super) fn has_heirs(&self) -> bool {
        self.rule.is_some()
    }
}

/// A message that waits to be moved.
#[derive(Debug)]
pub(super) struct DeadMessage {
    rule: Arc<DeadLetterRule>,
    seq: Seq,
    slot: Slot,
    queue: QueueId,
    cause: Cause,
    survives_restart: bool,
}

impl DeadMessage {
    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    pub(super) fn rule(&self) -> &DeadLetterRule {
        &self.rule
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    fn burial(&self, now: Now) -> Burial<'_> {
        Burial {
            cause: self.cause,
            queue: &self.rule.queue,
            now_unix_ms: now.unix_ms,
            exchange: &self.rule.exchange,
            routing_key: self.rule.routing_key.as_deref(),
        }
    }

    /// Makes a letter of it: `message` is what it was.
    pub(super) fn write(&self, now: Now, message: &MessageRef<'_>, letter: &mut Letter) {
        match self.rule.goes_on {
            true => letter.write_onward(message),
            false => letter.write(message, &self.burial(now)),
        }
    }

    /// What a settle record has to say of it; `None`: it would be gone after a restart anyway.
    pub(super) fn settling(&self) -> Option<Settling> {
        let (queue, seq) = (self.queue, self.seq);
        match self.slot.place() {
            Place::Log { address, length, reference } if self.survives_restart => {
                Some(Settling { queue, seq, address: Address(address), length, reference })
            }
            Place::Log { .. } | Place::Spilled { .. } | Place::Arena { .. } => None,
        }
    }

    /// It has arrived, or there is nowhere to go to.
    pub(super) fn free<M: Memory>(&self, store: &mut Store<M>, now: Now) {
        store.free(now, self.queue, self.survives_restart, self.seq, &self.slot);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    waiting: VecDeque<DeadMessage>,
    /// How many have ever waited.
    taken: u64,
    /// The first one's octets are being read.
    is_reading: bool,
    /// Letters on their way to other shards.
    crossings: usize,
    crossing_octets: usize,
    /// Working memory of moves.
    pub(super) letter: Letter,
    pub(super) routes: Routes,
    /// Messages that came back too often and go nowhere.
    pub(super) given_up: GivenUp,
    /// Exchanges that letters should have gone to.
    pub(super) missing: MissingExchanges,
}

impl DeadLetters {
    /// A queue lets a message go: that is its end, or it waits to be moved.
    pub(super) fn take<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        testament: &Testament,
        gone: &Removed,
        cause: Cause,
    ) {
        let Testament { queue, survives_restart, ref rule } = *testament;
        let Removed { seq, slot } = *gone;
        match rule {
            None => store.free(now, queue, survives_restart, seq, &slot),
            Some(rule) => {
                let rule = Arc::clone(rule);
                let dead = DeadMessage { rule, seq, slot, queue, cause, survives_restart };
                self.waiting.push_back(dead);
                self.taken += 1;
            }
        }
    }

    /// True if a move can be begun.
    pub(super) fn can_move(&self) -> bool {
        !self.waiting.is_empty()
            && !self.is_reading
            && self.crossings < CROSSINGS_MAX
            && self.crossing_octets < CROSSING_OCTETS_MAX
    }

    pub(super) fn next(&mut self) -> Option<DeadMessage> {
        self.waiting.pop_front()
    }

    /// The first ones that wait.
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = &DeadMessage> {
        self.waiting.iter().take(count)
    }

    /// It can be moved once a read has come back.
    pub(super) fn await_read(&mut self, dead: DeadMessage) {
        self.is_reading = true;
        self.waiting.push_front(dead);
    }

    /// A read has come back: it may have been for this.
    pub(super) fn read_done(&mut self) {
        self.is_reading = false;
    }

    /// How many messages have waited so far, these included that wait now.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many of them have been moved, as far as this shard's log is concerned.
    pub(super) fn begun(&self) -> u64 {
        self.taken - self.waiting.len() as u64
    }

    /// A letter leaves for other shards.
    pub(super) fn leave(&mut self, octets: usize) {
        self.crossings += 1;
        self.crossing_octets += octets;
    }

    /// A letter has arrived wherever it goes.
    ///
    /// # Panics
    /// If none is on its way.
    pub(super) fn arrive(&mut self, octets: usize) {
        let left = self.crossings.checked_sub(1).zip(self.crossing_octets.checked_sub(octets));
        let Some((crossings, crossing_octets)) = left else {
            panic!("a dead letter of {octets} octets has arrived and was never sent");
        };
        (self.crossings, self.crossing_octets) = (crossings, crossing_octets);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.crossings == 0
    }

    /// True while a sweep should not bring more.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting.len() >= WAITING_FOR_SWEEP
    }

    /// True while publishers should wait.
    pub(super) fn is_crowded(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }
}
