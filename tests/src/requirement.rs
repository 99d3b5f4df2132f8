//! Tests that need more than every machine has: they say so, and `test.sh` counts them.

use std::fs::OpenOptions;
use std::io::Write;

/// Whether `test` must be skipped because of what `possible` says.
///
/// The test harness knows passed and failed only, so the fact goes, beside standard error, into the file that
/// `HAREMQ_TESTS_SKIPPED` names, a line for each test.
pub fn skipped(test: &str, possible: Result<(), String>) -> bool {
    let Err(reason) = possible else { return false };
    let line = format!("skipped: {test}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("HAREMQ_TESTS_SKIPPED") {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("writable");
        file.write_all(line.as_bytes()).expect("a line can be appended");
    }
    true
}
