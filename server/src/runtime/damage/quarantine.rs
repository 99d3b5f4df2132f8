//! Starting in spite of damage: the damaged octets are kept aside, what is gone is listed, and the
//! logs are made whole around it.
//!
//! A power cut at any moment leaves the files as they were, or a list of what they are to become
//! ([`UNFINISHED`]). The list is made whole first and carried out then, as often as it takes: what
//! the log has lost is what the first look found, whatever has been written of it since.

use std::io;
use std::path::{Path, PathBuf};

use haremq_engine::log::Mended;

use super::disk::{Disk, SystemDisk};
use super::findings::Findings;
use super::undertaking::{sums, Piece, Undertaking, SECTOR_BYTES};
use super::{copies, report, segment_path};
use crate::runtime::preflight::{shard_dir, DataDir};
use crate::runtime::StartError;

/// In the data directory.
const DIRECTORY: &str = "quarantine";
const REPORT: &str = "report.txt";
/// Of an [`Undertaking`] that may not have been carried out in full.
const UNFINISHED: &str = "unfinished";
/// Of one that is not decided upon.
const PREPARED: &str = "unfinished.new";
/// The logs are whole; the definitions that they lack have not been made anew for good.
const LACKS_DEFINITIONS: &str = "definitions-lost";

/// Puts all damage aside, and finishes first what an earlier start has begun. Where the copies and
/// reports are. Nothing is written unless all of it can be mended, and nothing is written over
/// before its copy and the report are on stable storage.
pub(in crate::runtime) fn quarantine(data_dir: &DataDir) -> Result<Vec<PathBuf>, StartError> {
    let (disk, root) = (SystemDisk, data_dir.path());
    let mut put_aside = finish(&disk, root)?;
    let findings = Findings::of(data_dir)?;
    if findings.is_well() {
        return Ok(put_aside);
    }
    let mut hurt = Vec::new();
    for found in &findings.shards {
        match &found.log {
            Ok(mended) => hurt.push((found.shard, mended)),
            Err(error) => {
                return Err(StartError::Unmendable {
                    shard: found.shard,
                    dir: found.dir.clone(),
                    source: error.clone(),
                })
            }
        }
    }
    let mut text = Vec::new();
    report::write(&mut text, &findings).map_err(failed("write", root))?;
    put_aside.push(begin(&disk, root, &hurt, &text, findings.lacks_definitions())?);
    Ok(put_aside)
}

/// What an earlier start has begun to write and perhaps not finished.
pub(in crate::runtime) fn unfinished(data_dir: &DataDir) -> Result<Vec<PathBuf>, StartError> {
    marked(&SystemDisk, data_dir.path(), UNFINISHED)
}

/// Says so if definitions are lost and have not been made anew by an earlier start.
pub(in crate::runtime) fn lacks_definitions(data_dir: &DataDir) -> Result<bool, StartError> {
    Ok(!marked(&SystemDisk, data_dir.path(), LACKS_DEFINITIONS)?.is_empty())
}

/// What was lacking has been made anew and is on stable storage.
pub(in crate::runtime) fn definitions_made(data_dir: &DataDir) -> Result<(), StartError> {
    for mark in marked(&SystemDisk, data_dir.path(), LACKS_DEFINITIONS)? {
        remove(&SystemDisk, &mark)?;
    }
    Ok(())
}

fn failed<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> StartError + 'p {
    move |source| StartError::DataDirIo { what, path: path.to_owned(), source }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// The files of that name among what has been put aside, oldest first.
fn marked(disk: &impl Disk, root: &Path, name: &str) -> Result<Vec<PathBuf>, StartError> {
    let parent = root.join(DIRECTORY);
    let listed = disk.list(&parent).map_err(failed("read", &parent))?;
    let mut numbers: Vec<u32> = listed.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let mut marked = Vec::new();
    for number in numbers {
        let path = parent.join(number.to_string()).join(name);
        if disk.length(&path).map_err(failed("look for", &path))?.is_some() {
            marked.push(path);
        }
    }
    Ok(marked)
}

fn remove(disk: &impl Disk, path: &Path) -> Result<(), StartError> {
    let removed = disk.remove(path).and_then(|()| disk.sync_directory(directory_of(path)));
    removed.map_err(failed("remove", path))
}

/// Carries out whatever has been decided upon. The directories of what has been finished.
pub(super) fn finish(disk: &impl Disk, root: &Path) -> Result<Vec<PathBuf>, StartError> {
    let mut finished = Vec::new();
    for path in marked(disk, root, UNFINISHED)? {
        let length = disk.length(&path).map_err(failed("read", &path))?.unwrap_or(0);
        let octets = disk.read(&path, 0, length as usize).map_err(failed("read", &path))?;
        let Some(undertaking) = Undertaking::decode(&octets) else {
            return Err(StartError::QuarantineLost { path });
        };
        // Its name may be that of a file whose directory has not been synced.
        let directory = directory_of(&path);
        disk.sync_directory(directory).map_err(failed("write", directory))?;
        carry_out(disk, root, &path, &undertaking)?;
        finished.push(directory.to_owned());
    }
    Ok(finished)
}

/// Keeps copies and the report, decides what is to be written, and writes it. Where they are.
pub(super) fn begin(
    disk: &impl Disk,
    root: &Path,
    hurt: &[(u16, &Mended)],
    text: &[u8],
    lacks_definitions: bool,
) -> Result<PathBuf, StartError> {
    let parent = root.join(DIRECTORY);
    let aside = copies::new_directory(disk, &parent).map_err(failed("create", &parent))?;
    let mut undertaking = Undertaking { lacks_definitions, pieces: Vec::new() };
    for (shard, mended) in hurt {
        let dir = shard_dir(root, *shard);
        copies::keep(disk, &aside, *shard, &dir, mended)
            .map_err(failed("copy damaged octets to", &aside))?;
        for patch in &mended.patches {
            let path = segment_path(&dir, patch.file);
            let there = before(disk, &path, patch.offset, patch.octets.len())
                .map_err(failed("read", &path))?;
            undertaking.pieces.push(Piece {
                shard: *shard,
                file: patch.file,
                segment_bytes: mended.segment_bytes,
                offset: patch.offset,
                before: sums(&there),
                octets: patch.octets.clone(),
            });
        }
    }
    let (prepared, decided) = (aside.join(PREPARED), aside.join(UNFINISHED));
    for (path, octets) in [(&aside.join(REPORT), text), (&prepared, &undertaking.encode())] {
        let written = disk.write(path, 0, octets).and_then(|()| disk.sync(path));
        written.map_err(failed("write", path))?;
    }
    for directory in [&aside, &parent, root] {
        disk.sync_directory(directory).map_err(failed("write", directory))?;
    }
    let renamed = disk.rename(&prepared, &decided).and_then(|()| disk.sync_directory(&aside));
    renamed.map_err(failed("write", &decided))?;
    carry_out(disk, root, &decided, &undertaking)?;
    Ok(aside)
}

/// What is in that place of a file, with zeros behind its end.
fn before(disk: &impl Disk, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = match disk.length(path)? {
        Some(_) => disk.read(path, offset, length)?,
        None => Vec::new(),
    };
    octets.resize(length, 0);
    Ok(octets)
}

/// Writes what is to be written, on stable storage when it returns, and takes the list away.
fn carry_out(
    disk: &impl Disk,
    root: &Path,
    decided: &Path,
    undertaking: &Undertaking,
) -> Result<(), StartError> {
    for piece in &undertaking.pieces {
        check(disk, root, decided, piece)?;
    }
    let same_file = |one: &Piece, next: &Piece| (one.shard, one.file) == (next.shard, next.file);
    for pieces in undertaking.pieces.chunk_by(same_file) {
        let Some(first) = pieces.first() else { continue };
        let path = segment_path(&shard_dir(root, first.shard), first.file);
        let written = (|| {
            disk.lengthen(&path, first.segment_bytes)?;
            for piece in pieces {
                disk.write(&path, piece.offset, &piece.octets)?;
            }
            disk.sync(&path)
        })();
        written.map_err(failed("mend", &path))?;
    }
    for pieces in undertaking.pieces.chunk_by(|one, next| one.shard == next.shard) {
        let Some(first) = pieces.first() else { continue };
        let dir = shard_dir(root, first.shard);
        disk.sync_directory(&dir).map_err(failed("mend the files in", &dir))?;
    }
    if !undertaking.lacks_definitions {
        return remove(disk, decided);
    }
    let aside = directory_of(decided);
    let renamed = disk.rename(decided, &aside.join(LACKS_DEFINITIONS));
    renamed.and_then(|()| disk.sync_directory(aside)).map_err(failed("write", aside))
}

/// Refuses to write over what is neither as it was nor as it is to be: the files are others now.
fn check(disk: &impl Disk, root: &Path, decided: &Path, piece: &Piece) -> Result<(), StartError> {
    let path = segment_path(&shard_dir(root, piece.shard), piece.file);
    let there = before(disk, &path, piece.offset, piece.octets.len());
    let there = there.map_err(failed("read", &path))?;
    let sectors = there.chunks(SECTOR_BYTES).zip(piece.octets.chunks(SECTOR_BYTES));
    for (number, ((there, wanted), before)) in sectors.zip(&piece.before).enumerate() {
        if there != wanted && crc32fast::hash(there) != *before {
            let offset = piece.offset + (number * SECTOR_BYTES) as u64;
            return Err(StartError::QuarantineOvertaken {
                path: decided.to_owned(),
                file: path,
                offset,
            });
        }
    }
    Ok(())
}
