//! Transactions of one message that the shard itself begins: dead letters, and copies of what exchanges remember, for
//! queues of which some are on other shards.

use super::{mark_of, Origin, Part};
use crate::dead_letter::Letter;
use crate::ids::{QueueId, Target};
use crate::log::{Memory, Settling};
use crate::mail::Outcome;
use crate::message::MessageRef;
use crate::now::Now;
use crate::shard::bodies::Body;
use crate::shard::dead_letters::DeadMessage;
use crate::shard::Shard;
use crate::transaction::{Transaction, TransactionSettle};

impl<M: Memory> Shard<M> {
    /// Moves a dead message to queues of which some are on other shards.
    ///
    /// What it was in the queue it died in is settled behind the journal record. Where nothing is
    /// to survive elsewhere there is no such record: then its copies here and the settle are one
    /// block, and a crash takes the others anyway.
    pub(in crate::shard) fn move_across(
        &mut self,
        now: Now,
        dead: &DeadMessage,
        letter: &Letter,
        body: Option<Body>,
        heirs: &[Target],
    ) {
        let number = self.transactions.next;
        self.transactions.next += 1;
        let (me, message) = (self.config.shard, letter.message());
        let mut transaction = self.of_one(now, number, &message, body, heirs);
        let survives = |heir: &Target| heir.shard != me && self.lasts(heir.queue);
        let settling = dead.settling().filter(|_| message.persistent && heirs.iter().any(survives));
        if let Some(Settling { queue, seq, .. }) = settling {
            let (shard, consumer, outcome) = (me, None, Outcome::Ack);
            transaction.settle(TransactionSettle { shard, queue, seq, consumer, outcome });
        }
        let decided = settling.map(|_| self.write_journal(now, number, &transaction));
        let origin = Origin::Move(letter.octets());
        self.dead_letters.leave(letter.octets());
        self.begin(now, number, origin, transaction.into(), decided, Some(dead));
    }

    /// Brings a copy of a long message to queues of which some are on other shards. Nobody was
    /// promised it.
    pub(in crate::shard) fn copy_across(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        body: Body,
        heirs: &[Target],
    ) {
        let number = self.transactions.next;
        self.transactions.next += 1;
        let transaction = self.of_one(now, number, message, Some(body), heirs);
        self.begin(now, number, Origin::Copy, transaction.into(), None, None);
        self.drive_transactions(now);
    }

    /// A transaction of one message, whose body is `body` if that is there.
    fn of_one(
        &mut self,
        now: Now,
        number: u64,
        message: &MessageRef<'_>,
        body: Option<Body>,
        heirs: &[Target],
    ) -> Transaction {
        let bytes = body.as_ref().map_or(0, Body::bytes);
        if let Some(body) = body {
            let body = body.into_log(&mut self.store, now);
            self.shipping.hold(number, 0, body);
        }
        let mut transaction = Transaction::new();
        transaction.publish_long(message, bytes, heirs.iter().copied());
        transaction
    }

    /// This shard's part of a move that begins here.
    pub(super) fn do_move(
        &mut self,
        now: Now,
        number: u64,
        transaction: &Transaction,
        is_journaled: bool,
        dead: &DeadMessage,
    ) {
        let me = self.config.shard;
        for (message, targets) in transaction.publishes() {
            let mine = targets.iter().filter(|target| target.shard == me);
            let queues: Vec<QueueId> = mine.map(|target| target.queue).collect();
            if is_journaled {
                let mark = Some(mark_of(me, number, 0)).filter(|_| !queues.is_empty());
                if let Some(mark) = mark {
                    let body = self.body_of(me, number, transaction, 0);
                    let taken = self.take(now, &message, body, &queues, None, Some(mark));
                    if taken.is_left_out {
                        self.mark_left_out(now, mark);
                    }
                }
                dead.free(&mut self.store, now);
            } else {
                let body = self.body_of(me, number, transaction, 0);
                self.take(now, &message, body, &queues, Some(dead), None);
            }
        }
        self.transactions.parts.add(Part { coordinator: me, number, refused: false }, None);
    }
}
