//! Blocks in memory: those written lately, and those read back. Looked up by page number.
//!
//! A *window* is one buffer with several blocks, either a batch that went to the device or the
//! result of a read. Windows leave first in, first out, those looked at since get one more round.
//! A window that is not durable yet stays: the device cannot give it back. One that has been read and that nobody has
//! looked at yet stays as well, until others would go out of memory for it, or as much has been read since as there is
//! memory: what is read ahead must not leave before what it was read for.
//!
//! Where consumers keep up nobody looks at a window again once all its messages are settled. It leaves before its
//! time then, so that the next batch is written into memory that is still in the core's own cache: going through
//! many megabytes for no use costs more than most of what is done for a message.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::{Rc, Weak};

use rustc_hash::FxHashMap;

use super::format::PAGE_BYTES;

/// Spare buffers kept for new batches.
const SPARE_MAX: usize = 4;
/// Windows that are looked at for each batch, whether they are settled: twice as many as are added.
const LOOKS: usize = 2;

#[derive(Debug)]
pub(super) struct Window<B> {
    pub buffer: Rc<B>,
    /// Page of the buffer's first octet.
    origin: u64,
    /// Page of its first block.
    pub first_page: u64,
    /// Position behind its last whole block.
    pub end: u64,
    touched: Cell<bool>,
    /// Somebody has looked at it, or had what is in it before it came here.
    looked_at: Cell<bool>,
    /// The run that has read it, until that knows that somebody has come here; 0: none.
    pub run: Cell<u64>,
    /// Octets that had been put in, this one included.
    since: Cell<u64>,
    /// All that may be wanted of it, if that is known.
    pub held: Option<References>,
}

/// References of one segment that follow one another.
#[derive(Clone, Debug)]
pub(super) struct References {
    pub segment: u32,
    pub numbers: Range<u32>,
}

impl<B: AsRef<[u8]>> Window<B> {
    /// What is being written, from page `first_page` on.
    pub(super) fn written(buffer: Rc<B>, first_page: u64, end: u64) -> Self {
        let (run, since, touched) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let looked_at = Cell::new(true);
        Window {
            buffer,
            origin: first_page,
            first_page,
            end,
            touched,
            looked_at,
            run,
            since,
            held: None,
        }
    }
    /// What a run has read. The buffer begins at page `origin`, its first whole block at `first_page`.
    pub(super) fn read(buffer: Rc<B>, origin: u64, first_page: u64, end: u64, run: u64) -> Self {
        let (run, looked_at) = (Cell::new(run), Cell::new(false));
        Window { origin, run, looked_at, ..Window::written(buffer, first_page, end) }
    }
    /// Octets from the start of the block at `page` on. `None`: outside the window.
    #[inline]
    pub(super) fn block(&self, page: u64) -> Option<&[u8]> {
        let offset = page.checked_sub(self.origin)? as usize * PAGE_BYTES;
        (*self.buffer).as_ref().get(offset..)
    }
    /// Octets of memory that it takes while nobody has looked at it.
    pub(super) fn awaited_bytes(&self) -> usize {
        if self.looked_at.get() {
            0
        } else {
            self.bytes()
        }
    }
    fn pages(&self) -> std::ops::Range<u64> {
        self.first_page..self.end / PAGE_BYTES as u64
    }
    pub(super) fn bytes(&self) -> usize {
        (*self.buffer).as_ref().len()
    }
}

#[derive(Debug)]
pub(super) struct Cache<B> {
    /// By the page that a block starts at. Pages inside a block name its window as well: nobody
    /// asks for them.
    by_page: FxHashMap<u64, Rc<Window<B>>>,
    windows: VecDeque<Rc<Window<B>>>,
    /// Index of the window that is to be looked at next by `drop_settled`.
    hand: usize,
    bytes: usize,
    bytes_max: usize,
    /// Octets of all windows that have been put in.
    inserted: u64,
    spare: Vec<B>,
    spare_bytes: usize,
}

impl<B: AsRef<[u8]>> Cache<B> {
    /// `spare_bytes`: size of the buffers that are worth keeping.
    pub(super) fn new(bytes_max: usize, spare_bytes: usize) -> Self {
        Cache {
            by_page: FxHashMap::default(),
            windows: VecDeque::new(),
            hand: 0,
            bytes: 0,
            bytes_max,
            inserted: 0,
            spare: Vec::new(),
            spare_bytes,
        }
    }

    pub(super) fn get(&self, page: u64) -> Option<&Rc<Window<B>>> {
        let window = self.by_page.get(&page)?;
        window.touched.set(true);
        window.looked_at.set(true);
        Some(window)
    }

    pub(super) fn contains(&self, page: u64) -> bool {
        self.by_page.contains_key(&page)
    }

    /// Adds a window, and takes out old ones that end below `durable` to make room.
    pub(super) fn insert(&mut self, window: Window<B>, durable: u64) -> Weak<Window<B>> {
        let window = Rc::new(window);
        self.bytes += window.bytes();
        self.inserted += window.bytes() as u64;
        window.since.set(self.inserted);
        for page in window.pages() {
            self.by_page.insert(page, Rc::clone(&window));
        }
        let newest = Rc::downgrade(&window);
        self.windows.push_back(window);
        self.make_room(durable);
        newest
    }

    fn make_room(&mut self, durable: u64) {
        let all = self.windows.len();
        let (inserted, young) = (self.inserted, self.bytes_max as u64);
        let is_newest = |window: &Window<B>| window.since.get() == inserted;
        let is_young = |window: &Window<B>| inserted - window.since.get() < young;
        // Those that are awaited have to go as well if that is not enough.
        for round in 0..2 * all {
            if self.bytes <= self.bytes_max {
                return;
            }
            let Some(window) = self.windows.pop_front() else { return };
            let is_awaited = round < all && !window.looked_at.get() && is_young(&window);
            // Somebody is about to look at the newest one.
            let stays = is_newest(&window) || window.end > durable || is_awaited;
            if stays || window.touched.replace(false) {
                self.windows.push_back(window);
            } else {
                self.forget(window);
            }
        }
    }

    /// Takes out windows that end below `durable` and of which nothing is wanted any more, if it finds some at a
    /// glance.
    pub(super) fn drop_settled(&mut self, durable: u64, is_settled: impl Fn(&Window<B>) -> bool) {
        for _ in 0..LOOKS.min(self.windows.len()) {
            self.hand = if self.hand < self.windows.len() { self.hand } else { 0 };
            let Some(window) = self.windows.get(self.hand) else { return };
            if window.end > durable || !is_settled(window) {
                self.hand += 1;
            } else if let Some(window) = self.windows.remove(self.hand) {
                self.forget(window);
            }
        }
    }

    fn forget(&mut self, window: Rc<Window<B>>) {
        self.bytes -= window.bytes();
        for page in window.pages() {
            if self.by_page.get(&page).is_some_and(|held| Rc::ptr_eq(held, &window)) {
                self.by_page.remove(&page);
            }
        }
        let buffer = Rc::into_inner(window).and_then(|window| Rc::into_inner(window.buffer));
        if let Some(buffer) = buffer {
            if buffer.as_ref().len() == self.spare_bytes && self.spare.len() < SPARE_MAX {
                self.spare.push(buffer);
            }
        }
    }

    /// A buffer that has left the cache.
    pub(super) fn spare(&mut self) -> Option<B> {
        self.spare.pop()
    }

    /// Octets of the buffers held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(first_page: u64, pages: usize) -> Window<Vec<u8>> {
        let bytes = pages * PAGE_BYTES;
        let end = first_page * PAGE_BYTES as u64 + bytes as u64;
        Window::written(Rc::new(vec![0; bytes]), first_page, end)
    }

    #[test]
    fn the_oldest_window_leaves_unless_it_was_looked_at() {
        let mut cache = Cache::new(4 * PAGE_BYTES, 2 * PAGE_BYTES);
        cache.insert(window(0, 2), u64::MAX);
        cache.insert(window(2, 2), u64::MAX);
        assert!(cache.get(0).is_some());
        cache.insert(window(4, 2), u64::MAX);
        assert!(cache.contains(0) && !cache.contains(2) && cache.contains(4));
        assert!(cache.bytes() <= 4 * PAGE_BYTES);
        assert!(cache.spare().is_some(), "its buffer is used again");
    }

    #[test]
    fn what_is_settled_leaves_though_there_is_room() {
        let mut cache = Cache::new(100 * PAGE_BYTES, PAGE_BYTES);
        (0..8).for_each(|page| drop(cache.insert(window(page, 1), u64::MAX)));
        for _ in 0..8 {
            cache.drop_settled(5 * PAGE_BYTES as u64, |window| window.first_page != 3);
        }
        let left: Vec<u64> = (0..8).filter(|page| cache.contains(*page)).collect();
        assert_eq!(left, [3, 5, 6, 7], "one is wanted, three are not durable");
        assert_eq!(cache.bytes(), 4 * PAGE_BYTES);
        assert!(cache.spare().is_some(), "a buffer is used again");
    }

    #[test]
    fn what_is_read_ahead_does_not_leave_before_what_has_been_looked_at() {
        let mut cache = Cache::new(4 * PAGE_BYTES, PAGE_BYTES);
        let read = |page: u64| {
            let end = (page + 1) * PAGE_BYTES as u64;
            Window::read(Rc::new(vec![0; PAGE_BYTES]), page, page, end, 1)
        };
        (0..4).for_each(|page| drop(cache.insert(read(page), u64::MAX)));
        assert!(cache.get(0).is_some() && cache.get(1).is_some());
        cache.insert(read(4), u64::MAX);
        cache.insert(read(5), u64::MAX);
        let left: Vec<u64> = (0..6).filter(|page| cache.contains(*page)).collect();
        assert_eq!(left, [2, 3, 4, 5], "what has been looked at has gone");
        cache.insert(read(6), u64::MAX);
        let left: Vec<u64> = (0..7).filter(|page| cache.contains(*page)).collect();
        assert_eq!(left, [3, 4, 5, 6], "there is no more memory than there is");
        assert!(cache.bytes() <= 4 * PAGE_BYTES);
    }

    #[test]
    fn what_is_not_durable_stays() {
        let mut cache = Cache::new(PAGE_BYTES, PAGE_BYTES);
        cache.insert(window(0, 1), 0);
        cache.insert(window(1, 1), 0);
        assert!(cache.contains(0) && cache.contains(1));
        cache.insert(window(2, 1), 2 * PAGE_BYTES as u64);
        assert!(!cache.contains(0) && !cache.contains(1) && cache.contains(2));
    }
}
