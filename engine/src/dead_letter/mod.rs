//! Dead letters as octets: what becomes of a message's properties when it dies in a queue, and
//! whether it may go where it is routed to.
//!
//! Pure functions over the octets of content headers: owned by nobody, knows no queue, log or
//! topology. `x_death` writes the headers (behaviour
//! B32-B34), `cycle` finds the messages that would go round for ever (B35), `delivery_count`
//! writes the one header that a queue with a delivery limit adds (B22). Every pass over a header
//! table is linear in its octets, whatever a client has put there. Must not import `log`,
//! `queue`, `shard`.

mod cycle;
mod delivery_count;
mod letter;
mod x_death;

pub use cycle::closes_cycle;
pub use delivery_count::with_delivery_count;
pub use letter::{Burial, Letter};

/// Why a queue let a message go that nobody has acknowledged (behaviour B31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// basic.reject or basic.nack with requeue=false.
    Rejected,
    /// By the queue's limit or the message's own.
    Expired,
    /// The queue holds as much as it may.
    MaxLength,
    /// It came back more often than the queue allows.
    DeliveryLimit,
}

impl Cause {
    /// As x-death says it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Rejected => "rejected",
            Cause::Expired => "expired",
            Cause::MaxLength => "maxlen",
            Cause::DeliveryLimit => "delivery_limit",
        }
    }
}
