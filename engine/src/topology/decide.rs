//! Deciding requests: shard 0 alone. Says what is to change, changes nothing.
//!
//! Checks run in RabbitMQ's order, so that of two reasons to refuse the same one is given.
//! Whether the asker may do it at all has been checked before (permissions, behaviour A117).
//! This file has what concerns exchanges, queues and bindings; `decide_access` has the rest.

use std::sync::Arc;

use super::binding_ref::BindingRef;
use super::cascade::Cascade;
use super::equivalence::{check_exchange, ExchangeProperties};
use super::exchange_arguments::{self, alternate_exchange, check_binding};
use super::predeclared::{is_reserved, is_server_named};
use super::queue_arguments::{check_arguments, queue_type, QueueType};
use super::replica::{ExchangeEntry, Topology, VhostEntry};
use super::{
    limit_reached, Binding, BindingTarget, Change, Exchange, ExchangeKind, Queue, TopologyError,
    TopologyOutcome, TopologyRequest,
};
use crate::ids::{ConnectionId, QueueId, ShardId, Target};
use crate::table::Table;

/// What the writer has decided: changes in order, and the answer once they are durable and applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub changes: Vec<Change>,
    pub outcome: TopologyOutcome,
}

pub(super) type Decided = Result<Decision, TopologyError>;

impl Decision {
    pub(super) fn done(changes: Vec<Change>) -> Decided {
        Ok(Decision { changes, outcome: TopologyOutcome::Done })
    }
    pub(super) fn created(change: Option<Change>) -> Decided {
        let outcome = TopologyOutcome::Created(change.is_some());
        Ok(Decision { changes: change.into_iter().collect(), outcome })
    }
}

impl Topology {
    /// Shard 0 only. Validates `request` against the present state and says what is to change.
    /// Does not apply it. `owner` is where a new queue would go, `id` what it would be called.
    pub fn decide(&self, request: &TopologyRequest, owner: ShardId, id: QueueId) -> Decided {
        use TopologyRequest as R;
        match request {
            R::DeclareExchange { .. } => {
                self.declare_exchange(request, Target { queue: id, shard: owner })
            }
            R::DeleteExchange { vhost, name, if_unused } => {
                self.delete_exchange(vhost, name, *if_unused)
            }
            R::DeclareQueue { .. } => self.declare_queue(request, owner, id),
            R::DropQueue { id } => {
                let mut cascade = Cascade::new(self);
                if let Some(queue) = self.queue_by_id(*id) {
                    cascade.drop_queue(queue);
                }
                Decision::done(cascade.into_changes())
            }
            R::Bind { vhost, source, target, key, arguments, connection } => {
                let binding = self.binding(vhost, source, target, key, arguments);
                self.bind(binding, *connection)
            }
            R::Unbind { vhost, source, target, key, arguments, connection } => {
                let binding = self.binding(vhost, source, target, key, arguments);
                self.unbind(binding, *connection)
            }
            R::DropConnection { connection } => {
                let mut cascade = Cascade::new(self);
                let mut ids: Vec<_> =
                    self.exclusive.get(connection).into_iter().flatten().copied().collect();
                ids.sort_unstable();
                for queue in ids.iter().filter_map(|id| self.queue_by_id(*id)) {
                    cascade.drop_queue(queue);
                }
                Decision::done(cascade.into_changes())
            }
            _ => self.decide_access(request),
        }
    }

    pub(super) fn vhost_or_error(&self, vhost: &Arc<str>) -> Result<&VhostEntry, TopologyError> {
        self.vhost_entry(vhost).ok_or_else(|| TopologyError::NoVhost { vhost: vhost.clone() })
    }

    /// `store`: where messages would be kept, if the type keeps any.
    fn declare_exchange(&self, request: &TopologyRequest, store: Target) -> Decided {
        let TopologyRequest::DeclareExchange {
            vhost,
            name,
            kind,
            durable,
            auto_delete,
            internal,
            arguments,
        } = request
        else {
            return Decision::created(None);
        };
        let (durable, auto_delete, internal) = (*durable, *auto_delete, *internal);
        let kind = ExchangeKind::from_name(kind)
            .ok_or_else(|| TopologyError::UnknownExchangeKind { kind: kind.clone() })?;
        if name.is_empty() {
            return Err(TopologyError::DefaultExchange);
        }
        self.vhost_or_error(vhost)?;
        if let Some(current) = self.exchange(vhost, name) {
            let received = ExchangeProperties { kind, durable, auto_delete, internal, arguments };
            check_exchange(current, &received)?;
            return Decision::created(None);
        }
        if is_reserved(name) {
            return Err(TopologyError::ReservedName { what: "exchange", name: name.clone() });
        }
        exchange_arguments::check_arguments(kind, arguments)?;
        let alternate_exchange = alternate_exchange(vhost, name, arguments)?;
        Decision::created(Some(Change::PutExchange(Exchange {
            vhost: vhost.clone(),
            name: name.clone(),
            kind,
            durable,
            auto_delete,
            internal,
            arguments: arguments.clone(),
            alternate_exchange,
            store: kind.keeps_messages().then_some(store),
        })))
    }

    fn delete_exchange(&self, vhost: &Arc<str>, name: &Arc<str>, if_unused: bool) -> Decided {
        if name.is_empty() {
            return Err(TopologyError::DefaultExchange);
        }
        if is_reserved(name) {
            let (vhost, name) = (vhost.clone(), name.clone());
            return Err(TopologyError::SystemExchange { vhost, name });
        }
        let mut cascade = Cascade::new(self);
        if let Some(entry) = self.exchange_entry(vhost, name) {
            if if_unused && !entry.outgoing.is_empty() {
                let (vhost, name) = (vhost.clone(), name.clone());
                return Err(TopologyError::InUse { what: "exchange", vhost, name });
            }
            cascade.drop_exchange(entry);
        }
        Decision::done(cascade.into_changes())
    }

    fn declare_queue(&self, request: &TopologyRequest, owner: ShardId, id: QueueId) -> Decided {
        let TopologyRequest::DeclareQueue {
            vhost,
            name,
            durable,
            auto_delete,
            exclusive_to,
            connection: _,
            arguments,
        } = request
        else {
            return Decision::created(None);
        };
        if let Some(queue) = self.redeclare_queue(request)? {
            let outcome = TopologyOutcome::Queue { id: queue.id, created: false };
            return Ok(Decision { changes: Vec::new(), outcome });
        }
        let entry = self.vhost_or_error(vhost)?;
        let limit = entry.vhost.limits.max_queues;
        if let Some(limit) = limit_reached(limit, entry.queues.len() as u64) {
            let (vhost, name) = (vhost.clone(), name.clone());
            return Err(TopologyError::QueueLimit { vhost, name, limit });
        }
        check_queue_name(name, arguments)?;
        let kind = check_arguments(vhost, name, arguments)?;
        // An exclusive queue is never durable, whatever was asked for: it ends with its
        // connection.
        let durable = *durable && exclusive_to.is_none();
        if kind != QueueType::Classic {
            return Err(refuse_type(vhost, name, kind, request, durable));
        }
        // What most queues have in common is there once.
        let arguments = if arguments.0.is_empty() { &self.no_arguments } else { arguments };
        let queue = Queue {
            id,
            vhost: entry.vhost.name.clone(),
            name: name.clone(),
            durable,
            auto_delete: *auto_delete,
            exclusive_to: *exclusive_to,
            arguments: arguments.clone(),
            owner,
        };
        let outcome = TopologyOutcome::Queue { id, created: true };
        Ok(Decision { changes: vec![Change::PutQueue(queue.into())], outcome })
    }

    /// The binding a request is about. Arguments are kept in order of name; names are those of
    /// the entities, so that their text is there once.
    fn binding(
        &self,
        vhost: &Arc<str>,
        source: &Arc<str>,
        target: &BindingTarget,
        key: &Arc<str>,
        arguments: &Arc<Table>,
    ) -> Binding {
        let arguments = match arguments.is_sorted() {
            true => arguments.clone(),
            false => Arc::new(arguments.sorted()),
        };
        let (mut vhost, mut source, mut target) = (vhost.clone(), source.clone(), target.clone());
        let mut durable = false;
        if let Some(exchange) = self.exchange(&vhost, &source) {
            (source, durable) = (exchange.name.clone(), exchange.durable);
            vhost = exchange.vhost.clone();
        }
        durable &= match &mut target {
            BindingTarget::Queue(name) => self.queue(&vhost, name).is_some_and(|queue| {
                *name = queue.name.clone();
                queue.survives_restart()
            }),
            BindingTarget::Exchange(name) => self.exchange(&vhost, name).is_some_and(|exchange| {
                *name = exchange.name.clone();
                exchange.durable
            }),
        };
        Binding { vhost, source, target, key: key.clone(), arguments, durable }
    }

    fn bind(&self, binding: Binding, connection: Option<ConnectionId>) -> Decided {
        let source = self.binding_ends(&binding)?.ok_or_else(|| self.missing_end(&binding))?;
        check_binding(source.exchange.routes_as(), &binding)?;
        self.check_target_lock(&binding, connection)?;
        let binding = BindingRef(Arc::new(binding));
        let new = !source.outgoing.contains(&binding);
        Decision::created(new.then(|| Change::PutBinding((*binding.0).clone())))
    }

    /// A binding, queue or exchange that is not there is no error (behaviour A76).
    fn unbind(&self, binding: Binding, connection: Option<ConnectionId>) -> Decided {
        let mut cascade = Cascade::new(self);
        if let Some(source) = self.binding_ends(&binding)? {
            let wanted = BindingRef(Arc::new(binding));
            if let Some(found) = source.outgoing.get(&wanted) {
                self.check_target_lock(&found.0, connection)?;
                cascade.drop_binding(found);
            }
        }
        Decision::done(cascade.into_changes())
    }

    /// The source of a binding whose both ends are there.
    fn binding_ends(&self, binding: &Binding) -> Result<Option<&ExchangeEntry>, TopologyError> {
        let to_default =
            matches!(&binding.target, BindingTarget::Exchange(name) if name.is_empty());
        if binding.source.is_empty() || to_default {
            return Err(TopologyError::DefaultExchange);
        }
        self.vhost_or_error(&binding.vhost)?;
        let target = match &binding.target {
            BindingTarget::Queue(name) => self.queue(&binding.vhost, name).is_some(),
            BindingTarget::Exchange(name) => self.exchange(&binding.vhost, name).is_some(),
        };
        let source = self.exchange_entry(&binding.vhost, &binding.source);
        Ok(source.filter(|_| target))
    }

    /// The source is named first if both ends are missing.
    fn missing_end(&self, binding: &Binding) -> TopologyError {
        let vhost = binding.vhost.clone();
        if self.exchange(&vhost, &binding.source).is_none() {
            return TopologyError::NoExchange { vhost, name: binding.source.clone() };
        }
        match &binding.target {
            BindingTarget::Queue(name) => TopologyError::NoQueue { vhost, name: name.clone() },
            BindingTarget::Exchange(name) => {
                TopologyError::NoExchange { vhost, name: name.clone() }
            }
        }
    }

    fn check_target_lock(
        &self,
        binding: &Binding,
        connection: Option<ConnectionId>,
    ) -> Result<(), TopologyError> {
        match &binding.target {
            BindingTarget::Queue(name) => match self.queue(&binding.vhost, name) {
                Some(queue) => queue.check_lock(connection),
                None => Ok(()),
            },
            BindingTarget::Exchange(_) => Ok(()),
        }
    }
}

/// Names that only the broker gives (behaviour A73). One that a channel has made for a
/// server-named queue is all right, provided that the type has such queues (behaviour B41).
fn check_queue_name(name: &Arc<str>, arguments: &Table) -> Result<(), TopologyError> {
    if !is_reserved(name) {
        return Ok(());
    }
    if !is_server_named(name) {
        return Err(TopologyError::ReservedName { what: "queue", name: name.clone() });
    }
    match queue_type(arguments) {
        QueueType::Classic => Ok(()),
        other => Err(TopologyError::ServerNamed { module: other.module() }),
    }
}

/// What RabbitMQ holds against a replicated queue first, else that there are none here.
fn refuse_type(
    vhost: &Arc<str>,
    name: &Arc<str>,
    kind: QueueType,
    request: &TopologyRequest,
    durable: bool,
) -> TopologyError {
    let (vhost, name) = (vhost.clone(), name.clone());
    let property = match request {
        TopologyRequest::DeclareQueue { auto_delete: true, .. } => Some("auto-delete"),
        TopologyRequest::DeclareQueue { exclusive_to: Some(_), .. } => Some("exclusive-owner"),
        _ if !durable => Some("non-durable"),
        _ => None,
    };
    match property {
        Some(property) => TopologyError::InvalidProperty { vhost, name, property },
        None => {
            let kind = if kind == QueueType::Stream { "stream" } else { "quorum" };
            TopologyError::UnsupportedQueueType { vhost, name, kind: kind.into() }
        }
    }
}
