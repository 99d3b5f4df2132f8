//! Closing a socket with a TCP reset (behaviour A7, A18, A46).

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{getpid, pidfd_getfd, pidfd_open, PidfdFlags, PidfdGetfdFlags};

/// Makes the close that follows a reset. The executor's stream does not give its socket out, so
/// a second descriptor of it is fetched from the kernel; where that is not allowed, the close
/// stays an ordinary one, which the other side can live with.
pub(super) fn reset(stream: &impl AsRawFd) {
    let second = || -> rustix::io::Result<OwnedFd> {
        let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
        pidfd_getfd(this_process, stream.as_raw_fd(), PidfdGetfdFlags::empty())
    };
    match second() {
        Ok(descriptor) => {
            let socket = socket2::Socket::from(descriptor);
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        Err(error) => tracing::debug!(%error, "closing without a reset"),
    }
}
