//! A client's socket, as the executor polls it: tried first, waited for only where it would block.
//!
//! The socket itself is an ordinary one, and nothing but readiness is ever asked of the kernel in
//! advance: it can be given up at any moment without losing an octet, and go on on another thread.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use glommio::io::{PollState, PollableFd};
use glommio::GlommioError;

#[derive(Debug)]
pub(super) struct Socket {
    stream: PollableFd<TcpStream>,
    readable: Interest,
    writable: Interest,
}

/// One direction.
#[derive(Debug, Default)]
struct Interest {
    state: PollState,
    signal: Arc<Signal>,
    /// The kernel is to be asked before the next attempt: the last one took all there was.
    is_dry: bool,
    /// It has been asked.
    is_asked: bool,
}

/// Tells a readiness from the other things that wake a connection's task. The executor adds the
/// waker to a list each time it is asked, so it is asked once.
#[derive(Debug, Default)]
struct Signal {
    came: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Interest {
    /// Ready: an attempt may succeed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ask: impl FnOnce(&mut Context<'_>, &mut PollState) -> Poll<Result<(), GlommioError<()>>>,
    ) -> Poll<io::Result<()>> {
        if !self.is_dry {
            return Poll::Ready(Ok(()));
        }
        if self.is_asked && !self.signal.came.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        self.signal.task.register(cx.waker());
        let waker = Waker::from(self.signal.clone());
        match ask(&mut Context::from_waker(&waker), &mut self.state) {
            Poll::Pending => {
                self.is_asked = true;
                Poll::Pending
            }
            Poll::Ready(readiness) => {
                (self.is_asked, self.is_dry) = (false, false);
                Poll::Ready(readiness.map_err(io::Error::from))
            }
        }
    }
}

impl Socket {
    /// To be used on this thread from now on.
    pub(super) fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nonblocking(true)?;
        let stream = PollableFd::new(stream).map_err(io::Error::from)?;
        let readable = Interest { is_dry: true, ..Interest::default() };
        Ok(Socket { stream, readable, writable: Interest::default() })
    }

    /// Reads once. Pending: the task is woken when there is something.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Socket { stream, readable, .. } = self;
        loop {
            let readiness = readable.poll(cx, |cx, state| stream.poll_readable(cx, state));
            match readiness {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(readiness) => readiness?,
            }
            match stream.get_ref().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable.is_dry = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    readable.is_dry = outcome.as_ref().is_ok_and(|taken| *taken < buffer.len());
                    return Poll::Ready(outcome);
                }
            }
        }
    }

    /// Writes once. Pending: the task is woken when there is room.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Socket { stream, writable, .. } = self;
        loop {
            let readiness = writable.poll(cx, |cx, state| stream.poll_writable(cx, state));
            match readiness {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(readiness) => readiness?,
            }
            match stream.get_ref().write(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable.is_dry = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// No more will be written.
    pub(super) fn shut_down(&self) {
        // A peer that has gone already needs no goodbye.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// Makes the close that follows a TCP reset (behaviour A7, A18, A46).
    pub(super) fn reset(&self) {
        let socket = socket2::SockRef::from(self.stream.get_ref());
        if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "closing without a reset");
        }
    }

    /// Gives it up, for another thread to go on with.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}
