//! Segment files: which are free, which are being made, which number comes next.

use std::collections::VecDeque;

use super::{FileId, IoFailure};

/// `errno` of a full disk (ENOSPC) and of an exhausted quota (EDQUOT): not a failure of the log.
const OUT_OF_SPACE: [i32; 2] = [28, 122];
/// How long to wait before a full disk is tried again.
const RETRY_DELAY_US: u64 = 200_000;

/// A file that is to be made.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    file: FileId,
    /// A segment waits for it already.
    taken: bool,
}

#[derive(Debug, Default)]
pub(super) struct Files {
    /// Whole, and holding nothing that is wanted.
    free: VecDeque<FileId>,
    /// To be made, in this order; the first one may be under way.
    wanted: VecDeque<Wanted>,
    /// Ticket of the creation under way.
    creating: Option<u64>,
    /// Files that a crash left half made: they are made again before others are.
    broken: Vec<FileId>,
    next: u32,
    retry_at_us: Option<u64>,
}

impl Files {
    /// `known`: highest number in the directory.
    pub(super) fn new(known: Option<FileId>, free: Vec<FileId>, broken: Vec<FileId>) -> Self {
        let next = known.map_or(1, |file| file.0 + 1);
        Files { free: free.into(), broken, next, ..Files::default() }
    }

    /// A file for the next segment. It may still have to be made: see [`Files::is_ready`].
    pub(super) fn take(&mut self) -> FileId {
        if let Some(file) = self.free.pop_front() {
            return file;
        }
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| !wanted.taken) {
            wanted.taken = true;
            return wanted.file;
        }
        self.want(true)
    }

    /// Sees to it that there will be a free file.
    pub(super) fn prepare(&mut self) {
        if self.free.is_empty() && self.wanted.iter().all(|wanted| wanted.taken) {
            self.want(false);
        }
    }

    fn want(&mut self, taken: bool) -> FileId {
        let file = self.broken.pop().unwrap_or_else(|| {
            let file = FileId(self.next);
            self.next += 1;
            file
        });
        self.wanted.push_back(Wanted { file, taken });
        file
    }

    /// True if it exists in full.
    pub(super) fn is_ready(&self, file: FileId) -> bool {
        self.wanted.iter().all(|wanted| wanted.file != file)
    }

    /// Files there are, if so many are in use by segments.
    pub(super) fn count(&self, used: usize) -> u64 {
        let missing = self.wanted.iter().filter(|wanted| wanted.taken).count();
        (used + self.free.len() - missing.min(used)) as u64
    }

    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Nothing in the file is wanted any more.
    pub(super) fn release(&mut self, file: FileId) {
        self.free.push_back(file);
    }

    /// A file to make now, if there is one.
    pub(super) fn next_creation(&mut self, ticket: u64, now_us: u64) -> Option<FileId> {
        if self.creating.is_some() || self.retry_at_us.is_some_and(|at| now_us < at) {
            return None;
        }
        let file = self.wanted.front()?.file;
        self.creating = Some(ticket);
        self.retry_at_us = None;
        Some(file)
    }

    /// The creation of that ticket is done. False: it is none of ours.
    pub(super) fn created(&mut self, ticket: u64) -> bool {
        if self.creating != Some(ticket) {
            return false;
        }
        self.creating = None;
        if let Some(Wanted { file, taken: false }) = self.wanted.pop_front() {
            self.free.push_back(file);
        }
        true
    }

    /// The creation of that ticket failed. `Some(file)` if that is final.
    pub(super) fn failed(
        &mut self,
        ticket: u64,
        now_us: u64,
        error: &IoFailure,
    ) -> Option<Result<(), FileId>> {
        if self.creating != Some(ticket) {
            return None;
        }
        self.creating = None;
        if error.code.is_some_and(|code| OUT_OF_SPACE.contains(&code)) {
            self.retry_at_us = Some(now_us + RETRY_DELAY_US);
            return Some(Ok(()));
        }
        Some(self.wanted.front().map_or(Ok(()), |wanted| Err(wanted.file)))
    }

    /// When a creation that found no space is to be tried again.
    pub(super) fn retry_at_us(&self) -> Option<u64> {
        self.retry_at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> IoFailure {
        IoFailure { code: Some(28), text: "no space".into() }
    }

    #[test]
    fn a_recycled_file_is_taken_before_a_new_one_is_made() {
        let mut files = Files::new(Some(FileId(4)), vec![FileId(2)], Vec::new());
        assert_eq!(files.take(), FileId(2));
        assert_eq!(files.take(), FileId(5));
        assert!(files.is_ready(FileId(2)) && !files.is_ready(FileId(5)));
        assert_eq!(files.next_creation(1, 0), Some(FileId(5)));
        assert_eq!(files.next_creation(2, 0), None, "one at a time");
        assert!(files.created(1));
        assert!(files.is_ready(FileId(5)) && !files.has_free());
    }

    #[test]
    fn a_file_made_ahead_is_free_until_taken() {
        let mut files = Files::new(None, Vec::new(), Vec::new());
        files.prepare();
        files.prepare();
        assert_eq!(files.next_creation(1, 0), Some(FileId(1)));
        assert!(files.created(1) && files.has_free());
        assert_eq!(files.take(), FileId(1));
        assert_eq!(files.next_creation(2, 0), None);
    }

    #[test]
    fn half_made_files_are_made_again() {
        let mut files = Files::new(Some(FileId(4)), Vec::new(), vec![FileId(3)]);
        assert_eq!(files.take(), FileId(3));
        assert!(!files.is_ready(FileId(3)));
    }

    #[test]
    fn a_full_disk_is_tried_again_and_other_failures_are_final() {
        let mut files = Files::new(None, Vec::new(), Vec::new());
        files.take();
        files.next_creation(1, 0);
        assert_eq!(files.failed(1, 10, &full()), Some(Ok(())));
        let at = files.retry_at_us().expect("a retry");
        assert_eq!(files.next_creation(2, at - 1), None);
        assert_eq!(files.next_creation(2, at), Some(FileId(1)));
        let broken = IoFailure { code: Some(5), text: "i/o".into() };
        assert_eq!(files.failed(2, at, &broken), Some(Err(FileId(1))));
    }
}
