//! Segment files: which are free, which are being made, which number comes next.

use std::collections::VecDeque;

use super::{FileId, IoFailure};

/// `errno` of a full disk (ENOSPC) and of an exhausted quota (EDQUOT): not a failure of the log.
const OUT_OF_SPACE: [i32; 2] = [28, 122];
/// How long to wait before a full disk is tried again.
const RETRY_DELAY_US: u64 = 200_000;

/// Free files that only settles, definitions and copies may take, so that they can go on when the
/// disk is full: these give space back.
const RESERVE: usize = 1;

/// A file that nothing in is wanted of.
#[derive(Clone, Copy, Debug)]
struct Free {
    file: FileId,
    /// Position at which it is sure that nothing in it is wanted.
    since: u64,
}

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
    free: VecDeque<Free>,
    /// To be made, in this order; the first one may be under way.
    wanted: VecDeque<Wanted>,
    /// Ticket of the creation under way.
    creating: Option<u64>,
    /// Files that a crash left half made: they are made again before others are.
    broken: Vec<FileId>,
    next: u32,
    retry_at_us: Option<u64>,
    /// The latest creation found no space.
    is_starved: bool,
    /// Ticket of the deletion under way.
    deleting: Option<u64>,
}

impl Files {
    /// `known`: highest number in the directory.
    pub(super) fn new(known: Option<FileId>, free: Vec<FileId>, broken: Vec<FileId>) -> Self {
        let next = known.map_or(1, |file| file.0 + 1);
        let free = free.into_iter().map(|file| Free { file, since: 0 }).collect();
        Files { free, broken, next, ..Files::default() }
    }

    /// A file for the next segment. It may still have to be made: see [`Files::is_ready`].
    pub(super) fn take(&mut self) -> FileId {
        if let Some(free) = self.free.pop_front() {
            return free.file;
        }
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| !wanted.taken) {
            wanted.taken = true;
            return wanted.file;
        }
        self.want(true)
    }

    /// Sees to it that there will be a free file, beside the reserve.
    pub(super) fn prepare(&mut self) {
        let coming = self.wanted.iter().filter(|wanted| !wanted.taken).count();
        for _ in self.free.len() + coming..=RESERVE {
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

    pub(super) fn free(&self) -> u64 {
        self.free.len() as u64
    }

    /// There is a free file beside the reserve.
    pub(super) fn has_spare(&self) -> bool {
        self.free.len() > RESERVE
    }

    /// The disk has no room for the file that is wanted.
    pub(super) fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Nothing in the file is wanted any more, which is durable at `since`.
    pub(super) fn release(&mut self, file: FileId, since: u64) {
        self.free.push_back(Free { file, since });
        if self.has_spare() && self.wanted.iter().all(|wanted| !wanted.taken) {
            // Enough again without another one.
            self.give_up();
        }
    }

    /// Files that no segment waits for need not be made any more.
    fn give_up(&mut self) {
        if self.creating.is_none() && self.is_starved {
            let unmade = self.wanted.drain(..).map(|wanted| wanted.file);
            self.broken.extend(unmade);
            self.is_starved = false;
            self.retry_at_us = None;
        }
    }

    /// A free file to delete, if there are more files than `files_max`. `used`: files of segments.
    pub(super) fn next_deletion(
        &mut self,
        ticket: u64,
        used: u64,
        files_max: u64,
        durable: u64,
    ) -> Option<FileId> {
        // What would be made again at once stays.
        let too_many = self.free.len() > RESERVE + 1 && used + self.free() > files_max;
        if !too_many || self.deleting.is_some() {
            return None;
        }
        // A file that the log on disk still names must not go.
        let index = self.free.iter().rposition(|free| free.since <= durable)?;
        self.deleting = Some(ticket);
        self.free.remove(index).map(|free| free.file)
    }

    /// The deletion of that ticket is over.
    pub(super) fn deleted(&mut self, ticket: u64) {
        if self.deleting == Some(ticket) {
            self.deleting = None;
        }
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
        self.is_starved = false;
        if let Some(Wanted { file, taken: false }) = self.wanted.pop_front() {
            self.free.push_back(Free { file, since: 0 });
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
        if self.deleting == Some(ticket) {
            // It stays, and is found at the next start.
            self.deleting = None;
            return Some(Ok(()));
        }
        if self.creating != Some(ticket) {
            return None;
        }
        self.creating = None;
        if error.code.is_some_and(|code| OUT_OF_SPACE.contains(&code)) {
            self.retry_at_us = Some(now_us + RETRY_DELAY_US);
            self.is_starved = true;
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
        assert!(files.is_ready(FileId(5)) && files.free() == 0);
    }

    #[test]
    fn a_file_made_ahead_is_free_until_taken() {
        let mut files = Files::new(None, Vec::new(), Vec::new());
        files.prepare();
        files.prepare();
        assert_eq!(files.next_creation(1, 0), Some(FileId(1)));
        assert!(files.created(1) && files.free() == 1 && !files.has_spare());
        assert_eq!(files.next_creation(2, 0), Some(FileId(2)));
        assert!(files.created(2) && files.has_spare());
        assert_eq!(files.take(), FileId(1));
        assert_eq!(files.next_creation(3, 0), None);
    }

    #[test]
    fn surplus_files_are_deleted_once_nothing_names_them_any_more() {
        let free = vec![FileId(0), FileId(1), FileId(2)];
        let mut files = Files::new(Some(FileId(9)), free, Vec::new());
        files.release(FileId(3), 500);
        assert_eq!(files.next_deletion(1, 3, 7, 1000), None, "seven may be there");
        assert_eq!(files.next_deletion(1, 4, 7, 499), Some(FileId(2)), "3 is named still");
        assert_eq!(files.next_deletion(2, 9, 7, 1000), None, "one at a time");
        files.deleted(1);
        assert_eq!(files.next_deletion(2, 9, 7, 500), Some(FileId(3)));
        assert_eq!(files.failed(2, 0, &full()), Some(Ok(())), "no harm done");
        assert_eq!(files.next_deletion(3, 9, 7, 500), None, "what is wanted soon stays");
    }

    #[test]
    fn a_full_disk_is_over_when_files_come_back() {
        let mut files = Files::new(None, Vec::new(), Vec::new());
        files.prepare();
        files.next_creation(1, 0);
        assert_eq!(files.failed(1, 10, &full()), Some(Ok(())));
        assert!(files.is_starved());
        files.release(FileId(7), 0);
        assert!(files.is_starved(), "the reserve is not filled");
        files.release(FileId(8), 0);
        assert!(!files.is_starved() && files.retry_at_us().is_none());
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
