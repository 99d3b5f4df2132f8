//! The Part record: a piece of the content of a message that is too long for one record.
//!
//! Parts precede their message's record. The first ones hold its references, so each says how
//! many there are: recovery keeps that much of the content and passes over the rest.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{head, Malformed, RecordHeader, KIND_PART};
use crate::log::format::aligned_record;
use crate::log::Address;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PartHead {
    record: RecordHeader,
    /// 0 for the first part of a message.
    index: U32,
    /// References of the whole message.
    references: U32,
}

pub(in crate::log) const PART_HEAD_BYTES: usize = size_of::<PartHead>();
const _: () = assert!(PART_HEAD_BYTES == 16);

/// How a Message record names one of its parts.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::log) struct PartEntry {
    address: U64,
    /// Octets of the Part record.
    length: U32,
    reserved: U32,
}

pub(in crate::log) const PART_ENTRY_BYTES: usize = size_of::<PartEntry>();

impl PartEntry {
    pub(in crate::log) fn new(address: Address, length: u32) -> Self {
        PartEntry { address: U64::new(address.0), length: U32::new(length), reserved: U32::ZERO }
    }
    pub(in crate::log) fn address(&self) -> Address {
        Address(self.address.get())
    }
    pub(in crate::log) fn length(&self) -> u32 {
        self.length.get()
    }
    /// Octets that the record takes in its block.
    pub(in crate::log) fn record_bytes(&self) -> u64 {
        aligned_record(self.length() as usize) as u64
    }
    /// Octets of content in it.
    pub(in crate::log) fn content_bytes(&self) -> u64 {
        u64::from(self.length()).saturating_sub(PART_HEAD_BYTES as u64)
    }
}

/// A Part record as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct PartView<'a> {
    pub index: u32,
    pub references: u32,
    pub content: &'a [u8],
}

impl<'a> PartView<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, content) = head::<PartHead>(octets)?;
        Ok(PartView { index: head.index.get(), references: head.references.get(), content })
    }
}

/// Writes the head of a record of `length` octets, and gives back where the content goes.
pub(in crate::log) fn write_head(
    out: &mut [u8],
    length: usize,
    index: u32,
    references: u32,
) -> &mut [u8] {
    let head = PartHead {
        record: RecordHeader::of(KIND_PART, 0, length),
        index: U32::new(index),
        references: U32::new(references),
    };
    let (place, rest) = out.split_at_mut(PART_HEAD_BYTES);
    place.copy_from_slice(head.as_bytes());
    rest
}
