//! The Definition record: a durable entity of the topology, opaque to the log. Counts as one
//! reference of [`QueueId::DEFINITIONS`](crate::ids::QueueId::DEFINITIONS) in its segment.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{head, Malformed, RecordHeader, KIND_DEFINITION};
use crate::ids::Seq;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DefinitionHead {
    record: RecordHeader,
    seq: U64,
    received_unix_ms: U64,
}

pub(in crate::log) const DEFINITION_HEAD_BYTES: usize = size_of::<DefinitionHead>();
const _: () = assert!(DEFINITION_HEAD_BYTES == 24);

/// A Definition record as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct DefinitionView<'a> {
    pub seq: Seq,
    pub payload: &'a [u8],
}

impl<'a> DefinitionView<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, payload) = head::<DefinitionHead>(octets)?;
        Ok(DefinitionView { seq: Seq(head.seq.get()), payload })
    }
}

/// Writes a whole record, of exactly the length of `out`.
pub(in crate::log) fn write(out: &mut [u8], received_unix_ms: u64, seq: Seq, payload: &[u8]) {
    let head = DefinitionHead {
        record: RecordHeader::of(KIND_DEFINITION, 0, out.len()),
        seq: U64::new(seq.0),
        received_unix_ms: U64::new(received_unix_ms),
    };
    let (place, rest) = out.split_at_mut(DEFINITION_HEAD_BYTES);
    place.copy_from_slice(head.as_bytes());
    rest.copy_from_slice(payload);
}
