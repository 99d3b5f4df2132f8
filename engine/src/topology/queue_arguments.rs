//! What queue.declare may carry in its arguments (behaviour B23-B47).
//!
//! Each argument known to the broker has queue types that take it and a check; the checks run in
//! RabbitMQ's order and give its reasons word for word. Arguments nobody knows are kept as they
//! are.

use std::sync::Arc;

use super::TopologyError;
use crate::message::EXPIRY_MAX_MS;
use crate::table::{Table, Value};

/// `x-queue-type`. RabbitMQ has three; this broker runs the first and knows what it would have
/// said about the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueType {
    Classic,
    Quorum,
    Stream,
}

impl QueueType {
    /// RabbitMQ's module, which its texts show.
    pub(super) fn module(self) -> &'static str {
        match self {
            QueueType::Classic => "rabbit_classic_queue",
            QueueType::Quorum => "rabbit_quorum_queue",
            QueueType::Stream => "rabbit_stream_queue",
        }
    }
    fn bit(self) -> u8 {
        match self {
            QueueType::Classic => C,
            QueueType::Quorum => Q,
            QueueType::Stream => S,
        }
    }
}

/// Says what is wrong with a value, if anything is.
type Check = fn(&Value, &Table) -> Result<(), String>;

struct Known {
    name: &'static str,
    /// Queue types that take it, of `C | Q | S`.
    types: u8,
    check: Check,
}

const C: u8 = 1;
const Q: u8 = 2;
const S: u8 = 4;

const fn known(name: &'static str, types: u8, check: Check) -> Known {
    Known { name, types, check }
}

/// In the order in which they are checked.
const KNOWN: [Known; 24] = [
    known("x-expires", C | Q, check_expires),
    known("x-message-ttl", C | Q, check_ttl),
    known("x-dead-letter-exchange", C | Q, check_text),
    known("x-dead-letter-routing-key", C | Q, check_dead_letter_key),
    known("x-dead-letter-strategy", Q, check_dead_letter_strategy),
    known("x-max-length", C | Q, check_not_negative),
    known("x-max-length-bytes", C | Q | S, check_not_negative),
    known("x-max-in-memory-length", Q, check_not_negative),
    known("x-max-in-memory-bytes", Q, check_not_negative),
    known("x-max-priority", C, check_max_priority),
    known("x-overflow", C | Q, check_overflow),
    known("x-queue-mode", C, check_mode),
    known("x-queue-version", C, check_version),
    known("x-single-active-consumer", C | Q, check_bool),
    known("x-queue-type", C | Q | S, check_type),
    known("x-quorum-initial-group-size", Q, check_positive),
    known("x-max-age", S, check_max_age),
    known("x-stream-max-segment-size-bytes", S, check_not_negative),
    known("x-initial-cluster-size", S, check_positive),
    known("x-queue-leader-locator", Q | S, check_leader_locator),
    known("x-delivery-limit", C | Q, check_not_negative),
    known("x-queue-master-locator", C, check_nothing),
    known("x-consumer-timeout", C | Q | S, check_not_negative),
    known("x-consumer-timeout-action", C, check_timeout_action),
];

/// The arguments of a classic queue, in the order in which a redeclare compares them (A63).
pub(super) const COMPARED: [&str; 14] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-delivery-limit",
];

/// Largest x-message-ttl and x-expires.
const MAX_EXPIRY_MS: i128 = EXPIRY_MAX_MS as i128;
const MAX_PRIORITY: i128 = 255;

/// Checks the arguments of a new queue, and says which type it is to be.
pub(super) fn check_arguments(
    vhost: &Arc<str>,
    name: &Arc<str>,
    arguments: &Table,
) -> Result<QueueType, TopologyError> {
    let invalid = |argument: &str, reason: String| TopologyError::InvalidArgument {
        vhost: vhost.clone(),
        name: name.clone(),
        argument: argument.into(),
        reason: reason.into(),
    };
    if let Some(value) = arguments.get("x-dead-letter-exchange") {
        if !matches!(value, Value::Bytes(_)) {
            return Err(TopologyError::InvalidArgumentType {
                what: "queue",
                vhost: vhost.clone(),
                name: name.clone(),
                argument: "x-dead-letter-exchange".into(),
                received: value.type_name(),
            });
        }
    }
    if let Some(value) = arguments.get("x-queue-type") {
        check_type(value, arguments).map_err(|reason| invalid("x-queue-type", reason))?;
    }
    let queue_type = queue_type(arguments);
    for known in KNOWN.iter().filter(|known| known.types & queue_type.bit() != 0) {
        if let Some(value) = arguments.get(known.name) {
            (known.check)(value, arguments).map_err(|reason| invalid(known.name, reason))?;
        }
    }
    for (argument, _) in &arguments.0 {
        let known = KNOWN.iter().find(|known| known.name == &**argument);
        if known.is_some_and(|known| known.types & queue_type.bit() == 0) {
            return Err(TopologyError::ForeignArgument {
                vhost: vhost.clone(),
                name: name.clone(),
                argument: (**argument).into(),
                module: queue_type.module(),
            });
        }
    }
    Ok(queue_type)
}

/// The type asked for; one that does not exist counts as classic here.
pub(super) fn queue_type(arguments: &Table) -> QueueType {
    match arguments.get("x-queue-type").and_then(Value::as_str) {
        Some("quorum") => QueueType::Quorum,
        Some("stream") => QueueType::Stream,
        _ => QueueType::Classic,
    }
}

fn integer(value: &Value) -> Result<i128, String> {
    value.as_integer().ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))
}

fn unacceptable(value: &Value) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

/// A long string that is one of `allowed`; `otherwise` makes the reason from another one.
fn one_of(value: &Value, allowed: &[&str], otherwise: fn(&Value) -> String) -> Result<(), String> {
    match value {
        Value::Bytes(octets) if allowed.iter().any(|text| text.as_bytes() == &**octets) => Ok(()),
        Value::Bytes(_) => Err(otherwise(value)),
        other => Err(unacceptable(other)),
    }
}

fn check_nothing(_: &Value, _: &Table) -> Result<(), String> {
    Ok(())
}

fn check_not_negative(value: &Value, _: &Table) -> Result<(), String> {
    match integer(value)? {
        number if number < 0 => Err(format!("{{value_negative,{number}}}")),
        _ => Ok(()),
    }
}

fn check_positive(value: &Value, arguments: &Table) -> Result<(), String> {
    check_not_negative(value, arguments)?;
    match integer(value)? {
        0 => Err("{value_zero,0}".to_owned()),
        _ => Ok(()),
    }
}

fn check_ttl(value: &Value, arguments: &Table) -> Result<(), String> {
    check_not_negative(value, arguments)?;
    match integer(value)? {
        number if number > MAX_EXPIRY_MS => Err(format!("{{value_too_large,{number}}}")),
        _ => Ok(()),
    }
}

fn check_expires(value: &Value, arguments: &Table) -> Result<(), String> {
    check_positive(value, arguments)?;
    check_ttl(value, arguments)
}

fn check_max_priority(value: &Value, arguments: &Table) -> Result<(), String> {
    check_not_negative(value, arguments)?;
    match integer(value)? {
        number if number > MAX_PRIORITY => Err(format!("{{max_value_exceeded,{number}}}")),
        _ => Ok(()),
    }
}

fn check_text(value: &Value, _: &Table) -> Result<(), String> {
    match value {
        Value::Bytes(_) => Ok(()),
        other => Err(unacceptable(other)),
    }
}

fn check_dead_letter_key(value: &Value, arguments: &Table) -> Result<(), String> {
    check_text(value, arguments)?;
    match arguments.get("x-dead-letter-exchange") {
        Some(_) => Ok(()),
        None => Err("routing_key_but_no_dlx_defined".to_owned()),
    }
}

fn check_dead_letter_strategy(value: &Value, _: &Table) -> Result<(), String> {
    one_of(value, &["at-most-once", "at-least-once"], |_| "invalid_dlx_strategy".to_owned())
}

fn check_overflow(value: &Value, _: &Table) -> Result<(), String> {
    let allowed = ["drop-head", "reject-publish", "reject-publish-dlx"];
    one_of(value, &allowed, |_| "invalid_overflow".to_owned())
}

/// Ours: what becomes of a delivery that is not acknowledged in time.
fn check_timeout_action(value: &Value, _: &Table) -> Result<(), String> {
    one_of(value, &["close", "requeue"], |_| "invalid_consumer_timeout_action".to_owned())
}

fn check_mode(value: &Value, _: &Table) -> Result<(), String> {
    one_of(value, &["default", "lazy"], |value| format!("\"unsupported queue mode '{value}'\""))
}

fn check_type(value: &Value, _: &Table) -> Result<(), String> {
    let allowed = ["classic", "quorum", "stream"];
    one_of(value, &allowed, |value| format!("\"unsupported queue type '{value}'\""))
}

fn check_version(value: &Value, arguments: &Table) -> Result<(), String> {
    check_not_negative(value, arguments)?;
    match integer(value)? {
        1 | 2 => Ok(()),
        number => Err(format!("\"unsupported queue version '{number}'\"")),
    }
}

fn check_bool(value: &Value, _: &Table) -> Result<(), String> {
    match value {
        Value::Bool(_) => Ok(()),
        other => Err(unacceptable(other)),
    }
}

fn check_leader_locator(value: &Value, _: &Table) -> Result<(), String> {
    let allowed = ["client-local", "balanced", "random", "least-leaders"];
    one_of(value, &allowed, |_| "invalid_queue_locator_arg".to_owned())
}

/// A positive number and one of `Y M D h m s`.
fn check_max_age(value: &Value, _: &Table) -> Result<(), String> {
    let Value::Bytes(octets) = value else { return Err(unacceptable(value)) };
    let digits = octets.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (number, unit) = octets.split_at(digits);
    let positive = number.iter().any(|&digit| digit != b'0');
    if positive && matches!(unit, b"Y" | b"M" | b"D" | b"h" | b"m" | b"s") {
        Ok(())
    } else {
        Err("invalid_max_age".to_owned())
    }
}
