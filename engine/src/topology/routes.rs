//! Where a publish goes.

use super::replica::Destination;
use crate::ids::{ShardId, Target};
use crate::routing::Scratch;

/// The queues a publish goes to, each once, grouped by shard in `targets` order. Reused between
/// publishes so that routing does not allocate.
#[derive(Debug, Default)]
pub struct Routes {
    pub targets: Vec<Target>,
    /// Lists that `targets` was filled from: one alone has no target twice.
    lists: usize,
    /// How many of `targets` are but the memory of an exchange.
    pub(super) copies: usize,
    /// See [`Routes::is_held`].
    pub(super) is_held: bool,
    /// See [`Routes::is_repeatable`].
    pub(super) is_repeatable: bool,
    /// See [`Routes::missing_alternate`].
    pub(super) missing_alternate: Option<u32>,
    pub(super) matching: Scratch,
    /// Exchanges in the order in which they were reached; doubles as the visited set.
    pub(super) exchanges: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    NoExchange,
    /// Publishing to an internal exchange (behaviour A59).
    Internal,
}

impl Routes {
    /// `targets`, one slice for each shard.
    pub fn by_shard(&self) -> impl Iterator<Item = (ShardId, &[Target])> {
        let slices = self.targets.chunk_by(|a, b| a.shard == b.shard);
        slices.filter_map(|targets| Some((targets.first()?.shard, targets)))
    }

    /// True if a message without headers that is published with the same key to the same exchange
    /// goes the same way, while the topology stays as it is.
    pub fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// True if no queue of a client gets the message, now or later.
    pub fn leads_nowhere(&self) -> bool {
        self.targets.len() <= self.copies
    }

    /// True if the message is held back by an exchange and goes nowhere else now: it will be
    /// routed later, by all that its headers say.
    pub fn is_held(&self) -> bool {
        self.is_held && self.targets.len() == 1
    }

    /// An exchange on the way, by its place in the replica, whose alternate exchange is named and
    /// not there (see [`Topology::missing_alternate`](super::Topology::missing_alternate)).
    pub fn missing_alternate(&self) -> Option<u32> {
        self.missing_alternate
    }

    /// Leads to one queue, or nowhere.
    pub(crate) fn lead_to(&mut self, target: Option<Target>) {
        self.clear();
        self.targets.extend(target);
    }

    /// Where chance begins, for exchanges that choose by it.
    pub fn seed(&mut self, seed: u64) {
        self.matching.seed(seed);
    }

    pub(super) fn clear(&mut self) {
        self.targets.clear();
        self.exchanges.clear();
        self.lists = 0;
        self.copies = 0;
        self.is_held = false;
        self.missing_alternate = None;
        self.is_repeatable = true;
    }

    pub(super) fn push(&mut self, target: Target) {
        self.lists += 1;
        self.targets.push(target);
    }

    /// Takes one list of a router. An exchange is put on the way unless it was there before.
    pub(super) fn take(
        targets: &mut Vec<Target>,
        exchanges: &mut Vec<u32>,
        lists: &mut usize,
        found: &[Destination],
    ) {
        *lists += 1;
        for destination in found {
            match *destination {
                Destination::Queue(target) => targets.push(target),
                Destination::Exchange(exchange) => {
                    if !exchanges.contains(&exchange) {
                        exchanges.push(exchange);
                    }
                }
            }
        }
    }

    /// Splits the borrow: the parts that a router fills, and those it works with.
    pub(super) fn parts(&mut self) -> (&mut Vec<Target>, &mut Vec<u32>, &mut usize, &mut Scratch) {
        (&mut self.targets, &mut self.exchanges, &mut self.lists, &mut self.matching)
    }

    /// Removes what is there twice and brings together what goes to one shard.
    pub(super) fn finish(&mut self) {
        if self.targets.len() < 2 {
            return;
        }
        if self.lists > 1 {
            self.targets.sort_unstable_by_key(|target| (target.shard, target.queue));
            self.targets.dedup();
        } else {
            let shard = self.targets[0].shard;
            if self.targets.iter().any(|target| target.shard != shard) {
                self.targets.sort_unstable_by_key(|target| target.shard);
            }
        }
    }
}
