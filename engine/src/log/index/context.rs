//! What writer and reader of a stream both know from what came before: an entry says only what
//! differs from that.

use super::Run;
use crate::ids::QueueId;
use crate::log::format::{aligned_record, BLOCK_HEADER_BYTES};
use crate::log::geometry::Geometry;
use crate::log::Address;

/// Queues whose next sequence number is remembered. A power of two.
const QUEUES: usize = 256;

/// Tag bits of a run: which fields follow, in this order.
pub(super) const PLACE: u8 = 1;
pub(super) const REFERENCE: u8 = 1 << 1;
pub(super) const QUEUE: u8 = 1 << 2;
pub(super) const SEQ: u8 = 1 << 3;
pub(super) const LENGTH: u8 = 1 << 4;
pub(super) const EXPIRY: u8 = 1 << 5;
pub(super) const COUNT: u8 = 1 << 6;

/// Tags of the other entries.
pub(super) const MESSAGE: u8 = 0x81;
pub(super) const DEFINITION: u8 = 0x82;
pub(super) const SETTLE: u8 = 0x83;
pub(super) const LIVENESS: u8 = 0x84;
pub(super) const PART: u8 = 0x85;
pub(super) const COPIED: u8 = 0x86;

#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Page of the block that the entry before was in.
    pub page: u64,
    /// Where in that block its record ended.
    pub offset: u64,
    /// Number that the next reference has if none is passed over.
    pub reference: u32,
    pub queue: QueueId,
    pub length: u32,
    /// Octets of the record that are not body.
    pub overhead: u32,
    pub expires_unix_ms: Option<u64>,
    /// The latest expiry that there was.
    pub expiry: u64,
    /// Queue and the sequence number behind its last one; by the queue's number.
    next: Box<[(QueueId, u64); QUEUES]>,
}

impl Context {
    /// At the start of a piece about a segment.
    pub(super) fn new(geometry: Geometry, segment: u32, first_reference: u32) -> Self {
        let mut context = Context {
            page: 0,
            offset: 0,
            reference: 0,
            queue: QueueId(0),
            length: 0,
            overhead: 0,
            expires_unix_ms: None,
            expiry: 0,
            next: Box::new([(QueueId(0), 0); QUEUES]),
        };
        context.restart(geometry, segment, first_reference);
        context
    }

    /// As [`Context::new`], keeping the memory.
    pub(super) fn restart(&mut self, geometry: Geometry, segment: u32, first_reference: u32) {
        self.page = Address::new(geometry.start(segment), 0).page();
        self.offset = BLOCK_HEADER_BYTES as u64;
        self.reference = first_reference;
        (self.queue, self.length, self.overhead) = (QueueId(0), 0, 0);
        (self.expires_unix_ms, self.expiry) = (None, 0);
        self.next.fill((QueueId(0), 0));
    }

    /// Where a record would lie that is `pages` further on and passes over `gap` octets.
    pub(super) fn place(&self, pages: u64, gap: u64) -> Option<Address> {
        let base = if pages == 0 { self.offset } else { BLOCK_HEADER_BYTES as u64 };
        let offset = base.checked_add(gap).filter(|offset| *offset < 1 << 20)?;
        let page = self.page.checked_add(pages).filter(|page| *page < 1 << 44)?;
        Some(Address(page << 20 | offset))
    }

    /// Inverse of [`Context::place`].
    pub(super) fn way_to(&self, address: Address) -> (u64, u64) {
        let pages = address.page() - self.page;
        let base = if pages == 0 { self.offset } else { BLOCK_HEADER_BYTES as u64 };
        (pages, address.offset() as u64 - base)
    }

    /// The sequence number that a message of that queue has if it follows the last one.
    #[inline]
    pub(super) fn next_seq(&self, queue: QueueId) -> Option<u64> {
        let (held, next) = self.next[queue.0 as usize % QUEUES];
        (held == queue).then_some(next)
    }

    /// One record, with so many references, has been spoken of.
    pub(super) fn pass(&mut self, address: Address, octets: u64, reference: u32, references: u32) {
        self.page = address.page();
        self.offset = address.offset() as u64 + octets;
        self.reference = reference.saturating_add(references);
    }

    pub(super) fn pass_run(&mut self, run: &Run) {
        let octets = aligned_record(run.length as usize) as u64 * u64::from(run.count);
        self.pass(run.address, octets, run.reference, run.count);
        self.queue = run.queue;
        self.length = run.length;
        self.overhead = run.length - run.body_bytes;
        self.expires_unix_ms = run.expires_unix_ms;
        self.expiry = run.expires_unix_ms.unwrap_or(self.expiry);
        let next = run.first.0.wrapping_add(u64::from(run.count));
        self.next[run.queue.0 as usize % QUEUES] = (run.queue, next);
    }
}
