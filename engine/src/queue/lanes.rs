//! The lanes of a queue, by falling priority.
//!
//! Nearly every queue has one, and has it in its own memory: what a message of one of ten thousand queues costs is what
//! has to come into the core's cache for it, one thing after the other. Further ones are made with the first message.

use std::ops::{Index, IndexMut};

use super::lane::Lane;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    first: Lane,
    rest: Box<[Lane]>,
}

impl Lanes {
    /// At least one.
    #[inline]
    pub(super) fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// Makes it so many, the new ones empty.
    #[cold]
    pub(super) fn extend_to(&mut self, count: usize) {
        let mut rest = std::mem::take(&mut self.rest).into_vec();
        rest.resize_with(count.saturating_sub(1), Lane::default);
        self.rest = rest.into_boxed_slice();
    }

    /// No message has ever come in.
    pub(super) fn is_unused(&self) -> bool {
        self.iter().all(Lane::is_unused)
    }

    #[inline]
    pub(super) fn get(&self, lane: usize) -> Option<&Lane> {
        match lane.checked_sub(1) {
            None => Some(&self.first),
            Some(lane) => self.rest.get(lane),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        std::iter::once(&mut self.first).chain(&mut self.rest)
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = Lane> {
        std::iter::once(self.first).chain(self.rest)
    }
}

/// From the first one on.
impl FromIterator<Lane> for Lanes {
    fn from_iter<T: IntoIterator<Item = Lane>>(lanes: T) -> Lanes {
        let mut lanes = lanes.into_iter();
        Lanes { first: lanes.next().unwrap_or_default(), rest: lanes.collect() }
    }
}

impl Index<usize> for Lanes {
    type Output = Lane;

    #[inline]
    fn index(&self, lane: usize) -> &Lane {
        match lane.checked_sub(1) {
            None => &self.first,
            Some(lane) => &self.rest[lane],
        }
    }
}

impl IndexMut<usize> for Lanes {
    #[inline]
    fn index_mut(&mut self, lane: usize) -> &mut Lane {
        match lane.checked_sub(1) {
            None => &mut self.first,
            Some(lane) => &mut self.rest[lane],
        }
    }
}
