//! Pages of the queues' indexes, in a file of the shard: `index.pages` in its directory.
//!
//! A scratch file: nothing in it is of use to another start, which takes it away. It is made when
//! the first page is put. Reads and writes are plain system calls that go by the kernel's cache,
//! and the thread waits for them: one for thousands of messages. What is freed goes back to the
//! file system at once.
//!
//! Of the shard's thread. Whoever reads a page cannot go on without it, so a page that cannot be
//! read, or is not what was written, ends the process.

mod extents;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use haremq_engine::queue::{Page, PageStore};
use rustix::fs::{fallocate, FallocateFlags};

use super::StartError;
use extents::Extents;

/// Pages begin at multiples of this: those of short queues are short.
const UNIT_BYTES: u64 = 512;
/// What file systems give and take back, in units.
const BLOCK_UNITS: u32 = 8;

/// See the module.
#[derive(Debug)]
pub struct PageFile {
    shard: u16,
    path: PathBuf,
    /// `None` before the first page.
    file: Option<File>,
    extents: Extents,
    /// The last write failed, and has been told of.
    is_failing: bool,
}

impl PageFile {
    /// The name that segments' directory has it under.
    pub(super) const NAME: &str = "index.pages";

    /// Without any pages; what an earlier run has left is removed.
    ///
    /// # Errors
    /// It cannot be.
    pub fn open(shard: u16, dir: &Path) -> Result<PageFile, StartError> {
        let path = dir.join(PageFile::NAME);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StartError::DataDirIo { what: "remove", path, source });
            }
            _ => {}
        }
        Ok(PageFile { shard, path, file: None, extents: Extents::default(), is_failing: false })
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            self.file = Some(options.open(&self.path)?);
        }
        self.file.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn write(&mut self, place: u32, octets: &[u8]) -> io::Result<()> {
        let offset = u64::from(place) * UNIT_BYTES;
        self.file()?.write_all_at(octets, offset)
    }

    /// Gives the space back. That it cannot be is no harm but to other files.
    fn vacate(&mut self, place: u32, units: u32) {
        let end = self.extents.end();
        let free = self.extents.give(place, units);
        let Some(file) = &self.file else { return };
        let given = match self.extents.end() < end {
            true => file.set_len(u64::from(self.extents.end()) * UNIT_BYTES),
            false => {
                let Some(hole) = hole(&free, place, units) else { return };
                let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(file, how, hole.start, hole.end - hole.start).map_err(io::Error::from)
            }
        };
        if let Err(error) = given {
            tracing::debug!(path = %self.path.display(), %error, "a page's space is not given back");
        }
    }

    /// There is no going on.
    fn fail(&self, page: &Page, what: &str) -> ! {
        let (shard, path) = (self.shard, self.path.display());
        let (offset, length) = (u64::from(page.place()) * UNIT_BYTES, page.length());
        eprintln!(
            "haremq: shard {shard} cannot read where its messages are ({path}, offset {offset}, {length} \
             octets): {what}; the broker ends, what it has confirmed is safe: the next start reads it \
             from the log"
        );
        std::process::exit(1)
    }
}

fn units(length: usize) -> u32 {
    // A page is shorter than 4 GiB.
    (length as u64).div_ceil(UNIT_BYTES) as u32
}

/// Octets of the blocks that are free since these units are, which lie in that free run.
fn hole(free: &Range<u32>, place: u32, units: u32) -> Option<Range<u64>> {
    let start = place.max(free.start.next_multiple_of(BLOCK_UNITS)) / BLOCK_UNITS;
    let touched = (place + units).div_ceil(BLOCK_UNITS);
    let end = touched.min(free.end / BLOCK_UNITS);
    let block_bytes = u64::from(BLOCK_UNITS) * UNIT_BYTES;
    (start < end).then(|| u64::from(start) * block_bytes..u64::from(end) * block_bytes)
}

impl PageStore for PageFile {
    fn put(&mut self, octets: &[u8]) -> Option<Page> {
        let units = units(octets.len());
        let place = self.extents.take(units)?;
        match self.write(place, octets) {
            Ok(()) => {
                self.is_failing = false;
                Some(Page::new(place, octets))
            }
            Err(error) => {
                self.vacate(place, units);
                if !std::mem::replace(&mut self.is_failing, true) {
                    let (shard, path) = (self.shard, self.path.display());
                    tracing::warn!("shard {shard} cannot write to {path}: {error}; what its queues know of their messages stays in memory");
                }
                None
            }
        }
    }

    fn read(&self, page: &Page) -> Vec<u8> {
        let mut octets = vec![0; page.length()];
        let offset = u64::from(page.place()) * UNIT_BYTES;
        let Some(file) = &self.file else { self.fail(page, "the file is not there") };
        if let Err(error) = file.read_exact_at(&mut octets, offset) {
            self.fail(page, &error.to_string());
        }
        if !page.is(&octets) {
            self.fail(page, "the octets are not those that were written there");
        }
        octets
    }

    fn free(&mut self, page: Page) {
        self.vacate(page.place(), units(page.length()));
    }

    fn bytes(&self) -> u64 {
        u64::from(self.extents.taken()) * UNIT_BYTES
    }
}

impl Drop for PageFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // The next start would do it as well.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
