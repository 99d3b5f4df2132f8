//! One consumer of a queue.

use super::credit::Allowance;
use crate::ids::ConsumerKey;
use crate::mail::Consume;

/// Where a consumer stands in the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In the ring of its priority: may be served.
    Serving,
    /// Until a settle, a grant or a higher limit.
    NoCredit,
    /// Until octets of its connection have left for the socket.
    NoWindow,
    /// Another one is the single active consumer (behaviour B16).
    Waiting,
}

/// See the module.
#[derive(Debug)]
pub struct Consumer {
    /// The request it came from, for listings.
    pub(super) consume: Box<Consume>,
    /// Of the request, what each delivery needs.
    pub(super) key: ConsumerKey,
    pub(super) no_ack: bool,
    pub(super) priority: i32,
    /// Number of its connection's link in the shard.
    pub(super) link: u32,
    pub(super) allowance: Allowance,
    pub(super) standing: Standing,
    /// The channel has been told that it wants a grant, and has not answered yet.
    pub(super) asked: bool,
}

impl Consumer {
    pub fn consume(&self) -> &Consume {
        &self.consume
    }

    pub fn key(&self) -> ConsumerKey {
        self.key
    }

    pub fn no_ack(&self) -> bool {
        self.no_ack
    }

    /// Number of its connection's link in the shard.
    pub fn link(&self) -> u32 {
        self.link
    }

    /// Deliveries that may be made now; `u64::MAX`: any number.
    #[inline]
    pub fn credit(&self) -> u64 {
        self.allowance.spare()
    }

    /// True if it has credit for another delivery.
    pub fn can_take(&self) -> bool {
        self.allowance.spare() > 0
    }

    /// False while another consumer of its queue is the single active one.
    pub fn active(&self) -> bool {
        self.standing != Standing::Waiting
    }
}
