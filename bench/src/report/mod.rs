//! What comes out: text for the terminal, JSON for programs, SVG for eyes, Markdown for documents.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod svg;
pub(crate) mod text;

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::error::{PerfError, Result};

/// Writes a report to a file.
pub(crate) fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| PerfError::File { path: path.to_owned(), source })
}

/// Whether a report can be written there, asked before the run that is to fill it. What is in the file stays.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|source| PerfError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_found_out_and_others_keep_what_they_have() {
        let directory = std::env::temp_dir().join(format!("perf-report-{}", std::process::id()));
        assert!(check_writable(&directory.join("there is none").join("a.json")).is_err());
        fs::create_dir(&directory).unwrap();
        assert!(check_writable(&directory).is_err());
        let file = directory.join("a.json");
        save(&file, "of yesterday").unwrap();
        check_writable(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "of yesterday");
        fs::remove_dir_all(&directory).unwrap();
    }
}
