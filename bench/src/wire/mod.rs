//! AMQP 0-9-1 on the wire, as a client sees it: frames, methods, field tables, and the octets of a publish.
//!
//! Pure: octets in, octets out. It knows no socket and no clock, and shares no code with any broker, so that
//! a mistake in a broker's codec cannot hide behind the same mistake here.

pub(crate) mod content;
pub(crate) mod frame;
pub(crate) mod method;
pub(crate) mod put;
pub(crate) mod reply;
pub(crate) mod table;

/// What can be wrong with the octets that a broker sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The peer answered with a protocol header: it does not speak 0-9-1.
    #[error("the peer does not speak AMQP 0-9-1, it answered with a protocol header")]
    WrongProtocol,
    /// The first octet of a frame is none of the four types.
    #[error("unknown frame type {0}: the peer does not seem to speak AMQP 0-9-1")]
    UnknownFrameType(u8),
    /// A frame is longer than was negotiated.
    #[error("a frame of {got} octets is over the negotiated frame_max of {limit}")]
    FrameTooLarge {
        /// Payload octets the frame header declares.
        got: u32,
        /// Payload octets allowed.
        limit: u32,
    },
    /// The octet after the payload is not 0xCE.
    #[error("a frame does not end with 0xCE")]
    NoFrameEnd,
    /// The payload ends in the middle of a field.
    #[error("a method or content header is cut short")]
    Truncated,
    /// A field value of a type that 0-9-1 does not have.
    #[error("field table value of unknown type '{0}'")]
    UnknownFieldType(char),
    /// Tables inside tables, deeper than anything sensible.
    #[error("field table nested too deeply")]
    NestedTooDeeply,
    /// A frame that has no place here, such as a body without a header.
    #[error("unexpected frame: {0}")]
    Unexpected(&'static str),
}
