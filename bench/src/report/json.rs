//! Reports as files that programs read.

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::machine::Machine;
use crate::report::save;

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
    save(path, &text)
}
