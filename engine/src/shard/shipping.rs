//! Long bodies of transactions on their way to other shards, part by part.
//!
//! The coordinator's log has the body (`transactions`). Each other shard that is to put the message gets the
//! parts, as many at a time as it has room for, and writes them into its own log. What it is to carry out follows
//! behind the last one, so that it finds the bodies there. Until then they are like bodies that publishers have
//! begun: after a crash nothing is left of them, and the coordinator, which has decided, sends them again.
//!
//! What waits for bodies holds up nobody but who publishes to the same queues: among those order is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::bodies::Body;
use super::{Effect, Shard};
use crate::ids::ShardId;
use crate::log::{Memory, OpenBody, ReadPart};
use crate::mail::PeerMail;
use crate::now::Now;
use crate::transaction::Transaction;

/// Parts that may be on their way to one shard at a time.
const PARTS_UNDER_WAY_MAX: usize = 4;

/// A part of a transaction that another shard is to carry out, once it has the bodies.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) number: u64,
    pub(super) transaction: Arc<Transaction>,
    pub(super) journaled: bool,
    pub(super) again: bool,
    /// Publishes whose bodies it does not have yet.
    bodies: VecDeque<usize>,
    /// Which part of the first one is next.
    part: usize,
}

/// What is to go to one shard.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Outgoing>,
    /// Parts that have been sent and not been taken.
    under_way: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shipping {
    /// Bodies of transactions that this shard coordinates: number of the transaction, index of the publish.
    own: BTreeMap<(u64, usize), OpenBody>,
    lanes: BTreeMap<ShardId, Lane>,
    /// Bodies from other shards, and how long they are by now.
    arrived: BTreeMap<(ShardId, u64, usize), (OpenBody, u64)>,
    /// Parts of them that their senders have not been answered.
    taken: BTreeMap<ShardId, usize>,
}

impl Shipping {
    /// A transaction of this shard has that body.
    pub(super) fn hold(&mut self, number: u64, index: usize, body: OpenBody) {
        self.own.insert((number, index), body);
    }

    pub(super) fn holds(&self, number: u64, index: usize) -> bool {
        self.own.contains_key(&(number, index))
    }
}

impl<M: Memory> Shard<M> {
    /// Asks another shard to carry out its part of a transaction, or begins to send it the bodies.
    pub(super) fn ask_to_carry_out(
        &mut self,
        to: ShardId,
        number: u64,
        transaction: Arc<Transaction>,
        (journaled, again): (bool, bool),
    ) {
        let bodies: VecDeque<usize> = transaction.long_publishes_to(to).collect();
        let waiting = self.shipping.lanes.get(&to).map(|lane| &lane.waiting);
        let mut before = waiting.into_iter().flatten();
        let waits = before.any(|other| transaction.meets(&other.transaction, to));
        let is_ready = bodies.is_empty() && !waits;
        let outgoing = Outgoing { number, transaction, journaled, again, bodies, part: 0 };
        match is_ready {
            true => self.send_out(to, outgoing),
            false => self.shipping.lanes.entry(to).or_default().waiting.push_back(outgoing),
        }
    }

    fn send_out(&mut self, to: ShardId, outgoing: Outgoing) {
        let from = self.config.shard;
        let Outgoing { number, transaction, journaled, again, .. } = outgoing;
        let mail = PeerMail::CarryOut { from, number, transaction, journaled, again };
        self.effects.push_back(Effect::Peer { to, mail });
    }

    /// Sends what there is room for, of what is in memory; asks for what is not.
    pub(super) fn ship(&mut self) {
        if self.shipping.lanes.is_empty() {
            return;
        }
        let mut lanes = std::mem::take(&mut self.shipping.lanes);
        for (to, lane) in &mut lanes {
            self.ship_to(*to, lane);
        }
        lanes.retain(|_, lane| lane.under_way > 0 || !lane.waiting.is_empty());
        self.shipping.lanes = lanes;
    }

    fn ship_to(&mut self, to: ShardId, lane: &mut Lane) {
        let from = self.config.shard;
        while let Some(first) = lane.waiting.front_mut() {
            let Some(index) = first.bodies.front().copied() else {
                if let Some(outgoing) = lane.waiting.pop_front() {
                    self.send_out(to, outgoing);
                }
                continue;
            };
            if lane.under_way >= PARTS_UNDER_WAY_MAX {
                return;
            }
            let number = first.number;
            let Some(body) = self.shipping.own.get(&(number, index)) else {
                panic!("transaction {number} is to be carried out without body {index}");
            };
            match self.store.log.read_part(body, first.part) {
                ReadPart::Octets(octets) => {
                    let mail = PeerMail::Body { from, number, index, octets: octets.into() };
                    self.effects.push_back(Effect::Peer { to, mail });
                    first.part += 1;
                    lane.under_way += 1;
                }
                ReadPart::Pending => return,
                ReadPart::End => {
                    first.bodies.pop_front();
                    first.part = 0;
                }
            }
        }
    }

    /// Another shard has taken so many parts.
    ///
    /// # Panics
    /// If it was not sent as many.
    pub(super) fn body_taken(&mut self, by: ShardId, parts: usize) {
        let lane = self.shipping.lanes.get_mut(&by);
        let left = lane.as_ref().and_then(|lane| lane.under_way.checked_sub(parts));
        let (Some(lane), Some(left)) = (lane, left) else {
            panic!("shard {} has taken {parts} parts that it was not sent", by.0);
        };
        lane.under_way = left;
        self.ship();
    }

    /// A part of a body has come from another shard.
    pub(super) fn take_body(&mut self, now: Now, name: (ShardId, u64, usize), octets: &[u8]) {
        let Shard { shipping, store, .. } = self;
        let (body, bytes) =
            shipping.arrived.entry(name).or_insert_with(|| (store.log.begin_body(), 0));
        store.log.append_body(now, body, octets);
        *bytes += octets.len() as u64;
        *shipping.taken.entry(name.0).or_default() += 1;
        self.answer_for_bodies();
    }

    /// Lets senders of bodies go on, unless the device is far behind.
    pub(super) fn answer_for_bodies(&mut self) {
        if self.shipping.taken.is_empty() || !self.store.log.takes_settles() {
            return;
        }
        let by = self.config.shard;
        for (to, parts) in std::mem::take(&mut self.shipping.taken) {
            let mail = PeerMail::BodyTaken { by, parts };
            self.effects.push_back(Effect::Peer { to, mail });
        }
    }

    /// The body of a publish of this shard's transaction, once more.
    pub(super) fn share_own(&mut self, number: u64, index: usize) -> Option<OpenBody> {
        let body = self.shipping.own.get(&(number, index))?;
        Some(self.store.log.share_body(body))
    }

    /// The body of a publish that is to be put here, if it does not have it.
    ///
    /// # Panics
    /// If the body is not there as a whole: the message would be torn.
    pub(super) fn body_of(
        &mut self,
        coordinator: ShardId,
        number: u64,
        transaction: &Transaction,
        index: usize,
    ) -> Option<Body> {
        let bytes = transaction.long_body_bytes(index);
        if bytes == 0 {
            return None;
        }
        let body = match coordinator == self.config.shard {
            true => self.share_own(number, index),
            false => {
                let arrived = self.shipping.arrived.remove(&(coordinator, number, index));
                arrived.filter(|(_, came)| *came == bytes).map(|(body, _)| body)
            }
        };
        let Some(body) = body else {
            panic!("transaction {number} of shard {} comes without body {index}", coordinator.0);
        };
        Some(Body::InLog { body, bytes })
    }

    /// The transaction has been carried out here: of its bodies nothing is wanted any more.
    pub(super) fn forget_arrived(&mut self, coordinator: ShardId, number: u64) {
        let of_it = (coordinator, number, 0)..=(coordinator, number, usize::MAX);
        let names: Vec<_> = self.shipping.arrived.range(of_it).map(|(name, _)| *name).collect();
        for name in names {
            if let Some((body, _)) = self.shipping.arrived.remove(&name) {
                self.store.log.drop_body(body);
            }
        }
    }

    /// As `forget_arrived`, where it was decided, when all have carried it out.
    pub(super) fn forget_own(&mut self, number: u64) {
        let of_it = (number, 0)..=(number, usize::MAX);
        let names: Vec<_> = self.shipping.own.range(of_it).map(|(name, _)| *name).collect();
        for name in names {
            if let Some(body) = self.shipping.own.remove(&name) {
                self.store.log.drop_body(body);
            }
        }
    }
}
