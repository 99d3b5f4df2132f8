//! Frames as they stand on the wire, and the close methods in them.

use super::arguments::{Arguments, Reader};
use super::method::{Method, CHANNEL_CLOSE, CONNECTION_CLOSE};
use std::fmt;

/// The protocol header of AMQP 0-9-1.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// Frame type of a method.
pub const METHOD: u8 = 1;
/// Frame type of a content header.
pub const HEADER: u8 = 2;
/// Frame type of a content body.
pub const BODY: u8 = 3;
/// Frame type of a heartbeat.
pub const HEARTBEAT: u8 = 8;
/// The last octet of each frame.
pub const END: u8 = 0xCE;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Frame type, one of the constants above, or anything else for a broken one.
    pub kind: u8,
    /// Channel number.
    pub channel: u16,
    /// What stands between the frame's header and its end octet.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A method frame.
    pub fn method(channel: u16, method: Method, arguments: &Arguments) -> Frame {
        let payload = Arguments::new().short(method.0).short(method.1).raw(arguments.octets());
        Frame { kind: METHOD, channel, payload: payload.octets().to_vec() }
    }

    /// A content header of class basic; `properties` are flags and values, encoded.
    pub fn content_header(channel: u16, body_size: u64, properties: &[u8]) -> Frame {
        let payload = Arguments::new().short(60).short(0).longlong(body_size).raw(properties);
        Frame { kind: HEADER, channel, payload: payload.octets().to_vec() }
    }

    /// A content body.
    pub fn body(channel: u16, body: &[u8]) -> Frame {
        Frame { kind: BODY, channel, payload: body.to_vec() }
    }

    /// The frame on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let size = u32::try_from(self.payload.len()).expect("tests are small");
        let header = Arguments::new().octet(self.kind).short(self.channel).long(size);
        header.raw(&self.payload).octet(END).octets().to_vec()
    }

    /// Class and method of a method frame.
    pub fn method_id(&self) -> Option<Method> {
        if self.kind != METHOD {
            return None;
        }
        let mut reader = Reader::new(&self.payload);
        Some((reader.short(), reader.short()))
    }

    /// The arguments of a method frame.
    pub fn arguments(&self) -> Reader<'_> {
        assert_eq!(self.kind, METHOD, "only a method has arguments");
        Reader::new(&self.payload[4..])
    }

    /// What this frame says if it is connection.close or channel.close.
    pub fn close(&self) -> Option<Close> {
        let of_connection = match self.method_id()? {
            CONNECTION_CLOSE => true,
            CHANNEL_CLOSE => false,
            _ => return None,
        };
        let mut arguments = self.arguments();
        let (code, text) = (arguments.short(), arguments.shortstr());
        Some(Close { of_connection, code, text, failing: (arguments.short(), arguments.short()) })
    }
}

/// The contents of connection.close or channel.close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// connection.close, not channel.close.
    pub of_connection: bool,
    /// Reply code.
    pub code: u16,
    /// Reply text.
    pub text: String,
    /// Class and method that caused it; (0,0) when none did.
    pub failing: Method,
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.of_connection { "CONN" } else { "CH" };
        let (class, method) = self.failing;
        write!(f, "{what} {} {} ({class},{method})", self.code, self.text)
    }
}

/// What came of waiting for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A frame.
    Frame(Frame),
    /// The broker closed the TCP connection. An orderly end and a reset are the same here: which of the two a peer
    /// sees depends on what it sent that the broker had not read.
    Closed,
    /// Nothing came before the time limit.
    Silence,
}

impl fmt::Display for Received {
    /// Short, for comparing: `CONN 504 text (50,10)`, `method (20,11)`, `closed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Received::Closed => f.write_str("closed"),
            Received::Silence => f.write_str("silence"),
            Received::Frame(frame) => match (frame.close(), frame.method_id()) {
                (Some(close), _) => close.fmt(f),
                (None, Some((class, method))) => write!(f, "method ({class},{method})"),
                (None, None) => write!(f, "frame of type {}", frame.kind),
            },
        }
    }
}
