//! Class channel (20).

use super::arguments::arguments;
use super::connection::Close;
use super::{MethodId, CHANNEL};
use crate::amqp::codec::reader::{Malformed, Reader};
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// channel.open (behaviour A29)
    Open<'a> { out_of_band: &'a str }
}

arguments! {
    /// channel.flow and flow-ok (behaviour A37)
    Flow {} bits { active }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ChannelMethod<'a> {
    Open,
    Flow(Flow),
    FlowOk,
    Close(Close<'a>),
    CloseOk,
}

impl<'a> ChannelMethod<'a> {
    pub(crate) fn decode(method: u16, reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match method {
            10 => {
                Open::read(reader)?;
                Self::Open
            }
            20 => Self::Flow(Flow::read(reader)?),
            21 => {
                Flow::read(reader)?;
                Self::FlowOk
            }
            40 => Self::Close(Close::read(reader)?),
            41 => Self::CloseOk,
            _ => return Ok(None),
        }))
    }
}

/// channel.open-ok carries an empty long string (behaviour A29).
pub(crate) fn open_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, CHANNEL, 11).long(b"").finish();
}

pub(crate) fn flow_ok(out: &mut Vec<u8>, channel: u16, active: bool) {
    MethodWriter::new(out, channel, CHANNEL, 21).bit(active).finish();
}

pub(crate) fn close(out: &mut Vec<u8>, channel: u16, code: u16, text: &str, culprit: MethodId) {
    MethodWriter::new(out, channel, CHANNEL, 40)
        .u16(code)
        .short(text.as_bytes())
        .u16(culprit.class)
        .u16(culprit.method)
        .finish();
}

pub(crate) fn close_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, CHANNEL, 41).finish();
}
