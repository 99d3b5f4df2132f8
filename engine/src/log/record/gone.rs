//! Gone: references whose records were lost to damage. Their numbers stay taken.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{head, Malformed, RecordHeader, KIND_GONE};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct GoneLayout {
    record: RecordHeader,
    references: U32,
    reserved: U32,
}

pub(in crate::log) const GONE_BYTES: usize = size_of::<GoneLayout>();
const _: () = assert!(GONE_BYTES == 16);

/// So many references were numbered here.
pub(super) fn read(octets: &[u8]) -> Result<u32, Malformed> {
    let (layout, _) = head::<GoneLayout>(octets)?;
    Ok(layout.references.get())
}

/// Writes the record, of [`GONE_BYTES`].
pub(in crate::log) fn write(out: &mut [u8], references: u32) {
    let layout = GoneLayout {
        record: RecordHeader::of(KIND_GONE, 0, GONE_BYTES),
        references: U32::new(references),
        reserved: U32::ZERO,
    };
    out[..GONE_BYTES].copy_from_slice(layout.as_bytes());
}
