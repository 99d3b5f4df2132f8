//! Resource limits, memory pages and cores.

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use crate::runtime::StartError;

/// What the executors' rings insist on.
const MEMORY_LOCK_BYTES: u64 = 512 << 10;

/// Raises the soft limits of locked memory and of open files to the hard ones.
pub(in crate::runtime) fn raise_limits() -> Result<(), StartError> {
    raise(Resource::Nofile);
    raise(Resource::Memlock);
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < MEMORY_LOCK_BYTES => Err(memory_lock_error()),
        _ => Ok(()),
    }
}

/// Has memory given in small pages only, to all threads started from here on. With huge ones the
/// allocator's sparse use of its address space costs three times the memory (31 MB instead of 15
/// for a fresh broker), and buys nothing that could be measured.
pub(in crate::runtime) fn forbid_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages cannot be forbidden");
    }
}

/// Best effort: a limit that stays low is judged by its value, not by this call's success.
fn raise(resource: Resource) {
    let limit = getrlimit(resource);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(resource, raised) {
            tracing::debug!(?resource, %error, "the soft limit cannot be raised");
        }
    }
}

pub(super) fn memory_lock_error() -> StartError {
    let limit = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    StartError::MemoryLock { limit_kib: limit >> 10, needed_kib: MEMORY_LOCK_BYTES >> 10 }
}

/// The cores this process may run on, by number.
pub(in crate::runtime) fn usable_cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
        Err(_) => vec![0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_core_to_run_on() {
        assert!(!usable_cores().is_empty());
    }

    #[test]
    fn huge_pages_are_off_once_forbidden() {
        forbid_huge_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }

    #[test]
    fn the_soft_limits_are_raised_to_the_hard_ones() {
        raise_limits().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
