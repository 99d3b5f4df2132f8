//! The methods of AMQP 0-9-1 with RabbitMQ's extensions, one file per class: arguments that
//! clients send are decoded into borrowed structs, answers that the broker sends are encoded by
//! functions.
//!
//! Knows the wire only. What a method means is the business of `connection` and `channel`.

mod access;
mod arguments;
pub(crate) mod basic;
pub(crate) mod channel;
pub(crate) mod confirm;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod queue;
pub(crate) mod tx;

pub(crate) use access::request_ok as access_request_ok;

use super::codec::reader::{Malformed, Reader};

pub(crate) const CONNECTION: u16 = 10;
pub(crate) const CHANNEL: u16 = 20;
pub(crate) const ACCESS: u16 = 30;
pub(crate) const EXCHANGE: u16 = 40;
pub(crate) const QUEUE: u16 = 50;
pub(crate) const BASIC: u16 = 60;
pub(crate) const CONFIRM: u16 = 85;
pub(crate) const TX: u16 = 90;

/// The number of a method: class and method within it. (0, 0) stands for no method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct MethodId {
    pub(crate) class: u16,
    pub(crate) method: u16,
}

impl MethodId {
    pub(crate) const NONE: MethodId = MethodId { class: 0, method: 0 };
    pub(crate) const PUBLISH: MethodId = MethodId { class: BASIC, method: 40 };

    pub(crate) const fn new(class: u16, method: u16) -> Self {
        MethodId { class, method }
    }
}

/// A method that a client may send, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Method<'a> {
    Connection(connection::ConnectionMethod<'a>),
    Channel(channel::ChannelMethod<'a>),
    /// access.request: answered and otherwise ignored (behaviour A47).
    AccessRequest,
    Exchange(exchange::ExchangeMethod<'a>),
    Queue(queue::QueueMethod<'a>),
    Basic(basic::BasicMethod<'a>),
    ConfirmSelect(confirm::Select),
    Tx(tx::TxMethod),
    /// A method that exists, but that only a broker sends.
    FromBroker,
}

/// Why octets are not a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// No such class or method (behaviour A46).
    Unknown,
    Malformed(Malformed),
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        DecodeError::Malformed(malformed)
    }
}

impl<'a> Method<'a> {
    pub(crate) fn decode(id: MethodId, arguments: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(arguments);
        let found = match id.class {
            CONNECTION => connection::ConnectionMethod::decode(id.method, &mut reader)?
                .map(Method::Connection),
            CHANNEL => channel::ChannelMethod::decode(id.method, &mut reader)?.map(Method::Channel),
            ACCESS if id.method == 10 => {
                access::Request::read(&mut reader)?;
                Some(Method::AccessRequest)
            }
            EXCHANGE => {
                exchange::ExchangeMethod::decode(id.method, &mut reader)?.map(Method::Exchange)
            }
            QUEUE => queue::QueueMethod::decode(id.method, &mut reader)?.map(Method::Queue),
            BASIC => basic::BasicMethod::decode(id.method, &mut reader)?.map(Method::Basic),
            CONFIRM if id.method == 10 => {
                Some(Method::ConfirmSelect(confirm::Select::read(&mut reader)?))
            }
            TX => tx::TxMethod::decode(id.method).map(Method::Tx),
            _ => None,
        };
        match found {
            Some(method) => {
                reader.finish()?;
                Ok(method)
            }
            None if is_from_broker(id) => Ok(Method::FromBroker),
            None => Err(DecodeError::Unknown),
        }
    }
}

/// The methods that exist in one direction only, away from the broker.
fn is_from_broker(id: MethodId) -> bool {
    matches!(
        (id.class, id.method),
        (CONNECTION, 10 | 20 | 30 | 41 | 60 | 61 | 71)
            | (CHANNEL, 11)
            | (ACCESS, 11)
            | (EXCHANGE, 11 | 21 | 31 | 51)
            | (QUEUE, 11 | 21 | 31 | 41 | 51)
            | (BASIC, 11 | 21 | 50 | 60 | 71 | 72 | 111)
            | (CONFIRM, 11)
            | (TX, 11 | 21 | 31)
    )
}
