//! Octets kept aside before they are written over.

use std::io;
use std::path::{Path, PathBuf};

use haremq_engine::log::{FileId, Mended};

use super::disk::Disk;
use super::segment_path;

/// Octets copied at once.
const STEP_BYTES: u64 = 1 << 20;

/// Makes a directory of a new name in `parent`.
pub(super) fn new_directory(disk: &impl Disk, parent: &Path) -> io::Result<PathBuf> {
    let made = |path: &Path| match disk.make_directory(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    made(parent)?;
    for number in 1u32.. {
        let path = parent.join(number.to_string());
        if made(&path)? {
            return Ok(path);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Copies what is damaged in a shard, and what is going to be written over, from `dir` into `aside`.
pub(super) fn keep(
    disk: &impl Disk,
    aside: &Path,
    shard: u16,
    dir: &Path,
    mended: &Mended,
) -> io::Result<()> {
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
        let source = segment_path(dir, file);
        if disk.length(&source)?.is_none() {
            continue;
        }
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        copy(
            disk,
            &source,
            offset,
            octets,
            &aside.join(format!("shard-{shard}-{name}-at-{offset}")),
        )?;
    }
    Ok(())
}

fn copy(disk: &impl Disk, from: &Path, offset: u64, octets: u64, to: &Path) -> io::Result<()> {
    let mut copied = 0;
    disk.write(to, 0, &[])?;
    while copied < octets {
        let step = (octets - copied).min(STEP_BYTES) as usize;
        let got = disk.read(from, offset + copied, step)?;
        if got.is_empty() {
            break;
        }
        disk.write(to, copied, &got)?;
        copied += got.len() as u64;
    }
    disk.sync(to)
}
