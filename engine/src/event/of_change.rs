//! Events that tell of changes of the topology.

use super::Event;
use crate::table::{Table, Value};
use crate::topology::{
    Binding, BindingTarget, Change, Exchange, Permission, Policy, Queue, TopicPermission, Topology,
    User, UserLimits, Vhost, VhostLimits,
};

impl Event {
    /// What there is to say of a change; `before` is the topology that it is going to change.
    pub fn of_change(change: &Change, before: &Topology) -> Vec<Event> {
        let event = match change {
            Change::PutVhost(vhost) => return of_vhost(vhost, before.vhost(&vhost.name)),
            Change::PutUser(user) => return of_user(user, before.user(&user.name)),
            Change::DropVhost { vhost } => {
                Some(Event::new("vhost.deleted").with_text("name", vhost))
            }
            Change::PutExchange(exchange) => {
                let known = before.exchange(&exchange.vhost, &exchange.name).is_some();
                (!known).then(|| of_exchange(exchange))
            }
            Change::DropExchange { vhost, name } => Some(
                Event::new("exchange.deleted").with_text("name", name).with_text("vhost", vhost),
            ),
            Change::PutQueue(queue) => {
                before.queue_by_id(queue.id).is_none().then(|| of_queue(queue))
            }
            Change::DropQueue { id } => before.queue_by_id(*id).map(|queue| {
                let event = Event::new("queue.deleted").with_text("name", &queue.name);
                event.with_text("vhost", &queue.vhost)
            }),
            Change::PutBinding(binding) => Some(of_binding("binding.created", binding)),
            Change::DropBinding(binding) => Some(of_binding("binding.deleted", binding)),
            Change::DropUser { user } => Some(Event::new("user.deleted").with_text("name", user)),
            Change::PutPermission(permission) => Some(of_permission(permission)),
            Change::DropPermission { vhost, user } => Some(
                Event::new("permission.deleted").with_text("user", user).with_text("vhost", vhost),
            ),
            Change::PutTopicPermission(permission) => Some(of_topic_permission(permission)),
            Change::DropTopicPermission { vhost, user, exchange } => Some(
                Event::new("topic.permission.deleted")
                    .with_text("user", user)
                    .with_text("vhost", vhost)
                    .with_text("exchange", exchange),
            ),
            Change::PutPolicy(policy) => Some(of_policy(policy)),
            Change::DropPolicy { vhost, name, .. } => {
                Some(Event::new("policy.cleared").with_text("name", name).with_text("vhost", vhost))
            }
            _ => None,
        };
        event.into_iter().collect()
    }
}

/// Limits under the names of the runtime parameters in which RabbitMQ keeps them.
fn of_limits(set: &'static str, cleared: &'static str, limits: [(&str, Option<i64>); 2]) -> Event {
    let there = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
    let name = if limits.iter().all(|(_, limit)| limit.is_none()) { cleared } else { set };
    let event = Event::new(name).with_text("name", "limits");
    there.fold(event, |event, (name, limit)| event.with(name, Value::I64(limit)))
}

fn of_vhost(vhost: &Vhost, before: Option<&Vhost>) -> Vec<Event> {
    let mut events = Vec::new();
    if before.is_none() {
        events.push(Event::new("vhost.created").with_text("name", &vhost.name));
    }
    if before.map(|before| before.limits).unwrap_or_default() != vhost.limits {
        let VhostLimits { max_connections, max_queues } = vhost.limits;
        let limits = [("max-connections", max_connections), ("max-queues", max_queues)];
        let event = of_limits("vhost.limits.set", "vhost.limits.cleared", limits);
        events.push(event.with_text("vhost", &vhost.name));
    }
    events
}

fn of_topic_permission(permission: &TopicPermission) -> Event {
    Event::new("topic.permission.created")
        .with_text("user", &permission.user)
        .with_text("vhost", &permission.vhost)
        .with_text("exchange", &permission.exchange)
        .with_text("write", &permission.write)
        .with_text("read", &permission.read)
}

fn of_policy(policy: &Policy) -> Event {
    Event::new("policy.set")
        .with_text("name", &policy.name)
        .with_text("vhost", &policy.vhost)
        .with_text("pattern", &policy.pattern)
        .with_text("apply-to", policy.apply_to.name())
        .with("priority", Value::I64(policy.priority))
        .with("definition", table(&policy.definition))
}

fn table(table: &Table) -> Value {
    Value::Table(table.clone())
}

fn of_exchange(exchange: &Exchange) -> Event {
    Event::new("exchange.created")
        .with_text("name", &exchange.name)
        .with_text("vhost", &exchange.vhost)
        .with_text("type", exchange.kind.name())
        .with("durable", Value::Bool(exchange.durable))
        .with("auto_delete", Value::Bool(exchange.auto_delete))
        .with("internal", Value::Bool(exchange.internal))
        .with("arguments", table(&exchange.arguments))
}

fn of_queue(queue: &Queue) -> Event {
    Event::new("queue.created")
        .with_text("name", &queue.name)
        .with_text("vhost", &queue.vhost)
        .with_text("type", "rabbit_classic_queue")
        .with("durable", Value::Bool(queue.durable))
        .with("auto_delete", Value::Bool(queue.auto_delete))
        .with("exclusive", Value::Bool(queue.exclusive_to.is_some()))
        .with("arguments", table(&queue.arguments))
}

fn of_binding(name: &'static str, binding: &Binding) -> Event {
    let (kind, target) = match &binding.target {
        BindingTarget::Queue(name) => ("queue", name),
        BindingTarget::Exchange(name) => ("exchange", name),
    };
    Event::new(name)
        .with_text("source_name", &binding.source)
        .with_text("source_kind", "exchange")
        .with_text("destination_name", target)
        .with_text("destination_kind", kind)
        .with_text("routing_key", &binding.key)
        .with_text("vhost", &binding.vhost)
        .with("arguments", table(&binding.arguments))
}

fn of_user(user: &User, before: Option<&User>) -> Vec<Event> {
    let named = |name| Event::new(name).with_text("name", &user.name);
    let mut events = Vec::new();
    if before.is_none() {
        events.push(named("user.created"));
    }
    if before.is_some_and(|before| before.password_hash != user.password_hash) {
        events.push(named(match user.password_hash.is_empty() {
            true => "user.password.cleared",
            false => "user.password.changed",
        }));
    }
    if before.map_or(&[][..], |before| &before.tags) != user.tags {
        let tags = user.tags.iter().map(|tag| Value::text(tag)).collect();
        events.push(named("user.tags.set").with("tags", Value::Array(tags)));
    }
    if before.map(|before| before.limits).unwrap_or_default() != user.limits {
        let UserLimits { max_connections, max_channels } = user.limits;
        let limits = [("max-connections", max_connections), ("max-channels", max_channels)];
        let event = of_limits("user.limits.set", "user.limits.cleared", limits);
        events.push(event.with_text("username", &user.name));
    }
    events
}

fn of_permission(permission: &Permission) -> Event {
    Event::new("permission.created")
        .with_text("user", &permission.user)
        .with_text("vhost", &permission.vhost)
        .with_text("configure", &permission.configure)
        .with_text("write", &permission.write)
        .with_text("read", &permission.read)
}
