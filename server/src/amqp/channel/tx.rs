//! tx.select, commit and rollback (behaviour A110-A113).
//!
//! What a transaction does is held back on the channel: publishes in one buffer, settles as marks
//! on the unacked deliveries. A commit carries them out in order and is answered when every
//! publish is as safe as it promises to be. It is atomic for the client that sees its connection
//! live; across a crash each publish and each settle stands for itself.

use std::ops::Range;

use haremq_engine::mail::Outcome;

use super::awaited::{Awaited, Awaiting};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::codec::reader::ShortStr;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::basic::Publish;
use crate::amqp::method::tx::{self, TxMethod};
use crate::amqp::method::MethodId;

/// A publish in the transaction's buffer.
#[derive(Clone, Debug)]
struct HeldPublish {
    mandatory: bool,
    exchange: Range<usize>,
    key: Range<usize>,
    properties: Range<usize>,
    body: Range<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Transaction {
    publishes: Vec<HeldPublish>,
    /// What the ranges point into.
    octets: Vec<u8>,
    /// Delivery tags with what becomes of them.
    pub(super) settles: Vec<(u64, Outcome)>,
    /// A queue refused a publish of the commit that is under way.
    refused: bool,
}

impl Transaction {
    pub(super) fn hold(
        &mut self,
        args: &Publish<'_>,
        properties: &[u8],
        body: &[u8],
        limit: u64,
    ) -> Result<(), ProtocolError> {
        if (self.octets.len() + properties.len() + body.len()) as u64 > limit {
            return Err(ProtocolError::TransactionTooLarge { limit });
        }
        let publish = HeldPublish {
            mandatory: args.mandatory,
            exchange: self.append(args.exchange.0),
            key: self.append(args.key.0),
            properties: self.append(properties),
            body: self.append(body),
        };
        self.publishes.push(publish);
        Ok(())
    }

    fn append(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }

    fn octets(&self, range: &Range<usize>) -> &[u8] {
        self.octets.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn publishes(&self) -> usize {
        self.publishes.len()
    }
}

impl Channel {
    pub(super) fn transaction<B: Broker>(
        &mut self,
        id: MethodId,
        method: TxMethod,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        if method != TxMethod::Select && !self.publisher.is_transactional() {
            return Err(ProtocolError::NotTransactional);
        }
        match method {
            TxMethod::Select if self.publisher.is_confirming() => {
                return Err(ProtocolError::ModeSwitch { from: "confirm", to: "tx" });
            }
            TxMethod::Select => {
                self.publisher.start_transactions();
                tx::select_ok(cx.out(), self.number());
            }
            TxMethod::Commit => return self.commit(id, cx),
            TxMethod::Rollback => {
                if let Some(transaction) = self.publisher.transaction() {
                    *transaction = Transaction::default();
                }
                self.unacked.release_held();
                tx::rollback_ok(cx.out(), self.number());
            }
        }
        Ok(())
    }

    fn commit<B: Broker>(
        &mut self,
        id: MethodId,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let held = self.publisher.transaction().map(std::mem::take).unwrap_or_default();
        for publish in &held.publishes {
            let args = Publish {
                exchange: ShortStr(held.octets(&publish.exchange)),
                key: ShortStr(held.octets(&publish.key)),
                mandatory: publish.mandatory,
                immediate: false,
            };
            let (properties, body) = (held.octets(&publish.properties), held.octets(&publish.body));
            self.publish_held(&args, properties, body, cx);
        }
        for (tag, outcome) in held.settles {
            self.settle_held(tag, outcome, cx);
        }
        self.send_grants(cx);
        self.awaiting = Some(Awaiting { method: id, nowait: false, what: Awaited::Committed });
        self.finish_commit(cx)
    }

    /// Answers shards' confirms of a commit.
    pub(super) fn committed<B: Broker>(
        &mut self,
        first: u64,
        last: u64,
        accepted: bool,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        self.publisher.confirms.answer(first, last, accepted);
        if let (false, Some(transaction)) = (accepted, self.publisher.transaction()) {
            transaction.refused = true;
        }
        self.finish_commit(cx)
    }

    /// Answers the client once nothing is owed.
    fn finish_commit<B: Broker>(&mut self, cx: &mut Context<'_, B>) -> Result<(), ProtocolError> {
        self.publisher.confirms.drain(|_, _, _| {});
        let waits = matches!(&self.awaiting, Some(Awaiting { what: Awaited::Committed, .. }));
        if !waits || self.publisher.confirms.outstanding() > 0 {
            return Ok(());
        }
        self.awaiting = None;
        let refused =
            self.publisher.transaction().is_some_and(|tx| std::mem::take(&mut tx.refused));
        if refused {
            return Err(ProtocolError::PartialCommit);
        }
        tx::commit_ok(cx.out(), self.number());
        Ok(())
    }

    /// Publishes and settles that wait for a commit.
    pub(crate) fn uncommitted(&self) -> (usize, usize) {
        (self.publisher.held_publishes(), self.unacked.held())
    }
}
