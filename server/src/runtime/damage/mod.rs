//! Damage on disk: finding all of it, saying what it has taken, and starting on what is left.
//!
//! Runs on the main thread before any shard does, or without any ([`check`]), with ordinary
//! reads. What is lost and what mends a log is worked out by the engine
//! ([`haremq_engine::log::mend`]); here are the files, the words and the copies kept aside.

mod check;
mod copies;
mod findings;
mod quarantine;
mod report;

pub use check::check;
pub(super) use quarantine::quarantine;

/// Behind the number in the name of a segment file.
const SUFFIX: &str = ".segment";
