//! Reading back: from the open batch, from the cache, from the device.

use std::rc::Rc;

use super::format::PAGE_BYTES;
use super::parts::{Assembly, Extent};
use super::reading::beginning_parts;
use super::record::{record_at, Malformed, MessageView, Payload, Record, KIND_MESSAGE};
use super::{Address, Fetch, Log, Memory, Stored};

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
        if window.run.get() != 0 {
            self.looked_at(&window, page);
        }
        self.memo = Some((page, window));
        true
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
