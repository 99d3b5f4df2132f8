//! How other threads end the sleep of a shard: a descriptor among those that its lookout watches.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Wake;

use rustix::event::{eventfd, EventfdFlags};
use rustix::io::Errno;

/// Shared with everybody who may wake the shard, as the waker in its doorbell.
#[derive(Debug)]
pub(super) struct Alarm {
    descriptor: OwnedFd,
}

impl Alarm {
    /// # Errors
    /// When the process may have no more descriptors.
    pub(super) fn new() -> Result<Alarm, Errno> {
        Ok(Alarm { descriptor: counter(0)? })
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Watched for changes, so that nobody has to read it. It cannot count so high as to
        // refuse: that takes 2^64 sleeps.
        if let Err(error) = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes()) {
            tracing::error!(%error, "a shard could not be woken");
        }
    }
}

/// A descriptor that is readable if its count is above zero.
pub(super) fn counter(count: u32) -> Result<OwnedFd, Errno> {
    eventfd(count, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
}
