//! Transactions: everything that a tx.commit asks for happens, or nothing (behaviour I19).
//!
//! The shard of the connection coordinates. A transaction of more than one thing that is to
//! survive is *decided* by one record in its log, the journal record, which holds all of it. Then
//! it is carried out: here at once (what follows the journal record in the log is not there
//! without it), on other shards when the record is durable. When all of them have said that their
//! parts are durable, the client is answered and the journal record is settled.
//!
//! A long body is not in the journal record, but in a record of its own before it, which shares the
//! parts with whatever else has them, and goes to the other shards part by part (`shipping`).
//!
//! A dead letter that goes to queues of other shards is a transaction, too: one publish, and the
//! settle of what it was in the queue that it died in.
//!
//! Before a tx.commit is decided that settles messages of other shards, these vouch for them ([`decision`]).
//!
//! After a crash a transaction whose journal record is live is carried out again. What had been
//! done must not be done twice: each message of a transaction makes one further reference, its
//! *mark*, which lives until the journal record's settle is durable, whatever becomes of the
//! message; a marked publish is left out. So does one that its queues have refused or known as a
//! duplicate: it is not to be put when they would take it. Settles may be repeated. Marks whose journal record is
//! gone are dropped, for good, before anything else, so that numbers can begin anew with every run.
//! Until all shards have said that they have nothing left to repeat or to drop, no message dies by
//! itself: it may be one that a journal record settles.
//!
//! Section "Transactions" of docs/log-format.md.

mod decision;
mod journal;
mod moves;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::dead_letters::DeadMessage;
use super::parts::{Part, Parts};
use super::{Effect, Shard};
use crate::ids::{ChannelKey, QueueId, Seq, ShardId, Target};
use crate::log::{Address, Memory, Position};
use crate::mail::{Notice, Outcome, PeerMail};
use crate::now::Now;
use crate::transaction::{Transaction, TRANSACTION_PUBLISHES_MAX};
use decision::Vouching;

/// Bits of a mark's sequence number that say which publish of the transaction it is.
const INDEX_BITS: u32 = TRANSACTION_PUBLISHES_MAX.trailing_zeros();

/// A reference in the log that the shard itself holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) address: Address,
    pub(super) length: u32,
    pub(super) reference: u32,
}

/// Where a transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A tx.commit; its channel waits.
    Commit(ChannelKey),
    /// A dead letter of that many octets.
    Move(usize),
    /// A long message that an exchange remembers (`replays`).
    Copy,
    /// It was decided before a crash; nobody waits.
    Journal,
}

/// A transaction that this shard coordinates.
#[derive(Debug)]
struct Pending {
    origin: Origin,
    transaction: Arc<Transaction>,
    participants: Vec<ShardId>,
    is_journaled: bool,
    /// Durable: it is decided.
    decided: Position,
    /// The other shards have been asked.
    is_spread: bool,
    /// Participants that have not carried out their part yet.
    owed: usize,
    refused: bool,
}

/// A transaction whose journal record will be settled at a position.
#[derive(Debug)]
struct Ended {
    settled: Position,
    number: u64,
    participants: Vec<ShardId>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Transactions {
    /// Number of the next transaction of this shard. Starts anew with the broker.
    next: u64,
    vouching: Vouching,
    pending: BTreeMap<u64, Pending>,
    /// In order of their decisions.
    undecided: VecDeque<u64>,
    /// Carried out everywhere, to be ended.
    finished: Vec<u64>,
    parts: Parts,
    ended: VecDeque<Ended>,
    /// Journal records and marks.
    held: BTreeMap<(QueueId, Seq), Held>,
    /// Journal records of an earlier run, to be carried out again.
    unread: VecDeque<u64>,
    /// The first one's octets are being read.
    is_reading: bool,
    /// Shards that have said which of their journal records there are, and where the marks for
    /// others have gone for good.
    heard: u16,
    outlived_gone: Position,
    /// What starts have put while they carried out again what an earlier run had decided has no
    /// lower address.
    repeated_from: Address,
    /// Everything of an earlier run is done with.
    is_resolved: bool,
    /// Shards of which that is known.
    resolved_shards: u16,
    /// Where it is durable that nothing is carried out again any more.
    frontier_gone: Position,
}

impl Transactions {
    /// `held`: what the log holds of an earlier run.
    pub(super) fn recovered(held: BTreeMap<(QueueId, Seq), Held>) -> Self {
        let journal = (QueueId::TRANSACTIONS, Seq(0))..=(QueueId::TRANSACTIONS, Seq(u64::MAX));
        let unread: VecDeque<u64> = held.range(journal).map(|((_, seq), _)| seq.0).collect();
        Transactions {
            next: unread.back().map_or(1, |last| last + 1),
            vouching: Vouching::default(),
            pending: BTreeMap::new(),
            undecided: VecDeque::new(),
            finished: Vec::new(),
            parts: Parts::default(),
            ended: VecDeque::new(),
            held,
            unread,
            is_reading: false,
            heard: 0,
            outlived_gone: Position::default(),
            repeated_from: Address(0),
            is_resolved: false,
            resolved_shards: 0,
            frontier_gone: Position::default(),
        }
    }

    /// A read has come back: it may have been for this.
    pub(super) fn read_done(&mut self) {
        self.is_reading = false;
    }

    /// A message has been stored with that mark.
    pub(super) fn mark(&mut self, name: (QueueId, Seq), held: Held) {
        self.held.insert(name, held);
    }

    /// Where a journal record or a mark lies.
    pub(super) fn held_mut(&mut self, queue: QueueId, seq: Seq) -> Option<&mut Held> {
        self.held.get_mut(&(queue, seq))
    }

    /// True if nobody waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty()
            && self.parts.is_empty()
            && self.unread.is_empty()
            && self.vouching.is_quiet()
    }

    /// A participant has carried out its part.
    ///
    /// # Panics
    /// If nobody waits for that: the client would be told too early of some other one.
    fn part_done(&mut self, number: u64, refused: bool) {
        let pending = self.pending.get_mut(&number).filter(|pending| pending.owed > 0);
        let Some(pending) = pending else {
            panic!("transaction {number} was carried out by somebody who was not asked");
        };
        pending.owed -= 1;
        pending.refused |= refused;
        if pending.owed == 0 && pending.is_spread {
            self.finished.push(number);
        }
    }

    fn is_idle(&self) -> bool {
        self.is_quiet() && self.ended.is_empty() && self.is_resolved
    }
}

fn mark_of(coordinator: ShardId, number: u64, index: usize) -> (QueueId, Seq) {
    let seq = Seq((number << INDEX_BITS) | index as u64);
    (QueueId::carried_out_for(coordinator), seq)
}

/// The reference that keeps the body of that publish, as long as the journal record that needs it.
fn body_name(number: u64, index: usize) -> (QueueId, Seq) {
    (QueueId::TRANSACTION_BODIES, Seq((number << INDEX_BITS) | index as u64))
}

impl<M: Memory> Shard<M> {
    /// True once everything that was decided before this run has been carried out, by all shards, and
    /// what the start had to define is durable. No client should be served before every shard says so.
    pub fn is_resolved(&self) -> bool {
        self.transactions.resolved_shards >= self.config.shards
            && self.transactions.frontier_gone.max(self.outset) <= self.store.log.durable()
    }

    /// The transaction stands in the log, if it has to: carries out this shard's part. `dead`: the
    /// message that it moves.
    fn begin(
        &mut self,
        now: Now,
        number: u64,
        origin: Origin,
        transaction: Arc<Transaction>,
        decided: Option<Position>,
        dead: Option<&DeadMessage>,
    ) {
        let participants = transaction.participants();
        let is_journaled = decided.is_some();
        let pending = Pending {
            origin,
            transaction: Arc::clone(&transaction),
            is_journaled,
            decided: decided.unwrap_or_default(),
            is_spread: false,
            owed: participants.len(),
            refused: false,
            participants,
        };
        let (me, again) = (self.config.shard, origin == Origin::Journal);
        let takes_part = pending.participants.contains(&me);
        self.transactions.pending.insert(number, pending);
        self.transactions.undecided.push_back(number);
        if !takes_part {
            if let Some(dead) = dead {
                dead.free(&mut self.store, now);
            }
            return;
        }
        match dead {
            None => self.carry_out(now, me, number, &transaction, is_journaled, again),
            Some(dead) => self.do_move(now, number, &transaction, is_journaled, dead),
        }
    }

    /// This shard's part of a transaction of any shard; the caller drives transactions on.
    pub(super) fn carry_out(
        &mut self,
        now: Now,
        coordinator: ShardId,
        number: u64,
        transaction: &Transaction,
        is_journaled: bool,
        again: bool,
    ) {
        let me = self.config.shard;
        if again {
            self.draw_frontier(now);
        }
        let mut refused = false;
        let mut queues = Vec::new();
        for (index, (message, targets)) in transaction.publishes().enumerate() {
            let mine = |target: &&Target| target.shard == me;
            queues.clear();
            queues.extend(targets.iter().filter(mine).map(|target| target.queue));
            let mark = mark_of(coordinator, number, index);
            if queues.is_empty() || (again && self.transactions.held.contains_key(&mark)) {
                continue;
            }
            let mark = is_journaled.then_some(mark);
            let body = self.body_of(coordinator, number, transaction, index);
            let taken = self.take(now, &message, body, &queues, None, mark);
            refused |= taken.refused;
            if let Some(mark) = mark.filter(|_| taken.is_left_out) {
                self.mark_left_out(now, mark);
            }
            if again {
                self.note_seen();
            }
        }
        self.forget_arrived(coordinator, number);
        for settle in transaction.settles().iter().filter(|settle| settle.shard == me) {
            if again {
                self.settle_again(now, settle.queue, settle.seq, settle.outcome);
            } else {
                self.settle(now, settle.queue, settle.seq, settle.consumer, settle.outcome);
            }
        }
        let mut settles = transaction.settles().iter().filter(|settle| settle.shard == me);
        let buries = settles.any(|settle| settle.outcome != Outcome::Ack);
        let letters = buries.then(|| self.dead_letters.taken());
        self.transactions.parts.add(Part { coordinator, number, refused }, letters);
    }

    /// Another shard has carried out its part of a transaction of this one.
    pub(super) fn carried_out(&mut self, now: Now, number: u64, refused: bool) {
        self.transactions.part_done(number, refused);
        self.drive_transactions(now);
    }

    /// Takes every transaction as far as it can go by now.
    pub(super) fn drive_transactions(&mut self, now: Now) {
        if self.transactions.is_idle() {
            return;
        }
        self.read_journal(now);
        self.spread_decided();
        self.ship();
        self.vouch_for_durable();
        self.report_parts();
        self.end_transactions(now);
        self.forget_ended(now);
        let durable = self.store.log.durable();
        let transactions = &mut self.transactions;
        if !transactions.is_resolved
            && transactions.heard >= self.config.shards
            && transactions.outlived_gone <= durable
            && transactions.unread.is_empty()
            && transactions.pending.is_empty()
            && transactions.ended.is_empty()
            && self.values.is_read()
        {
            transactions.is_resolved = true;
            for to in (0..self.config.shards).map(ShardId) {
                if to == self.config.shard {
                    self.note_resolved(now);
                } else {
                    self.effects.push_back(Effect::Peer { to, mail: PeerMail::Resolved });
                }
            }
        }
    }

    /// Asks the other shards to carry out what is decided.
    fn spread_decided(&mut self) {
        let durable = self.store.log.durable();
        let from = self.config.shard;
        while let Some(&number) = self.transactions.undecided.front() {
            let Some(pending) = self.transactions.pending.get_mut(&number) else {
                self.transactions.undecided.pop_front();
                continue;
            };
            if pending.decided > durable {
                return;
            }
            self.transactions.undecided.pop_front();
            pending.is_spread = true;
            if pending.owed == 0 {
                self.transactions.finished.push(number);
            }
            let again = pending.origin == Origin::Journal;
            let (transaction, journaled) = (Arc::clone(&pending.transaction), pending.is_journaled);
            for to in pending.participants.clone().into_iter().filter(|shard| *shard != from) {
                let transaction = Arc::clone(&transaction);
                self.ask_to_carry_out(to, number, transaction, (journaled, again));
            }
        }
    }

    /// Tells coordinators of parts that are durable.
    fn report_parts(&mut self) {
        loop {
            let begun = self.dead_letters.begun();
            let log = &mut self.store.log;
            let durable = log.durable();
            let end = || {
                log.flush();
                log.end()
            };
            let Some(part) = self.transactions.parts.next_done(begun, durable, end) else { return };
            let Part { coordinator, number, refused } = part;
            if coordinator == self.config.shard {
                self.transactions.part_done(number, refused);
            } else {
                let mail = PeerMail::CarriedOut { number, refused };
                self.effects.push_back(Effect::Peer { to: coordinator, mail });
            }
        }
    }

    /// Ends what all have carried out: the client hears of it.
    fn end_transactions(&mut self, now: Now) {
        for number in std::mem::take(&mut self.transactions.finished) {
            let Some(pending) = self.transactions.pending.remove(&number) else { continue };
            let Pending { origin, transaction, participants, is_journaled, refused, .. } = pending;
            self.forget_own(number);
            if is_journaled {
                let settled = self.let_go(now, (QueueId::TRANSACTIONS, Seq(number)));
                // Behind it: a journal record that lives has its bodies.
                for index in transaction.long_publishes() {
                    self.let_go(now, body_name(number, index));
                }
                if !self.transactions.is_resolved {
                    // The whole broker waits to serve.
                    self.store.log.flush();
                }
                self.transactions.ended.push_back(Ended { settled, number, participants });
            }
            match origin {
                Origin::Commit(channel) => self.notice(Notice::Committed { channel, refused }),
                Origin::Move(octets) => self.dead_letters.arrive(octets),
                Origin::Copy => self.replays.copy_arrived(),
                Origin::Journal => {}
            }
        }
    }
}
