//! Writes: those that wait, those in flight, and how far the log is durable without a gap.
//!
//! Writes go out in log order and may complete in any. The first write to a segment waits until
//! everything before it is durable (section "Segments" of docs/log-format.md), so that only the
//! newest segment can ever have a torn end.

use std::collections::VecDeque;
use std::rc::Rc;

use super::FileId;

/// A closed batch.
#[derive(Debug)]
pub(super) struct Closed<B> {
    pub segment: u32,
    pub file: FileId,
    /// Offset in the file.
    pub offset: u64,
    /// Position behind its last block.
    pub end: u64,
    pub buffer: Rc<B>,
    pub length: usize,
}

#[derive(Debug)]
struct InFlight {
    ticket: u64,
    file: FileId,
    offset: u64,
    end: u64,
    done: bool,
}

#[derive(Debug)]
pub(super) struct Commit<B> {
    waiting: VecDeque<Closed<B>>,
    waiting_bytes: usize,
    in_flight: VecDeque<InFlight>,
    in_flight_max: usize,
    durable: u64,
    /// Segment of the latest write.
    segment: u32,
}

impl<B> Commit<B> {
    /// Everything below `durable` is on stable storage; `segment` is written to.
    pub(super) fn new(durable: u64, segment: u32, in_flight_max: usize) -> Self {
        Commit {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: VecDeque::new(),
            in_flight_max: in_flight_max.max(1),
            durable,
            segment,
        }
    }

    pub(super) fn push(&mut self, batch: Closed<B>) {
        self.waiting_bytes += batch.length;
        self.waiting.push_back(batch);
    }

    /// The next write, if one may go out. `is_ready`: whether a file exists yet.
    pub(super) fn next(
        &mut self,
        ticket: u64,
        is_ready: impl Fn(FileId) -> bool,
    ) -> Option<Closed<B>> {
        if self.in_flight.len() >= self.in_flight_max {
            return None;
        }
        let batch = self.waiting.front()?;
        let same_segment = batch.segment == self.segment;
        if !(same_segment || self.in_flight.is_empty()) || !is_ready(batch.file) {
            return None;
        }
        let batch = self.waiting.pop_front()?;
        self.waiting_bytes -= batch.length;
        self.segment = batch.segment;
        let Closed { file, offset, end, .. } = batch;
        self.in_flight.push_back(InFlight { ticket, file, offset, end, done: false });
        Some(batch)
    }

    /// A write is done. `None`: no write has that ticket; else whether `durable` advanced.
    pub(super) fn written(&mut self, ticket: u64) -> Option<bool> {
        let write = self.in_flight.iter_mut().find(|write| write.ticket == ticket)?;
        write.done = true;
        let before = self.durable;
        while self.in_flight.front().is_some_and(|write| write.done) {
            if let Some(write) = self.in_flight.pop_front() {
                assert!(write.end > self.durable, "writes go out in log order");
                self.durable = write.end;
            }
        }
        Some(self.durable > before)
    }

    /// File and offset of the write with that ticket.
    pub(super) fn place(&self, ticket: u64) -> Option<(FileId, u64)> {
        let write = self.in_flight.iter().find(|write| write.ticket == ticket)?;
        Some((write.file, write.offset))
    }

    /// Nothing waits and nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(segment: u32, end: u64) -> Closed<()> {
        let file = FileId(segment);
        Closed { segment, file, offset: 0, end, buffer: Rc::new(()), length: 10 }
    }

    #[test]
    fn durable_advances_over_the_contiguous_prefix_only() {
        let mut commit = Commit::new(0, 0, 4);
        for n in 1..=3 {
            commit.push(batch(0, n * 10));
            assert!(commit.next(n, |_| true).is_some());
        }
        assert_eq!(commit.written(2), Some(false));
        assert_eq!(commit.durable(), 0);
        assert_eq!(commit.written(1), Some(true));
        assert_eq!(commit.durable(), 20);
        assert_eq!(commit.written(3), Some(true));
        assert_eq!(commit.durable(), 30);
        assert_eq!(commit.written(3), None, "a second completion is none");
    }

    #[test]
    fn a_new_segment_waits_for_everything_before_it() {
        let mut commit = Commit::new(0, 0, 4);
        commit.push(batch(0, 10));
        commit.push(batch(1, 20));
        assert!(commit.next(1, |_| true).is_some());
        assert!(commit.next(2, |_| true).is_none());
        commit.written(1);
        assert!(commit.next(2, |_| false).is_none(), "its file does not exist yet");
        assert!(commit.next(2, |_| true).is_some());
    }
}
