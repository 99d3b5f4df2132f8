//! basic.ack, nack, reject and recover (behaviour A98-A101, B13).

use haremq_engine::ids::ConsumerKey;
use haremq_engine::mail::{Command, Outcome};
use haremq_engine::transaction::{Transaction, TransactionSettle};

use super::unacked::{Unacked, UnknownTag};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;

impl From<UnknownTag> for ProtocolError {
    fn from(UnknownTag(tag): UnknownTag) -> Self {
        ProtocolError::UnknownDeliveryTag { tag }
    }
}

impl Channel {
    /// Settles deliveries, or notes it down until the transaction is committed.
    pub(super) fn settle<B: Broker>(
        &mut self,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let key = self.consumer_key(0);
        match self.publisher.transaction() {
            Some(transaction) => {
                let broker = &mut *cx.broker;
                self.unacked.hold(
                    tag,
                    multiple,
                    |tag| transaction.settles.push((tag, outcome)),
                    |entry| send(&entry, key, outcome, broker),
                )?;
                Ok(())
            }
            None => self.settle_now(tag, multiple, outcome, cx),
        }
    }

    pub(super) fn settle_now<B: Broker>(
        &mut self,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let key = self.consumer_key(0);
        let broker = &mut *cx.broker;
        self.unacked.settle(tag, multiple, |entry| send(&entry, key, outcome, broker))?;
        self.send_grants(cx);
        Ok(())
    }

    /// Takes the settle of one delivery that a transaction held into what is committed.
    pub(super) fn settle_held<B: Broker>(
        &mut self,
        tag: u64,
        outcome: Outcome,
        committed: &mut Transaction,
        broker: &mut B,
    ) {
        let Some(entry) = self.unacked.settle_held(tag) else { return };
        let key = self.consumer_key(0);
        if entry.has_lapsed() {
            // The message has gone back already; only the credit is left to be returned.
            return send(&entry, key, outcome, broker);
        }
        let (shard, queue, seq) = (entry.shard, entry.queue, entry.seq);
        let consumer = consumer_of(&entry, key);
        committed.settle(TransactionSettle { shard, queue, seq, consumer, outcome });
    }

    pub(super) fn recover<B: Broker>(
        &mut self,
        requeue: bool,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        if !requeue {
            return Err(ProtocolError::NotImplemented { what: "requeue=false" });
        }
        self.settle_now(0, true, Outcome::Requeue, cx)
    }
}

/// `key` names the channel; the serial is that of the entry.
#[inline]
fn consumer_of(entry: &Unacked, key: ConsumerKey) -> Option<ConsumerKey> {
    entry.came_by_consumer().then_some(ConsumerKey { serial: entry.consumer, ..key })
}

#[inline]
fn send<B: Broker>(entry: &Unacked, key: ConsumerKey, outcome: Outcome, broker: &mut B) {
    let consumer = consumer_of(entry, key);
    if entry.has_lapsed() {
        if let Some(consumer) = consumer {
            let queue = entry.queue;
            broker.command(entry.shard, Command::GiveBack { queue, consumer });
        }
        return;
    }
    let settle = Command::Settle { queue: entry.queue, seq: entry.seq, consumer, outcome };
    broker.command(entry.shard, settle);
}
