//! One shard's view of the topology: the maps, and how they are read.
//!
//! Queues and exchanges are found by name and by number in constant time; each knows the
//! bindings that lead to it, each exchange also those that leave it. Reading is here, changing
//! in `apply`, deciding in `decide` and `cascade`, routing in `route`.

use std::sync::{Arc, OnceLock};

use rustc_hash::{FxHashMap, FxHashSet};

use super::binding_ref::BindingRef;
use super::name::Name;
use super::policy::{PolicySet, Subject};
use super::{
    Binding, BindingTarget, EffectivePolicy, Exchange, ExchangeKind, GlobalParameter, Permission,
    Policy, Queue, TopicPermission, User, Vhost,
};
use crate::access::{Access, TopicAccess, TopicVariables};
use crate::ids::{ConnectionId, QueueId, Target};
use crate::routing::{HashOn, Router};
use crate::table::Table;

/// Replica of the whole topology; on shard 0 also the authority.
#[derive(Debug, Default)]
pub struct Topology {
    pub(super) version: u64,
    pub(super) vhosts: FxHashMap<Name, VhostEntry>,
    /// Exchanges of all vhosts; a free place is `None`. Routers name exchanges by place.
    pub(super) exchanges: Vec<Option<ExchangeEntry>>,
    pub(super) free_exchanges: Vec<u32>,
    pub(super) queues: FxHashMap<QueueId, Arc<Queue>>,
    pub(super) exclusive: FxHashMap<ConnectionId, FxHashSet<QueueId>>,
    pub(super) users: FxHashMap<Name, User>,
    /// The arguments of whatever has none.
    pub(super) no_arguments: Arc<Table>,
    pub(super) parameters: Vec<GlobalParameter>,
}

#[derive(Debug)]
pub(super) struct VhostEntry {
    pub(super) vhost: Vhost,
    pub(super) exchanges: FxHashMap<Name, u32>,
    pub(super) queues: FxHashMap<Name, QueueEntry>,
    /// By user.
    pub(super) permissions: FxHashMap<Name, PermissionEntry>,
    /// By user, each for another exchange.
    pub(super) topic_permissions: FxHashMap<Name, Vec<TopicPermissionEntry>>,
    pub(super) policies: PolicySet,
}

#[derive(Debug)]
pub(super) struct ExchangeEntry {
    pub(super) exchange: Exchange,
    /// From its arguments or its policy.
    pub(super) alternate: Option<Arc<str>>,
    pub(super) router: Router<Destination>,
    /// Bindings from here.
    pub(super) outgoing: FxHashSet<BindingRef>,
    /// Bindings to here.
    pub(super) incoming: FxHashSet<BindingRef>,
}

#[derive(Debug)]
pub(super) struct QueueEntry {
    pub(super) queue: Arc<Queue>,
    /// `None`: only the implicit one to the default exchange, as with most queues.
    pub(super) incoming: Option<Box<FxHashSet<BindingRef>>>,
}

impl QueueEntry {
    /// Explicit bindings to here.
    pub(super) fn incoming(&self) -> impl Iterator<Item = &BindingRef> {
        self.incoming.iter().flat_map(|incoming| incoming.iter())
    }

    pub(super) fn remove_incoming(&mut self, binding: &BindingRef) {
        if let Some(incoming) = &mut self.incoming {
            incoming.remove(binding);
            if incoming.is_empty() {
                self.incoming = None;
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct PermissionEntry {
    pub(super) permission: Permission,
    /// Compiled when first asked for: most users of a large broker are not connected.
    pub(super) access: OnceLock<Arc<Access>>,
}

#[derive(Debug)]
pub(super) struct TopicPermissionEntry {
    pub(super) permission: TopicPermission,
    /// Compiled when first asked for.
    pub(super) access: OnceLock<Arc<TopicAccess>>,
}

/// What a binding leads to, as routers hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Destination {
    Queue(Target),
    /// Place in `Topology::exchanges`.
    Exchange(u32),
}

impl ExchangeEntry {
    pub(super) fn new(exchange: Exchange) -> Self {
        let router = match exchange.routes_as() {
            ExchangeKind::Direct => Router::direct(),
            ExchangeKind::Fanout
            | ExchangeKind::Delayed
            | ExchangeKind::RecentHistory
            | ExchangeKind::Deduplication => Router::fanout(),
            ExchangeKind::Topic => Router::topic(),
            ExchangeKind::Headers => Router::headers(),
            ExchangeKind::ConsistentHash => {
                Router::consistent_hash(HashOn::of(&exchange.arguments))
            }
            // All queues are local to the one node that there is.
            ExchangeKind::Random | ExchangeKind::LocalRandom => Router::random(),
            ExchangeKind::ModulusHash => Router::modulus_hash(),
        };
        let (outgoing, incoming) = Default::default();
        let alternate = exchange.alternate_exchange.clone();
        ExchangeEntry { exchange, alternate, router, outgoing, incoming }
    }
}

impl Topology {
    /// With nothing in it, not even the vhost `/`.
    pub fn new() -> Self {
        Topology::default()
    }
    /// Grows with every applied change; a route cached under one version is valid while it lasts.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn vhost(&self, name: &str) -> Option<&Vhost> {
        self.vhost_entry(name).map(|entry| &entry.vhost)
    }
    pub fn vhosts(&self) -> impl Iterator<Item = &Vhost> {
        self.vhosts.values().map(|entry| &entry.vhost)
    }
    pub fn exchange(&self, vhost: &str, name: &str) -> Option<&Exchange> {
        Some(&self.exchange_entry(vhost, name)?.exchange)
    }
    /// Includes the default exchange and the other predeclared ones (behaviour A56).
    pub fn exchanges(&self, vhost: &str) -> impl Iterator<Item = &Exchange> {
        let places = self.vhost_entry(vhost).into_iter().flat_map(|v| v.exchanges.values());
        places.filter_map(|&place| Some(&self.exchange_at(place)?.exchange))
    }
    /// Of all vhosts, the predeclared ones included.
    pub fn exchange_count(&self) -> u64 {
        self.vhosts.values().map(|entry| entry.exchanges.len() as u64).sum()
    }
    pub fn queue(&self, vhost: &str, name: &str) -> Option<&Arc<Queue>> {
        Some(&self.vhost_entry(vhost)?.queues.get(name.as_bytes())?.queue)
    }
    pub fn queue_by_id(&self, id: QueueId) -> Option<&Arc<Queue>> {
        self.queues.get(&id)
    }
    pub fn queues(&self, vhost: &str) -> impl Iterator<Item = &Arc<Queue>> {
        let entries = self.vhost_entry(vhost).into_iter().flat_map(|v| v.queues.values());
        entries.map(|entry| &entry.queue)
    }
    /// Queues of all vhosts.
    pub fn all_queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.queues.values()
    }
    /// Explicit bindings and each queue's implicit one to the default exchange (behaviour A77),
    /// the implicit ones first.
    pub fn bindings(&self, vhost: &str) -> Vec<Binding> {
        let mut bindings: Vec<Binding> =
            self.queues(vhost).map(|queue| implicit_binding(queue)).collect();
        for exchange in self.exchange_entries(vhost) {
            bindings.extend(exchange.outgoing.iter().map(|binding| (*binding.0).clone()));
        }
        bindings
    }
    /// True if bindings lead from that exchange.
    pub fn is_source(&self, vhost: &str, exchange: &str) -> bool {
        self.exchange_entry(vhost, exchange).is_some_and(|entry| !entry.outgoing.is_empty())
    }
    /// The bindings from one exchange; the default exchange's are implicit.
    pub fn bindings_from(&self, vhost: &str, exchange: &str) -> Vec<Binding> {
        if exchange.is_empty() {
            return self.queues(vhost).map(|queue| implicit_binding(queue)).collect();
        }
        let entry = self.exchange_entry(vhost, exchange);
        let outgoing = entry.into_iter().flat_map(|entry| &entry.outgoing);
        outgoing.map(|binding| (*binding.0).clone()).collect()
    }
    /// The bindings to one queue (its implicit one first) or exchange.
    pub fn bindings_to(&self, vhost: &str, target: &BindingTarget) -> Vec<Binding> {
        let (mut bindings, incoming) = match target {
            BindingTarget::Queue(name) => {
                let entry = self.vhost_entry(vhost).and_then(|v| v.queues.get(name.as_bytes()));
                let implicit = entry.map(|entry| implicit_binding(&entry.queue));
                (Vec::from_iter(implicit), entry.and_then(|entry| entry.incoming.as_deref()))
            }
            BindingTarget::Exchange(name) => {
                (Vec::new(), self.exchange_entry(vhost, name).map(|entry| &entry.incoming))
            }
        };
        let incoming = incoming.into_iter().flatten();
        bindings.extend(incoming.map(|binding| (*binding.0).clone()));
        bindings
    }
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name.as_bytes())
    }
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }
    pub fn permissions(&self, vhost: &str) -> impl Iterator<Item = &Permission> {
        let entries = self.vhost_entry(vhost).into_iter().flat_map(|v| v.permissions.values());
        entries.map(|entry| &entry.permission)
    }
    /// The compiled permissions of one user in one vhost; `None`: may not enter the vhost.
    /// A clone is kept by the connection and renewed when `version()` changes.
    pub fn access(&self, vhost: &str, user: &str) -> Option<Arc<Access>> {
        let entry = self.vhost_entry(vhost)?.permissions.get(user.as_bytes())?;
        let Permission { configure, write, read, .. } = &entry.permission;
        let compile = || Arc::new(Access::new_or_deny(configure, write, read));
        Some(entry.access.get_or_init(compile).clone())
    }

    /// What the topic permission of one user says of one exchange; `None`: there is none, so
    /// nothing is forbidden (behaviour A119).
    pub fn topic_access(
        &self,
        vhost: &str,
        user: &str,
        exchange: &str,
    ) -> Option<Arc<TopicAccess>> {
        let entries = self.vhost_entry(vhost)?.topic_permissions.get(user.as_bytes())?;
        let entry = entries.iter().find(|entry| &*entry.permission.exchange == exchange)?;
        let TopicPermission { vhost, user, write, read, .. } = &entry.permission;
        let variables = TopicVariables { user, vhost };
        let compile = || Arc::new(TopicAccess::new_or_deny(write, read, variables));
        Some(entry.access.get_or_init(compile).clone())
    }
    pub fn topic_permissions(&self, vhost: &str) -> impl Iterator<Item = &TopicPermission> {
        let entries = self.vhost_entry(vhost).into_iter();
        let entries = entries.flat_map(|vhost| vhost.topic_permissions.values().flatten());
        entries.map(|entry| &entry.permission)
    }
    /// Policies and operator policies.
    pub fn policies(&self, vhost: &str) -> impl Iterator<Item = &Policy> {
        self.vhost_entry(vhost).into_iter().flat_map(|vhost| vhost.policies.iter())
    }
    pub fn policy(&self, vhost: &str, name: &str, operator: bool) -> Option<&Policy> {
        self.vhost_entry(vhost)?.policies.get(name, operator)
    }
    /// What policies say of a queue of that name.
    pub fn queue_policy(&self, vhost: &str, name: &str) -> EffectivePolicy {
        self.effective_policy(vhost, name, Subject::Queue)
    }
    /// What policies say of an exchange of that name.
    pub fn exchange_policy(&self, vhost: &str, name: &str) -> EffectivePolicy {
        self.effective_policy(vhost, name, Subject::Exchange)
    }
    fn effective_policy(&self, vhost: &str, name: &str, subject: Subject) -> EffectivePolicy {
        match self.vhost_entry(vhost) {
            Some(entry) if !entry.policies.is_empty() => entry.policies.effective(name, subject),
            _ => EffectivePolicy::default(),
        }
    }
    pub fn global_parameters(&self) -> &[GlobalParameter] {
        &self.parameters
    }

    pub(super) fn vhost_entry(&self, vhost: &str) -> Option<&VhostEntry> {
        self.vhosts.get(vhost.as_bytes())
    }
    pub(super) fn exchange_at(&self, place: u32) -> Option<&ExchangeEntry> {
        self.exchanges.get(place as usize)?.as_ref()
    }
    pub(super) fn exchange_entry(&self, vhost: &str, name: &str) -> Option<&ExchangeEntry> {
        self.exchange_at(*self.vhost_entry(vhost)?.exchanges.get(name.as_bytes())?)
    }
    pub(super) fn queue_entry(&self, vhost: &str, name: &str) -> Option<&QueueEntry> {
        self.vhost_entry(vhost)?.queues.get(name.as_bytes())
    }
    pub(super) fn exchange_entries(&self, vhost: &str) -> impl Iterator<Item = &ExchangeEntry> {
        let places = self.vhost_entry(vhost).into_iter().flat_map(|v| v.exchanges.values());
        places.filter_map(|&place| self.exchange_at(place))
    }
}

/// Every queue is bound to the default exchange by its name (behaviour A77).
fn implicit_binding(queue: &Queue) -> Binding {
    Binding {
        vhost: queue.vhost.clone(),
        source: "".into(),
        target: BindingTarget::Queue(queue.name.clone()),
        key: queue.name.clone(),
        arguments: Arc::new(Table::default()),
        durable: queue.survives_restart(),
    }
}
