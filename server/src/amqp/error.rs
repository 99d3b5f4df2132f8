//! Everything a client can do wrong, with the code and the words it gets for it.
//!
//! This file and `topology_words` are the only places where a refusal becomes a reply code and a
//! text. The texts are RabbitMQ 3.10's, as recorded.

use std::sync::Arc;

use haremq_engine::queue::QueueError;
use haremq_engine::table::{TableError, Value};
use haremq_engine::topology::TopologyError;

use super::codec::erlang::{Numbers, Snippet};
use super::codec::frame::FrameError;
use super::codec::properties::BadExpiration;
use super::codec::reader::Malformed;
use super::method::MethodId;
use super::reply::ReplyCode;
use super::topology_words::{self, Words};

/// A refusal. `Display` is the explanation after `NAME - `.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ProtocolError {
    // --- frames (behaviour A38-A43) ---
    #[error("type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}")]
    FrameTooLarge { kind: u8, size: u32, limit: u32 },
    #[error("type {kind}, {payload}: {{invalid_frame_end_marker,{marker}}}")]
    BadFrameEnd { kind: u8, payload: Snippet, marker: u8 },
    #[error("type {kind}, {payload}: unknown_frame")]
    UnknownFrame { kind: u8, payload: Snippet },
    #[error("type {kind}, {payload}")]
    UnexpectedFrame { kind: u8, payload: Snippet },
    #[error("cannot decode {}", Numbers(.octets))]
    CannotDecode { octets: Box<[u8]> },
    #[error("Malformed UTF-8 in shortstr")]
    MalformedText,
    #[error("expected method frame, got non method frame instead")]
    ExpectedMethod,
    #[error("expected content header for class 60, got non content header frame instead")]
    ExpectedHeader,
    #[error("expected content header for class 60, got one for class {class} instead")]
    HeaderOfClass { class: u16 },
    #[error("expected content body, got non content body frame instead")]
    ExpectedBody,
    #[error("content body frame exceeds remaining content size")]
    BodyTooLong,

    // --- connection ---
    #[error("unexpected method in connection state {state}")]
    UnexpectedMethod { state: &'static str },
    #[error("unimplemented method")]
    UnimplementedMethod,
    #[error("unknown authentication mechanism '{mechanism}'")]
    UnknownMechanism { mechanism: String },
    /// There is one of that name, and it is not offered here.
    #[error("invalid authentication mechanism '{mechanism}'")]
    MechanismNotOffered { mechanism: &'static str },
    /// The response makes no sense in this mechanism.
    #[error("invalid response by authentication mechanism {mechanism}")]
    InvalidResponse { mechanism: &'static str },
    #[error(
        "Login was refused using authentication mechanism {mechanism}. \
         For details see the broker logfile."
    )]
    LoginRefused { mechanism: &'static str, user: Box<str>, why: &'static str },
    /// 0 means that the peer asked for no limit (behaviour A14).
    #[error("negotiated {what} = {value} is higher than the maximum allowed value ({limit})")]
    TunedTooHigh { what: &'static str, value: u32, limit: u32 },
    #[error("negotiated {what} = {value} is lower than the minimum allowed value ({limit})")]
    TunedTooLow { what: &'static str, value: u32, limit: u32 },
    #[error("vhost {vhost} not found")]
    NoVhost { vhost: Arc<str> },
    #[error("access to vhost '{vhost}' refused for user '{user}'")]
    VhostRefused { vhost: Arc<str>, user: Arc<str> },
    /// Behaviour B59.
    #[error("access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached")]
    VhostFull { vhost: Arc<str>, user: Arc<str>, limit: i64 },
    /// Behaviour B60.
    #[error("connection refused for user '{user}': user connection limit ({limit}) is reached")]
    UserConnections { user: Arc<str>, limit: i64 },
    #[error(
        "number of channels opened for user '{user}' has reached the maximum allowed user limit of \
         ({limit})"
    )]
    UserChannels { user: Arc<str>, limit: i64 },
    /// Behaviour B61.
    #[error("connection refused: node connection limit ({limit}) is reached")]
    NodeConnections { limit: i64 },
    #[error(
        "number of channels opened on node '{node}' has reached the maximum allowed limit of \
         ({limit})"
    )]
    NodeChannels { node: String, limit: i64 },
    #[error("{reason}")]
    Forced { reason: Arc<str> },

    // --- channel ---
    #[error("expected 'channel.open'")]
    ExpectedChannelOpen,
    #[error("second 'channel.open' seen")]
    SecondChannelOpen,
    #[error(
        "number of channels opened ({open}) has reached the negotiated channel_max ({channel_max})"
    )]
    TooManyChannels { open: usize, channel_max: u16 },
    /// A client asked for something that AMQP has and RabbitMQ has not.
    #[error("{what}")]
    NotImplemented { what: &'static str },
    #[error("prefetch_size!=0 ({size})")]
    PrefetchSize { size: u32 },

    // --- topology ---
    #[error("{}", Words(.0))]
    Topology(TopologyError),
    #[error("access to {what} '{name}' in vhost '{vhost}' refused for user '{user}'")]
    AccessRefused { what: &'static str, name: Arc<str>, vhost: Arc<str>, user: Arc<str> },
    #[error(
        "access to topic '{key}' in exchange '{exchange}' in vhost '{vhost}' refused for user \
         '{user}'"
    )]
    TopicRefused { key: String, exchange: Arc<str>, vhost: Arc<str>, user: Arc<str> },
    #[error("no previously declared queue")]
    NoPreviousQueue,
    #[error("{}", queue_words(*.error, .name, .vhost))]
    Queue { error: QueueError, name: Arc<str>, vhost: Arc<str> },

    // --- content ---
    #[error("message size {size} is larger than configured max size {limit}")]
    MessageTooLarge { size: u64, limit: u64 },
    #[error("cannot publish to internal exchange '{name}' in vhost '{vhost}'")]
    InternalExchange { name: Arc<str>, vhost: Arc<str> },
    #[error("user_id property set to '{claimed}' but authenticated user was '{user}'")]
    UserId { claimed: String, user: Arc<str> },
    #[error("invalid expiration '{value}': {reason}")]
    Expiration { value: String, reason: BadExpiration },
    #[error("invalid message: {{unacceptable_type_in_header,\"{header}\",{kind}}}")]
    SenderSelected { header: &'static str, kind: &'static str },

    // --- consumers and acknowledgements ---
    #[error("attempt to reuse consumer tag '{tag}'")]
    ConsumerTagReused { tag: String },
    /// Behaviour B21.
    #[error("reached maximum ({limit}) of consumers per channel")]
    TooManyConsumers { limit: u64 },
    /// Behaviour B18.
    #[error(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: \
         {timeout_ms} ms. This timeout value can be configured, see consumers doc guide to learn \
         more"
    )]
    AckTimeout { channel: u16, timeout_ms: u64 },
    #[error("unknown delivery tag {tag}")]
    UnknownDeliveryTag { tag: u64 },
    #[error(
        "invalid arg 'x-priority' for queue '{queue}' in vhost '{vhost}': \
         \"expected integer, got {}\"", .value.type_name()
    )]
    ConsumerPriority { queue: Arc<str>, vhost: Arc<str>, value: Value },

    // --- direct reply-to (behaviour B19) ---
    #[error("fast reply consumer does not exist")]
    NoReplyConsumer,
    #[error("reply consumer already set")]
    ReplyConsumerSet,
    #[error("reply consumer cannot acknowledge")]
    ReplyConsumerAcks,

    // --- confirm and tx ---
    #[error("cannot switch from {from} to {to} mode")]
    ModeSwitch { from: &'static str, to: &'static str },
    #[error("channel is not transactional")]
    NotTransactional,
    #[error("partial tx completion")]
    PartialCommit,
    #[error("transaction holds more than {limit} octets")]
    TransactionTooLarge { limit: u64 },
}

impl ProtocolError {
    pub(crate) fn code(&self) -> ReplyCode {
        match self {
            Self::FrameTooLarge { .. }
            | Self::BadFrameEnd { .. }
            | Self::UnknownFrame { .. }
            | Self::CannotDecode { .. }
            | Self::MalformedText
            | Self::BodyTooLong => ReplyCode::FrameError,
            Self::UnexpectedFrame { .. }
            | Self::ExpectedMethod
            | Self::ExpectedHeader
            | Self::HeaderOfClass { .. }
            | Self::ExpectedBody => ReplyCode::UnexpectedFrame,
            Self::UnexpectedMethod { .. } | Self::ExpectedChannelOpen | Self::SecondChannelOpen => {
                ReplyCode::ChannelError
            }
            Self::UnimplementedMethod
            | Self::UnknownMechanism { .. }
            | Self::MechanismNotOffered { .. }
            | Self::InvalidResponse { .. } => ReplyCode::CommandInvalid,
            Self::TunedTooHigh { .. }
            | Self::TunedTooLow { .. }
            | Self::NoVhost { .. }
            | Self::VhostRefused { .. }
            | Self::VhostFull { .. }
            | Self::UserConnections { .. }
            | Self::UserChannels { .. }
            | Self::NodeConnections { .. }
            | Self::NodeChannels { .. }
            | Self::TooManyConsumers { .. }
            | Self::TooManyChannels { .. }
            | Self::ConsumerTagReused { .. } => ReplyCode::NotAllowed,
            Self::Forced { .. } => ReplyCode::ConnectionForced,
            Self::NotImplemented { .. } | Self::PrefetchSize { .. } => ReplyCode::NotImplemented,
            Self::Topology(error) => topology_words::code(error),
            Self::Queue { error, .. } => queue_code(*error),
            Self::NoPreviousQueue => ReplyCode::NotFound,
            Self::LoginRefused { .. }
            | Self::AccessRefused { .. }
            | Self::TopicRefused { .. }
            | Self::InternalExchange { .. } => ReplyCode::AccessRefused,
            Self::TransactionTooLarge { .. } => ReplyCode::ResourceError,
            Self::MessageTooLarge { .. }
            | Self::UserId { .. }
            | Self::Expiration { .. }
            | Self::SenderSelected { .. }
            | Self::UnknownDeliveryTag { .. }
            | Self::AckTimeout { .. }
            | Self::ConsumerPriority { .. }
            | Self::NoReplyConsumer
            | Self::ReplyConsumerSet
            | Self::ReplyConsumerAcks
            | Self::ModeSwitch { .. }
            | Self::NotTransactional
            | Self::PartialCommit => ReplyCode::PreconditionFailed,
        }
    }

    /// The reply text of a close.
    pub(crate) fn text(&self) -> String {
        self.code().text(self)
    }

    /// What the log is told, which is more than a client that is not let in may know.
    pub(crate) fn for_the_log(&self) -> String {
        match self {
            Self::LoginRefused { mechanism, user, why } => {
                format!("{mechanism} login refused: user '{}' - {why}", user.escape_debug())
            }
            other => other.text(),
        }
    }

    /// Arguments that do not decode (behaviour A48).
    pub(crate) fn malformed(malformed: Malformed, octets: &[u8]) -> Self {
        match malformed {
            Malformed::Text => Self::MalformedText,
            // More would not fit the reply text.
            Malformed::Shape => {
                Self::CannotDecode { octets: octets.iter().take(256).copied().collect() }
            }
        }
    }

    /// A table in the arguments or properties that does not decode.
    pub(crate) fn malformed_table(_error: TableError, octets: &[u8]) -> Self {
        Self::malformed(Malformed::Shape, octets)
    }
}

fn queue_code(error: QueueError) -> ReplyCode {
    match error {
        QueueError::NoQueue => ReplyCode::NotFound,
        QueueError::ExclusiveUse => ReplyCode::AccessRefused,
        QueueError::InUse | QueueError::NotEmpty => ReplyCode::PreconditionFailed,
        _ => ReplyCode::InternalError,
    }
}

fn queue_words(error: QueueError, name: &str, vhost: &str) -> String {
    match error {
        QueueError::NoQueue => format!("no queue '{name}' in vhost '{vhost}'"),
        other => format!("queue '{name}' in vhost '{vhost}' {other}"),
    }
}

impl From<TopologyError> for ProtocolError {
    fn from(error: TopologyError) -> Self {
        ProtocolError::Topology(error)
    }
}

impl From<FrameError> for ProtocolError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { kind, size, limit } => {
                ProtocolError::FrameTooLarge { kind, size, limit }
            }
            FrameError::BadEnd { kind, payload, marker } => {
                ProtocolError::BadFrameEnd { kind, payload, marker }
            }
        }
    }
}

/// A refusal and the method that met it (behaviour A35).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exception {
    pub(crate) error: ProtocolError,
    pub(crate) culprit: MethodId,
}

impl ProtocolError {
    pub(crate) fn by(self, culprit: MethodId) -> Exception {
        Exception { error: self, culprit }
    }
}
