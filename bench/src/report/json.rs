//! Reports as files that programs read.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{PerfError, Result};
use crate::machine::Machine;

/// A report with the machine it was made on.
#[derive(Debug, Serialize)]
struct Document<'a, Plan: Serialize, Results: Serialize> {
    program: &'static str,
    version: &'static str,
    command: &'a str,
    machine: Machine,
    plan: &'a Plan,
    results: &'a Results,
}

/// Writes a report of one command.
pub(crate) fn write(
    path: &Path,
    command: &str,
    plan: &impl Serialize,
    results: &impl Serialize,
) -> Result<()> {
    let document = Document {
        program: "haremq-perf",
        version: env!("CARGO_PKG_VERSION"),
        command,
        machine: Machine::read(),
        plan,
        results,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    write_text(path, &text)
}

/// Writes a text file.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| PerfError::File { path: path.to_owned(), source })
}
