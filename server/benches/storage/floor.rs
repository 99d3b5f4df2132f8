//! What the device can do by itself: writes with O_DIRECT and fdatasync to a file that has been written before, and
//! reads with O_DIRECT, from one thread, one after the other.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const PAGE: usize = 4096;
/// One write or read of many; what a batch of the log has at most.
pub(crate) const PIECE: usize = 1 << 20;
/// Memory that a log goes through before it comes back to the same: what its cache holds.
pub(crate) const MEMORY: usize = 16 << 20;

/// Memory from which a device can write.
struct Aligned {
    octets: Vec<u8>,
    skip: usize,
}

impl Aligned {
    fn new(length: usize) -> Aligned {
        let octets = vec![b'f'; length + PAGE];
        let skip = octets.as_ptr().align_offset(PAGE);
        Aligned { octets, skip }
    }
    fn get(&mut self, length: usize) -> &mut [u8] {
        &mut self.octets[self.skip..self.skip + length]
    }
    fn piece(&self, number: usize, length: usize) -> &[u8] {
        let at = self.skip + number % (MEMORY / PIECE) * PIECE;
        &self.octets[at..at + length]
    }
}

fn open(path: &Path) -> File {
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(direct).open(path).expect("a file system with O_DIRECT")
}

/// A file that has been written out once.
pub(crate) struct Floor {
    path: PathBuf,
    file: File,
    bytes: u64,
    at: u64,
    memory: Aligned,
}

impl Floor {
    pub(crate) fn new(directory: &Path, bytes: u64) -> Floor {
        let path = directory.join("floor");
        let file = open(&path);
        let mut floor = Floor { path, file, bytes, at: 0, memory: Aligned::new(MEMORY) };
        floor.write(bytes, PIECE);
        floor
    }

    /// Writes so many octets in pieces of `piece`, each synced, all from the same memory.
    pub(crate) fn write(&mut self, octets: u64, piece: usize) -> Duration {
        self.write_from(octets, piece, |_| 0)
    }

    /// As `write`, from as much memory as a log goes through.
    pub(crate) fn write_through_memory(&mut self, octets: u64) -> Duration {
        self.write_from(octets, PIECE, |number| number)
    }

    fn write_from(
        &mut self,
        octets: u64,
        piece: usize,
        place: impl Fn(usize) -> usize,
    ) -> Duration {
        let began = Instant::now();
        let (mut left, mut number) = (octets, 0);
        while left > 0 {
            let length = left.min(piece as u64) as usize / PAGE * PAGE;
            if self.at + length as u64 > self.bytes {
                self.at = 0;
            }
            let memory = self.memory.piece(place(number), length);
            self.file.write_all_at(memory, self.at).expect("a write");
            number += 1;
            self.file.sync_data().expect("a sync");
            self.at += length as u64;
            left = left.saturating_sub(length.max(PAGE) as u64);
        }
        began.elapsed()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads so many octets of the directory's segment files, each from its first octet on, if there are as many.
pub(crate) fn read_some(directory: &Path, octets_max: u64) -> Duration {
    read_and_delete(directory, octets_max, 0).1
}

/// As `read_some`, and deletes so many of the files, each when it has been read and spread over all of them. Gives what
/// has been read as well.
pub(crate) fn read_and_delete(directory: &Path, octets_max: u64, delete: u64) -> (u64, Duration) {
    let mut memory = Aligned::new(PIECE);
    let entries = fs::read_dir(directory).expect("the directory is there").flatten();
    let is_segment =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "segment");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_segment).collect();
    paths.sort_unstable();
    let (mut octets, mut deleted, began) = (0, 0, Instant::now());
    for (number, path) in (1..).zip(&paths) {
        let file = open(path);
        let mut at = 0;
        while octets < octets_max {
            let left = (octets_max - octets).min(PIECE as u64) as usize;
            let read = file.read_at(memory.get(left.next_multiple_of(PAGE)), at).expect("a read");
            if read == 0 {
                break;
            }
            at += read as u64;
            octets += read as u64;
        }
        drop(file);
        if deleted < delete * number / paths.len() as u64 {
            fs::remove_file(path).expect("a file that is there");
            deleted += 1;
        }
    }
    (octets, began.elapsed())
}
