//! Class exchange (40), with RabbitMQ's exchange.bind and unbind.

use super::arguments::arguments;
use super::EXCHANGE;
use crate::amqp::codec::reader::{Malformed, Reader, TableOctets};
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// exchange.declare (behaviour A50)
    Declare<'a> { @ u16; exchange: &'a str, kind: &'a str }
    bits { passive, durable, auto_delete, internal, nowait }
    then { arguments: TableOctets<'a> }
}

arguments! {
    /// exchange.delete (behaviour A57)
    Delete<'a> { @ u16; exchange: &'a str } bits { if_unused, nowait }
}

arguments! {
    /// exchange.bind and exchange.unbind (behaviour A61)
    Bind<'a> { @ u16; destination: &'a str, source: &'a str, key: &'a str }
    bits { nowait }
    then { arguments: TableOctets<'a> }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ExchangeMethod<'a> {
    Declare(Declare<'a>),
    Delete(Delete<'a>),
    Bind(Bind<'a>),
    Unbind(Bind<'a>),
}

impl<'a> ExchangeMethod<'a> {
    pub(crate) fn decode(method: u16, reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match method {
            10 => Self::Declare(Declare::read(reader)?),
            20 => Self::Delete(Delete::read(reader)?),
            30 => Self::Bind(Bind::read(reader)?),
            40 => Self::Unbind(Bind::read(reader)?),
            _ => return Ok(None),
        }))
    }
}

pub(crate) fn declare_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, EXCHANGE, 11).finish();
}

pub(crate) fn delete_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, EXCHANGE, 21).finish();
}

pub(crate) fn bind_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, EXCHANGE, 31).finish();
}

pub(crate) fn unbind_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, EXCHANGE, 51).finish();
}
