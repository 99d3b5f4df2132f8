//! What goes with what: the changes of a removal, consequences included.
//!
//! Removing a queue or exchange removes the bindings to and from it; an auto-delete exchange goes
//! with the last binding from it (behaviour A58), which may be one to another exchange, and so
//! on. The cost is that of what is removed, not of what is there.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::binding_ref::BindingRef;
use super::replica::{ExchangeEntry, Topology};
use super::{predeclared, Change, Queue};

/// Removals being put together against a replica that stays as it is.
pub(super) struct Cascade<'a> {
    topology: &'a Topology,
    changes: Vec<Change>,
    dropped: FxHashSet<BindingRef>,
    /// Bindings left to each exchange that has lost one.
    left: FxHashMap<ExchangeKey, usize>,
    /// Exchanges that are going or gone.
    going: FxHashSet<ExchangeKey>,
    /// Of those, the ones whose bindings are yet to be dealt with.
    pending: Vec<&'a ExchangeEntry>,
}

/// Vhost and name.
type ExchangeKey = (Arc<str>, Arc<str>);

fn key(entry: &ExchangeEntry) -> ExchangeKey {
    (entry.exchange.vhost.clone(), entry.exchange.name.clone())
}

impl<'a> Cascade<'a> {
    pub(super) fn new(topology: &'a Topology) -> Self {
        let (changes, dropped, left, going, pending) = Default::default();
        Cascade { topology, changes, dropped, left, going, pending }
    }

    /// The removals in an order in which they can be applied.
    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Removes one queue.
    pub(super) fn drop_queue(&mut self, queue: &Queue) {
        let entry = self.topology.queue_entry(&queue.vhost, &queue.name);
        for binding in entry.into_iter().flat_map(|entry| entry.incoming()) {
            self.drop_binding_alone(binding);
        }
        self.changes.push(Change::DropQueue { id: queue.id });
        self.settle();
    }

    /// Removes one exchange, with all its bindings.
    pub(super) fn drop_exchange(&mut self, entry: &'a ExchangeEntry) {
        self.go(entry);
        self.settle();
    }

    /// Removes one binding.
    pub(super) fn drop_binding(&mut self, binding: &BindingRef) {
        self.drop_binding_alone(binding);
        self.settle();
    }

    /// Removes a vhost and everything in it. Predeclared exchanges go without saying.
    pub(super) fn drop_vhost(&mut self, vhost: &Arc<str>) {
        for entry in self.topology.exchange_entries(vhost) {
            for binding in &entry.outgoing {
                self.changes.push(Change::DropBinding((*binding.0).clone()));
            }
        }
        for queue in self.topology.queues(vhost) {
            self.changes.push(Change::DropQueue { id: queue.id });
        }
        for exchange in self.topology.exchanges(vhost) {
            if !predeclared::is_predeclared(&exchange.name) {
                let (vhost, name) = (vhost.clone(), exchange.name.clone());
                self.changes.push(Change::DropExchange { vhost, name });
            }
        }
        for permission in self.topology.permissions(vhost) {
            let (vhost, user) = (vhost.clone(), permission.user.clone());
            self.changes.push(Change::DropPermission { vhost, user });
        }
        for permission in self.topology.topic_permissions(vhost) {
            self.changes.push(permission.to_drop());
        }
        for policy in self.topology.policies(vhost) {
            let (vhost, name) = (vhost.clone(), policy.name.clone());
            self.changes.push(Change::DropPolicy { vhost, name, operator: policy.operator });
        }
        self.changes.push(Change::DropVhost { vhost: vhost.clone() });
    }

    /// Removes one binding and marks its source if that goes too.
    fn drop_binding_alone(&mut self, binding: &BindingRef) {
        if !self.dropped.insert(binding.clone()) {
            return;
        }
        self.changes.push(Change::DropBinding((*binding.0).clone()));
        let source = self.topology.exchange_entry(&binding.0.vhost, &binding.0.source);
        let Some(source) = source.filter(|source| source.exchange.auto_delete) else { return };
        let left = match self.left.entry(key(source)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(source.outgoing.len()),
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.go(source);
        }
    }

    fn go(&mut self, entry: &'a ExchangeEntry) {
        if self.going.insert(key(entry)) {
            self.pending.push(entry);
        }
    }

    /// Deals with the exchanges that are going until none is left. A loop, not a recursion: the
    /// chain of auto-delete exchanges may be of any length.
    fn settle(&mut self) {
        while let Some(entry) = self.pending.pop() {
            for binding in entry.outgoing.iter().chain(&entry.incoming) {
                self.drop_binding_alone(binding);
            }
            let (vhost, name) = key(entry);
            self.changes.push(Change::DropExchange { vhost, name });
        }
    }
}
