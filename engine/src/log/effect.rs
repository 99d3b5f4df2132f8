//! What the log wants done, and how it learns that it has been done. Values only.

use std::rc::Rc;

use super::FileId;

/// What the log wants done. Each has a ticket that its completion names.
#[derive(Debug)]
pub enum LogEffect<B> {
    /// Write `buffer[..length]` at `offset`. Complete only when it is on stable storage (O_DSYNC).
    Write { ticket: u64, file: FileId, offset: u64, buffer: Rc<B>, length: usize },
    /// Create a file of that size, write it out in full with zeros, sync it and its directory.
    /// A crash may have left a part of it behind: start over then.
    Create { ticket: u64, file: FileId, bytes: u64 },
    /// Remove a file: nothing in it is wanted. If a crash undoes it, or it fails, no harm is done.
    Delete { ticket: u64, file: FileId },
    /// Both aligned to 4096.
    Read { ticket: u64, file: FileId, offset: u64, length: usize },
}

#[derive(Debug)]
pub enum LogCompletion<B> {
    Written {
        ticket: u64,
    },
    Created {
        ticket: u64,
    },
    Deleted {
        ticket: u64,
    },
    /// Shorter than asked only at the end of a file.
    Read {
        ticket: u64,
        buffer: B,
    },
    Failed {
        ticket: u64,
        error: IoFailure,
    },
}

/// What the operating system said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct IoFailure {
    /// `errno`, if there was one.
    pub code: Option<i32>,
    pub text: String,
}
