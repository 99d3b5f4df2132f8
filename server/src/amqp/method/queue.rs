//! Class queue (50).

use super::arguments::arguments;
use super::QUEUE;
use crate::amqp::codec::reader::{Malformed, Reader, TableOctets};
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// queue.declare (behaviour A62)
    Declare<'a> { @ u16; queue: &'a str }
    bits { passive, durable, exclusive, auto_delete, nowait }
    then { arguments: TableOctets<'a> }
}

arguments! {
    /// queue.bind (behaviour A75)
    Bind<'a> { @ u16; queue: &'a str, exchange: &'a str, key: &'a str }
    bits { nowait }
    then { arguments: TableOctets<'a> }
}

arguments! {
    /// queue.unbind: no nowait (behaviour A76)
    Unbind<'a> {
        @ u16;
        queue: &'a str,
        exchange: &'a str,
        key: &'a str,
        arguments: TableOctets<'a>,
    }
}

arguments! {
    /// queue.purge (behaviour A78)
    Purge<'a> { @ u16; queue: &'a str } bits { nowait }
}

arguments! {
    /// queue.delete (behaviour A79)
    Delete<'a> { @ u16; queue: &'a str } bits { if_unused, if_empty, nowait }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum QueueMethod<'a> {
    Declare(Declare<'a>),
    Bind(Bind<'a>),
    Purge(Purge<'a>),
    Delete(Delete<'a>),
    Unbind(Unbind<'a>),
}

impl<'a> QueueMethod<'a> {
    pub(crate) fn decode(method: u16, reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match method {
            10 => Self::Declare(Declare::read(reader)?),
            20 => Self::Bind(Bind::read(reader)?),
            30 => Self::Purge(Purge::read(reader)?),
            40 => Self::Delete(Delete::read(reader)?),
            50 => Self::Unbind(Unbind::read(reader)?),
            _ => return Ok(None),
        }))
    }
}

pub(crate) fn declare_ok(
    out: &mut Vec<u8>,
    channel: u16,
    queue: &str,
    messages: u64,
    consumers: u64,
) {
    MethodWriter::new(out, channel, QUEUE, 11)
        .short(queue.as_bytes())
        .u32(count(messages))
        .u32(count(consumers))
        .finish();
}

pub(crate) fn bind_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, QUEUE, 21).finish();
}

pub(crate) fn purge_ok(out: &mut Vec<u8>, channel: u16, messages: u64) {
    MethodWriter::new(out, channel, QUEUE, 31).u32(count(messages)).finish();
}

pub(crate) fn delete_ok(out: &mut Vec<u8>, channel: u16, messages: u64) {
    MethodWriter::new(out, channel, QUEUE, 41).u32(count(messages)).finish();
}

pub(crate) fn unbind_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, QUEUE, 51).finish();
}

/// The wire has 32 bits for counts.
pub(crate) fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
