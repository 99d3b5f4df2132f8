//! Carrying out decided changes. Mechanical and total: a change about something absent is
//! ignored, and whatever order changes come in, no entry is left pointing at a missing one.

use std::sync::{Arc, OnceLock};

use super::binding_ref::BindingRef;
use super::name::Name;
use super::policy::{PolicySet, Subject};
use super::predeclared;
use super::replica::{
    Destination, ExchangeEntry, PermissionEntry, QueueEntry, TopicPermissionEntry, Topology,
    VhostEntry,
};
use super::{Binding, BindingTarget, Change, Exchange, Permission, Queue, TopicPermission, Vhost};
use crate::ids::QueueId;

impl Topology {
    /// Applies one decided change. Total: a change about something absent is ignored.
    pub fn apply(&mut self, change: &Change) {
        self.version += 1;
        match change {
            Change::PutVhost(vhost) => self.put_vhost(vhost),
            Change::DropVhost { vhost } => self.drop_vhost(vhost),
            Change::PutExchange(exchange) => self.put_exchange(exchange.clone()),
            Change::DropExchange { vhost, name } => self.drop_exchange(vhost, name),
            Change::PutQueue(queue) => self.put_queue(queue),
            Change::DropQueue { id } => self.drop_queue(*id),
            Change::PutBinding(binding) => self.put_binding(binding),
            Change::DropBinding(binding) => self.drop_binding(&BindingRef(binding.clone().into())),
            Change::PutUser(user) => {
                self.users.insert(Name(user.name.clone()), user.clone());
            }
            Change::DropUser { user } => {
                self.users.remove(user.as_bytes());
                for vhost in self.vhosts.values_mut() {
                    vhost.permissions.remove(user.as_bytes());
                    vhost.topic_permissions.remove(user.as_bytes());
                }
            }
            Change::PutPermission(permission) => self.put_permission(permission),
            Change::DropPermission { vhost, user } => {
                if let Some(entry) = self.vhosts.get_mut(vhost.as_bytes()) {
                    entry.permissions.remove(user.as_bytes());
                }
            }
            Change::PutTopicPermission(permission) => self.put_topic_permission(permission),
            Change::DropTopicPermission { vhost, user, exchange } => {
                self.drop_topic_permission(vhost, user, exchange);
            }
            Change::PutPolicy(policy) => {
                if let Some(entry) = self.vhosts.get_mut(policy.vhost.as_bytes()) {
                    entry.policies.put(policy.clone());
                }
                self.find_alternates(&policy.vhost);
            }
            Change::DropPolicy { vhost, name, operator } => {
                if let Some(entry) = self.vhosts.get_mut(vhost.as_bytes()) {
                    entry.policies.remove(name, *operator);
                }
                self.find_alternates(vhost);
            }
            Change::PutGlobalParameter(parameter) => {
                self.drop_parameter(&parameter.name);
                self.parameters.push(parameter.clone());
                self.parameters.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Change::DropGlobalParameter { name } => self.drop_parameter(name),
        }
    }

    fn put_vhost(&mut self, vhost: &Vhost) {
        if let Some(entry) = self.vhosts.get_mut(vhost.name.as_bytes()) {
            entry.vhost = vhost.clone();
            return;
        }
        let (exchanges, queues, permissions, topic_permissions, policies) = Default::default();
        let entry = VhostEntry {
            vhost: vhost.clone(),
            exchanges,
            queues,
            permissions,
            topic_permissions,
            policies,
        };
        self.vhosts.insert(Name(vhost.name.clone()), entry);
        for exchange in predeclared::exchanges(&vhost.name) {
            self.put_exchange(exchange);
        }
    }

    fn drop_vhost(&mut self, vhost: &Arc<str>) {
        let queues: Vec<QueueId> = self.queues(vhost).map(|queue| queue.id).collect();
        for id in queues {
            self.drop_queue(id);
        }
        let exchanges: Vec<Arc<str>> = self.exchanges(vhost).map(|e| e.name.clone()).collect();
        for name in exchanges {
            self.drop_exchange(vhost, &name);
        }
        self.vhosts.remove(vhost.as_bytes());
    }

    /// An exchange of that name that is there already keeps its bindings.
    fn put_exchange(&mut self, exchange: Exchange) {
        let Some(vhost) = self.vhosts.get_mut(exchange.vhost.as_bytes()) else { return };
        if let Some(&place) = vhost.exchanges.get(exchange.name.as_bytes()) {
            self.replace_exchange(place, exchange);
            return;
        }
        let name = Name(exchange.name.clone());
        let mut entry = ExchangeEntry::new(exchange);
        entry.find_alternate(&vhost.policies);
        let entry = Some(entry);
        let place = match self.free_exchanges.pop() {
            Some(place) => {
                self.exchanges[place as usize] = entry;
                place
            }
            None => {
                self.exchanges.push(entry);
                (self.exchanges.len() - 1) as u32
            }
        };
        vhost.exchanges.insert(name, place);
    }

    fn replace_exchange(&mut self, place: u32, exchange: Exchange) {
        let Some(old) = self.exchanges[place as usize].take() else { return };
        let mut entry = ExchangeEntry::new(exchange);
        entry.incoming = old.incoming;
        if let Some(vhost) = self.vhost_entry(&entry.exchange.vhost) {
            entry.find_alternate(&vhost.policies);
        }
        self.exchanges[place as usize] = Some(entry);
        // The type may be another one: the router is filled anew.
        for binding in old.outgoing {
            if let Some(destination) = self.destination(&binding.0) {
                if let Some(entry) = &mut self.exchanges[place as usize] {
                    entry.insert(binding, destination);
                }
            }
        }
    }

    fn drop_exchange(&mut self, vhost: &str, name: &str) {
        let Some(entry) = self.exchange_entry(vhost, name) else { return };
        let bindings: Vec<BindingRef> = entry.outgoing.union(&entry.incoming).cloned().collect();
        for binding in &bindings {
            self.drop_binding(binding);
        }
        let Some(vhost) = self.vhosts.get_mut(vhost.as_bytes()) else { return };
        if let Some(place) = vhost.exchanges.remove(name.as_bytes()) {
            self.exchanges[place as usize] = None;
            self.free_exchanges.push(place);
        }
    }

    /// A queue of that name that is there already keeps its bindings if it is the same one
    /// (perhaps with another owner); if it is another one it goes, with its bindings.
    fn put_queue(&mut self, queue: &Arc<Queue>) {
        let old = self.queue(&queue.vhost, &queue.name).map(|old| old.id);
        let elsewhere = self
            .queues
            .get(&queue.id)
            .is_some_and(|known| known.name != queue.name || known.vhost != queue.vhost);
        let mut bindings = Vec::new();
        if old == Some(queue.id) {
            let entry = self.queue_entry(&queue.vhost, &queue.name);
            bindings.extend(entry.into_iter().flat_map(QueueEntry::incoming).cloned());
        }
        for id in old.into_iter().chain(elsewhere.then_some(queue.id)) {
            self.drop_queue(id);
        }
        let Some(vhost) = self.vhosts.get_mut(queue.vhost.as_bytes()) else { return };
        let queue = Arc::clone(queue);
        if let Some(connection) = queue.exclusive_to {
            self.exclusive.entry(connection).or_default().insert(queue.id);
        }
        self.queues.insert(queue.id, queue.clone());
        let name = Name(queue.name.clone());
        vhost.queues.insert(name, QueueEntry { queue, incoming: None });
        for binding in bindings {
            self.put_binding(&binding.0);
        }
    }

    fn drop_queue(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get(&id).cloned() else { return };
        let entry = self.queue_entry(&queue.vhost, &queue.name);
        let bindings: Vec<BindingRef> =
            entry.into_iter().flat_map(QueueEntry::incoming).cloned().collect();
        for binding in &bindings {
            self.drop_binding(binding);
        }
        self.queues.remove(&id);
        if let Some(vhost) = self.vhosts.get_mut(queue.vhost.as_bytes()) {
            vhost.queues.remove(queue.name.as_bytes());
        }
        if let Some(connection) = queue.exclusive_to {
            if let Some(queues) = self.exclusive.get_mut(&connection) {
                queues.remove(&id);
                if queues.is_empty() {
                    self.exclusive.remove(&connection);
                }
            }
        }
    }

    fn put_binding(&mut self, binding: &Binding) {
        let Some(destination) = self.destination(binding) else { return };
        let binding = BindingRef(Arc::new(binding.clone()));
        let vhost = binding.0.vhost.clone();
        let Some(source) = self.exchange_entry_mut(&vhost, &binding.0.source) else { return };
        if source.outgoing.contains(&binding) {
            return;
        }
        source.insert(binding.clone(), destination);
        match destination {
            Destination::Queue(_) => {
                let name = binding.0.target.name().clone();
                let vhost = self.vhosts.get_mut(vhost.as_bytes());
                if let Some(entry) = vhost.and_then(|v| v.queues.get_mut(name.as_bytes())) {
                    entry.incoming.get_or_insert_default().insert(binding);
                }
            }
            Destination::Exchange(place) => {
                if let Some(entry) = &mut self.exchanges[place as usize] {
                    entry.incoming.insert(binding);
                }
            }
        }
    }

    fn drop_binding(&mut self, binding: &BindingRef) {
        let destination = self.destination(&binding.0);
        let Binding { vhost, source, target, key, arguments, .. } = &*binding.0;
        if let Some(source) = self.exchange_entry_mut(vhost, source) {
            if source.outgoing.remove(binding) {
                if let Some(destination) = destination {
                    let name = target.name().as_bytes();
                    source.router.remove(key.as_bytes(), arguments, name, destination);
                }
            }
        }
        match target {
            BindingTarget::Queue(name) => {
                let vhost = self.vhosts.get_mut(vhost.as_bytes());
                if let Some(entry) = vhost.and_then(|v| v.queues.get_mut(name.as_bytes())) {
                    entry.remove_incoming(binding);
                }
            }
            BindingTarget::Exchange(name) => {
                if let Some(entry) = self.exchange_entry_mut(vhost, name) {
                    entry.incoming.remove(binding);
                }
            }
        }
    }

    fn put_permission(&mut self, permission: &Permission) {
        let Some(vhost) = self.vhosts.get_mut(permission.vhost.as_bytes()) else { return };
        let entry = PermissionEntry { permission: permission.clone(), access: OnceLock::new() };
        vhost.permissions.insert(Name(permission.user.clone()), entry);
    }

    fn put_topic_permission(&mut self, permission: &TopicPermission) {
        let TopicPermission { vhost, user, exchange, .. } = permission;
        self.drop_topic_permission(vhost, user, exchange);
        let Some(vhost) = self.vhosts.get_mut(vhost.as_bytes()) else { return };
        let (permission, access) = (permission.clone(), OnceLock::new());
        let entries = vhost.topic_permissions.entry(Name(user.clone())).or_default();
        entries.push(TopicPermissionEntry { permission, access });
    }

    fn drop_topic_permission(&mut self, vhost: &str, user: &str, exchange: &str) {
        let Some(vhost) = self.vhosts.get_mut(vhost.as_bytes()) else { return };
        let Some(entries) = vhost.topic_permissions.get_mut(user.as_bytes()) else { return };
        entries.retain(|entry| &*entry.permission.exchange != exchange);
        if entries.is_empty() {
            vhost.topic_permissions.remove(user.as_bytes());
        }
    }

    fn drop_parameter(&mut self, name: &str) {
        self.parameters.retain(|parameter| &*parameter.name != name);
    }

    /// The policies of a vhost have changed: exchanges may have other alternate exchanges.
    fn find_alternates(&mut self, vhost: &str) {
        let Some(vhost) = self.vhosts.get(vhost.as_bytes()) else { return };
        for place in vhost.exchanges.values() {
            if let Some(entry) = self.exchanges.get_mut(*place as usize).and_then(Option::as_mut) {
                entry.find_alternate(&vhost.policies);
            }
        }
    }

    fn exchange_entry_mut(&mut self, vhost: &str, name: &str) -> Option<&mut ExchangeEntry> {
        let place = *self.vhost_entry(vhost)?.exchanges.get(name.as_bytes())?;
        self.exchanges.get_mut(place as usize)?.as_mut()
    }

    /// What a binding leads to now; `None` if that is not there.
    fn destination(&self, binding: &Binding) -> Option<Destination> {
        let vhost = self.vhost_entry(&binding.vhost)?;
        match &binding.target {
            BindingTarget::Queue(name) => {
                Some(Destination::Queue(vhost.queues.get(name.as_bytes())?.queue.target()))
            }
            BindingTarget::Exchange(name) => {
                Some(Destination::Exchange(*vhost.exchanges.get(name.as_bytes())?))
            }
        }
    }
}

impl ExchangeEntry {
    /// An argument beats the policy.
    fn find_alternate(&mut self, policies: &PolicySet) {
        self.alternate = self.exchange.alternate_exchange.clone();
        if self.alternate.is_none() && !policies.is_empty() {
            let policy = policies.effective(&self.exchange.name, Subject::Exchange);
            self.alternate = policy.text("alternate-exchange").map(Arc::from);
        }
    }

    fn insert(&mut self, binding: BindingRef, destination: Destination) {
        let Binding { key, arguments, target, .. } = &*binding.0;
        let name = target.name().as_bytes();
        self.router.insert(key.as_bytes(), arguments, name, destination);
        self.outgoing.insert(binding);
    }
}
