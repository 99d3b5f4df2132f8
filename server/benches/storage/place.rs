//! Where a measurement has its files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, which goes with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let above =
            std::env::var_os("HAREMQ_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = above.join(format!("haremq-bench-storage-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("room for a directory");
        Place(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
