//! The live segments, in order: those that hold something wanted, and the one written to.

use super::segment::Segment;

#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    /// Ascending by number; the last one is written to.
    live: Vec<Segment>,
    /// Index of the segment looked up last: settles of a queue come segment by segment.
    last: usize,
}

impl Segments {
    /// Adds a segment with a higher number than all others.
    pub(super) fn push(&mut self, segment: Segment) {
        debug_assert!(self.live.last().is_none_or(|last| last.number < segment.number));
        self.live.push(segment);
    }

    #[inline]
    fn index(&self, number: u32) -> Option<usize> {
        if self.live.get(self.last).is_some_and(|segment| segment.number == number) {
            return Some(self.last);
        }
        self.live.binary_search_by_key(&number, |segment| segment.number).ok()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Segment> {
        self.index(number).map(|index| &self.live[index])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Segment> {
        self.last = self.index(number)?;
        Some(&mut self.live[self.last])
    }

    /// The segment that is written to.
    ///
    /// # Panics
    /// If there is none: a log always has one.
    #[inline]
    pub(super) fn tail(&self) -> &Segment {
        self.live.last().expect("a log has a segment that it writes to")
    }

    /// See [`Segments::tail`].
    #[inline]
    pub(super) fn tail_mut(&mut self) -> &mut Segment {
        self.live.last_mut().expect("a log has a segment that it writes to")
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Segment> {
        let index = self.index(number)?;
        self.last = 0;
        Some(self.live.remove(index))
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.live.iter()
    }
}
