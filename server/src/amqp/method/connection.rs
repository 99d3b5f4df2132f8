//! Class connection (10).

use super::arguments::arguments;
use super::{MethodId, CONNECTION};
use crate::amqp::codec::reader::{LongStr, Malformed, Reader, TableOctets};
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// connection.start-ok (behaviour A6)
    StartOk<'a> {
        client_properties: TableOctets<'a>,
        mechanism: &'a str,
        response: LongStr<'a>,
        locale: &'a str,
    }
}

arguments! {
    /// connection.tune-ok (behaviour A12-A15)
    TuneOk { channel_max: u16, frame_max: u32, heartbeat_s: u16 }
}

arguments! {
    /// connection.open (behaviour A20)
    Open<'a> { vhost: &'a str, capabilities: &'a str } bits { insist }
}

arguments! {
    /// connection.close and channel.close have the same arguments.
    Close<'a> { code: u16, text: &'a str, class: u16, method: u16 }
}

arguments! {
    /// connection.update-secret (behaviour A23)
    UpdateSecret<'a> { secret: LongStr<'a>, reason: &'a str }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ConnectionMethod<'a> {
    StartOk(StartOk<'a>),
    /// The response to a challenge (behaviour A11).
    SecureOk(LongStr<'a>),
    TuneOk(TuneOk),
    Open(Open<'a>),
    Close(Close<'a>),
    CloseOk,
    UpdateSecret(UpdateSecret<'a>),
}

impl<'a> ConnectionMethod<'a> {
    pub(crate) fn decode(method: u16, reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match method {
            11 => Self::StartOk(StartOk::read(reader)?),
            21 => Self::SecureOk(reader.take()?),
            31 => Self::TuneOk(TuneOk::read(reader)?),
            40 => Self::Open(Open::read(reader)?),
            50 => Self::Close(Close::read(reader)?),
            51 => Self::CloseOk,
            70 => Self::UpdateSecret(UpdateSecret::read(reader)?),
            _ => return Ok(None),
        }))
    }
}

/// connection.start (behaviour A3); `properties` is an encoded table with its length prefix.
pub(crate) fn start(out: &mut Vec<u8>, version: (u8, u8), properties: &[u8], mechanisms: &str) {
    MethodWriter::new(out, 0, CONNECTION, 10)
        .u8(version.0)
        .u8(version.1)
        .raw(properties)
        .long(mechanisms.as_bytes())
        .long(b"en_US")
        .finish();
}

/// connection.secure (behaviour A11)
pub(crate) fn secure(out: &mut Vec<u8>, challenge: &[u8]) {
    MethodWriter::new(out, 0, CONNECTION, 20).long(challenge).finish();
}

/// connection.tune (behaviour A12)
pub(crate) fn tune(out: &mut Vec<u8>, channel_max: u16, frame_max: u32, heartbeat_s: u16) {
    MethodWriter::new(out, 0, CONNECTION, 30)
        .u16(channel_max)
        .u32(frame_max)
        .u16(heartbeat_s)
        .finish();
}

pub(crate) fn open_ok(out: &mut Vec<u8>) {
    MethodWriter::new(out, 0, CONNECTION, 41).short(b"").finish();
}

/// connection.close; `text` is cut to a short string by its maker.
pub(crate) fn close(out: &mut Vec<u8>, code: u16, text: &str, culprit: MethodId) {
    MethodWriter::new(out, 0, CONNECTION, 50)
        .u16(code)
        .short(text.as_bytes())
        .u16(culprit.class)
        .u16(culprit.method)
        .finish();
}

pub(crate) fn close_ok(out: &mut Vec<u8>) {
    MethodWriter::new(out, 0, CONNECTION, 51).finish();
}

/// connection.blocked (behaviour A24)
pub(crate) fn blocked(out: &mut Vec<u8>, reason: &str) {
    MethodWriter::new(out, 0, CONNECTION, 60).short(reason.as_bytes()).finish();
}

pub(crate) fn unblocked(out: &mut Vec<u8>) {
    MethodWriter::new(out, 0, CONNECTION, 61).finish();
}

pub(crate) fn update_secret_ok(out: &mut Vec<u8>) {
    MethodWriter::new(out, 0, CONNECTION, 71).finish();
}
