//! Directories that live as long as one test.
//!
//! They are made below the target directory, not in /tmp: that may be a memory file system without direct I/O.

use crate::binaries::target_directory;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new, empty directory; removed when dropped, kept when the test fails.
#[derive(Debug)]
pub struct TestDirectory {
    path: PathBuf,
}

impl TestDirectory {
    /// Makes an empty directory whose name nobody else has.
    pub fn new() -> TestDirectory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = target_directory().join("tests").join(format!("{}-{count}", std::process::id()));
        // The process id may have been used before by a test that failed.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the target directory can be written");
        TestDirectory { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for TestDirectory {
    fn default() -> TestDirectory {
        TestDirectory::new()
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for inspection: {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
