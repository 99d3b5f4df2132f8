//! Where bales go for which there is no memory: a scratch store of pages, outside of the engine.
//!
//! Nothing in it outlives the process: recovery makes the indexes anew. A [`Page`] can be neither
//! copied nor made up, so what is read is what was put, and what was freed is not read again.

/// Octets that a [`PageStore`] keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    place: u32,
    length: u32,
    checksum: u32,
}

impl Page {
    /// `octets` at a place that means something to the store alone.
    ///
    /// # Panics
    /// If there are 4 GiB of them.
    pub fn new(place: u32, octets: &[u8]) -> Page {
        let Ok(length) = u32::try_from(octets.len()) else {
            panic!("a page of {} octets", octets.len());
        };
        Page { place, length, checksum: crc32fast::hash(octets) }
    }

    pub fn place(&self) -> u32 {
        self.place
    }

    /// Octets.
    pub fn length(&self) -> usize {
        self.length as usize
    }

    /// True if these are the octets that were put.
    pub fn is(&self, octets: &[u8]) -> bool {
        octets.len() == self.length() && crc32fast::hash(octets) == self.checksum
    }
}

/// Keeps pages. Called on the shard's thread, which waits for it: once for thousands of messages.
pub trait PageStore: std::fmt::Debug {
    /// Keeps these octets. `None` if it cannot, for want of room or because a write failed: they
    /// stay in memory then, and another page may be tried.
    fn put(&mut self, octets: &[u8]) -> Option<Page>;

    /// The octets of a page. Does not come back if they cannot be had, or are others than were put
    /// ([`Page::is`]): where messages lie is not known any more, so the process must end. The next
    /// start reads it from the log.
    fn read(&self, page: &Page) -> Vec<u8>;

    /// The page is not wanted any more.
    fn free(&mut self, page: Page);

    /// Octets that the store takes where it keeps its pages.
    fn bytes(&self) -> u64;
}

/// A store that takes nothing: everything stays in memory.
#[derive(Debug)]
pub(super) struct NoPages;

impl PageStore for NoPages {
    fn put(&mut self, _octets: &[u8]) -> Option<Page> {
        None
    }

    fn read(&self, page: &Page) -> Vec<u8> {
        unreachable!("{page:?} was never put")
    }

    fn free(&mut self, page: Page) {
        unreachable!("{page:?} was never put")
    }

    fn bytes(&self) -> u64 {
        0
    }
}
