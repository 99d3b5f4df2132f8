//! A listener that all shards watch, and whose turn it is to take its next connection.
//!
//! The kernel tells one shard of a connection, and that once: the one that was called last. That one accepts a single
//! connection, which is to live there, and calls the shard that is to have the next one, by a word to the kernel about that
//! shard's lookout. So no shard has to be woken by another for a socket, and none looks for connections in vain.
//!
//! Shared by all shards. Knows sockets, not connections.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};

use haremq_engine::ids::ShardId;
use rustix::net::{acceptfrom_with, SocketFlags};

use super::lookout::Seat;
use super::preflight::Listening;
use super::transport::Door;

/// See the module.
#[derive(Debug)]
pub(super) struct Turnstile {
    listening: Listening,
    /// What it asks of those who come in.
    door: Arc<Door>,
    /// How each shard is called; empty until it watches.
    seats: Vec<OnceLock<Seat>>,
}

/// A fresh connection.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Non-blocking.
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// What the listener asks for.
    pub(super) door: Arc<Door>,
}

impl AsFd for Turnstile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listening.listener.as_fd()
    }
}

impl Turnstile {
    pub(super) fn new(listening: Listening, door: Arc<Door>, shards: u16) -> Turnstile {
        Turnstile { listening, door, seats: (0..shards).map(|_| OnceLock::new()).collect() }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// That shard watches from now on, and can be called.
    ///
    /// # Panics
    /// If it does so already.
    pub(super) fn take_seat(&self, shard: ShardId, seat: Seat) {
        let taken = self.seats[usize::from(shard.0)].set(seat);
        assert!(taken.is_ok(), "each shard watches a listener once");
    }

    /// The next connection is `next`'s, or `caller`'s, whose turn it is, if that one does not watch yet.
    ///
    /// # Panics
    /// If the kernel refuses, which it has no reason for: nobody would ever be told of a connection again.
    pub(super) fn call(&self, next: ShardId, caller: ShardId) {
        let seat = |shard: ShardId| self.seats.get(usize::from(shard.0)).and_then(OnceLock::get);
        let seat = seat(next).or_else(|| seat(caller)).expect("who calls has a seat");
        if let Err(error) = seat.call(self.as_fd()) {
            panic!("connections to {} cannot be waited for: {error}", self.address());
        }
    }

    /// Takes a connection. One system call, or two where the address that it came to is not known beforehand.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and what is wrong otherwise.
    pub(super) fn accept(&self) -> io::Result<Accepted> {
        let listener: &TcpListener = &self.listening.listener;
        let (descriptor, peer) =
            acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
        let stream = TcpStream::from(descriptor);
        let local = match self.address().ip().is_unspecified() {
            true => stream.local_addr()?,
            false => self.address(),
        };
        Ok(Accepted { stream, peer, local, door: self.door.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::preflight::{Bound, AMQP};

    fn turnstile(address: &str) -> Turnstile {
        let bound = Bound::new(address.parse().unwrap(), AMQP).unwrap();
        Turnstile::new(bound.listen().unwrap(), Arc::default(), 1)
    }

    /// Clients are told where they have come in, and so is whoever lists connections.
    #[test]
    fn a_connection_knows_both_its_ends_though_the_listener_takes_any_address() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let turnstile = turnstile(address);
            assert_eq!(turnstile.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let there = SocketAddr::from(([127, 0, 0, 1], turnstile.address().port()));
            let client = TcpStream::connect(there).unwrap();
            // Over loopback it is in the queue when connect is over.
            let accepted = turnstile.accept().unwrap();
            assert_eq!(accepted.local, there);
            assert_eq!(accepted.peer, client.local_addr().unwrap());
        }
    }

    #[test]
    #[should_panic(expected = "who calls has a seat")]
    fn a_turn_is_not_given_to_nobody() {
        turnstile("127.0.0.1:0").call(ShardId(0), ShardId(0));
    }
}
