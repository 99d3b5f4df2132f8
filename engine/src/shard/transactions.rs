//! Transactions: everything that a tx.commit asks for happens, or nothing (behaviour I19).
//!
//! The shard of the connection coordinates. A transaction of more than one thing that is to
//! survive is *decided* by one record in its log, the journal record, which holds all of it. Then
//! it is carried out: here at once (what follows the journal record in the log is not there
//! without it), on other shards when the record is durable. When all of them have said that their
//! parts are durable, the client is answered and the journal record is settled.
//!
//! After a crash a transaction whose journal record is live is carried out again. What had been
//! done must not be done twice: each message of a transaction makes one further reference, its
//! *mark*, which lives until the journal record's settle is durable, whatever becomes of the
//! message; a marked publish is left out. Settles may be repeated.
//!
//! Section "Transactions" of docs/log-format.md.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::dead_letters::Testament;
use super::{Effect, Shard};
use crate::dead_letter::Cause;
use crate::ids::{ChannelKey, QueueId, Seq, ShardId, Target};
use crate::log::{Address, Fetch, Memory, Position, Settling};
use crate::mail::{Notice, Outcome, PeerMail};
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{Place, Slot};
use crate::transaction::{Transaction, TRANSACTION_PUBLISHES_MAX};

/// Bits of a mark's sequence number that say which publish of the transaction it is.
const INDEX_BITS: u32 = TRANSACTION_PUBLISHES_MAX.trailing_zeros();

/// A reference in the log that the shard itself holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) address: Address,
    pub(super) length: u32,
    pub(super) reference: u32,
}

/// A transaction that this shard coordinates.
#[derive(Debug)]
struct Pending {
    /// `None`: it was decided before a crash, nobody waits.
    channel: Option<ChannelKey>,
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

/// A part that has been carried out here and is not durable yet.
#[derive(Debug)]
struct Part {
    coordinator: ShardId,
    number: u64,
    refused: bool,
    /// Dead letters that belong to it or to earlier ones: so many have waited.
    letters: u64,
    /// All crossings below this one have begun by then.
    crossings: Option<u64>,
    end: Option<Position>,
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
    /// Number of the next transaction of this shard. Starts anew with the broker: marks of
    /// earlier runs are gone before the first client comes.
    next: u64,
    pending: BTreeMap<u64, Pending>,
    /// In order of their decisions.
    undecided: VecDeque<u64>,
    /// Carried out everywhere, to be ended.
    finished: Vec<u64>,
    /// In the order in which they were carried out.
    parts: VecDeque<Part>,
    ended: VecDeque<Ended>,
    /// Journal records and marks.
    held: BTreeMap<(QueueId, Seq), Held>,
    /// Journal records of an earlier run, to be carried out again.
    unread: VecDeque<u64>,
    /// The first one's octets are being read.
    is_reading: bool,
    /// Everything of an earlier run is done with.
    is_resolved: bool,
}

impl Transactions {
    /// `held`: what the log holds of an earlier run.
    pub(super) fn recovered(held: BTreeMap<(QueueId, Seq), Held>) -> Self {
        let journal = (QueueId::TRANSACTIONS, Seq(0))..=(QueueId::TRANSACTIONS, Seq(u64::MAX));
        let unread: VecDeque<u64> = held.range(journal).map(|((_, seq), _)| seq.0).collect();
        Transactions {
            next: unread.back().map_or(1, |last| last + 1),
            pending: BTreeMap::new(),
            undecided: VecDeque::new(),
            finished: Vec::new(),
            parts: VecDeque::new(),
            ended: VecDeque::new(),
            held,
            unread,
            is_reading: false,
            is_resolved: false,
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

    /// True if nobody waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.parts.is_empty() && self.unread.is_empty()
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

impl<M: Memory> Shard<M> {
    /// True once everything that was decided before this run has been carried out, here and
    /// elsewhere. No client should be served before every shard says so.
    pub fn is_resolved(&self) -> bool {
        self.transactions.is_resolved
    }

    /// Carries out a transaction of a connection of this shard.
    pub(super) fn commit(&mut self, now: Now, channel: ChannelKey, transaction: Arc<Transaction>) {
        let number = self.transactions.next;
        self.transactions.next += 1;
        let is_journaled = self.lasting_deeds(&transaction) > 1;
        let mut decided = Position::default();
        if is_journaled {
            let mut body = Vec::new();
            transaction.encode(&mut body);
            let message = MessageRef {
                exchange: &[],
                routing_key: &[],
                properties: &[],
                body: &body,
                persistent: true,
                priority: 0,
                expiration_ms: None,
            };
            let name = (QueueId::TRANSACTIONS, Seq(number));
            let placed = self.store.log.append_message(now, &message, None, &[name]);
            let (address, length, reference) = (placed.address, placed.length, placed.reference);
            self.transactions.mark(name, Held { address, length, reference });
            decided = placed.end;
        }
        self.begin(now, number, Some(channel), transaction, is_journaled, decided);
        self.drive_transactions(now);
    }

    /// How many things of it a crash could keep apart from the others.
    fn lasting_deeds(&self, transaction: &Transaction) -> usize {
        let lasts = |queue: QueueId| {
            // Queues behind exchanges are in no list; they may last.
            self.topology.queue_by_id(queue).is_none_or(|queue| queue.survives_restart())
        };
        let mut deeds = transaction.settles().iter().filter(|settle| lasts(settle.queue)).count();
        let mut shards: Vec<ShardId> = Vec::new();
        for (message, targets) in transaction.publishes() {
            let lasting = targets.iter().filter(|target| message.persistent && lasts(target.queue));
            shards.clear();
            shards.extend(lasting.map(|target| target.shard));
            shards.sort_unstable();
            shards.dedup();
            deeds += shards.len();
        }
        deeds
    }

    /// The transaction stands in the log, if it has to: carries out this shard's part.
    fn begin(
        &mut self,
        now: Now,
        number: u64,
        channel: Option<ChannelKey>,
        transaction: Arc<Transaction>,
        is_journaled: bool,
        decided: Position,
    ) {
        let participants = transaction.participants();
        let pending = Pending {
            channel,
            transaction: Arc::clone(&transaction),
            is_journaled,
            decided,
            is_spread: false,
            owed: participants.len(),
            refused: false,
            participants,
        };
        let (me, again) = (self.config.shard, channel.is_none());
        let takes_part = pending.participants.contains(&me);
        self.transactions.pending.insert(number, pending);
        self.transactions.undecided.push_back(number);
        if takes_part {
            self.do_part(now, me, number, &transaction, is_journaled, again);
        }
    }

    /// This shard's part of another one's transaction.
    pub(super) fn carry_out(
        &mut self,
        now: Now,
        coordinator: ShardId,
        number: u64,
        transaction: &Transaction,
        is_journaled: bool,
        again: bool,
    ) {
        self.do_part(now, coordinator, number, transaction, is_journaled, again);
        self.drive_transactions(now);
    }

    fn do_part(
        &mut self,
        now: Now,
        coordinator: ShardId,
        number: u64,
        transaction: &Transaction,
        is_journaled: bool,
        again: bool,
    ) {
        let me = self.config.shard;
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
            refused |= self.take_message(now, &message, &queues, None, mark).refused;
        }
        for settle in transaction.settles().iter().filter(|settle| settle.shard == me) {
            if again {
                self.settle_again(now, settle.queue, settle.seq, settle.outcome);
            } else {
                self.settle(now, settle.queue, settle.seq, settle.consumer, settle.outcome);
            }
        }
        let letters = self.dead_letters.taken();
        let part = Part { coordinator, number, refused, letters, crossings: None, end: None };
        self.transactions.parts.push_back(part);
    }

    /// After a restart every message is ready again, so one that was settled before is taken out
    /// from among those; one that has gone already was settled the first time.
    fn settle_again(&mut self, now: Now, id: QueueId, seq: Seq, outcome: Outcome) {
        let Some((_, hosted, pool)) = self.queues.open(id) else { return };
        let queue = &mut hosted.queue;
        if outcome == Outcome::Requeue {
            return;
        }
        let Some(gone) = queue.withdraw(pool, seq) else { return };
        let survives_restart = queue.settings().survives_restart;
        let (store, testament) = (&mut self.store, Testament::of(queue));
        match outcome {
            Outcome::Reject => {
                self.dead_letters.take(store, now, &testament, &gone, Cause::Rejected);
            }
            _ => store.free(now, id, survives_restart, seq, &gone.slot),
        }
    }

    /// Another shard has carried out its part of a transaction of this one.
    pub(super) fn carried_out(&mut self, now: Now, number: u64, refused: bool) {
        self.transactions.part_done(number, refused);
        self.drive_transactions(now);
    }

    /// Marks are needed no more: the journal record is settled for good.
    pub(super) fn forget_transactions(&mut self, now: Now, from: ShardId, number: Option<u64>) {
        let queue = QueueId::carried_out_for(from);
        let seqs = match number {
            Some(number) => {
                let first = number << INDEX_BITS;
                Seq(first)..=Seq(first | (TRANSACTION_PUBLISHES_MAX as u64 - 1))
            }
            None => Seq(0)..=Seq(u64::MAX),
        };
        let names = (queue, *seqs.start())..=(queue, *seqs.end());
        let names: Vec<_> = self.transactions.held.range(names).map(|(name, _)| *name).collect();
        for name in names {
            self.let_go(now, name);
        }
    }

    /// Settles a journal record or a mark. Returns the position at which that is durable.
    fn let_go(&mut self, now: Now, name: (QueueId, Seq)) -> Position {
        let Some(held) = self.transactions.held.remove(&name) else { return Position::default() };
        let (queue, seq) = name;
        let Held { address, length, reference } = held;
        self.store.log.append_settle(now, Settling { queue, seq, address, length, reference })
    }

    /// Takes every transaction as far as it can go by now.
    pub(super) fn drive_transactions(&mut self, now: Now) {
        if self.transactions.is_idle() {
            return;
        }
        self.read_journal(now);
        self.spread_decided();
        self.report_parts();
        self.end_transactions(now);
        self.forget_ended(now);
        let transactions = &mut self.transactions;
        if !transactions.is_resolved
            && transactions.unread.is_empty()
            && transactions.pending.is_empty()
            && transactions.ended.is_empty()
        {
            transactions.is_resolved = true;
            let all: Vec<ShardId> = (0..self.config.shards).map(ShardId).collect();
            self.forget_everywhere(now, None, &all);
        }
    }

    /// Reads the journal records of an earlier run, in order, and begins anew.
    ///
    /// # Panics
    /// If one cannot be understood. Its checksum was right: a newer broker has written it, and
    /// going on without it would tear it apart.
    fn read_journal(&mut self, now: Now) {
        while let Some(&number) = self.transactions.unread.front() {
            if self.transactions.is_reading {
                return;
            }
            let Some(held) =
                self.transactions.held.get(&(QueueId::TRANSACTIONS, Seq(number))).copied()
            else {
                self.transactions.unread.pop_front();
                continue;
            };
            let Held { address, length, reference } = held;
            let place = Place::Log { address: address.0, length, reference };
            let transaction = match self.store.fetch(&Slot::ready(place, 0, false)) {
                Fetch::Ready(stored) => Transaction::decode(stored.message.body),
                Fetch::Pending => {
                    self.transactions.is_reading = true;
                    return;
                }
            };
            let transaction = match transaction {
                Ok(transaction) => Arc::new(transaction),
                Err(error) => panic!("transaction {number} cannot be carried out: {error}"),
            };
            self.transactions.unread.pop_front();
            self.begin(now, number, None, transaction, true, Position::default());
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
            let (journaled, again) = (pending.is_journaled, pending.channel.is_none());
            for &to in pending.participants.iter().filter(|shard| **shard != from) {
                let transaction = Arc::clone(&pending.transaction);
                let mail = PeerMail::CarryOut { from, number, transaction, journaled, again };
                self.effects.push_back(Effect::Peer { to, mail });
            }
        }
    }

    /// Tells coordinators of parts that are durable: dead letters that they made included.
    fn report_parts(&mut self) {
        while let Some(part) = self.transactions.parts.front_mut() {
            if self.dead_letters.begun() < part.letters {
                return;
            }
            let crossings = *part.crossings.get_or_insert(self.dead_letters.next_ticket());
            if self.dead_letters.crossed_below() < crossings {
                return;
            }
            let log = &mut self.store.log;
            let end = *part.end.get_or_insert_with(|| {
                log.flush();
                log.end()
            });
            if end > self.store.log.durable() {
                return;
            }
            let Part { coordinator, number, refused, .. } = *part;
            self.transactions.parts.pop_front();
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
            let Pending { channel, participants, is_journaled, refused, .. } = pending;
            if is_journaled {
                let settled = self.let_go(now, (QueueId::TRANSACTIONS, Seq(number)));
                if !self.transactions.is_resolved {
                    // The whole broker waits to serve.
                    self.store.log.flush();
                }
                self.transactions.ended.push_back(Ended { settled, number, participants });
            }
            if let Some(channel) = channel {
                self.notice(Notice::Committed { channel, refused });
            }
        }
    }

    /// Has the marks of those dropped whose end is durable.
    fn forget_ended(&mut self, now: Now) {
        let durable = self.store.log.durable();
        while self.transactions.ended.front().is_some_and(|ended| ended.settled <= durable) {
            let Some(ended) = self.transactions.ended.pop_front() else { return };
            let Ended { number, participants, .. } = ended;
            self.forget_everywhere(now, Some(number), &participants);
        }
    }

    fn forget_everywhere(&mut self, now: Now, number: Option<u64>, shards: &[ShardId]) {
        let from = self.config.shard;
        for &to in shards {
            if to == from {
                self.forget_transactions(now, from, number);
            } else {
                let mail = PeerMail::Forget { from, number };
                self.effects.push_back(Effect::Peer { to, mail });
            }
        }
    }
}
