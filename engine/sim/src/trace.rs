//! What happens, for those who want to read it, and its digest for those who compare runs.

use std::hash::Hasher;

use rustc_hash::FxHasher;

#[derive(Default)]
pub struct Trace {
    is_verbose: bool,
    digest: FxHasher,
    lines: u64,
}

impl Trace {
    pub fn new(is_verbose: bool) -> Self {
        Trace { is_verbose, ..Trace::default() }
    }

    pub fn say(&mut self, text: impl FnOnce() -> String) {
        self.lines += 1;
        if self.is_verbose {
            println!("{:6} {}", self.lines, text());
        }
    }

    /// Something that must be the same each time.
    pub fn note(&mut self, value: u64) {
        self.digest.write_u64(value);
    }

    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }
}
