//! A non-blocking connection: one worker thread reads, walks whole frames, and writes what is due.
//!
//! The read buffer is the worker's and shared by all its links, so that it stays in the cache; a link keeps
//! only the octets of a frame that has not come whole.

use std::io::{ErrorKind, Read, Write};
#[cfg(test)]
use std::net::TcpStream;

use crate::error::{PerfError, Result};
use crate::session::Session;
use crate::stream::Stream;
use crate::wire::method;
use crate::wire::reply::Reply;

/// A socket with what is left over on either side of it.
pub(crate) struct Link {
    stream: Stream,
    carry: Vec<u8>,
    /// Acks and answers, to be written at the end of the turn.
    pub(crate) outbox: Vec<u8>,
    outbox_sent: usize,
    payload_limit: u32,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// So many octets of the read buffer are filled, carried-over ones included.
    Octets(usize),
    /// Nothing there.
    Nothing,
}

impl Link {
    /// Takes over a connected socket and what was read from it already.
    pub(crate) fn new(stream: Stream, carry: Vec<u8>, payload_limit: u32) -> Result<Link> {
        let io = |source| PerfError::Io { doing: "making a socket non-blocking", source };
        stream.socket().set_nonblocking(true).map_err(io)?;
        Ok(Link { stream, carry, outbox: Vec::new(), outbox_sent: 0, payload_limit })
    }

    /// The socket, to wait for.
    pub(crate) fn socket(&self) -> &std::net::TcpStream {
        self.stream.socket()
    }

    /// Longest frame payload that was negotiated.
    pub(crate) fn payload_limit(&self) -> u32 {
        self.payload_limit
    }

    /// Octets are waiting that came with the handshake.
    pub(crate) fn has_carry(&self) -> bool {
        !self.carry.is_empty()
    }

    /// Reads once into `buffer`, after the octets carried over.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Arrival> {
        let carried = self.carry.len();
        buffer[..carried].copy_from_slice(&self.carry);
        loop {
            match self.stream.read(&mut buffer[carried..]) {
                Ok(0) => return Err(PerfError::Disconnected("messages were under way")),
                Ok(length) => {
                    self.carry.clear();
                    return Ok(Arrival::Octets(carried + length));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Arrival::Nothing),
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// The octets carried over, to be walked without a read.
    pub(crate) fn take_carry(&mut self, buffer: &mut [u8]) -> usize {
        let carried = self.carry.len();
        buffer[..carried].copy_from_slice(&self.carry);
        self.carry.clear();
        carried
    }

    /// Keeps the octets of a frame that has not come whole.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.carry.extend_from_slice(rest);
    }

    /// Writes as much of `octets` as the socket takes. The outbox must be empty: frames must not mix.
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<usize> {
        debug_assert!(self.outbox.is_empty());
        write_some(&mut self.stream, octets)
    }

    /// Writes as much of the outbox as the socket takes; true when nothing is left.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        if self.outbox.is_empty() {
            return Ok(true);
        }
        self.outbox_sent += write_some(&mut self.stream, &self.outbox[self.outbox_sent..])?;
        let done = self.outbox_sent == self.outbox.len();
        if done {
            self.outbox.clear();
            self.outbox_sent = 0;
        }
        Ok(done)
    }

    /// Something is left in the outbox.
    pub(crate) fn owes_octets(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What every role answers in the same way. Closes become errors; other methods come back to the caller.
    pub(crate) fn common(&mut self, reply: Reply) -> Result<Reply> {
        match reply {
            Reply::ConnectionClose(reason) => {
                method::connection_close_ok(&mut self.outbox);
                // Best effort: the broker waits for it only to be polite.
                let _ = self.flush();
                Err(PerfError::ConnectionClosed(reason))
            }
            Reply::ChannelClose(reason) => Err(PerfError::ChannelClosed(reason)),
            other => Ok(other),
        }
    }

    /// Ends the connection with connection.close and waits for the answer.
    pub(crate) fn close(mut self) -> Result<()> {
        let unsent = self.outbox.split_off(self.outbox_sent);
        Session::from_link(self.stream, self.carry, unsent)?.close()
    }
}

fn write_some(stream: &mut Stream, octets: &[u8]) -> Result<usize> {
    let mut written = 0;
    while written < octets.len() {
        match stream.write(&octets[written..]) {
            Ok(length) => {
                written += length;
                // A short write means a full socket: asking again would only cost a call.
                if written < octets.len() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(written)
}

fn lost(source: std::io::Error) -> PerfError {
    match source.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            PerfError::Disconnected("messages were under way")
        }
        _ => PerfError::Io { doing: "talking to the broker", source },
    }
}

/// A link and the other end of its connection.
#[cfg(test)]
pub(crate) fn test_link() -> (Link, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    (Link::new(Stream::Plain(stream), Vec::new(), 131_064).unwrap(), other)
}
