//! Damage on disk: finding all of it, saying what it has taken, and starting on what is left.
//!
//! Runs on the main thread before any shard does, or without any ([`check`]), with ordinary
//! reads. What is lost and what mends a log is worked out by the engine
//! ([`haremq_engine::log::mend`]); here are the files, the words and the copies kept aside.

#[cfg(test)]
mod broken_off;
mod check;
mod copies;
mod disk;
mod findings;
mod quarantine;
mod report;
#[cfg(test)]
mod simulated;
mod undertaking;

use std::path::{Path, PathBuf};

use haremq_engine::log::FileId;

pub use check::check;
pub(super) use quarantine::{definitions_made, lacks_definitions, quarantine, unfinished};

/// Behind the number in the name of a segment file.
const SUFFIX: &str = ".segment";

/// Where a segment file of the shard whose directory that is lies.
fn segment_path(dir: &Path, file: FileId) -> PathBuf {
    dir.join(format!("{:08}{SUFFIX}", file.0))
}
