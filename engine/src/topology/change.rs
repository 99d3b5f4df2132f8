//! The unit in which the topology changes: decided by the writer, logged, applied by everyone.

use std::sync::Arc;

use super::predeclared::is_predeclared;
use super::{
    Binding, BindingTarget, Exchange, GlobalParameter, Permission, Policy, Queue, TopicPermission,
    User, Vhost,
};
use crate::ids::QueueId;
use crate::table::Table;

/// One step. Every consequence is spelled out by the writer (deleting a queue lists its bindings
/// and the auto-delete exchanges that go with them), so that applying is mechanical. The one
/// exception: the predeclared exchanges come with `PutVhost` and go with `DropVhost`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    PutVhost(Vhost),
    DropVhost {
        vhost: Arc<str>,
    },
    PutExchange(Exchange),
    DropExchange {
        vhost: Arc<str>,
        name: Arc<str>,
    },
    /// Shared by all replicas.
    PutQueue(Arc<Queue>),
    DropQueue {
        id: QueueId,
    },
    PutBinding(Binding),
    DropBinding(Binding),
    PutUser(User),
    DropUser {
        user: Arc<str>,
    },
    PutPermission(Permission),
    DropPermission {
        vhost: Arc<str>,
        user: Arc<str>,
    },
    PutTopicPermission(TopicPermission),
    DropTopicPermission {
        vhost: Arc<str>,
        user: Arc<str>,
        exchange: Arc<str>,
    },
    PutPolicy(Policy),
    DropPolicy {
        vhost: Arc<str>,
        name: Arc<str>,
        operator: bool,
    },
    PutGlobalParameter(GlobalParameter),
    DropGlobalParameter {
        name: Arc<str>,
    },
}

/// Of a queue in [`Change::sort_for_rebuild`].
const QUEUE_RANK: u8 = 4;

/// What a change is about. A put makes or replaces the entity of its key, the drop of the same
/// key removes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EntityKey {
    Vhost(Arc<str>),
    Exchange {
        vhost: Arc<str>,
        name: Arc<str>,
    },
    Queue(QueueId),
    Binding {
        vhost: Arc<str>,
        source: Arc<str>,
        target: BindingTarget,
        key: Arc<str>,
        arguments: Arc<Table>,
    },
    User(Arc<str>),
    Permission {
        vhost: Arc<str>,
        user: Arc<str>,
    },
    TopicPermission {
        vhost: Arc<str>,
        user: Arc<str>,
        exchange: Arc<str>,
    },
    Policy {
        vhost: Arc<str>,
        name: Arc<str>,
        operator: bool,
    },
    GlobalParameter(Arc<str>),
}

impl TopicPermission {
    pub(super) fn to_drop(&self) -> Change {
        let TopicPermission { vhost, user, exchange, .. } = self.clone();
        Change::DropTopicPermission { vhost, user, exchange }
    }
}

impl Change {
    /// The vhost that what is put is in.
    pub(super) fn inside_vhost(&self) -> Option<&Arc<str>> {
        match self {
            Change::PutExchange(Exchange { vhost, .. })
            | Change::PutBinding(Binding { vhost, .. })
            | Change::PutPermission(Permission { vhost, .. })
            | Change::PutTopicPermission(TopicPermission { vhost, .. })
            | Change::PutPolicy(Policy { vhost, .. }) => Some(vhost),
            Change::PutQueue(queue) => Some(&queue.vhost),
            _ => None,
        }
    }

    pub fn entity_key(&self) -> EntityKey {
        match self {
            Change::PutVhost(Vhost { name, .. }) | Change::DropVhost { vhost: name } => {
                EntityKey::Vhost(name.clone())
            }
            Change::PutExchange(Exchange { vhost, name, .. })
            | Change::DropExchange { vhost, name } => {
                EntityKey::Exchange { vhost: vhost.clone(), name: name.clone() }
            }
            Change::PutQueue(queue) => EntityKey::Queue(queue.id),
            Change::DropQueue { id } => EntityKey::Queue(*id),
            Change::PutBinding(binding) | Change::DropBinding(binding) => {
                let Binding { vhost, source, target, key, arguments, durable: _ } = binding.clone();
                EntityKey::Binding { vhost, source, target, key, arguments }
            }
            Change::PutUser(User { name, .. }) | Change::DropUser { user: name } => {
                EntityKey::User(name.clone())
            }
            Change::PutPermission(Permission { vhost, user, .. })
            | Change::DropPermission { vhost, user } => {
                EntityKey::Permission { vhost: vhost.clone(), user: user.clone() }
            }
            Change::PutTopicPermission(TopicPermission { vhost, user, exchange, .. })
            | Change::DropTopicPermission { vhost, user, exchange } => {
                let (vhost, user, exchange) = (vhost.clone(), user.clone(), exchange.clone());
                EntityKey::TopicPermission { vhost, user, exchange }
            }
            Change::PutPolicy(Policy { vhost, name, operator, .. })
            | Change::DropPolicy { vhost, name, operator } => {
                let (vhost, name) = (vhost.clone(), name.clone());
                EntityKey::Policy { vhost, name, operator: *operator }
            }
            Change::PutGlobalParameter(GlobalParameter { name, .. })
            | Change::DropGlobalParameter { name } => EntityKey::GlobalParameter(name.clone()),
        }
    }

    /// The queue that a put makes: one that is declared, or the one behind an exchange.
    pub fn new_queue(&self) -> Option<QueueId> {
        match self {
            Change::PutQueue(queue) => Some(queue.id),
            Change::PutExchange(exchange) => exchange.store.map(|store| store.queue),
            _ => None,
        }
    }

    /// Whether a put makes something that a restart keeps (behaviour D1): then it has a record.
    /// For drops: false; whether what is dropped had a record is known by its key.
    pub fn is_durable(&self) -> bool {
        match self {
            Change::PutVhost(_)
            | Change::PutUser(_)
            | Change::PutPermission(_)
            | Change::PutTopicPermission(_)
            | Change::PutPolicy(_)
            | Change::PutGlobalParameter(_) => true,
            Change::PutExchange(exchange) => exchange.durable && !is_predeclared(&exchange.name),
            Change::PutQueue(queue) => queue.survives_restart(),
            Change::PutBinding(binding) => binding.durable,
            Change::DropVhost { .. }
            | Change::DropExchange { .. }
            | Change::DropQueue { .. }
            | Change::DropBinding(_)
            | Change::DropUser { .. }
            | Change::DropPermission { .. }
            | Change::DropTopicPermission { .. }
            | Change::DropPolicy { .. }
            | Change::DropGlobalParameter { .. } => false,
        }
    }

    /// Puts in the order in which they find what they refer to: a replaced vhost's record is
    /// younger than those of the queues in it. Stable, so that of two records of one entity the
    /// later one still wins. For rebuilding from records; snapshots are in order already.
    pub fn sort_for_rebuild(changes: &mut [Change]) {
        changes.sort_by_key(Change::rank);
    }

    /// Whether [`Change::sort_for_rebuild`] has it before queues. For what is no queue.
    pub fn precedes_queues(&self) -> bool {
        self.rank() < QUEUE_RANK
    }

    fn rank(&self) -> u8 {
        match self {
            Change::PutUser(_) => 0,
            Change::PutVhost(_) => 1,
            Change::PutPermission(_)
            | Change::PutTopicPermission(_)
            | Change::PutPolicy(_)
            | Change::PutGlobalParameter(_) => 2,
            Change::PutExchange(_) => 3,
            Change::PutQueue(_) => QUEUE_RANK,
            Change::PutBinding(_) => 5,
            Change::DropVhost { .. }
            | Change::DropExchange { .. }
            | Change::DropQueue { .. }
            | Change::DropBinding(_)
            | Change::DropUser { .. }
            | Change::DropPermission { .. }
            | Change::DropTopicPermission { .. }
            | Change::DropPolicy { .. }
            | Change::DropGlobalParameter { .. } => 6,
        }
    }
}
