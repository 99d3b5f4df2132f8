//! One device write and sync, measured: the yardstick for confirm latency.
//!
//! A file of fixed size is written once, then overwritten block by block with O_DIRECT and fdatasync, which is
//! how a log that recycles its segments uses the disk. The file is deleted afterwards.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::clock::now_ns;
use crate::error::{PerfError, Result};
use crate::latency::{Recorder, Summary};

/// What O_DIRECT wants memory and offsets aligned to, at most.
const ALIGNMENT: usize = 4096;
/// Of one write.
const LARGEST_OCTETS: usize = 64 * 1024;

/// Write and sync of one size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SyncFigures {
    /// Octets per write.
    pub(crate) write_octets: usize,
    /// The file system took O_DIRECT.
    pub(crate) direct: bool,
    /// Write and fdatasync together.
    pub(crate) latency: Summary,
}

/// How much is measured.
struct Extent {
    /// Octets of the file.
    file_octets: u64,
    /// Octets of each write, for one size after the other.
    write_octets: &'static [usize],
    /// Writes per size.
    writes: u64,
    time_limit: Duration,
}

/// For the head of a report.
const WHOLE: Extent = Extent {
    file_octets: 16 * 1024 * 1024,
    write_octets: &[4 * 1024, LARGEST_OCTETS],
    writes: 300,
    time_limit: Duration::from_secs(3),
};
/// For a look in between, which is not to wear the disk out: some slow down if they are written to for seconds.
const GLANCE: Extent = Extent {
    file_octets: 1024 * 1024,
    write_octets: &[4 * 1024],
    writes: 100,
    time_limit: Duration::from_millis(500),
};

/// Measures in `directory`.
pub(crate) fn measure(directory: &Path) -> Result<Vec<SyncFigures>> {
    measure_in(directory, &WHOLE)
}

/// Median of a few writes of 4 KiB and syncs, in microseconds.
pub(crate) fn glance(directory: &Path) -> Result<Option<f64>> {
    Ok(measure_in(directory, &GLANCE)?.first().map(|figures| figures.latency.p50_us))
}

fn measure_in(directory: &Path, extent: &Extent) -> Result<Vec<SyncFigures>> {
    let path = directory.join(format!("haremq-perf-sync-{}", std::process::id()));
    let figures = measure_file(&path, extent);
    // It may not even have been created.
    let _ = fs::remove_file(&path);
    figures.map_err(|source| PerfError::File { path, source })
}

fn measure_file(path: &Path, extent: &Extent) -> io::Result<Vec<SyncFigures>> {
    let (file, direct) = open(path)?;
    let memory = vec![0x5A; LARGEST_OCTETS + ALIGNMENT];
    let skip = memory.as_ptr().align_offset(ALIGNMENT);
    let aligned = &memory[skip..skip + LARGEST_OCTETS];
    for offset in (0..extent.file_octets).step_by(aligned.len()) {
        file.write_all_at(aligned, offset)?;
    }
    file.sync_all()?;
    let measured = extent.write_octets.iter().map(|write_octets| {
        let latency = overwrite(&file, &aligned[..*write_octets], extent)?;
        Ok(SyncFigures { write_octets: *write_octets, direct, latency })
    });
    measured.collect()
}

/// With O_DIRECT where the file system has it.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    match options.clone().custom_flags(direct).open(path) {
        Ok(file) => Ok((file, true)),
        Err(_) => options.open(path).map(|file| (file, false)),
    }
}

fn overwrite(file: &File, octets: &[u8], extent: &Extent) -> io::Result<Summary> {
    let mut recorder = Recorder::default();
    let end_ns = now_ns() + extent.time_limit.as_nanos() as u64;
    let blocks = extent.file_octets / octets.len() as u64;
    for write in 0..extent.writes {
        let start_ns = now_ns();
        if start_ns > end_ns {
            break;
        }
        file.write_all_at(octets, write % blocks * octets.len() as u64)?;
        file.sync_data()?;
        recorder.record(now_ns() - start_ns, 1);
    }
    Ok(recorder.summary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sizes_are_measured_and_the_file_is_gone() {
        let directory = std::env::temp_dir().join(format!("perf-disk-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let figures = measure(&directory).unwrap();
        assert_eq!(figures.len(), 2);
        assert!(figures.iter().all(|f| f.latency.count > 0 && f.latency.p50_us > 0.0));
        assert!(glance(&directory).unwrap().is_some_and(|us| us > 0.0));
        fs::remove_dir(&directory).unwrap();
    }
}
