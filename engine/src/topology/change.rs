//! The unit in which the topology changes: decided by the writer, logged, applied by everyone.

use std::sync::Arc;

use super::{Binding, Exchange, Permission, Queue, User, Vhost};
use crate::ids::QueueId;

/// One step. Every consequence is spelled out by the writer (deleting a queue lists its bindings
/// and the auto-delete exchanges that go with them), so that applying is mechanical.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    PutVhost(Vhost),
    DropVhost { vhost: Arc<str> },
    PutExchange(Exchange),
    DropExchange { vhost: Arc<str>, name: Arc<str> },
    PutQueue(Queue),
    DropQueue { id: QueueId },
    PutBinding(Binding),
    DropBinding(Binding),
    PutUser(User),
    DropUser { user: Arc<str> },
    PutPermission(Permission),
    DropPermission { vhost: Arc<str>, user: Arc<str> },
}
