//! The open batch: the buffer in which records become blocks, and blocks one write.
//!
//! Positions are those of the log; offsets those of the buffer. The last block is open: it has
//! no header yet and takes records. Nothing here allocates but the buffer's owner.

use super::block::{self, Census, Stamp};
use super::format::{
    whole_pages, BLOCK_HEADER_BYTES, BLOCK_MAX_BYTES, BLOCK_TARGET_BYTES, PAGE_BYTES,
};
use super::record::{Copied, Settle};
use super::{Address, QueueId, Seq};

/// Octets of the buffer that are brought into the core's cache at a time.
const WARM_BYTES: usize = 1024;
/// For shorter records it is no gain.
const WARM_MIN_BYTES: usize = 512;

/// Settle records of the open block that may still be made longer. A power of two.
const MERGE_SLOTS: usize = 16;

/// A Settle record of the open block.
#[derive(Clone, Copy, Debug)]
struct Mergeable {
    run: Settle,
    /// Where it lies in the buffer; 0: the slot is empty.
    at: usize,
}

const NOTHING: Mergeable =
    Mergeable { run: Settle { queue: QueueId(0), first: Seq(0), segment: 0, count: 1 }, at: 0 };

#[derive(Debug)]
pub(super) struct Batch<B> {
    buffer: B,
    /// Octets that may be used: the buffer's, or less at the segment's end.
    capacity: usize,
    /// Position of the buffer's first octet.
    start: u64,
    /// Where the open block starts.
    block: usize,
    /// Where its next record goes.
    at: usize,
    /// Where its last record must end.
    limit: usize,
    /// The buffer's octets before it are in the core's cache.
    warm: usize,
    records: u32,
    first_reference: u32,
    mergeable: [Mergeable; MERGE_SLOTS],
    /// A Copied record of the open block that may still be made longer, and where it lies.
    copied: Option<(Copied, usize)>,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Batch<B> {
    /// `room`: octets from `start` to the segment's end; `skip`: octets before the first block.
    pub(super) fn new(buffer: B, start: u64, room: u64, skip: usize, reference: u32) -> Self {
        let mut batch = Batch {
            buffer,
            capacity: 0,
            start: 0,
            block: 0,
            at: 0,
            limit: 0,
            warm: 0,
            records: 0,
            first_reference: 0,
            mergeable: [NOTHING; MERGE_SLOTS],
            copied: None,
        };
        batch.begin(start, room, skip, reference);
        batch
    }

    fn begin(&mut self, start: u64, room: u64, skip: usize, reference: u32) {
        let whole = self.buffer.as_ref().len() & !(PAGE_BYTES - 1);
        self.capacity = (whole as u64).min(room) as usize;
        self.start = start;
        self.block = skip;
        self.open_block(reference);
    }

    fn open_block(&mut self, reference: u32) {
        self.at = self.block + BLOCK_HEADER_BYTES;
        self.limit = self.capacity.min(self.block + BLOCK_TARGET_BYTES);
        self.records = 0;
        self.first_reference = reference;
        self.close_settles();
    }

    /// Starts over at `start`, keeping the buffer.
    pub(super) fn restart(&mut self, start: u64, room: u64, reference: u32) {
        self.begin(start, room, 0, reference);
    }

    /// Starts over with another buffer; the old one is given back.
    pub(super) fn replace(
        &mut self,
        buffer: B,
        start: u64,
        room: u64,
        skip: usize,
        reference: u32,
    ) -> B {
        let old = std::mem::replace(&mut self.buffer, buffer);
        self.warm = 0;
        self.begin(start, room, skip, reference);
        old
    }

    /// `room` octets from the start may be used from now on.
    pub(super) fn widen(&mut self, room: u64) {
        let whole = self.buffer.as_ref().len() & !(PAGE_BYTES - 1);
        self.capacity = (whole as u64).min(room) as usize;
        self.limit = self.limit.max(self.capacity.min(self.block + BLOCK_TARGET_BYTES));
    }

    /// Room for a record of `need` octets, a multiple of 8. `None`: this batch is full.
    /// `reference` is the number that the next reference of the segment will have.
    #[inline]
    pub(super) fn reserve(
        &mut self,
        need: usize,
        reference: u32,
        stamp: &mut Stamp,
    ) -> Option<usize> {
        let at = self.at;
        if at + need <= self.limit {
            self.at = at + need;
            self.records += 1;
            if need >= WARM_MIN_BYTES {
                self.warm_up(at);
            }
            return Some(at);
        }
        self.reserve_in_another_block(need, reference, stamp)
    }

    /// There is room for records of `need` octets together.
    pub(super) fn fits(&self, need: usize) -> bool {
        let next = if self.records == 0 { self.block } else { whole_pages(self.at) };
        self.at + need <= self.limit
            || next + whole_pages(BLOCK_HEADER_BYTES + need) <= self.capacity
    }

    /// Gives back what the last `reserve` gave, to be reserved again in smaller pieces.
    pub(super) fn unreserve(&mut self, need: usize) {
        self.at -= need;
        self.records -= 1;
    }

    #[cold]
    fn reserve_in_another_block(
        &mut self,
        need: usize,
        reference: u32,
        stamp: &mut Stamp,
    ) -> Option<usize> {
        let next = if self.records == 0 { self.block } else { whole_pages(self.at) };
        let bytes = whole_pages(BLOCK_HEADER_BYTES + need);
        if next + bytes > self.capacity {
            return None;
        }
        assert!(bytes <= BLOCK_MAX_BYTES, "a record of {need} octets fits no block");
        if self.records != 0 {
            self.close_block(stamp);
            self.open_block(reference);
        }
        self.limit = self.limit.max(self.block + bytes);
        let at = self.at;
        self.at = at + need;
        self.records = 1;
        Some(at)
    }

    /// What is about to be written at `at` will find its cache lines there. Records end anywhere in a line, so that the
    /// core has to read a line before it can write its part of it, and waits for memory that has been out of its caches
    /// since it was written to the device. Whole lines it writes without reading.
    #[inline]
    fn warm_up(&mut self, at: usize) {
        if self.at > self.warm {
            let end = self.at.next_multiple_of(WARM_BYTES).min(self.buffer.as_ref().len());
            self.buffer.as_mut()[at.max(self.warm)..end].fill(0);
            self.warm = end;
        }
    }

    /// Seals the open block; the next one starts behind it, but is not begun.
    fn close_block(&mut self, stamp: &mut Stamp) {
        let census = Census {
            end: self.at - self.block,
            records: self.records,
            first_reference: self.first_reference,
        };
        let position = self.start + self.block as u64;
        let octets = &mut self.buffer.as_mut()[self.block..];
        self.block += block::seal(octets, position, census, stamp);
        self.at = self.block;
        self.records = 0;
    }

    /// Seals the open block, if it holds anything. Octets of the buffer that are ready to go out.
    pub(super) fn close(&mut self, stamp: &mut Stamp) -> usize {
        if self.records != 0 {
            self.close_block(stamp);
        }
        self.block
    }

    /// The buffer's octets from `at` on, `need` of them.
    #[inline]
    pub(super) fn octets_mut(&mut self, at: usize, need: usize) -> &mut [u8] {
        &mut self.buffer.as_mut()[at..at + need]
    }

    /// Everything in the buffer.
    pub(super) fn octets(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Address of the record at offset `at`, which must be in the open block.
    #[inline]
    pub(super) fn address(&self, at: usize) -> Address {
        Address::new(self.start + self.block as u64, at - self.block)
    }

    /// Position of the block that takes records.
    pub(super) fn open_position(&self) -> u64 {
        self.start + self.block as u64
    }

    /// Octets of records that the open block still takes.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.limit - self.at
    }

    /// Position behind the last record.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.start + self.at as u64
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Octets of the buffer that sealed blocks take, and those of the open one.
    pub(super) fn used(&self) -> usize {
        if self.records == 0 {
            self.block
        } else {
            whole_pages(self.at)
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used() == 0
    }

    /// Makes a Settle record of the open block longer by as many, if that is possible. `newest` is
    /// the highest address of what is settled: a settle must not come before it in the log.
    #[inline]
    pub(super) fn merge_settle(&mut self, settle: &Settle, newest: Address) -> bool {
        let block = self.start + self.block as u64;
        let offset = self.block;
        let slot = &mut self.mergeable[settle.queue.0 as usize % MERGE_SLOTS];
        let run = &mut slot.run;
        let next = run.first.0.wrapping_add(u64::from(run.count));
        if slot.at == 0
            || run.queue != settle.queue
            || run.segment != settle.segment
            || next != settle.first.0
            || run.count > u32::MAX - settle.count
            || newest >= Address::new(block, slot.at - offset)
        {
            return false;
        }
        run.count += settle.count;
        run.write(&mut self.buffer.as_mut()[slot.at..]);
        true
    }

    /// The Settle and Copied records so far stay as they are: something behind them says what they
    /// said.
    pub(super) fn close_settles(&mut self) {
        self.mergeable = [NOTHING; MERGE_SLOTS];
        self.copied = None;
    }

    /// Makes the last Copied record of the open block longer, if that is possible. What was copied
    /// must lie in the open block.
    pub(super) fn merge_copied(&mut self, copied: &Copied) -> bool {
        let Some((run, at)) = &mut self.copied else { return false };
        if !run.extend(copied) {
            return false;
        }
        run.write(&mut self.buffer.as_mut()[*at..]);
        true
    }

    /// Writes a Copied record at `at` and remembers it for [`Batch::merge_copied`].
    pub(super) fn write_copied(&mut self, at: usize, copied: Copied) {
        copied.write(&mut self.buffer.as_mut()[at..]);
        self.copied = Some((copied, at));
    }

    /// Writes a Settle record at `at` and remembers it for [`Batch::merge_settle`].
    pub(super) fn write_settle(&mut self, at: usize, run: Settle) {
        run.write(&mut self.buffer.as_mut()[at..]);
        self.mergeable[run.queue.0 as usize % MERGE_SLOTS] = Mergeable { run, at };
    }
}
