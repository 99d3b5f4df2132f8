//! Why the topology writer (or a look-up in the replica) says no.
//!
//! Facts only; reply codes and RabbitMQ's words for them are made in one function of the AMQP
//! layer (and one of the management layer). The `Display` texts are RabbitMQ's explanations all
//! the same, without reply code and name: a layer that knows nothing better may use them.

use std::sync::Arc;

use crate::table::{Term, Value};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    #[error("no exchange '{name}' in vhost '{vhost}'")]
    NoExchange { vhost: Arc<str>, name: Arc<str> },
    #[error("no queue '{name}' in vhost '{vhost}'")]
    NoQueue { vhost: Arc<str>, name: Arc<str> },
    #[error("no vhost '{vhost}'")]
    NoVhost { vhost: Arc<str> },
    #[error("no user '{user}'")]
    NoUser { user: Arc<str> },
    #[error("user '{user}' already exists")]
    UserExists { user: Arc<str> },
    /// A flag or the type differs (behaviour A51, A63). `what` is "exchange" or "queue".
    #[error("inequivalent arg '{argument}' for {what} '{name}' in vhost '{vhost}': received '{received}' but current is '{current}'")]
    Inequivalent {
        what: &'static str,
        vhost: Arc<str>,
        name: Arc<str>,
        argument: &'static str,
        received: Arc<str>,
        current: Arc<str>,
    },
    /// An argument of the table differs or is on one side only.
    #[error(
        "inequivalent arg '{argument}' for {what} '{name}' in vhost '{vhost}': received {} but current is {}",
        side(received, current),
        side(current, received)
    )]
    InequivalentArgument {
        what: &'static str,
        vhost: Arc<str>,
        name: Arc<str>,
        argument: Arc<str>,
        received: Option<Value>,
        current: Option<Value>,
    },
    /// `reason` is RabbitMQ's own term, e.g. `{value_negative,-1}` (behaviour B23-B47).
    #[error("invalid arg '{argument}' for queue '{name}' in vhost '{vhost}': {reason}")]
    InvalidArgument { vhost: Arc<str>, name: Arc<str>, argument: Arc<str>, reason: Arc<str> },
    /// `invalid type '<type>' for arg '<argument>' in queue ...` (behaviour B30).
    #[error(
        "invalid type '{received}' for arg '{argument}' in {what} '{name}' in vhost '{vhost}'"
    )]
    InvalidArgumentType {
        what: &'static str,
        vhost: Arc<str>,
        name: Arc<str>,
        argument: Arc<str>,
        received: &'static str,
    },
    /// An argument that other queue types have (behaviour B41). `module` is RabbitMQ's name of
    /// the type, e.g. `rabbit_classic_queue`.
    #[error(
        "invalid arg '{argument}' for queue '{name}' in vhost '{vhost}' of queue type {module}"
    )]
    ForeignArgument { vhost: Arc<str>, name: Arc<str>, argument: Arc<str>, module: &'static str },
    /// A property that the queue type cannot have (behaviour B41): `non-durable`,
    /// `exclusive-owner` or `auto-delete`.
    #[error("invalid property '{property}' for queue '{name}' in vhost '{vhost}'")]
    InvalidProperty { vhost: Arc<str>, name: Arc<str>, property: &'static str },
    /// A server-named queue of a type that has none (behaviour B41).
    #[error("Cannot declare a server-named queue for type {module}")]
    ServerNamed { module: &'static str },
    /// A queue type that this broker does not have (quorum, stream).
    #[error("queue type '{kind}' is not supported")]
    UnsupportedQueueType { vhost: Arc<str>, name: Arc<str>, kind: Arc<str> },
    #[error("unknown exchange type '{kind}'")]
    UnknownExchangeKind { kind: Arc<str> },
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,
    #[error("{what} name '{name}' contains reserved prefix 'amq.*'")]
    ReservedName { what: &'static str, name: Arc<str> },
    #[error("deletion of system exchange '{name}' in vhost '{vhost}' not allowed")]
    SystemExchange { vhost: Arc<str>, name: Arc<str> },
    #[error("{what} '{name}' in vhost '{vhost}' in use")]
    InUse { what: &'static str, vhost: Arc<str>, name: Arc<str> },
    #[error("cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.")]
    Locked { vhost: Arc<str>, name: Arc<str> },
    /// `Invalid x-match field value <<"some">>; ...` (behaviour C5); a value that is not a string
    /// is shown by its type.
    #[error("Invalid x-match field {}", x_match(value))]
    InvalidXMatch { value: Value },
    /// What an exchange type says against its own arguments (behaviour C6, C10-C13).
    #[error("{reason}")]
    InvalidExchange { reason: Arc<str> },
    /// What an exchange type says against the key of a binding (behaviour C6).
    #[error("{reason}")]
    InvalidBinding { reason: Arc<str> },
    /// A durable definition must fit one record of the log.
    #[error("a definition of {bytes} octets is larger than the maximum of {bytes_max}")]
    DefinitionTooLarge { bytes: usize, bytes_max: usize },
    /// A policy or limit that will not do; `reason` is RabbitMQ's text.
    #[error("{reason}")]
    InvalidParameter { reason: Arc<str> },
    /// A policy, limit or parameter that is to be removed and is not there.
    #[error("Parameter does not exist")]
    NoParameter,
    /// A vhost has as many queues as it may have (behaviour B59).
    #[error("cannot declare queue '{name}' in vhost '{vhost}': queue limit in vhost '{vhost}' ({limit}) is reached")]
    QueueLimit { vhost: Arc<str>, name: Arc<str>, limit: i64 },
    /// The broker has as many of these as it may have (behaviour B61).
    #[error("cannot declare queue '{name}': queue limit in cluster ({limit}) is reached")]
    BrokerQueueLimit { name: Arc<str>, limit: u64 },
    #[error(
        "cannot declare exchange '{name}' in vhost '{vhost}': exchange limit of {limit} is reached"
    )]
    ExchangeLimit { vhost: Arc<str>, name: Arc<str>, limit: u64 },
    /// A vhost that is not to be deleted (behaviour B65).
    #[error("Refusing to delete virtual host '{vhost}' because it is protected from deletion")]
    ProtectedVhost { vhost: Arc<str> },
    #[error("cannot create vhost '{name}': vhost limit of {limit} is reached")]
    VhostLimit { name: Arc<str>, limit: u64 },
    /// A permission regex that does not compile.
    #[error("invalid regular expression '{pattern}': {reason}")]
    InvalidRegex { pattern: Arc<str>, reason: Arc<str> },
}

/// One side of an inequivalent argument. Where both sides have a value the types are left out.
fn side(this: &Option<Value>, other: &Option<Value>) -> String {
    match (this, other) {
        (None | Some(Value::Void), _) => "none".to_owned(),
        (Some(value), Some(_)) => format!("'{value}'"),
        (Some(value), None) => format!("the value '{value}' of type '{}'", value.type_name()),
    }
}

fn x_match(value: &Value) -> String {
    match value {
        Value::Bytes(_) => {
            format!("value {}; expected all, any, all-with-x, or any-with-x", Term(value))
        }
        other => format!("type {} (value {}); expected longstr", other.type_name(), Term(other)),
    }
}
