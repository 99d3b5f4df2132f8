//! What a shard tells the main thread, which moves all shards from one stage to the next.

use std::sync::Arc;

use haremq_engine::topology::Change;

use super::StartError;

/// From a shard to the main thread.
#[derive(Debug)]
pub(super) enum Event {
    /// Shard 0 has read its log: the durable topology, for everybody.
    Definitions(Arc<[Change]>),
    /// Recovered and ready to serve.
    Ready { queues: u64, messages: u64 },
    /// Transactions that were decided before this start have been carried out, as far as this shard
    /// is concerned.
    Resolved,
    /// The shard cannot start.
    Failed(StartError),
    /// Stopping: no connection is left.
    Emptied,
    /// Stopping: everything is on stable storage and nothing is on its way.
    Flushed,
    /// The shard's thread is done.
    Ended,
    /// A signal asks for a stop.
    Signal,
}
