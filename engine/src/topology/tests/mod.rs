//! Decisions, their consequences, and routing by what they leave behind.

mod access;
mod declare;
mod model;
mod records;
mod removal;
mod route;
mod rules;

use std::sync::Arc;

use super::*;
use crate::access::PasswordHashing;
use crate::ids::{ConnectionId, QueueId, ShardId};
use crate::table::{Table, Value};

const VHOST: &str = "/";

/// A writer and its replica, which applies what is decided.
struct World {
    topology: Topology,
    next_queue: u64,
}

impl World {
    fn new() -> World {
        let mut topology = Topology::new();
        for change in Topology::first_boot([1, 2, 3][..].into()) {
            topology.apply(&change);
        }
        World { topology, next_queue: 0 }
    }

    fn decide(&self, request: &TopologyRequest) -> Result<Decision, TopologyError> {
        let id = QueueId(self.next_queue + 1);
        self.topology.decide(request, ShardId((id.0 % 3) as u16), id)
    }

    /// Decides and applies; returns the changes.
    fn ask(&mut self, request: TopologyRequest) -> Result<Vec<Change>, TopologyError> {
        let decision = self.decide(&request)?;
        self.next_queue += 1;
        for change in &decision.changes {
            self.topology.apply(change);
        }
        Ok(decision.changes)
    }

    /// As [`World::ask`], for what is to succeed.
    fn must(&mut self, request: TopologyRequest) -> Vec<Change> {
        self.ask(request).expect("a request that is to succeed")
    }

    fn error(&self, request: TopologyRequest) -> String {
        self.decide(&request).expect_err("a request that is to be refused").to_string()
    }

    fn outcome(&self, request: &TopologyRequest) -> TopologyOutcome {
        self.decide(request).expect("a request that is to succeed").outcome
    }

    /// Names of the queues a message goes to, sorted.
    fn routed(&self, exchange: &str, key: &str) -> Vec<String> {
        let mut routes = Routes::default();
        let result =
            self.topology.route(VHOST, exchange.as_bytes(), key.as_bytes(), None, &mut routes);
        result.expect("an exchange to publish to");
        self.names(&routes)
    }

    fn names(&self, routes: &Routes) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for target in &routes.targets {
            let queue = self.topology.queue_by_id(target.queue).expect("a queue that is there");
            assert_eq!(queue.target(), *target);
            names.push(queue.name.to_string());
        }
        names.sort();
        names
    }

    fn has_exchange(&self, name: &str) -> bool {
        self.topology.exchange(VHOST, name).is_some()
    }
}

fn connection(serial: u64) -> ConnectionId {
    ConnectionId::new(ShardId(1), serial)
}

fn set_policy(
    vhost: &str,
    name: &str,
    operator: bool,
    priority: i64,
    definition: &[(&str, Value)],
) -> TopologyRequest {
    TopologyRequest::SetPolicy {
        vhost: vhost.into(),
        name: name.into(),
        operator,
        pattern: "".into(),
        apply_to: "all".into(),
        priority,
        definition: table(definition),
    }
}

fn table(fields: &[(&str, Value)]) -> Arc<Table> {
    let fields = fields.iter().map(|(name, value)| ((*name).into(), value.clone()));
    Arc::new(Table(fields.collect()))
}

/// A queue.declare in the making.
#[derive(Clone, Default)]
struct QueueSpec {
    name: String,
    durable: bool,
    auto_delete: bool,
    exclusive_to: Option<u64>,
    by: Option<u64>,
    arguments: Vec<(&'static str, Value)>,
}

fn queue(name: &str) -> QueueSpec {
    QueueSpec { name: name.to_owned(), ..QueueSpec::default() }
}

impl QueueSpec {
    fn durable(mut self) -> Self {
        self.durable = true;
        self
    }
    fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }
    /// Declared by that connection for itself.
    fn exclusive(mut self, serial: u64) -> Self {
        (self.exclusive_to, self.by) = (Some(serial), Some(serial));
        self
    }
    fn by(mut self, serial: u64) -> Self {
        self.by = Some(serial);
        self
    }
    fn arg(mut self, name: &'static str, value: Value) -> Self {
        self.arguments.push((name, value));
        self
    }
    fn text(self, name: &'static str, value: &str) -> Self {
        self.arg(name, Value::text(value))
    }
    fn int(self, name: &'static str, value: i32) -> Self {
        self.arg(name, Value::I32(value))
    }
    fn declare(&self) -> TopologyRequest {
        TopologyRequest::DeclareQueue {
            vhost: VHOST.into(),
            name: (*self.name).into(),
            durable: self.durable,
            auto_delete: self.auto_delete,
            exclusive_to: self.exclusive_to.map(connection),
            connection: self.by.map(connection),
            arguments: table(&self.arguments),
        }
    }
}

/// An exchange.declare in the making.
#[derive(Clone)]
struct ExchangeSpec {
    name: &'static str,
    kind: &'static str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Vec<(&'static str, Value)>,
}

fn exchange(name: &'static str, kind: &'static str) -> ExchangeSpec {
    let (durable, auto_delete, internal, arguments) = Default::default();
    ExchangeSpec { name, kind, durable, auto_delete, internal, arguments }
}

impl ExchangeSpec {
    fn durable(mut self) -> Self {
        self.durable = true;
        self
    }
    fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }
    fn internal(mut self) -> Self {
        self.internal = true;
        self
    }
    fn arg(mut self, name: &'static str, value: Value) -> Self {
        self.arguments.push((name, value));
        self
    }
    fn alternate(self, name: &str) -> Self {
        self.arg("alternate-exchange", Value::text(name))
    }
    fn declare(&self) -> TopologyRequest {
        TopologyRequest::DeclareExchange {
            vhost: VHOST.into(),
            name: self.name.into(),
            kind: self.kind.into(),
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            arguments: table(&self.arguments),
        }
    }
}

fn to_queue(name: &str) -> BindingTarget {
    BindingTarget::Queue(name.into())
}

fn to_exchange(name: &str) -> BindingTarget {
    BindingTarget::Exchange(name.into())
}

fn bind(source: &str, target: BindingTarget, key: &str) -> TopologyRequest {
    bind_with(source, target, key, &[])
}

fn bind_with(
    source: &str,
    target: BindingTarget,
    key: &str,
    arguments: &[(&str, Value)],
) -> TopologyRequest {
    TopologyRequest::Bind {
        vhost: VHOST.into(),
        source: source.into(),
        target,
        key: key.into(),
        arguments: table(arguments),
        connection: Some(connection(1)),
    }
}

fn unbind(source: &str, target: BindingTarget, key: &str) -> TopologyRequest {
    TopologyRequest::Unbind {
        vhost: VHOST.into(),
        source: source.into(),
        target,
        key: key.into(),
        arguments: table(&[]),
        connection: Some(connection(1)),
    }
}

fn delete_exchange(name: &str, if_unused: bool) -> TopologyRequest {
    TopologyRequest::DeleteExchange { vhost: VHOST.into(), name: name.into(), if_unused }
}
