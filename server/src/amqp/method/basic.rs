//! Class basic (60).

use super::arguments::arguments;
use super::BASIC;
use crate::amqp::codec::reader::{Malformed, Reader, ShortStr, TableOctets};
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// basic.qos (behaviour A83-A87)
    Qos { prefetch_size: u32, prefetch_count: u16 } bits { global }
}

arguments! {
    /// basic.consume (behaviour A88)
    Consume<'a> { @ u16; queue: &'a str, consumer_tag: &'a str }
    bits { no_local, no_ack, exclusive, nowait }
    then { arguments: TableOctets<'a> }
}

arguments! {
    /// basic.cancel (behaviour A91), from either side (B14).
    Cancel<'a> { consumer_tag: &'a str } bits { nowait }
}

arguments! {
    /// basic.publish (behaviour A92-A95). Names are not checked for UTF-8 here: this is the hot
    /// path, and a name that is not text is simply not found.
    Publish<'a> { @ u16; exchange: ShortStr<'a>, key: ShortStr<'a> }
    bits { mandatory, immediate }
}

arguments! {
    /// basic.get (behaviour A97)
    Get<'a> { @ u16; queue: &'a str } bits { no_ack }
}

arguments! {
    /// basic.ack (behaviour A98)
    Ack { tag: u64 } bits { multiple }
}

arguments! {
    /// basic.reject (behaviour A100)
    Reject { tag: u64 } bits { requeue }
}

arguments! {
    /// basic.nack (behaviour B13)
    Nack { tag: u64 } bits { multiple, requeue }
}

arguments! {
    /// basic.recover and recover-async (behaviour A101)
    Recover {} bits { requeue }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BasicMethod<'a> {
    Qos(Qos),
    Consume(Consume<'a>),
    Cancel(Cancel<'a>),
    /// A client's answer to a cancel of ours; nobody waits for it.
    CancelOk,
    Publish(Publish<'a>),
    Get(Get<'a>),
    Ack(Ack),
    Reject(Reject),
    RecoverAsync(Recover),
    Recover(Recover),
    Nack(Nack),
}

impl<'a> BasicMethod<'a> {
    pub(crate) fn decode(method: u16, reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match method {
            10 => Self::Qos(Qos::read(reader)?),
            20 => Self::Consume(Consume::read(reader)?),
            30 => Self::Cancel(Cancel::read(reader)?),
            31 => {
                reader.take::<&'a str>()?;
                Self::CancelOk
            }
            40 => Self::Publish(Publish::read(reader)?),
            70 => Self::Get(Get::read(reader)?),
            80 => Self::Ack(Ack::read(reader)?),
            90 => Self::Reject(Reject::read(reader)?),
            100 => Self::RecoverAsync(Recover::read(reader)?),
            110 => Self::Recover(Recover::read(reader)?),
            120 => Self::Nack(Nack::read(reader)?),
            _ => return Ok(None),
        }))
    }
}

pub(crate) fn qos_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, BASIC, 11).finish();
}

pub(crate) fn consume_ok(out: &mut Vec<u8>, channel: u16, tag: &str) {
    MethodWriter::new(out, channel, BASIC, 21).short(tag.as_bytes()).finish();
}

/// basic.cancel to a client whose consumer has lost its queue (behaviour B14).
pub(crate) fn cancel(out: &mut Vec<u8>, channel: u16, tag: &str) {
    MethodWriter::new(out, channel, BASIC, 30).short(tag.as_bytes()).bit(true).finish();
}

pub(crate) fn cancel_ok(out: &mut Vec<u8>, channel: u16, tag: &str) {
    MethodWriter::new(out, channel, BASIC, 31).short(tag.as_bytes()).finish();
}

/// basic.return; the content follows.
pub(crate) fn return_(
    out: &mut Vec<u8>,
    channel: u16,
    code: u16,
    text: &str,
    exchange: &[u8],
    key: &[u8],
) {
    MethodWriter::new(out, channel, BASIC, 50)
        .u16(code)
        .short(text.as_bytes())
        .short(exchange)
        .short(key)
        .finish();
}

/// basic.get-ok; the content follows.
pub(crate) fn get_ok(
    out: &mut Vec<u8>,
    channel: u16,
    tag: u64,
    redelivered: bool,
    exchange: &[u8],
    key: &[u8],
    remaining: u64,
) {
    MethodWriter::new(out, channel, BASIC, 71)
        .u64(tag)
        .bit(redelivered)
        .short(exchange)
        .short(key)
        .u32(super::queue::count(remaining))
        .finish();
}

pub(crate) fn get_empty(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, BASIC, 72).short(b"").finish();
}

/// basic.ack to a publisher (behaviour B2).
pub(crate) fn ack(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    MethodWriter::new(out, channel, BASIC, 80).u64(tag).bit(multiple).finish();
}

/// basic.nack to a publisher (behaviour B4). The bit `requeue` means nothing there; it is set, as
/// RabbitMQ sets it.
pub(crate) fn nack(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    const REQUEUE: u8 = 0b10;
    MethodWriter::new(out, channel, BASIC, 120).u64(tag).u8(REQUEUE | u8::from(multiple)).finish();
}

pub(crate) fn recover_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, BASIC, 111).finish();
}
