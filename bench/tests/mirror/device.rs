//! A file that the mirror writes a page to before it confirms, the way a log that recycles its segments uses the
//! disk: filled once, then overwritten with O_DIRECT and O_DSYNC, so that a write that is over is on stable storage.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Octets of a write, and what O_DIRECT wants memory and offsets aligned to.
const PAGE: usize = 4096;
const PAGES: u64 = 4096;

/// The file is removed when this is dropped.
pub(crate) struct Device {
    path: PathBuf,
    file: File,
    memory: Vec<u8>,
    next: u64,
}

impl Device {
    /// Creates the file in `directory`.
    #[allow(dead_code, reason = "for the example")]
    pub(crate) fn create(directory: &Path) -> io::Result<Device> {
        let path = directory.join(format!("mirror-{}", std::process::id()));
        fs::write(&path, vec![0x5A; PAGE * PAGES as usize])?;
        File::open(&path)?.sync_all()?;
        let flags = (rustix::fs::OFlags::DIRECT | rustix::fs::OFlags::DSYNC).bits() as i32;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&path)?;
        Ok(Device { path, file, memory: vec![0x5A; 2 * PAGE], next: 0 })
    }

    /// One page, on stable storage.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        let skip = self.memory.as_ptr().align_offset(PAGE);
        self.file.write_all_at(&self.memory[skip..skip + PAGE], self.next * PAGE as u64)?;
        self.next = (self.next + 1) % PAGES;
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
