//! tx.select, commit and rollback (behaviour A110-A113).
//!
//! What a transaction does is held back on the channel: publishes in one buffer, but for long bodies, which are in the
//! shard's log (`long_body`), settles as marks on the unacked deliveries. A commit routes the publishes and hands everything to the shard,
//! which carries it out, all or nothing, also through a crash; the answer comes when all of it is
//! as safe as it promises to be.

use std::ops::Range;
use std::sync::Arc;

use haremq_engine::mail::{Command, Outcome};
use haremq_engine::transaction::{Transaction as Committed, TRANSACTION_PUBLISHES_MAX};

use super::awaited::{Awaited, Awaiting};
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::codec::reader::ShortStr;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::basic::Publish;
use crate::amqp::method::tx::{self, TxMethod};
use crate::amqp::method::MethodId;

/// What is longer makes room for itself alone: as much again would be too much.
const LONG_OCTETS: usize = 1 << 20;

/// A publish in the transaction's buffer.
#[derive(Clone, Debug)]
struct HeldPublish {
    mandatory: bool,
    exchange: Range<usize>,
    key: Range<usize>,
    properties: Range<usize>,
    body: Range<usize>,
    /// Octets of a body that the shard has.
    long_body_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Transaction {
    publishes: Vec<HeldPublish>,
    /// Octets of bodies that the shard has.
    long_bytes: u64,
    /// What the ranges point into.
    octets: Vec<u8>,
    /// Delivery tags with what becomes of them.
    pub(super) settles: Vec<(u64, Outcome)>,
}

impl Transaction {
    pub(super) fn hold(
        &mut self,
        args: &Publish<'_>,
        properties: &[u8],
        body: &[u8],
        limit: u64,
    ) -> Result<(), ProtocolError> {
        self.admit((properties.len() + body.len()) as u64, limit)?;
        self.push(args, properties, body, 0);
        Ok(())
    }

    /// Whether a publish of so many octets may be added.
    pub(super) fn admit(&self, octets: u64, limit: u64) -> Result<(), ProtocolError> {
        let octets = (self.octets.len() as u64 + self.long_bytes).saturating_add(octets);
        if octets > limit || self.publishes.len() >= TRANSACTION_PUBLISHES_MAX {
            return Err(ProtocolError::TransactionTooLarge { limit });
        }
        Ok(())
    }

    /// As `hold`, of a message that has been admitted and whose body the shard has.
    pub(super) fn hold_long(&mut self, args: &Publish<'_>, properties: &[u8], body_bytes: u64) {
        self.long_bytes += body_bytes;
        self.push(args, properties, &[], body_bytes);
    }

    fn push(&mut self, args: &Publish<'_>, properties: &[u8], body: &[u8], long_body_bytes: u64) {
        let publish = HeldPublish {
            mandatory: args.mandatory,
            exchange: self.append(args.exchange.0),
            key: self.append(args.key.0),
            properties: self.append(properties),
            body: self.append(body),
            long_body_bytes,
        };
        self.publishes.push(publish);
    }

    pub(super) fn holds_long_bodies(&self) -> bool {
        self.long_bytes > 0
    }

    fn append(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        if octets.len() > LONG_OCTETS {
            self.octets.reserve_exact(octets.len());
        }
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }

    fn octets(&self, range: &Range<usize>) -> &[u8] {
        self.octets.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn publishes(&self) -> usize {
        self.publishes.len()
    }

    /// Octets of memory that its publishes take.
    pub(super) fn held_octets(&self) -> usize {
        self.octets.len()
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
                tx::select_ok(cx.out(self.number()), self.number());
            }
            TxMethod::Commit => return self.commit(id, cx),
            TxMethod::Rollback => {
                if let Some(transaction) = self.publisher.transaction() {
                    let dropped = std::mem::take(transaction);
                    if dropped.holds_long_bodies() {
                        let (own, channel) = (cx.session.id.shard(), self.key);
                        cx.broker.command(own, Command::DropBody { channel });
                    }
                }
                self.unacked.release_held();
                tx::rollback_ok(cx.out(self.number()), self.number());
            }
        }
        Ok(())
    }

    /// Hands everything to the connection's own shard, which sees to it that all of it happens.
    fn commit<B: Broker>(
        &mut self,
        id: MethodId,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let held = self.publisher.transaction().map(std::mem::take).unwrap_or_default();
        let mut committed = Committed::new();
        for publish in &held.publishes {
            let args = Publish {
                exchange: ShortStr(held.octets(&publish.exchange)),
                key: ShortStr(held.octets(&publish.key)),
                mandatory: publish.mandatory,
                immediate: false,
            };
            let (properties, body) = (held.octets(&publish.properties), held.octets(&publish.body));
            let body = (body, publish.long_body_bytes);
            self.publish_held(&args, properties, body, &mut committed, cx);
        }
        for (tag, outcome) in held.settles {
            self.settle_held(tag, outcome, &mut committed, cx.broker);
        }
        self.send_grants(cx);
        if committed.is_empty() {
            tx::commit_ok(cx.out(self.number()), self.number());
            return Ok(());
        }
        self.awaiting = Some(Awaiting { method: id, nowait: false, what: Awaited::Committed });
        let (channel, transaction) = (self.key, Arc::new(committed));
        cx.broker.command(cx.session.id.shard(), Command::Commit { channel, transaction });
        Ok(())
    }

    /// The answer to a commit: everything is as safe as it promises to be.
    pub(super) fn committed<B: Broker>(
        &mut self,
        refused: bool,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        if refused {
            return Err(ProtocolError::PartialCommit);
        }
        tx::commit_ok(cx.out(self.number()), self.number());
        Ok(())
    }

    /// Octets of memory of what has come and has not been handed on.
    pub(crate) fn gathered_octets(&self) -> usize {
        self.assembly.held_octets() + self.publisher.held_octets()
    }

    /// Publishes and settles that wait for a commit.
    pub(crate) fn uncommitted(&self) -> (usize, usize) {
        (self.publisher.held_publishes(), self.unacked.held())
    }
}
