//! The mesh between shards: one single-producer single-consumer ring from every shard to every
//! other one, carrying batches.
//!
//! Owned half by half: a [`Port`] belongs to one shard's thread and holds the sending ends of the
//! rings that leave it and the receiving ends of those that arrive. A turn of a shard fills at
//! most a few batches for each peer, pushes them, and rings each peer's [`Doorbell`] at most once,
//! which wakes the peer only if it has said that it sleeps. Batches travel back on a second ring
//! when they have been read, so their memory is reused and freed by the core that allocated it.
//!
//! Invariants: mail from one shard to another arrives in the order it was sent; nothing is ever
//! dropped; a full ring shows as [`Port::is_congested`], never as an error.
//!
//! The only atomics are in `rtrb` and in the doorbell: per batch, not per message. Doorbell, lanes and ports are also
//! compiled into a test (`server/model`), with another `sync` and another batch, where every order in which
//! two threads can run is tried. Must not import `runtime`, `amqp`, `management` or glommio.

mod batch;
mod doorbell;
mod lane;
mod port;
mod sync;

/// Batches that may lie in one ring unread.
const RING_SLOTS: usize = 32;

pub use batch::{Mail, Parcel, RingBatch};
pub use doorbell::Doorbell;
pub use port::{mesh, Port};

#[cfg(test)]
mod tests;
