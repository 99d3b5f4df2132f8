//! The slots of a chunk that holds few messages: a part of it, which grows with them.
//!
//! Most queues are short. Ten thousand of them with a message each would take thirty megabytes if each
//! had a whole chunk for it, and clearing that memory took longer than all else about the messages.

use super::pool::CHUNK;
use super::slot::{Slot, State};

/// Slots of a window: of the first one, and of the one that takes its place.
pub(super) const WIDTHS: [usize; 2] = [8, 32];

/// See the module. Outside of it all slots of the chunk are dead.
#[derive(Debug)]
pub(super) struct Window {
    /// Offset of its first slot in the chunk.
    start: u32,
    slots: Box<[Slot]>,
}

/// Which window to make: which of [`WIDTHS`], and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) width: usize,
    start: u32,
}

impl Place {
    /// The least one, from that offset on if there is so much of the chunk.
    pub(super) fn first(offset: usize) -> Place {
        Place::from(0, offset)
    }

    fn from(width: usize, offset: usize) -> Place {
        Place { width, start: offset.min(CHUNK as usize - WIDTHS[width]) as u32 }
    }
}

impl Window {
    /// Of dead slots.
    pub(super) fn new(place: Place) -> Window {
        let slots = vec![Slot::DEAD; WIDTHS[place.width]].into_boxed_slice();
        Window { start: place.start, slots }
    }

    /// The same memory elsewhere; it must be as wide. All slots must be dead.
    pub(super) fn again(self, place: Place) -> Window {
        debug_assert_eq!(self.slots.len(), WIDTHS[place.width]);
        Window { start: place.start, ..self }
    }

    /// A wider one, with that offset in it as well. `None`: it would be a whole chunk.
    pub(super) fn wider(&self, offset: usize) -> Option<Place> {
        let start = offset.min(self.start as usize);
        let end = (offset + 1).max(self.start as usize + self.slots.len());
        let suits = |width: &usize| end - start <= WIDTHS[*width];
        (self.width() + 1..WIDTHS.len()).find(suits).map(|width| Place::from(width, start))
    }

    /// Which of [`WIDTHS`] it has.
    pub(super) fn width(&self) -> usize {
        usize::from(self.slots.len() > WIDTHS[0])
    }

    /// Takes the slots of one that has its place within this one.
    pub(super) fn take_over(&mut self, narrow: &Window) {
        let at = (narrow.start - self.start) as usize;
        self.slots[at..at + narrow.slots.len()].copy_from_slice(&narrow.slots);
    }

    /// The slot at that offset of the chunk, if it is in the window.
    #[inline]
    pub(super) fn get(&self, offset: usize) -> Option<&Slot> {
        self.slots.get(offset.wrapping_sub(self.start as usize))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, offset: usize) -> Option<&mut Slot> {
        self.slots.get_mut(offset.wrapping_sub(self.start as usize))
    }

    /// Its slots from that offset of the chunk on.
    #[inline]
    pub(super) fn slots_from(&mut self, offset: usize) -> Option<&mut [Slot]> {
        self.slots.get_mut(offset.checked_sub(self.start as usize)?..)
    }

    /// Slots, and where the first of them is in the chunk.
    pub(super) fn slots(&self) -> (usize, &[Slot]) {
        (self.start as usize, &self.slots)
    }

    pub(super) fn any(&self, state: State) -> bool {
        self.slots.iter().any(|slot| slot.state() == state)
    }

    /// All slots are dead from now on.
    pub(super) fn clear(&mut self) {
        self.slots.fill(Slot::DEAD);
    }

    /// Octets of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::slot;

    fn slot(address: u64) -> Slot {
        Slot::ready(slot::Place::Log { address, length: 64, reference: 1 }, 10, false)
    }

    #[test]
    fn a_window_grows_around_what_is_in_it() {
        let mut window = Window::new(Place::first(90));
        assert_eq!((window.slots().0, window.slots().1.len()), (90, WIDTHS[0]));
        *window.get_mut(91).unwrap() = slot(7);
        assert!(window.get(89).is_none() && window.get(98).is_none());
        for (offset, start) in [(98, 90), (121, 90), (66, 66)] {
            let mut wider = Window::new(window.wider(offset).unwrap());
            wider.take_over(&window);
            assert_eq!((wider.slots().0, wider.slots().1.len()), (start, WIDTHS[1]));
            assert_eq!(wider.get(91), Some(&slot(7)));
            let others = (start..start + WIDTHS[1]).filter(|at| *at != 91);
            assert!(others.map(|at| wider.get(at)).all(|held| held == Some(&Slot::DEAD)));
            assert!(wider.wider(0).is_none(), "that is a whole chunk");
        }
        assert!(window.wider(122).is_none() && window.wider(65).is_none());
    }

    #[test]
    fn every_offset_of_a_chunk_has_a_window_in_it() {
        for offset in 0..CHUNK as usize {
            let window = Window::new(Place::first(offset));
            assert!(window.get(offset).is_some());
            let (start, slots) = window.slots();
            assert!(start + slots.len() <= CHUNK as usize);
            assert!(window.again(Place::first(offset ^ 64)).get(offset ^ 64).is_some());
        }
    }
}
