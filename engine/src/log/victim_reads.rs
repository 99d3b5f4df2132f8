//! What copying forward reads of its victim: window after window, some under way at once, so that the device does not
//! wait for the copying nor the copying for each single read. Blocks are given out in order, whole and checked.
//!
//! Where one window ends and the next begins a block may be cut in two; it is put together from both (`Torn`). Nothing
//! of it goes into the cache: who copies comes by once.

use std::collections::VecDeque;

use super::format::PAGE_BYTES;
use super::readback::{Pending, Torn};
use super::segment::Segment;
use super::{Log, LogEffect, LogError, Memory};

/// Octets of a window, where segments are large enough.
const WINDOW_BYTES: u64 = 256 * 1024;
/// Windows that are under way or that nobody has gone through yet, at most, while publishers may have to wait for the
/// copying. No segment has fewer.
const WINDOWS_AHEAD: usize = 4;
/// The same while nobody waits: the device is there for others first, and what is sparse may empty by itself.
const WINDOWS_AT_LEISURE: usize = 1;

/// Whole blocks that follow one another.
#[derive(Debug)]
pub(super) struct Stretch<B> {
    buffer: B,
    /// Position of the buffer's first octet.
    origin: u64,
    /// Position behind the last block.
    pub end: u64,
}

impl<B: AsRef<[u8]>> Stretch<B> {
    /// Octets from the block at `position` on.
    pub(super) fn octets(&self, position: u64) -> &[u8] {
        let end = (self.end - self.origin) as usize;
        self.buffer.as_ref().get((position - self.origin) as usize..end).unwrap_or(&[])
    }
}

#[derive(Debug)]
struct Asked<B> {
    read: Pending,
    /// What it has brought.
    buffer: Option<B>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct VictimReads<B> {
    segment: u32,
    window_bytes: u64,
    /// Position of what is asked for next.
    next: u64,
    /// Position behind the victim's last block.
    limit: u64,
    asked: VecDeque<Asked<B>>,
    torn: Option<Torn<B>>,
    /// What has come, in order.
    come: VecDeque<Stretch<B>>,
}

impl<B> VictimReads<B> {
    /// Of a sealed segment that begins at `start`. Nothing, if it is not sealed.
    pub(super) fn new(victim: &Segment, start: u64, segment_bytes: u64) -> Self {
        let share = segment_bytes / WINDOWS_AHEAD as u64 / PAGE_BYTES as u64 * PAGE_BYTES as u64;
        let next = start + PAGE_BYTES as u64;
        VictimReads {
            segment: victim.number,
            window_bytes: share.clamp(PAGE_BYTES as u64, WINDOW_BYTES),
            next,
            limit: victim.sealed_end.unwrap_or(next),
            asked: VecDeque::new(),
            torn: None,
            come: VecDeque::new(),
        }
    }

    /// The blocks that are to be looked at next, if they have come. Of a small segment all have to: what is copied of each
    /// window would go out by itself, on a page of its own, and together they would be no shorter than the segment.
    pub(super) fn front(&self) -> Option<&Stretch<B>> {
        let is_there = !self.is_small() || self.next >= self.limit && self.asked.is_empty();
        self.come.front().filter(|_| is_there)
    }

    fn is_small(&self) -> bool {
        self.window_bytes < WINDOW_BYTES
    }

    /// All blocks of `front` have been looked at.
    pub(super) fn pop(&mut self) {
        self.come.pop_front();
    }

    /// All of the victim has been given out.
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.limit && self.asked.is_empty() && self.come.is_empty()
    }

    /// The read of that ticket, if it is one of these.
    pub(super) fn pending(&self, ticket: u64) -> Option<Pending> {
        let asked = self.asked.iter().find(|asked| asked.read.ticket == ticket);
        asked.map(|asked| asked.read)
    }

    fn arrived(&mut self, ticket: u64, buffer: B) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.read.ticket == ticket) {
            asked.buffer = Some(buffer);
        }
    }

    /// The next read in order, if that is over.
    fn next_arrived(&mut self) -> Option<(Pending, B)> {
        self.asked.front()?.buffer.as_ref()?;
        let Asked { read, buffer } = self.asked.pop_front()?;
        Some((read, buffer?))
    }

    /// What to read next, if it may be. Gives position and octets.
    fn wanted(&self, is_pressing: bool) -> Option<(u64, usize)> {
        let at_leisure = !is_pressing && !self.is_small();
        let ahead = if at_leisure { WINDOWS_AT_LEISURE } else { WINDOWS_AHEAD };
        let may_ask = self.asked.len() + self.come.len() < ahead;
        let left = self.limit.saturating_sub(self.next);
        (may_ask && left > 0).then(|| (self.next, left.min(self.window_bytes) as usize))
    }
}

impl<M: Memory> Log<M> {
    /// The next window of the victim, if it is to be read.
    pub(super) fn next_copy_read(&mut self) -> Option<LogEffect<M::Buffer>> {
        let reads = self.copying.reads()?;
        let (start, length) = reads.wanted(self.is_far_behind())?;
        let (segment, limit) = (reads.segment, reads.limit);
        let file = self.segments.get(segment)?.file;
        self.ticket += 1;
        let ticket = self.ticket;
        let read = Pending { ticket, segment, start, length, limit };
        if let Some(reads) = self.copying.reads_mut() {
            reads.next = read.end();
            reads.asked.push_back(Asked { read, buffer: None });
        }
        let offset = self.geometry.offset(start);
        Some(LogEffect::Read { ticket, file, offset, length })
    }

    /// The read of that ticket, if copying asked for it.
    pub(super) fn copy_read(&self, ticket: u64) -> Option<Pending> {
        self.copying.reads().and_then(|reads| reads.pending(ticket))
    }

    /// A read for copying has come back.
    pub(super) fn copy_read_done(
        &mut self,
        read: &Pending,
        buffer: M::Buffer,
    ) -> Result<(), LogError> {
        if self.segments.get(read.segment).is_none() {
            // Recycled meanwhile: the file may hold something else by now.
            self.victim_is_gone();
            return Ok(());
        }
        if let Some(reads) = self.copying.reads_mut() {
            reads.arrived(read.ticket, buffer);
        }
        // In the order in which they were asked for.
        while let Some((read, buffer)) =
            self.copying.reads_mut().and_then(VictimReads::next_arrived)
        {
            self.take_in_copy(&read, buffer)?;
        }
        Ok(())
    }

    fn take_in_copy(&mut self, read: &Pending, buffer: M::Buffer) -> Result<(), LogError> {
        let file = self.segments.get(read.segment).map(|victim| victim.file);
        let (Some(file), Some(reads)) = (file, self.copying.reads_mut()) else { return Ok(()) };
        let torn = reads.torn.take();
        let octets = &buffer.as_ref()[..buffer.as_ref().len().min(read.length)];
        let mut at = 0;
        if let Some(mut torn) = torn {
            at = torn.add(octets);
            if !torn.is_whole() {
                if octets.len() < read.length {
                    return Err(self.rot(file, read, at, "the file ends too early"));
                }
                reads.torn = Some(torn);
                return Ok(());
            }
            self.check_torn(file, read.limit, &torn)?;
            let Torn { start, buffer, length, .. } = torn;
            let block = Stretch { buffer, origin: start, end: start + length as u64 };
            if let Some(reads) = self.copying.reads_mut() {
                reads.come.push_back(block);
            }
        }
        let rest = read.behind(at);
        if rest.length == 0 {
            return Ok(());
        }
        let whole = self.whole_blocks(file, &rest, &octets[at..])?.unwrap_or(0);
        let torn = self.torn_behind(file, &rest, whole, &octets[at..])?;
        let torn = torn.map(|(start, length)| {
            let part = &octets[at + whole..];
            Torn::new(start, self.memory.allocate(length), length, part)
        });
        let Some(reads) = self.copying.reads_mut() else { return Ok(()) };
        reads.torn = torn;
        if whole > 0 {
            let end = rest.start + whole as u64;
            reads.come.push_back(Stretch { buffer, origin: read.start, end });
        }
        Ok(())
    }
}
