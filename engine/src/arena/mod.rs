//! Memory for messages that need no log: transient ones, and those of queues that die with the
//! process.
//!
//! Pages of fixed size, filled in order, freed whole when all in them is released; no allocation
//! per message. A message larger than a page gets a page of its own. The page being filled starts
//! over when everything in it has gone, so a queue that is kept short lives in a few kilobytes of
//! warm memory. Owned by one shard; knows nothing of queues: an entry lives until as many
//! releases as it has references.

mod entry;
mod page;

use crate::log::Stored;
use crate::message::MessageRef;
use crate::now::Now;
use entry::{Entry, HEAD_BYTES};
use page::Page;

/// Page number in the upper half, offset of the entry in the lower one. The top bit is never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArenaAddress(pub u64);

impl ArenaAddress {
    fn new(page: u32, offset: u32) -> Self {
        ArenaAddress((u64::from(page) << 32) | u64::from(offset))
    }
    fn page(self) -> usize {
        (self.0 >> 32) as usize
    }
    fn offset(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// Octets of an ordinary page: a thousand messages of 64 octets, and two of them in a core's
/// second-level cache with room to spare.
const PAGE_BYTES: usize = 64 * 1024;
/// Free pages kept for the next burst; more are given back.
const SPARE_PAGES_MAX: usize = 16;

/// Octets that a message with a body of so many takes.
#[inline]
fn needed_bytes(message: &MessageRef<'_>, body_bytes: usize) -> usize {
    let beside = message.exchange.len() + message.routing_key.len() + message.properties.len();
    HEAD_BYTES + beside + body_bytes
}

/// See the module.
#[derive(Debug, Default)]
pub struct Arena {
    pages: Vec<Option<Page>>,
    /// Numbers in `pages` that hold nothing.
    vacant: Vec<u32>,
    /// Cleared ordinary pages.
    spare: Vec<Page>,
    /// The page that is being filled.
    open: Option<u32>,
    bytes: usize,
    messages: u64,
}

impl Arena {
    pub fn new() -> Self {
        Arena::default()
    }

    /// Stores a message that `references` queues hold.
    ///
    /// # Panics
    /// With no references: nobody would ever release the entry.
    #[inline]
    pub fn append(&mut self, now: Now, message: &MessageRef<'_>, references: u32) -> ArenaAddress {
        assert!(references > 0, "an arena entry without references would never be released");
        let entry = Entry::of(now, message);
        let number = self.page_for(&entry);
        let offset = self.page_mut(number).append(&entry, message, references);
        ArenaAddress::new(number, offset)
    }

    /// As [`Arena::append`], of a message whose body is these pieces and not the one it has. Each
    /// is given up when it has been copied, so that there is never more than one of them twice.
    pub fn append_pieces(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        pieces: Vec<Vec<u8>>,
        references: u32,
    ) -> ArenaAddress {
        assert!(references > 0, "an arena entry without references would never be released");
        let bodiless = MessageRef { body: &[], ..*message };
        let body_bytes = pieces.iter().map(Vec::len).sum();
        let entry = Entry::of(now, &bodiless).with_body(body_bytes);
        let number = self.page_for(&entry);
        let page = self.page_mut(number);
        let offset = page.append(&entry, &bodiless, references);
        for piece in pieces {
            page.extend(&piece);
        }
        ArenaAddress::new(number, offset)
    }

    /// The page that takes one more message.
    #[inline]
    fn page_for(&mut self, entry: &Entry) -> u32 {
        self.messages += 1;
        match entry.total_bytes() {
            needed if needed > PAGE_BYTES => self.add_page(Page::with_capacity(needed)),
            needed => self.room(needed),
        }
    }

    /// The message at an address that has not been released by all its holders.
    #[inline]
    pub fn get(&self, address: ArenaAddress) -> Stored<'_> {
        match &self.pages[address.page()] {
            Some(page) => page.get(address.offset()),
            None => panic!("arena address {address:?} has been released already"),
        }
    }

    /// One of the references is gone.
    #[inline]
    pub fn release(&mut self, address: ArenaAddress) {
        let number = address.page();
        let Some(page) = &mut self.pages[number] else {
            panic!("arena address {address:?} released once too often");
        };
        if !page.release(address.offset()) {
            return;
        }
        self.messages -= 1;
        if page.is_empty() {
            if self.open == Some(number as u32) {
                page.clear();
            } else {
                self.retire(number);
            }
        }
    }

    /// True if the arena can take the message and hold `bytes_max` octets at most. The limit is asked for only if the
    /// page that is being filled does not do: it costs more to know than most messages need.
    #[inline]
    pub fn has_room(&self, message: &MessageRef<'_>, bytes_max: impl FnOnce() -> usize) -> bool {
        self.fits_in_open_page(needed_bytes(message, message.body.len()))
            || self.has_room_with_body(message, message.body.len(), bytes_max())
    }

    /// As [`Arena::has_room`], of a message with a body of so many octets.
    #[inline]
    pub fn has_room_with_body(
        &self,
        message: &MessageRef<'_>,
        body_bytes: usize,
        bytes_max: usize,
    ) -> bool {
        let needed = needed_bytes(message, body_bytes);
        self.bytes + needed.max(PAGE_BYTES) <= bytes_max
            || self.fits_in_open_page(needed)
            || (needed <= PAGE_BYTES && !self.spare.is_empty())
    }

    #[inline]
    fn fits_in_open_page(&self, needed: usize) -> bool {
        let open = self.open.and_then(|number| self.pages[number as usize].as_ref());
        open.is_some_and(|page| page.free() >= needed)
    }

    /// Octets of pages held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that somebody still holds.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Number of an ordinary page with that many octets free.
    fn room(&mut self, needed: usize) -> u32 {
        if let Some(number) = self.open {
            if self.page_mut(number).free() >= needed {
                return number;
            }
            self.open = None;
        }
        let page = match self.spare.pop() {
            Some(page) => {
                self.bytes -= page.capacity();
                page
            }
            None => Page::with_capacity(PAGE_BYTES),
        };
        let number = self.add_page(page);
        self.open = Some(number);
        number
    }

    fn add_page(&mut self, page: Page) -> u32 {
        self.bytes += page.capacity();
        match self.vacant.pop() {
            Some(number) => {
                self.pages[number as usize] = Some(page);
                number
            }
            None => {
                self.pages.push(Some(page));
                (self.pages.len() - 1) as u32
            }
        }
    }

    fn page_mut(&mut self, number: u32) -> &mut Page {
        match &mut self.pages[number as usize] {
            Some(page) => page,
            None => unreachable!("the arena fills a page that it does not hold"),
        }
    }

    /// Takes an empty page out of use.
    fn retire(&mut self, number: usize) {
        let Some(mut page) = self.pages[number].take() else { return };
        self.vacant.push(number as u32);
        if page.capacity() == PAGE_BYTES && self.spare.len() < SPARE_PAGES_MAX {
            page.clear();
            self.spare.push(page);
        } else {
            self.bytes -= page.capacity();
        }
    }
}

#[cfg(test)]
mod tests;
