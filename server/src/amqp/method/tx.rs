//! Class tx (90): methods without arguments (behaviour A110-A113).

use super::TX;
use crate::amqp::codec::writer::MethodWriter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TxMethod {
    Select,
    Commit,
    Rollback,
}

impl TxMethod {
    pub(crate) fn decode(method: u16) -> Option<Self> {
        match method {
            10 => Some(Self::Select),
            20 => Some(Self::Commit),
            30 => Some(Self::Rollback),
            _ => None,
        }
    }
}

pub(crate) fn select_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, TX, 11).finish();
}

pub(crate) fn commit_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, TX, 21).finish();
}

pub(crate) fn rollback_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, TX, 31).finish();
}
