//! One shard's view of the topology.

use std::sync::Arc;

use super::{
    Binding, Change, Exchange, Permission, Queue, TopologyError, TopologyOutcome, TopologyRequest,
    User, Vhost,
};
use crate::access::Access;
use crate::ids::{QueueId, ShardId, Target};

/// What the writer has decided: changes in order, and the answer once they are durable and applied.
#[derive(Debug)]
pub struct Decision {
    pub changes: Vec<Change>,
    pub outcome: TopologyOutcome,
}

/// The queues a publish goes to, each once, grouped by shard in `targets` order. Reused between
/// publishes so that routing does not allocate.
#[derive(Debug, Default)]
pub struct Routes {
    pub targets: Vec<Target>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RouteError {
    NoExchange,
    /// Publishing to an internal exchange (behaviour A59).
    Internal,
}

/// Replica of the whole topology; on shard 0 also the authority.
#[derive(Debug)]
pub struct Topology {}

impl Topology {
    /// With nothing in it, not even the vhost `/`.
    pub fn new() -> Self {
        todo!()
    }
    /// Grows with every applied change; a route cached under one version is valid while it lasts.
    pub fn version(&self) -> u64 {
        todo!()
    }
    /// Applies one decided change. Total: a change about something absent is ignored.
    pub fn apply(&mut self, _change: &Change) {
        todo!()
    }
    /// Shard 0 only. Validates `request` against the present state and says what is to change.
    /// Does not apply it. `owner` is where a new queue would go, `id` what it would be called.
    pub fn decide(
        &self,
        _request: &TopologyRequest,
        _owner: ShardId,
        _id: QueueId,
    ) -> Result<Decision, TopologyError> {
        todo!()
    }
    /// The changes of an empty data directory: vhost `/` with its predeclared exchanges, user
    /// guest with tag administrator and all permissions.
    pub fn first_boot(_guest_password_hash: Arc<[u8]>) -> Vec<Change> {
        todo!()
    }
    /// Everything, as changes that rebuild it in order (for a booting replica, for export).
    pub fn snapshot(&self) -> Vec<Change> {
        todo!()
    }

    pub fn vhost(&self, _name: &str) -> Option<&Vhost> {
        todo!()
    }
    pub fn vhosts(&self) -> impl Iterator<Item = &Vhost> {
        std::iter::empty()
    }
    pub fn exchange(&self, _vhost: &str, _name: &str) -> Option<&Exchange> {
        todo!()
    }
    pub fn exchanges(&self, _vhost: &str) -> impl Iterator<Item = &Exchange> {
        std::iter::empty()
    }
    pub fn queue(&self, _vhost: &str, _name: &str) -> Option<&Arc<Queue>> {
        todo!()
    }
    pub fn queue_by_id(&self, _id: QueueId) -> Option<&Arc<Queue>> {
        todo!()
    }
    pub fn queues(&self, _vhost: &str) -> impl Iterator<Item = &Arc<Queue>> {
        std::iter::empty()
    }
    /// Explicit bindings and each queue's implicit one to the default exchange (behaviour A77).
    pub fn bindings(&self, _vhost: &str) -> Vec<Binding> {
        todo!()
    }
    pub fn user(&self, _name: &str) -> Option<&User> {
        todo!()
    }
    pub fn users(&self) -> impl Iterator<Item = &User> {
        std::iter::empty()
    }
    pub fn permissions(&self, _vhost: &str) -> impl Iterator<Item = &Permission> {
        std::iter::empty()
    }
    /// The compiled permissions of one user in one vhost; `None`: may not enter the vhost.
    /// A clone is kept by the connection and renewed when `version()` changes.
    pub fn access(&self, _vhost: &str, _user: &str) -> Option<Arc<Access>> {
        todo!()
    }

    /// Declares an existing queue again (or passively): checks lock and equivalence only, so
    /// that the common redeclare needs no trip to shard 0 (behaviour A63-A66).
    /// `Ok(None)`: it does not exist.
    pub fn redeclare_queue(
        &self,
        _request: &TopologyRequest,
    ) -> Result<Option<Arc<Queue>>, TopologyError> {
        todo!()
    }

    /// Routes one publish into `routes` (cleared first). `headers` are the octets of the header
    /// table's fields (without length prefix), read only if a headers exchange is on the way.
    /// Alternate exchanges and exchange-to-exchange bindings are followed, each exchange once.
    pub fn route(
        &self,
        _vhost: &str,
        _exchange: &[u8],
        _routing_key: &[u8],
        _headers: Option<&[u8]>,
        _routes: &mut Routes,
    ) -> Result<(), RouteError> {
        todo!()
    }
}
