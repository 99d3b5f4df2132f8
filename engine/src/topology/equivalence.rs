//! Declaring again what exists: the same, or refused (behaviour A51, A63-A66).

use std::sync::Arc;

use super::queue_arguments::COMPARED;
use super::{Exchange, ExchangeKind, Queue, Topology, TopologyError, TopologyRequest};
use crate::table::{Table, Value};

/// Flags and table of a declaration that is compared with what is there.
struct Comparison<'a> {
    what: &'static str,
    vhost: &'a Arc<str>,
    name: &'a Arc<str>,
}

impl Comparison<'_> {
    fn flag(
        &self,
        argument: &'static str,
        received: bool,
        current: bool,
    ) -> Result<(), TopologyError> {
        let text = |flag| if flag { "true" } else { "false" };
        self.text(argument, text(received), text(current))
    }

    fn text(
        &self,
        argument: &'static str,
        received: &str,
        current: &str,
    ) -> Result<(), TopologyError> {
        if received == current {
            return Ok(());
        }
        Err(TopologyError::Inequivalent {
            what: self.what,
            vhost: self.vhost.clone(),
            name: self.name.clone(),
            argument,
            received: received.into(),
            current: current.into(),
        })
    }

    fn argument(
        &self,
        argument: &str,
        received: &Table,
        current: &Table,
    ) -> Result<(), TopologyError> {
        let (received, current) = (received.get(argument), current.get(argument));
        let classic = |value: Option<&Value>| {
            argument == "x-queue-type" && value.is_none_or(|v| v.as_str() == Some("classic"))
        };
        if same(received, current) || (classic(received) && classic(current)) {
            return Ok(());
        }
        Err(TopologyError::InequivalentArgument {
            what: self.what,
            vhost: self.vhost.clone(),
            name: self.name.clone(),
            argument: argument.into(),
            received: received.cloned(),
            current: current.cloned(),
        })
    }
}

/// Equal by value: the width of an integer does not count (behaviour A64), nor whether it is said
/// to be a time.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let number = |value: &Value| match value {
        Value::Timestamp(seconds) => Some(i128::from(*seconds)),
        other => other.as_integer(),
    };
    match (a, b) {
        (Some(a), Some(b)) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Type, flags and arguments as exchange.declare gives them.
pub(super) struct ExchangeProperties<'a> {
    pub(super) kind: ExchangeKind,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    pub(super) arguments: &'a Table,
}

/// Compares in RabbitMQ's order: type, durable, auto_delete, internal, alternate-exchange.
pub(super) fn check_exchange(
    current: &Exchange,
    received: &ExchangeProperties<'_>,
) -> Result<(), TopologyError> {
    let Exchange { vhost, name, .. } = current;
    let compare = Comparison { what: "exchange", vhost, name };
    compare.text("type", received.kind.name(), current.kind.name())?;
    compare.flag("durable", received.durable, current.durable)?;
    compare.flag("auto_delete", received.auto_delete, current.auto_delete)?;
    compare.flag("internal", received.internal, current.internal)?;
    compare.argument("alternate-exchange", received.arguments, &current.arguments)
}

impl Topology {
    /// Declares an existing queue again (or passively): checks lock and equivalence only, so
    /// that the common redeclare needs no trip to shard 0 (behaviour A63-A66).
    /// `Ok(None)`: it does not exist.
    ///
    /// For [`TopologyRequest::DeclareQueue`]; any other request is about no queue. A passive
    /// declare compares nothing but the lock: [`Queue::check_lock`] is for that.
    pub fn redeclare_queue(
        &self,
        request: &TopologyRequest,
    ) -> Result<Option<Arc<Queue>>, TopologyError> {
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
            return Ok(None);
        };
        let Some(current) = self.queue(vhost, name) else { return Ok(None) };
        if *exclusive_to != current.exclusive_to {
            return Err(current.locked());
        }
        let compare = Comparison { what: "queue", vhost, name };
        compare.flag("durable", *durable && exclusive_to.is_none(), current.durable)?;
        compare.flag("auto_delete", *auto_delete, current.auto_delete)?;
        for argument in COMPARED {
            compare.argument(argument, arguments, &current.arguments)?;
        }
        Ok(Some(current.clone()))
    }
}
