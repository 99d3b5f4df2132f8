//! Class confirm (85), RabbitMQ's publisher confirms (behaviour B1).

use super::arguments::arguments;
use super::CONFIRM;
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// confirm.select
    Select {} bits { nowait }
}

pub(crate) fn select_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, CONFIRM, 11).finish();
}
