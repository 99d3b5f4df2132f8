//! A limit on the memory of the processes of a test, kept by the kernel (a memory control group, version 1 or 2).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A control group; removed when dropped, when its processes have ended.
#[derive(Debug)]
pub struct MemoryLimit {
    group: PathBuf,
    is_version_1: bool,
}

impl MemoryLimit {
    /// A new group whose processes may have so many octets together, or why there is none.
    pub fn new(octets: u64) -> Result<MemoryLimit, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let top = Path::new("/sys/fs/cgroup");
        let is_version_1 = top.join("memory/memory.limit_in_bytes").exists();
        let parent = if is_version_1 { top.join("memory") } else { top.to_path_buf() };
        let group = parent.join(format!("haremq-tests-{}-{count}", std::process::id()));
        std::fs::create_dir(&group).map_err(|error| format!("no memory control group: {error}"))?;
        let limit = MemoryLimit { group, is_version_1 };
        let name = if is_version_1 { "memory.limit_in_bytes" } else { "memory.max" };
        std::fs::write(limit.group.join(name), octets.to_string())
            .map_err(|error| format!("memory cannot be limited: {error}"))?;
        Ok(limit)
    }

    /// Words that start a program inside the group, for [`crate::broker::Setup::launcher`].
    pub fn launcher(&self) -> [String; 4] {
        let procs = self.group.join("cgroup.procs");
        let script = format!("echo $$ > {} && exec \"$@\"", procs.display());
        ["/bin/sh".into(), "-c".into(), script, "sh".into()]
    }

    /// The most memory it ever had, in octets.
    pub fn peak_octets(&self) -> u64 {
        let name = if self.is_version_1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        let text = std::fs::read_to_string(self.group.join(name)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.group) {
            eprintln!("{} stays: {error}", self.group.display());
        }
    }
}
