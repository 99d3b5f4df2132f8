//! Why a configuration was refused.

use std::path::PathBuf;

/// Each prints as one sentence that says where to look and what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// Unknown key, wrong type, bad value or broken syntax in the file.
    #[error("{}:{line}: {what}", path.display())]
    File { path: PathBuf, line: usize, what: String },
    /// A flag's value; `flag` with its dashes.
    #[error("{flag} {value}: {what}")]
    Flag { flag: &'static str, value: String, what: String },
    /// A setting that makes no sense without another one; both with their dashes.
    #[error("{flag} needs {lacks} as well")]
    Lacking { flag: &'static str, lacks: &'static str },
}
