//! What a quarantine does to files, as operations of which each can be the last one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Files and directories. What has been done to a file or in a directory outlasts a power cut when
/// it has been synced.
pub(super) trait Disk {
    /// Names in a directory, in no order; none if it is not there.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Octets in a file; `None` if it is not there.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Fewer than asked for at the end of the file.
    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the file if it is not there.
    fn write(&self, path: &Path, offset: u64, octets: &[u8]) -> io::Result<()>;
    /// Makes the file if it is not there; what is new are zeros.
    fn lengthen(&self, path: &Path, bytes: u64) -> io::Result<()>;
    fn sync(&self, path: &Path) -> io::Result<()>;
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// That of the operating system.
#[derive(Debug)]
pub(super) struct SystemDisk;

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

impl Disk for SystemDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let (mut octets, mut filled) = (vec![0; length], 0);
        while let Some(rest) = octets.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        octets.truncate(filled);
        Ok(octets)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, offset: u64, octets: &[u8]) -> io::Result<()> {
        open(path)?.write_all_at(octets, offset)
    }

    fn lengthen(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = open(path)?;
        if file.metadata()?.len() < bytes {
            file.set_len(bytes)?;
        }
        Ok(())
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        open(path)?.sync_all()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
