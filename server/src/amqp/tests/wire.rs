//! A client's half of the wire: methods to send, frames that came back.

use haremq_engine::table::{Table, Value};

use crate::amqp::codec::frame::{self, Content, Frame, FRAME_END};

/// Arguments of a method under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Args(pub(super) Vec<u8>);

impl Args {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(super) fn short(mut self, text: &str) -> Self {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self
    }
    pub(super) fn long(self, octets: &[u8]) -> Self {
        let mut with_length = self.u32(octets.len() as u32);
        with_length.0.extend(octets);
        with_length
    }
    pub(super) fn table(mut self, fields: &[(&str, Value)]) -> Self {
        table(fields).encode(&mut self.0);
        self
    }
}

pub(super) fn table(fields: &[(&str, Value)]) -> Table {
    Table(fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

pub(super) fn args() -> Args {
    Args::default()
}

pub(super) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind];
    octets.extend(channel.to_be_bytes());
    octets.extend((payload.len() as u32).to_be_bytes());
    octets.extend(payload);
    octets.push(FRAME_END);
    octets
}

pub(super) fn method(channel: u16, class: u16, method: u16, args: Args) -> Vec<u8> {
    let mut payload = class.to_be_bytes().to_vec();
    payload.extend(method.to_be_bytes());
    payload.extend(args.0);
    frame(frame::METHOD, channel, &payload)
}

/// A content header with encoded properties (flags and list).
pub(super) fn header(channel: u16, body_size: u64, properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend(body_size.to_be_bytes());
    payload.extend(properties);
    frame(frame::HEADER, channel, &payload)
}

pub(super) fn body(channel: u16, octets: &[u8]) -> Vec<u8> {
    frame(frame::BODY, channel, octets)
}

/// No properties at all.
pub(super) const PLAIN: &[u8] = &[0, 0];

/// A whole message: method, header, one body frame unless it is empty.
pub(super) fn publish(channel: u16, exchange: &str, key: &str, body: &[u8]) -> Vec<u8> {
    publish_with(channel, exchange, key, 0, PLAIN, body)
}

/// `bits`: 1 mandatory, 2 immediate.
pub(super) fn publish_with(
    channel: u16,
    exchange: &str,
    key: &str,
    bits: u8,
    properties: &[u8],
    octets: &[u8],
) -> Vec<u8> {
    let args = args().u16(0).short(exchange).short(key).u8(bits);
    let mut message = method(channel, 60, 40, args);
    message.extend(header(channel, octets.len() as u64, properties));
    if !octets.is_empty() {
        message.extend(body(channel, octets));
    }
    message
}

/// Properties with one short string behind one flag bit.
pub(super) fn property(flag: u16, value: &str) -> Vec<u8> {
    let mut octets = flag.to_be_bytes().to_vec();
    octets.push(value.len() as u8);
    octets.extend(value.as_bytes());
    octets
}

pub(super) const REPLY_TO: u16 = 1 << 9;
pub(super) const EXPIRATION: u16 = 1 << 8;
pub(super) const USER_ID: u16 = 1 << 4;

/// Properties with a header table alone.
pub(super) fn headers(fields: &[(&str, Value)]) -> Vec<u8> {
    let mut octets = (1u16 << 13).to_be_bytes().to_vec();
    table(fields).encode(&mut octets);
    octets
}

/// A frame that came from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) kind: u8,
    pub(super) channel: u16,
    pub(super) payload: Vec<u8>,
}

impl Said {
    /// Class and method, (0, 0) for other frames.
    pub(super) fn id(&self) -> (u16, u16) {
        match self.frame().content() {
            Content::Method { class, method, .. } => (class, method),
            _ => (0, 0),
        }
    }

    fn frame(&self) -> Frame<'_> {
        Frame { kind: self.kind, channel: self.channel, payload: &self.payload }
    }

    /// Arguments of a method.
    pub(super) fn args(&self) -> &[u8] {
        self.payload.get(4..).unwrap_or_default()
    }
}

/// A short string at the head, and what follows.
pub(super) fn split_short(octets: &[u8]) -> (String, &[u8]) {
    let (length, rest) = octets.split_first().expect("a short string");
    let (text, rest) = rest.split_at(usize::from(*length));
    (String::from_utf8(text.to_vec()).expect("text"), rest)
}

/// As the recorded answers show frames: closes in words, all else by number and length.
impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.id() {
            (0, 0) => {
                let Said { kind, channel, payload } = self;
                write!(f, "frame type={kind} ch={channel} len={}", payload.len())
            }
            (class @ 10, 50) | (class @ 20, 40) => {
                let code = u16::from_be_bytes([self.payload[4], self.payload[5]]);
                let (text, rest) = split_short(&self.payload[6..]);
                let what = if class == 10 { "conn.close" } else { "chan.close" };
                let culprit = (
                    u16::from_be_bytes([rest[0], rest[1]]),
                    u16::from_be_bytes([rest[2], rest[3]]),
                );
                write!(f, "{what} {code} {text} failing=({},{})", culprit.0, culprit.1)
            }
            (class, method) => {
                write!(f, "method({class},{method}) ch={}", self.channel)
            }
        }
    }
}

/// All frames of `octets`, which must be whole.
pub(super) fn frames(octets: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut at = 0;
    while at < octets.len() {
        let frame = Frame::parse(&octets[at..], u32::MAX)
            .expect("the broker writes well formed frames")
            .expect("whole frames");
        said.push(Said {
            kind: frame.kind,
            channel: frame.channel,
            payload: frame.payload.to_vec(),
        });
        at += frame.octets();
    }
    said
}
