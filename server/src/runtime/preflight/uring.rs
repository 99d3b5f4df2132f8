//! Can this process use io_uring, and if not, who forbids it?

use std::fs;
use std::io;

use io_uring::{opcode, IoUring, Probe};

use crate::runtime::StartError;

const ENOSYS: i32 = 38;
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;

/// The operations that the executor and the shards submit.
const OPERATIONS: [(&str, u8); 11] = [
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("READ", opcode::Read::CODE),
    ("READ_FIXED", opcode::ReadFixed::CODE),
    ("WRITE", opcode::Write::CODE),
    ("WRITE_FIXED", opcode::WriteFixed::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("STATX", opcode::Statx::CODE),
];

/// Sets up a small ring and throws it away. The executor would do the same later and panic.
pub(in crate::runtime) fn check_uring() -> Result<(), StartError> {
    let ring = IoUring::new(2).map_err(|error| explain(error, switched_off(), kernel()))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|source| StartError::Uring { source })?;
    let missing: Vec<_> = OPERATIONS
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(StartError::UringTooOld { kernel: kernel(), missing: missing.join(", ") })
    }
}

/// Who is to blame for `error`, given the sysctl's value and the kernel's version.
fn explain(error: io::Error, switched_off: Option<u8>, kernel: String) -> StartError {
    match (error.raw_os_error(), switched_off) {
        (Some(ENOSYS), _) => StartError::UringMissing { kernel },
        (Some(EPERM), Some(value)) => StartError::UringSwitchedOff { value },
        (Some(EPERM), None) => StartError::UringRefused,
        (Some(ENOMEM), _) => super::limits::memory_lock_error(),
        _ => StartError::Uring { source: error },
    }
}

/// `kernel.io_uring_disabled` if it forbids anything: 1 for processes without CAP_SYS_ADMIN or
/// the io_uring group, 2 for all. Absent before Linux 6.6.
fn switched_off() -> Option<u8> {
    let text = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    text.trim().parse().ok().filter(|value| *value != 0)
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(errno: i32, switched_off: Option<u8>) -> String {
        explain(io::Error::from_raw_os_error(errno), switched_off, "4.19.0".into()).to_string()
    }

    #[test]
    fn each_reason_is_told_apart_and_says_what_to_change() {
        assert!(explained(ENOSYS, None).contains("(4.19.0) does not have it"));
        assert!(explained(EPERM, Some(2)).contains("sysctl kernel.io_uring_disabled=0"));
        assert!(explained(EPERM, None).contains("seccomp profile"));
        assert!(explained(ENOMEM, None).contains("RLIMIT_MEMLOCK"));
        assert!(explained(24, None).contains("os error 24"));
    }

    /// Where the tests run, io_uring must be allowed.
    #[test]
    fn the_probe_passes_here() {
        check_uring().unwrap();
    }
}
