//! Reading back: from the open batch, from the cache, from the device.

use std::rc::Rc;

use super::block::{Block, Defect};
use super::cache::Window;
use super::format::{whole_pages, PAGE_BYTES};
use super::parts::{Assembly, Extent};
use super::readback::{Pending, SCATTERED_BYTES, WINDOW_BYTES, WINDOW_BYTES_MAX};
use super::reading::beginning_parts;
use super::record::{record_at, Malformed, MessageView, Payload, Record, KIND_MESSAGE};
use super::{Address, Fetch, FileId, IoFailure, Log, LogEffect, LogError, Memory, Stored};

/// Parts of a message that are asked for ahead of the one that is wanted next.
const PARTS_AHEAD: usize = 2;

impl<M: Memory> Log<M> {
    /// The message at `address`, whose record has `length` octets, as its append or its recovery
    /// said.
    ///
    /// # Panics
    /// If there is no message at that address, or none that lives: the caller's index is wrong.
    #[inline]
    pub fn fetch(&mut self, address: Address, length: u32) -> Fetch<'_> {
        if !self.assemblies.is_empty() && self.assemblies.get(address, Extent::Whole).is_some() {
            return self.fetch_whole(address);
        }
        if !self.locate(address, length) {
            return Fetch::Pending;
        }
        if !self.multiparts.is_empty() && self.names_parts(address) {
            return self.fetch_whole(address);
        }
        let message = self.message_at(address);
        let Payload::Inline(content) = message.payload else {
            panic!("{address:?} is that of a message in parts which nobody holds");
        };
        Fetch::Ready(no_message(address, message.stored(content)))
    }

    /// Asks for the message at `address`, which is going to be fetched soon, unlike its neighbours:
    /// of those that are wanted in another order than that of the log. Asking for several at once
    /// lets their reads go side by side.
    pub fn prefetch(&mut self, address: Address, length: u32) {
        let page = address.page();
        if page < self.batch.start() / PAGE_BYTES as u64 && !self.cache.contains(page) {
            let needed = whole_pages(address.offset() + length as usize).max(PAGE_BYTES);
            self.ask_for(address.block().0, SCATTERED_BYTES.max(needed as u64), true, false);
        }
    }

    /// The Message record at a located address.
    #[inline]
    pub(super) fn message_at(&self, address: Address) -> MessageView<'_> {
        let block = self.block_at(address.page());
        let (header, octets) = no_message(address, record_at(block, address.offset()));
        assert!(header.kind == KIND_MESSAGE, "{address:?} is not that of a message");
        no_message(address, MessageView::read(octets))
    }

    /// Whether it says that its content is elsewhere: asked before it is read, so that it is read once.
    #[inline]
    fn names_parts(&self, address: Address) -> bool {
        let octets = self.block_at(address.page()).get(address.offset()..);
        octets.is_some_and(MessageView::names_parts)
    }

    pub(super) fn record_at(&self, address: Address) -> Result<Record<'_>, Malformed> {
        let (header, octets) = record_at(self.block_at(address.page()), address.offset())?;
        Record::read(header, octets)
    }

    /// Octets from the start of a located block on.
    #[inline]
    fn block_at(&self, page: u64) -> &[u8] {
        let first = self.batch.start() / PAGE_BYTES as u64;
        let octets = if page >= first {
            self.batch.octets().get((page - first) as usize * PAGE_BYTES..)
        } else {
            self.memo.as_ref().and_then(|(_, window)| window.block(page))
        };
        octets.unwrap_or(&[])
    }

    /// True if the block of `address` is in memory: in the open batch, or now in `memo`. Asks
    /// for a read if not.
    #[inline]
    pub(super) fn locate(&mut self, address: Address, length: u32) -> bool {
        let page = address.page();
        if self.memo.as_ref().is_some_and(|(held, _)| *held == page)
            || page >= self.batch.start() / PAGE_BYTES as u64
        {
            return true;
        }
        let Some(window) = self.cache.get(page) else {
            self.ask(address, length);
            return false;
        };
        let window = Rc::clone(window);
        if window.from_device && !window.ahead.get() {
            self.read_ahead(&window, page);
        }
        self.memo = Some((page, window));
        true
    }

    /// Asks for what follows a window, once its second half is reached.
    fn read_ahead(&mut self, window: &Window<M::Buffer>, page: u64) {
        let end = window.end / PAGE_BYTES as u64;
        if page == window.first_page || page < (window.first_page + end) / 2 {
            return;
        }
        window.ahead.set(true);
        let segment = self.geometry.segment_of(window.end);
        let same = segment == self.geometry.segment_of(window.end - 1);
        if same && end < self.batch.start() / PAGE_BYTES as u64 && !self.cache.contains(end) {
            let length = window.end - window.first_page * PAGE_BYTES as u64;
            let wanted = (2 * length).clamp(WINDOW_BYTES, WINDOW_BYTES_MAX);
            self.ask_for(window.end, wanted, false, false);
        }
    }

    /// Asks for a window that begins with the block of `address` and reaches to the end of the
    /// record of `length` octets at least.
    pub(super) fn ask(&mut self, address: Address, length: u32) {
        let needed = whole_pages(address.offset() + length as usize).max(PAGE_BYTES);
        self.ask_for(address.block().0, WINDOW_BYTES.max(needed as u64), false, false);
    }

    /// As `ask`, however many octets are on their way.
    fn insist(&mut self, address: Address, length: u32) {
        let needed = whole_pages(address.offset() + length as usize).max(PAGE_BYTES);
        self.ask_for(address.block().0, WINDOW_BYTES.max(needed as u64), false, true);
    }

    fn ask_for(&mut self, start: u64, wanted: u64, scattered: bool, insists: bool) {
        if self.readback.covers(start / PAGE_BYTES as u64) {
            return;
        }
        let number = self.geometry.segment_of(start);
        let Some(segment) = self.segments.get(number) else { return };
        let durable = self.commit.durable();
        let limit = segment.sealed_end.map_or(durable, |end| end.min(durable));
        let Some(there) = limit.checked_sub(start).filter(|octets| *octets > 0) else { return };
        let length = there.min(wanted) as usize;
        if !insists && !self.readback.has_room(length) {
            return;
        }
        self.ticket += 1;
        let ticket = self.ticket;
        let offset = self.geometry.offset(start);
        self.reads.push_back(LogEffect::Read { ticket, file: segment.file, offset, length });
        self.readback.push(Pending { ticket, segment: number, start, length, limit, scattered });
    }

    /// Octets of a read have come: what is whole in them goes into the cache.
    pub(super) fn read_done(&mut self, ticket: u64, buffer: M::Buffer) -> Result<(), LogError> {
        if let Some(read) = self.copying.take_read(ticket) {
            return self.copy_read_done(&read, buffer);
        }
        let Some(read) = self.readback.take(ticket) else { return Ok(()) };
        self.assemblies.read_done();
        // Recycled meanwhile: nobody wants it, and the file may hold something else by now.
        let Some(segment) = self.segments.get(read.segment) else { return Ok(()) };
        let end = match self.whole_blocks(segment.file, &read, buffer.as_ref())? {
            Ok(octets) => read.start + octets as u64,
            Err(needed) => {
                let wanted = match read.scattered {
                    true => SCATTERED_BYTES,
                    false => WINDOW_BYTES,
                };
                self.ask_for(read.start, wanted.max(needed as u64), read.scattered, false);
                return Ok(());
            }
        };
        let first_page = read.start / PAGE_BYTES as u64;
        let window = Window::new(Rc::new(buffer), first_page, end, true);
        window.ahead.set(read.scattered);
        self.cache.insert(window, self.commit.durable());
        Ok(())
    }

    /// Octets of the whole blocks that a read from `file` has brought; `Err`: octets that the
    /// first one has, if there are not enough of them.
    pub(super) fn whole_blocks(
        &self,
        file: FileId,
        read: &Pending,
        octets: &[u8],
    ) -> Result<Result<usize, usize>, LogError> {
        let octets = &octets[..octets.len().min(read.length)];
        let rot = |at: usize, what| LogError::Rot {
            file: file.0,
            offset: self.geometry.offset(read.start) + at as u64,
            durable: read.limit,
            what,
        };
        let mut at = 0;
        while at < octets.len() {
            match Block::open(&octets[at..], read.start + at as u64, Some(self.stamp.log)) {
                Ok(block) => at += block.length(),
                Err(Defect::Cut(_)) if octets.len() < read.length => {
                    return Err(rot(at, "the file ends too early"));
                }
                Err(Defect::Cut(_)) if at > 0 => break,
                Err(Defect::Cut(needed)) => {
                    if read.start + needed as u64 > read.limit {
                        return Err(rot(at, "a block longer than what was written"));
                    }
                    return Ok(Err(needed));
                }
                Err(Defect::Bad(what)) => return Err(rot(at, what)),
            }
        }
        match at {
            0 => Err(rot(0, "the file ends too early")),
            _ => Ok(Ok(at)),
        }
    }

    pub(super) fn read_failed(&mut self, ticket: u64, error: IoFailure) -> Result<(), LogError> {
        let read = self.copying.take_read(ticket).or_else(|| self.readback.take(ticket));
        let Some(read) = read else { return Ok(()) };
        let Some(segment) = self.segments.get(read.segment) else { return Ok(()) };
        let offset = self.geometry.offset(read.start);
        Err(LogError::Read { file: segment.file.0, offset, error })
    }

    #[cold]
    fn fetch_whole(&mut self, address: Address) -> Fetch<'_> {
        self.fetch_parts(address, Extent::Whole)
            .map_or(Fetch::Pending, |(stored, _)| Fetch::Ready(stored))
    }

    /// A message in parts, or what comes before its body: put together as they come, kept while it is
    /// wanted. Beside it the octets of body that it does not have.
    pub(super) fn fetch_parts(
        &mut self,
        address: Address,
        extent: Extent,
    ) -> Option<(Stored<'_>, u64)> {
        let mut assembly = match self.assemblies.take(address, extent) {
            Some(assembly) => assembly,
            None => {
                let assembly = self.begin_assembly(address, extent);
                let has_room = extent == Extent::Beginning
                    || self.assemblies.has_room(assembly.reserved_bytes());
                if !has_room && !self.readback.is_empty() {
                    // It would be pushed out before it is whole: others are finished first.
                    return None;
                }
                assembly
            }
        };
        let comes_first = self.assemblies.comes_first(&assembly);
        while let Some((part, length)) = assembly.next() {
            if !self.locate(part, length) {
                if comes_first {
                    // Nor must those that wait for its room keep it from being read.
                    self.insist(part, length);
                }
                break;
            }
            assembly.add(self.part_at(part));
        }
        for (part, length) in assembly.later().take(PARTS_AHEAD) {
            self.ask_ahead(part, length);
        }
        self.assemblies.put(assembly);
        let all = self.assemblies.get(address, extent);
        let assembly = all.filter(|assembly| assembly.next().is_none())?;
        let message = no_message(address, MessageView::read(assembly.record()));
        Some(match extent {
            Extent::Whole => (no_message(address, message.stored(assembly.content())), 0),
            Extent::Beginning => {
                let stored = no_message(address, message.beginning(assembly.content()));
                (stored, message.body_bytes())
            }
        })
    }

    fn begin_assembly(&self, address: Address, extent: Extent) -> Assembly {
        let (_, record) =
            no_message(address, record_at(self.block_at(address.page()), address.offset()));
        let message = self.message_at(address);
        let parts = match message.payload {
            Payload::Inline(_) => &[],
            Payload::Parts(parts) => match extent {
                Extent::Whole => parts,
                Extent::Beginning => &parts[..beginning_parts(&message).unwrap_or(parts.len())],
            },
        };
        let parts = parts.iter().map(|part| (part.address(), part.length())).collect();
        Assembly::new(address, extent, record, parts)
    }
}

/// The block's checksum was right, so an address that leads nowhere is the caller's.
pub(super) fn no_message<T>(address: Address, read: Result<T, Malformed>) -> T {
    match read {
        Ok(read) => read,
        Err(Malformed(what)) => panic!("{address:?} does not lead to a record: {what}"),
    }
}
