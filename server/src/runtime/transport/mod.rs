//! What a client's octets pass on their way: its socket, and above it, where the listener asks for
//! it, a header of the PROXY protocol and TLS.
//!
//! Of the shard's thread; has the same interface as a socket. What is above the socket is a state
//! machine without any I/O of its own, so that a connection moves to another shard with it. A
//! plain connection pays one branch per read or write for it.

mod certificate;
mod door;
mod layers;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll};

pub(super) use self::door::{Door, DoorError, TlsDoor};
use self::layers::Layers;
use super::lookout::Lookout;
use super::socket::Socket;
use crate::amqp::Introduction;

pub(super) struct Transport {
    socket: Socket,
    /// `None`: plain.
    layers: Option<Box<Layers>>,
}

/// A transport between two shards: everything that there is of it but its watch.
#[derive(Debug)]
pub(super) struct Luggage {
    stream: TcpStream,
    layers: Option<Box<Layers>>,
}

impl Transport {
    /// For a fresh connection by that door. The stream must be non-blocking.
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        door: &Door,
        lookout: &Rc<Lookout>,
    ) -> io::Result<Transport> {
        let layers = Layers::new(door, peer)?;
        Ok(Transport { socket: Socket::new(stream, lookout)?, layers })
    }

    /// Goes on on this thread.
    pub(super) fn unpack(luggage: Luggage, lookout: &Rc<Lookout>) -> io::Result<Transport> {
        let Luggage { stream, layers } = luggage;
        Ok(Transport { socket: Socket::new(stream, lookout)?, layers })
    }

    /// Gives it up, for another thread to go on with. Nothing may wait to be written.
    pub(super) fn pack(self) -> Luggage {
        let Transport { socket, layers } = self;
        Luggage { stream: socket.into_stream(), layers }
    }

    /// Reads once. Pending: the task is woken when there is something. No octets: the end.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.layers {
            None => self.socket.poll_read(cx, buffer),
            Some(layers) => layers.poll_read(&mut self.socket, cx, buffer),
        }
    }

    /// Writes once; what it says to have written has left. Pending: the task is woken when there
    /// is room, and must come back with the same octets and perhaps more behind them.
    #[inline]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.layers {
            None => self.socket.poll_write(cx, octets),
            Some(layers) => layers.poll_write(&mut self.socket, cx, octets),
        }
    }

    /// What the last read has brought to light, if anything: to be asked for before what it has
    /// brought is used.
    #[inline]
    pub(super) fn take_news(&mut self) -> Option<Introduction> {
        let layers = self.layers.as_mut()?;
        let news = layers.take_news();
        if news.is_none() && layers.are_over() {
            self.layers = None;
        }
        news
    }

    /// See [`Socket::is_abandoned`].
    pub(super) fn is_abandoned(&self, cx: &Context<'_>) -> bool {
        self.socket.is_abandoned(cx)
    }

    /// No more will be written.
    pub(super) fn shut_down(&mut self, cx: &mut Context<'_>) {
        if let Some(layers) = &mut self.layers {
            layers.say_goodbye(&mut self.socket, cx);
        }
        self.socket.shut_down();
    }

    /// Makes the close that follows a TCP reset (behaviour A7, A18, A46).
    pub(super) fn reset(&self) {
        self.socket.reset();
    }
}
