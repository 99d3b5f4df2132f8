//! Writing a stream of entries. Numbers are written in groups of seven bits, lowest first, each
//! but the last with bit 7 set.

use super::context::{self, Context};
use super::{Run, Spot};
use crate::ids::{QueueId, Seq};
use crate::log::format::aligned_record;
use crate::log::geometry::Geometry;
use crate::log::record::{Copied, PartEntry, Settle};
use crate::log::Address;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    context: Context,
}

impl Writer {
    pub(super) fn new(geometry: Geometry, segment: u32) -> Self {
        Writer { out: Vec::new(), context: Context::new(geometry, segment, 0) }
    }

    /// Begins another piece, keeping the memory.
    pub(super) fn restart(&mut self, geometry: Geometry, segment: u32, first_reference: u32) {
        self.out.clear();
        self.context.restart(geometry, segment, first_reference);
    }

    /// Says what another one says that began in the same way; nothing but parts may be added.
    pub(super) fn take_over(&mut self, other: &Writer) {
        self.out.clear();
        self.out.extend_from_slice(&other.out);
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.out
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    fn way_to(&mut self, address: Address) {
        let (pages, gap) = self.context.way_to(address);
        self.number(pages);
        self.number(gap / 8);
    }

    fn expiry(&mut self, expires_unix_ms: Option<u64>) {
        let Some(expires) = expires_unix_ms else { return self.out.push(0) };
        self.out.push(1);
        let after = expires.wrapping_sub(self.context.expiry) as i64;
        self.number((after << 1 ^ after >> 63) as u64);
        self.context.expiry = expires;
    }

    /// `dead`: a bit for each message, if some of them are.
    pub(super) fn run(&mut self, run: &Run, dead: Option<&[u8]>) {
        let at = self.out.len();
        let mut tag = 0;
        self.out.push(0);
        let known = &self.context;
        let follows =
            known.page == run.address.page() && known.offset == run.address.offset() as u64;
        if !follows {
            tag |= context::PLACE;
            self.way_to(run.address);
        }
        if run.reference != self.context.reference {
            tag |= context::REFERENCE;
            self.number(u64::from(run.reference - self.context.reference));
        }
        if run.queue != self.context.queue {
            tag |= context::QUEUE;
            self.number(run.queue.0);
        }
        if self.context.next_seq(run.queue) != Some(run.first.0) {
            tag |= context::SEQ;
            self.number(run.first.0);
        }
        let overhead = run.length - run.body_bytes;
        if (run.length, overhead) != (self.context.length, self.context.overhead) {
            tag |= context::LENGTH;
            self.number(u64::from(run.length));
            self.number(u64::from(overhead));
        }
        if run.expires_unix_ms != self.context.expires_unix_ms {
            tag |= context::EXPIRY;
            self.expiry(run.expires_unix_ms);
        }
        if run.count > 1 || dead.is_some() {
            tag |= context::COUNT;
            self.number(u64::from(run.count - 1) << 1 | u64::from(dead.is_some()));
            self.out.extend_from_slice(dead.unwrap_or_default());
        }
        self.out[at] = tag;
        self.context.pass_run(run);
    }

    fn spot(&mut self, spot: Spot, references: usize) {
        self.way_to(spot.address);
        self.number(u64::from(spot.reference - self.context.reference));
        self.number(u64::from(spot.length));
        let octets = aligned_record(spot.length as usize) as u64;
        self.context.pass(spot.address, octets, spot.reference, references as u32);
    }

    /// A message that is no run. `dead`: a bit for each reference, if some of them are.
    pub(super) fn message(
        &mut self,
        spot: Spot,
        body_bytes: u64,
        expires_unix_ms: Option<u64>,
        references: impl ExactSizeIterator<Item = (QueueId, Seq)>,
        dead: Option<&[u8]>,
        parts: impl ExactSizeIterator<Item = PartEntry>,
    ) {
        self.out.push(context::MESSAGE);
        self.spot(spot, references.len());
        self.number(body_bytes);
        self.expiry(expires_unix_ms);
        self.number((references.len() as u64) << 1 | u64::from(dead.is_some()));
        for (queue, seq) in references {
            self.number(queue.0);
            self.number(seq.0);
        }
        self.out.extend_from_slice(dead.unwrap_or_default());
        self.number(parts.len() as u64);
        for part in parts {
            self.number(part.address().0);
            self.number(u64::from(part.length()));
        }
    }

    pub(super) fn definition(&mut self, spot: Spot, seq: Seq, payload: &[u8]) {
        self.out.push(context::DEFINITION);
        self.spot(spot, 1);
        self.number(seq.0);
        self.octets_of(payload);
    }

    fn octets_of(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.out.extend_from_slice(octets);
    }

    /// Messages of an older segment are settled.
    pub(super) fn settle(&mut self, settle: Settle) {
        self.out.push(context::SETTLE);
        self.number(settle.queue.0);
        self.number(settle.first.0);
        self.number(u64::from(settle.count));
        self.number(u64::from(settle.segment));
    }

    /// References have been made anew.
    pub(super) fn copied(&mut self, copied: Copied) {
        self.out.push(context::COPIED);
        self.number(u64::from(copied.segment));
        self.number(u64::from(copied.first));
        self.number(u64::from(copied.count));
    }

    /// A Liveness record about an older segment.
    pub(super) fn liveness(&mut self, segment: u32, address: Address, length: u32) {
        self.out.push(context::LIVENESS);
        self.number(u64::from(segment));
        self.number(address.0);
        self.number(u64::from(length));
    }

    /// A part of a message whose record is not in this segment. `content` is what of its content
    /// belongs to the message's references.
    pub(super) fn part(
        &mut self,
        address: Address,
        length: u32,
        index: u32,
        references: u32,
        content: &[u8],
    ) {
        self.out.push(context::PART);
        self.number(address.0);
        self.number(u64::from(length));
        self.number(u64::from(index));
        self.number(u64::from(references));
        self.octets_of(content);
    }
}
