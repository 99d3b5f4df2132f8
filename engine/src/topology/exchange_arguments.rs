//! What exchange.declare may carry in its arguments, and a binding in its key, where the type of
//! the exchange has a say (behaviour C5-C13). Texts are those of RabbitMQ and its plugins.

use std::sync::Arc;

use super::{Binding, BindingTarget, Exchange, ExchangeKind, TopologyError};
use crate::routing::{weight, BadWeight, HashOn, HeadersMatch};
use crate::table::{Table, Term, Value};

fn refuse(reason: impl Into<Arc<str>>) -> TopologyError {
    TopologyError::InvalidExchange { reason: reason.into() }
}

/// The alternate exchange that an exchange's arguments name. It may be missing (behaviour B11)
/// but must be a string.
pub(super) fn alternate_exchange(
    vhost: &Arc<str>,
    name: &Arc<str>,
    arguments: &Table,
) -> Result<Option<Arc<str>>, TopologyError> {
    match arguments.get("alternate-exchange") {
        None | Some(Value::Bytes(_)) => Ok(Exchange::alternate_in(arguments)),
        Some(other) => Err(TopologyError::InvalidArgumentType {
            what: "exchange",
            vhost: vhost.clone(),
            name: name.clone(),
            argument: "alternate-exchange".into(),
            received: other.type_name(),
        }),
    }
}

/// Checks what the type of a new exchange asks of its arguments.
pub(super) fn check_arguments(kind: ExchangeKind, arguments: &Table) -> Result<(), TopologyError> {
    match kind {
        ExchangeKind::ConsistentHash => check_hash(arguments),
        ExchangeKind::Delayed => check_delayed(arguments),
        ExchangeKind::RecentHistory => check_history(arguments),
        ExchangeKind::Deduplication => check_deduplication(arguments),
        _ => Ok(()),
    }
}

fn check_hash(arguments: &Table) -> Result<(), TopologyError> {
    let text = |argument: &'static str| match arguments.get(argument) {
        None => Ok(None),
        Some(Value::Bytes(octets)) => Ok(Some(String::from_utf8_lossy(octets))),
        Some(other) => {
            let found = other.type_name();
            Err(refuse(format!("Invalid argument, '{argument}' must be a string, got {found}")))
        }
    };
    match (text("hash-header")?, text("hash-property")?) {
        (Some(_), Some(_)) => Err(refuse("hash-header and hash-property are mutually exclusive")),
        (None, Some(property)) if HashOn::property(&property).is_none() => {
            Err(refuse(format!("Unsupported property: {property}")))
        }
        _ => Ok(()),
    }
}

fn check_delayed(arguments: &Table) -> Result<(), TopologyError> {
    let Some(Value::Bytes(octets)) = arguments.get("x-delayed-type") else {
        let reason = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
        return Err(refuse(reason));
    };
    let named = String::from_utf8_lossy(octets);
    match ExchangeKind::from_name(&named) {
        Some(ExchangeKind::Delayed) => {
            let reason = "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'";
            Err(refuse(reason))
        }
        Some(kind) if kind.keeps_messages() => {
            Err(refuse(format!("Invalid argument, 'x-delayed-type' must not be '{named}'")))
        }
        Some(kind) => check_arguments(kind, arguments),
        None => Err(TopologyError::UnknownExchangeKind { kind: named.into() }),
    }
}

fn check_history(arguments: &Table) -> Result<(), TopologyError> {
    match arguments.get("x-recent-history-length") {
        Some(value) if value.as_integer().is_none_or(|length| length <= 0) => {
            let shown = Term(value);
            Err(refuse(format!(
                "Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
            )))
        }
        _ => Ok(()),
    }
}

fn check_deduplication(arguments: &Table) -> Result<(), TopologyError> {
    if arguments.get("x-cache-size").and_then(Value::as_count).is_none() {
        return Err(refuse(
            "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
        ));
    }
    if arguments.get("x-cache-ttl").is_some_and(|value| value.as_count().is_none()) {
        return Err(refuse("Invalid argument, 'x-cache-ttl' must be an integer greater than 0"));
    }
    match arguments.get("x-cache-persistence").map(Value::as_str) {
        None | Some(Some("memory" | "disk")) => Ok(()),
        Some(_) => {
            Err(refuse("Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"))
        }
    }
}

/// Checks what the type of an exchange asks of a binding from it.
pub(super) fn check_binding(kind: ExchangeKind, binding: &Binding) -> Result<(), TopologyError> {
    let (key, arguments) = (&*binding.key, &*binding.arguments);
    let refuse = |reason: Arc<str>| Err(TopologyError::InvalidBinding { reason });
    match kind {
        // Behaviour C8; every queue is a classic one.
        ExchangeKind::LocalRandom if !key.is_empty() => {
            refuse(format!("Non empty binding '{key}' key not permitted").into())
        }
        ExchangeKind::LocalRandom => match binding.target {
            BindingTarget::Queue(_) => Ok(()),
            BindingTarget::Exchange(_) => refuse("Destination not found".into()),
        },
        ExchangeKind::Headers => HeadersMatch::parse(arguments)
            .map(|_| ())
            .map_err(|value| TopologyError::InvalidXMatch { value: value.clone() }),
        ExchangeKind::ConsistentHash => weight(key.as_bytes()).map(|_| ()).map_err(|bad| {
            let reason = match bad {
                BadWeight::NotAnInteger => {
                    let shown = Value::text(key);
                    format!("The binding key must be an integer: {}", Term(&shown))
                }
                BadWeight::NotPositive => "The binding key must be greater than 0".to_owned(),
                BadWeight::TooLarge => format!("The binding key must not exceed {}", u32::MAX),
            };
            TopologyError::InvalidBinding { reason: reason.into() }
        }),
        _ => Ok(()),
    }
}
