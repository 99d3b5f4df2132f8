//! Reads under way: what will be in memory soon, and how much of it may be on its way at once.

use super::format::PAGE_BYTES;

/// Octets that one read brings, where the segment has as many.
pub(super) const WINDOW_BYTES: u64 = 256 * 1024;

/// Octets that a read ahead brings at most: each is twice as long as the one before. A read costs the device and
/// the processor much the same whatever its length, but what is read and not wanted was read for nothing, so that
/// only who goes on reading gets more.
pub(super) const WINDOW_BYTES_MAX: u64 = 768 * 1024;

/// Octets that a read of one message brings at least: a block of several records is no longer.
pub(super) const SCATTERED_BYTES: u64 = 64 * 1024;

/// A read that has been asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub ticket: u64,
    pub segment: u32,
    /// Position of its first octet, where a block starts.
    pub start: u64,
    pub length: usize,
    /// Position up to which blocks are known to be there.
    pub limit: u64,
    /// What follows it is not going to be wanted next.
    pub scattered: bool,
}

impl Pending {
    fn covers(&self, page: u64) -> bool {
        let first = self.start / PAGE_BYTES as u64;
        (first..first + (self.length / PAGE_BYTES) as u64).contains(&page)
    }
}

#[derive(Debug)]
pub(super) struct Readback {
    pending: Vec<Pending>,
    bytes: usize,
    bytes_max: usize,
}

impl Readback {
    pub(super) fn new(bytes_max: usize) -> Self {
        Readback { pending: Vec::new(), bytes: 0, bytes_max }
    }
    /// The block at `page` is on its way.
    pub(super) fn covers(&self, page: u64) -> bool {
        self.pending.iter().any(|read| read.covers(page))
    }
    /// One more read of that length may go out. One always may.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.pending.is_empty() || self.bytes + length <= self.bytes_max
    }
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
    pub(super) fn push(&mut self, read: Pending) {
        self.bytes += read.length;
        self.pending.push(read);
    }
    /// The read of that ticket, which is over.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Pending> {
        let index = self.pending.iter().position(|read| read.ticket == ticket)?;
        let read = self.pending.swap_remove(index);
        self.bytes -= read.length;
        Some(read)
    }
}
