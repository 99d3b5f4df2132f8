//! Class access (30): a leftover of AMQP 0-8 that some clients still use (behaviour A47).

use super::arguments::arguments;
use crate::amqp::codec::writer::MethodWriter;

arguments! {
    /// access.request
    Request<'a> { realm: &'a str } bits { exclusive, passive, active, write, read }
}

/// access.request-ok: ticket 1, which nobody looks at.
pub(crate) fn request_ok(out: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(out, channel, super::ACCESS, 11).u16(1).finish();
}
