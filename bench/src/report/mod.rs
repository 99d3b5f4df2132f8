//! What comes out: text for the terminal, JSON for programs, SVG for eyes, Markdown for documents.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod svg;
pub(crate) mod text;

use std::fs;
use std::path::Path;

use crate::error::{PerfError, Result};

/// Writes a report to a file.
pub(crate) fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| PerfError::File { path: path.to_owned(), source })
}
