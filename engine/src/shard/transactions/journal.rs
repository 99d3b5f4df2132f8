//! The journal records and marks of transactions in the log: written, dropped when nothing needs
//! them any more, and after a restart read back, so that what was decided is carried out.

use std::sync::Arc;

use super::{body_name, Ended, Held, Origin, INDEX_BITS};
use crate::dead_letter::Cause;
use crate::ids::{QueueId, Seq, ShardId};
use crate::log::{Address, Fetch, Group, Memory, Placed, Position, Settling};
use crate::mail::{Outcome, PeerMail};
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{Place, Slot};
use crate::shard::dead_letters::Testament;
use crate::shard::{Effect, Shard};
use crate::transaction::{Transaction, TRANSACTION_PUBLISHES_MAX};

/// A record that is there for its references, or its body.
const NOTHING: MessageRef<'static> = MessageRef {
    exchange: &[],
    routing_key: &[],
    properties: &[],
    body: &[],
    persistent: true,
    priority: 0,
    expiration_ms: None,
};

impl<M: Memory> Shard<M> {
    /// Gives the position at which the transaction is decided. Its bodies are there before it.
    pub(super) fn write_journal(
        &mut self,
        now: Now,
        number: u64,
        transaction: &Transaction,
    ) -> Position {
        for index in transaction.long_publishes() {
            self.write_body(now, number, index);
        }
        let mut body = Vec::new();
        transaction.encode(&mut body);
        let message = MessageRef { body: &body, ..NOTHING };
        let name = (QueueId::TRANSACTIONS, Seq(number));
        let placed = self.store.log.append_message(now, &message, None, &[name]);
        let (address, length, reference) = (placed.address, placed.length, placed.reference);
        self.transactions.mark(name, Held { address, length, reference });
        placed.end
    }

    /// A record that has the body of that publish: the same parts once more.
    fn write_body(&mut self, now: Now, number: u64, index: usize) {
        let Some(body) = self.share_own(number, index) else {
            panic!("transaction {number} is decided without body {index}");
        };
        let name = body_name(number, index);
        let group = Group { expires_unix_ms: None, references: 1 };
        let log = &mut self.store.log;
        let placed = log.append_with_body(now, &NOTHING, body, &[name], &[group], None);
        for Placed { address, length, reference, .. } in placed {
            self.transactions.mark(name, Held { address, length, reference });
        }
    }

    /// After a start: has the bodies of a transaction, in parts as they are in the log. One that is lost to damage
    /// goes nowhere. False: something must be read first.
    fn open_bodies(&mut self, number: u64, transaction: &mut Transaction) -> bool {
        for index in transaction.long_publishes().collect::<Vec<_>>() {
            if self.shipping.holds(number, index) {
                continue;
            }
            let Some(held) = self.transactions.held.get(&body_name(number, index)) else {
                transaction.lose(index);
                continue;
            };
            let Held { address, length, reference } = *held;
            let place = Place::Log { address: address.0, length, reference };
            let slot = Slot::ready(place, 0, false);
            let Some(((), body)) = self.store.begin_long(&slot, |_, _| ()) else { return false };
            let Some(body) = body else {
                panic!("body {index} of transaction {number} is not in parts");
            };
            self.shipping.hold(number, index, body.into_log(&mut self.store, self.clock));
        }
        true
    }

    /// Of an earlier run: bodies without a journal record.
    fn drop_bodies_without_journal(&mut self, now: Now) {
        let queue = QueueId::TRANSACTION_BODIES;
        let bodies = self.transactions.held.range((queue, Seq(0))..=(queue, Seq(u64::MAX)));
        let is_left = |name: &(QueueId, Seq)| {
            self.transactions.unread.binary_search(&(name.1 .0 >> INDEX_BITS)).is_err()
        };
        let left: Vec<_> = bodies.map(|(name, _)| *name).filter(is_left).collect();
        for name in left {
            let gone = self.let_go(now, name);
            self.transactions.outlived_gone = gone.max(self.transactions.outlived_gone);
            // The whole broker waits to serve.
            self.store.log.flush();
        }
    }

    /// The first thing after recovery: no shard needs marks but those for these journal records.
    pub(in crate::shard) fn take_up_transactions(&mut self, now: Now) {
        self.transactions.repeated_from = Address::first_from(self.store.log.end());
        self.drop_bodies_without_journal(now);
        let (from, journals) = (self.config.shard, self.transactions.unread.iter().copied());
        let journals: Arc<[u64]> = journals.collect();
        for to in (0..self.config.shards).map(ShardId) {
            if to == from {
                self.drop_outlived(now, from, &journals);
            } else {
                let mail = PeerMail::Outlived { from, journals: Arc::clone(&journals) };
                self.effects.push_back(Effect::Peer { to, mail });
            }
        }
        self.drive_transactions(now);
    }

    /// Marks for other journal records of `from` than these are needed no more.
    pub(in crate::shard) fn drop_outlived(&mut self, now: Now, from: ShardId, journals: &[u64]) {
        let queue = QueueId::carried_out_for(from);
        let marks = self.transactions.held.range((queue, Seq(0))..=(queue, Seq(u64::MAX)));
        let names = marks.map(|(name, _)| *name);
        let frontier = self.frontier();
        let outlived = names
            .filter(|name| *name != frontier && !journals.contains(&(name.1 .0 >> INDEX_BITS)));
        for name in outlived.collect::<Vec<_>>() {
            let gone = self.let_go(now, name);
            self.transactions.outlived_gone = gone.max(self.transactions.outlived_gone);
            // The whole broker waits to serve.
            self.store.log.flush();
        }
        self.transactions.heard += 1;
        self.drive_transactions(now);
    }

    /// A shard has had carried out what it had decided before this run. After the last one nothing
    /// comes again.
    pub(in crate::shard) fn note_resolved(&mut self, now: Now) {
        self.transactions.resolved_shards += 1;
        if self.transactions.resolved_shards >= self.config.shards {
            self.transactions.frontier_gone = self.drop_frontier(now);
        }
    }

    /// Reads the journal records of an earlier run, in order, and begins anew.
    ///
    /// # Panics
    /// If one cannot be understood. Its checksum was right: a newer broker has written it, and
    /// going on without it would tear it apart.
    pub(super) fn read_journal(&mut self, now: Now) {
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
            let mut transaction = match transaction {
                Ok(transaction) => transaction,
                Err(error) => panic!("transaction {number} cannot be carried out: {error}"),
            };
            if !self.open_bodies(number, &mut transaction) {
                self.transactions.is_reading = true;
                return;
            }
            let transaction = Arc::new(transaction);
            self.transactions.unread.pop_front();
            let decided = Some(Position::default());
            self.begin(now, number, Origin::Journal, transaction, decided, None);
        }
    }

    /// The name of the record that the first of several starts writes before it carries anything out
    /// again: no transaction has the number 0.
    fn frontier(&self) -> (QueueId, Seq) {
        (QueueId::carried_out_for(self.config.shard), Seq(0))
    }

    /// Something is to be carried out again. What is put from here on is not what the settles among
    /// it are about, also if the power goes before all is done and the next start begins anew.
    pub(super) fn draw_frontier(&mut self, now: Now) {
        let name = self.frontier();
        if let Some(held) = self.transactions.held.get(&name) {
            self.transactions.repeated_from = held.address;
            return;
        }
        self.transactions.repeated_from = self.write_mark(now, name);
    }

    /// A publish of a transaction was not taken by all of its queues, and is not to be by a later
    /// start either, whether or not it has left a record.
    pub(super) fn mark_left_out(&mut self, now: Now, mark: (QueueId, Seq)) {
        if !self.transactions.held.contains_key(&mark) {
            self.write_mark(now, mark);
        }
    }

    /// A mark that no message has. Where it lies.
    fn write_mark(&mut self, now: Now, name: (QueueId, Seq)) -> Address {
        let placed = self.store.log.append_message(now, &NOTHING, None, &[name]);
        let (address, length, reference) = (placed.address, placed.length, placed.reference);
        self.transactions.mark(name, Held { address, length, reference });
        address
    }

    /// Everything has been carried out again, for good. Gives the position at which no later start
    /// believes otherwise.
    fn drop_frontier(&mut self, now: Now) -> Position {
        let name = self.frontier();
        if !self.transactions.held.contains_key(&name) {
            return Position::default();
        }
        let gone = self.let_go(now, name);
        // The whole broker waits to serve.
        self.store.log.flush();
        gone
    }

    /// After a restart every message is ready again, so one that was settled before is taken out
    /// from among those; one that has gone already was settled the first time.
    pub(super) fn settle_again(&mut self, now: Now, id: QueueId, seq: Seq, outcome: Outcome) {
        let Some((_, hosted, pool)) = self.queues.open(id) else { return };
        let queue = &mut hosted.queue;
        if outcome == Outcome::Requeue {
            return;
        }
        // One that a start has put may have the number again of one that had gone before.
        let repeated_from = self.transactions.repeated_from;
        let is_old = queue.live(pool, seq).is_some_and(|slot| match slot.place() {
            Place::Log { address, .. } => Address(address) < repeated_from,
            Place::Spilled { .. } | Place::Arena { .. } => false,
        });
        if !is_old {
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

    /// Marks are needed no more: the journal record is settled for good.
    pub(in crate::shard) fn forget_transaction(&mut self, now: Now, from: ShardId, number: u64) {
        let queue = QueueId::carried_out_for(from);
        let first = number << INDEX_BITS;
        let last = first | (TRANSACTION_PUBLISHES_MAX as u64 - 1);
        let names = (queue, Seq(first))..=(queue, Seq(last));
        let names: Vec<_> = self.transactions.held.range(names).map(|(name, _)| *name).collect();
        for name in names {
            self.let_go(now, name);
        }
    }

    /// Has the marks of those dropped whose end is durable.
    pub(super) fn forget_ended(&mut self, now: Now) {
        let durable = self.store.log.durable();
        while self.transactions.ended.front().is_some_and(|ended| ended.settled <= durable) {
            let Some(ended) = self.transactions.ended.pop_front() else { return };
            let Ended { number, participants, .. } = ended;
            self.forget_everywhere(now, number, &participants);
        }
    }

    pub(super) fn forget_everywhere(&mut self, now: Now, number: u64, shards: &[ShardId]) {
        let from = self.config.shard;
        for &to in shards {
            if to == from {
                self.forget_transaction(now, from, number);
            } else {
                let mail = PeerMail::Forget { from, number };
                self.effects.push_back(Effect::Peer { to, mail });
            }
        }
    }

    /// Settles a journal record or a mark. Returns the position at which that is durable.
    pub(super) fn let_go(&mut self, now: Now, name: (QueueId, Seq)) -> Position {
        let Some(held) = self.transactions.held.remove(&name) else { return Position::default() };
        let (queue, seq) = name;
        let Held { address, length, reference } = held;
        self.store.log.append_settle(now, Settling { queue, seq, address, length, reference })
    }
}
