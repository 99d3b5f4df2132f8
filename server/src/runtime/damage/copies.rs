//! Octets kept aside before they are written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use haremq_engine::log::{FileId, Mended, Patch};

use super::findings::ShardFindings;
use super::SUFFIX;

/// Octets copied at once.
const STEP_BYTES: u64 = 1 << 20;

/// Makes a directory of a new name in `parent`.
pub(super) fn new_directory(parent: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    for number in 1u32.. {
        let path = parent.join(number.to_string());
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn segment_path(dir: &Path, file: FileId) -> PathBuf {
    dir.join(format!("{:08}{SUFFIX}", file.0))
}

/// Copies what is damaged in a shard, and what is going to be written over, into `aside`.
pub(super) fn keep(aside: &Path, found: &ShardFindings, mended: &Mended) -> io::Result<()> {
    let damaged = mended.damages.iter().map(|damage| (damage.file, damage.offset, damage.octets));
    let patched =
        mended.patches.iter().map(|patch| (patch.file, patch.offset, patch.octets.len() as u64));
    let mut places: Vec<_> = damaged.chain(patched).collect();
    places.sort_unstable();
    // What overlaps is copied once.
    let mut merged: Vec<(FileId, u64, u64)> = Vec::new();
    for (file, offset, octets) in places {
        match merged.last_mut() {
            Some(last) if last.0 == file && offset <= last.1 + last.2 => {
                last.2 = last.2.max(offset + octets - last.1);
            }
            _ => merged.push((file, offset, octets)),
        }
    }
    for (file, offset, octets) in merged {
        let source = match File::open(segment_path(&found.dir, file)) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let name = format!("shard-{}-{:08}{SUFFIX}-at-{offset}", found.shard, file.0);
        copy(&source, offset, octets, &aside.join(name))?;
    }
    Ok(())
}

fn copy(source: &File, offset: u64, octets: u64, path: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut buffer = vec![0; STEP_BYTES as usize];
    let (mut at, end) = (offset, offset + octets);
    while at < end {
        let step = (end - at).min(STEP_BYTES) as usize;
        match source.read_at(&mut buffer[..step], at)? {
            0 => break,
            got => {
                copy.write_all(&buffer[..got])?;
                at += got as u64;
            }
        }
    }
    copy.sync_all()
}

/// Writes what mends a shard's log; on stable storage when it returns.
pub(super) fn patch(dir: &Path, mended: &Mended) -> io::Result<()> {
    for file_patches in mended.patches.chunk_by(|one, next| one.file == next.file) {
        let Some(Patch { file, .. }) = file_patches.first() else { continue };
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(segment_path(dir, *file))?;
        if file.metadata()?.len() < mended.segment_bytes {
            file.set_len(mended.segment_bytes)?;
        }
        for patch in file_patches {
            file.write_all_at(&patch.octets, patch.offset)?;
        }
        file.sync_all()?;
    }
    sync_directory(dir)
}

pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
