//! The layers above a socket, from below: PROXY header, TLS. Each is there or not.

use std::io;
use std::net::SocketAddr;
use std::task::{ready, Context, Poll};

use super::door::Door;
use super::tls::Tls;
use crate::amqp::Introduction;
use crate::proxy::{self, Origin};
use crate::runtime::socket::Socket;

/// All that is above one socket.
#[derive(Debug)]
pub(super) struct Layers {
    /// For the log.
    peer: SocketAddr,
    /// What has come of the PROXY header. `None`: it is whole, or none is asked for.
    header: Option<Vec<u8>>,
    tls: Option<Tls>,
    /// Whom the PROXY header has named, until somebody asks.
    named: Option<SocketAddr>,
}

impl Layers {
    /// `None`: the door asks for nothing.
    pub(super) fn new(door: &Door, peer: SocketAddr) -> io::Result<Option<Box<Layers>>> {
        if !door.proxy && door.tls.is_none() {
            return Ok(None);
        }
        let tls = match &door.tls {
            Some(tls) => Some(Tls::new(tls).map_err(io::Error::other)?),
            None => None,
        };
        let header = door.proxy.then(Vec::new);
        Ok(Some(Box::new(Layers { peer, header, tls, named: None })))
    }

    /// Nothing is above the socket any more.
    pub(super) fn are_over(&self) -> bool {
        self.header.is_none() && self.tls.is_none()
    }

    pub(super) fn take_news(&mut self) -> Option<Introduction> {
        if let Some(peer) = self.named.take() {
            return Some(Introduction::From(peer));
        }
        self.tls.as_mut()?.take_login().map(Introduction::Tls)
    }

    /// As much as one read of the socket brings, unless that is nothing for the layer above.
    ///
    /// What comes from the socket goes to the far half of the buffer, and what is left of it when
    /// the layers have taken theirs to the near one: no layer makes octets more.
    pub(super) fn poll_read(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (near, far) = buffer.split_at_mut(buffer.len() / 2);
        loop {
            if let Some(tls) = &mut self.tls {
                // What TLS itself has to say may have found no room before.
                if let Poll::Ready(Err(error)) = tls.poll_flush(socket, cx) {
                    return Poll::Ready(Err(error));
                }
            }
            // Less than half: what TLS has kept from before comes on top of it.
            let most = far.len().saturating_sub(Tls::KEPT_MAX_OCTETS);
            assert!(most > 0, "a read of no octets would pass for the end");
            let octets = ready!(socket.poll_read(cx, &mut far[..most]))?;
            if octets == 0 {
                return Poll::Ready(Ok(0));
            }
            let mut octets = &far[..octets];
            if self.header.is_some() {
                match self.take_header(octets)? {
                    Some(rest) => octets = rest,
                    None => continue,
                }
            }
            if octets.is_empty() {
                // The header came alone: the layer above has nothing to judge yet.
                continue;
            }
            let Some(tls) = &mut self.tls else {
                near[..octets.len()].copy_from_slice(octets);
                return Poll::Ready(Ok(octets.len()));
            };
            let taken = tls.take(octets, near);
            // An answer, or an alert that says why there is none.
            let flushed = tls.poll_flush(socket, cx);
            let taken = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(peer = %self.peer, "{error}");
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            };
            if let Poll::Ready(Err(error)) = flushed {
                return Poll::Ready(Err(error));
            }
            if taken > 0 || tls.has_ended() {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Octets behind the PROXY header. `None`: it is not whole.
    fn take_header<'a>(&mut self, octets: &'a [u8]) -> io::Result<Option<&'a [u8]>> {
        let header = self.header.get_or_insert_default();
        let before = header.len();
        // The parser bounds what it calls incomplete, and what is beyond the header is not kept.
        header.extend_from_slice(octets);
        match proxy::parse(header) {
            Ok(None) => Ok(None),
            Ok(Some((origin, length))) => {
                self.header = None;
                if let Origin::Client(peer) = origin {
                    self.named = Some(peer);
                    self.peer = peer;
                }
                Ok(octets.get(length.saturating_sub(before)..))
            }
            Err(error) => {
                tracing::warn!(peer = %self.peer, "a connection is refused: {error}");
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.tls {
            None => socket.poll_write(cx, octets),
            Some(tls) => tls.poll_write(socket, cx, octets),
        }
    }

    /// What is said before the end, if there is room for it.
    pub(super) fn say_goodbye(&mut self, socket: &mut Socket, cx: &mut Context<'_>) {
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye(socket, cx);
        }
    }
}
