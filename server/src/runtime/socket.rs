//! A client's socket: tried first, waited for only where it would block.
//!
//! It is an ordinary socket, and nothing but readiness is ever asked of the kernel in advance: it
//! can be given up at any moment without losing an octet, and go on on another thread.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::lookout::{Lookout, Watched};

pub(super) struct Socket {
    stream: Watched<TcpStream>,
}

impl Socket {
    /// To be used on this thread from now on. The stream must be non-blocking.
    pub(super) fn new(stream: TcpStream, lookout: &Rc<Lookout>) -> io::Result<Socket> {
        Ok(Socket { stream: Watched::new(stream, lookout)? })
    }

    /// Reads once. Pending: the task is woken when there is something.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.stream.may_read(cx) {
            match self.stream.get_ref().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.is_dry(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    if outcome.as_ref().is_ok_and(|taken| *taken < buffer.len()) {
                        self.stream.has_read_all();
                    }
                    return Poll::Ready(outcome);
                }
            }
        }
        Poll::Pending
    }

    /// Writes once. Pending: the task is woken when there is room.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut stream| stream.write(octets))
    }

    /// The same for octets that lie in several places.
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut stream| stream.write_vectored(slices))
    }

    #[inline]
    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        while self.stream.may_write(cx) {
            match write(self.stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.is_full(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
        Poll::Pending
    }

    /// The peer has ended or broken the connection, though there may be octets from before to be
    /// read. If not, the task is woken when it does.
    pub(super) fn is_abandoned(&self, cx: &Context<'_>) -> bool {
        self.stream.has_ended(cx)
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
