//! Facts about this process and its machine, read from the operating system when asked.

use std::path::Path;

/// Everything is `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessFacts {
    /// Octets of resident memory.
    pub(super) memory_bytes: Option<u64>,
    /// Open descriptors.
    pub(super) descriptors: Option<u64>,
    /// Of those, sockets.
    pub(super) sockets: Option<u64>,
    /// Descriptors that may be open at most.
    pub(super) descriptor_limit: Option<u64>,
    /// Octets free to this user on the file system of the data directory.
    pub(super) disk_free_bytes: Option<u64>,
}

/// Reads them all.
pub(super) fn read(data_dir: &str) -> ProcessFacts {
    let (descriptors, sockets) = descriptors().unzip();
    ProcessFacts {
        memory_bytes: std::fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| resident_bytes(&status)),
        descriptors,
        sockets,
        descriptor_limit: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        disk_free_bytes: fs2::available_space(Path::new(data_dir)).ok(),
    }
}

/// `VmRSS:     132836 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// How many descriptors are open, and how many of them are sockets.
fn descriptors() -> Option<(u64, u64)> {
    let (mut open, mut sockets) = (0, 0);
    for entry in std::fs::read_dir("/proc/self/fd").ok()?.flatten() {
        open += 1;
        // One may be closed between being listed and being looked at.
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target.to_string_lossy().starts_with("socket:") {
            sockets += 1;
        }
    }
    Some((open, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_the_line_of_that_name() {
        let status = "Name:\tharemq\nVmHWM:\t  999 kB\nVmRSS:\t     12 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(12 * 1024));
        assert_eq!(resident_bytes("Name:\tharemq\n"), None);
    }

    #[test]
    fn this_process_has_memory_descriptors_and_a_disk() {
        let _socket = std::net::TcpListener::bind("127.0.0.1:0").expect("socket");
        let facts = read("/");
        assert!(facts.memory_bytes.is_some_and(|octets| octets > 0));
        assert!(facts.sockets.is_some_and(|sockets| sockets > 0));
        assert!(facts.descriptors > facts.sockets);
        assert!(facts.disk_free_bytes.is_some());
    }
}
