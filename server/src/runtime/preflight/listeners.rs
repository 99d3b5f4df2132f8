//! Taking ports.
//!
//! Bound without SO_REUSEPORT, so that a second broker on the same port is refused by the kernel,
//! and before recovery, so that the operator hears of it at once; made to listen only when the
//! broker is ready to serve.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::runtime::StartError;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// What a port is for: in words, and by the flag that sets it.
#[derive(Clone, Copy, Debug)]
pub(in crate::runtime) struct Purpose {
    what: &'static str,
    flag: &'static str,
}

pub(in crate::runtime) const AMQP: Purpose = Purpose { what: "AMQP", flag: "--listen" };
pub(in crate::runtime) const AMQPS: Purpose =
    Purpose { what: "AMQP with TLS", flag: "--listen-ssl" };
pub(in crate::runtime) const MANAGEMENT: Purpose =
    Purpose { what: "management", flag: "--management" };

/// A port that is ours, not yet listening.
#[derive(Debug)]
pub(in crate::runtime) struct Bound {
    socket: Socket,
    asked: SocketAddr,
    purpose: Purpose,
}

/// A listening socket, non-blocking, with its real address (port 0 resolved).
#[derive(Debug)]
pub(in crate::runtime) struct Listening {
    pub(in crate::runtime) listener: TcpListener,
    pub(in crate::runtime) address: SocketAddr,
}

impl Bound {
    /// Takes the port.
    pub(in crate::runtime) fn new(
        asked: SocketAddr,
        purpose: Purpose,
    ) -> Result<Bound, StartError> {
        let open = || {
            let socket =
                Socket::new(Domain::for_address(asked), Type::STREAM, Some(Protocol::TCP))?;
            // A port whose last connections linger in TIME_WAIT may be taken at once.
            socket.set_reuse_address(true)?;
            if asked.is_ipv6() {
                // One address, one listener: 0.0.0.0 is asked for by its own name.
                socket.set_only_v6(true)?;
            }
            socket.bind(&asked.into())?;
            Ok(socket)
        };
        let socket = open().map_err(|error| refusal(asked, purpose, error))?;
        Ok(Bound { socket, asked, purpose })
    }

    /// Takes the port if the machine has the address.
    pub(in crate::runtime) fn if_there(
        asked: SocketAddr,
        purpose: Purpose,
    ) -> Result<Option<Bound>, StartError> {
        match Bound::new(asked, purpose) {
            Ok(bound) => Ok(Some(bound)),
            Err(StartError::Listen { source, .. }) if is_missing(&source) => {
                tracing::debug!(%asked, "the machine does not have this address");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(in crate::runtime) fn listen(self) -> Result<Listening, StartError> {
        let (asked, purpose) = (self.asked, self.purpose);
        let listen = || {
            self.socket.listen(BACKLOG)?;
            // Nagle's algorithm would hold back the end of every turn. Accepted sockets inherit it.
            self.socket.set_tcp_nodelay(true)?;
            self.socket.set_nonblocking(true)?;
            let listener = TcpListener::from(self.socket);
            let address = listener.local_addr()?;
            Ok(Listening { listener, address })
        };
        listen().map_err(|error| refusal(asked, purpose, error))
    }
}

/// No such address, or no such kind of addresses at all.
fn is_missing(error: &io::Error) -> bool {
    let family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(family)
}

fn refusal(address: SocketAddr, purpose: Purpose, error: io::Error) -> StartError {
    let Purpose { what, flag } = purpose;
    if error.kind() == io::ErrorKind::AddrInUse {
        StartError::PortTaken { what, flag, address }
    } else {
        StartError::Listen { what, address, source: error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn a_taken_port_is_refused_by_name() {
        let first = Bound::new(free(), AMQP).unwrap().listen().unwrap();
        let error = Bound::new(first.address, AMQP).unwrap_err().to_string();
        assert!(error.contains(&first.address.to_string()), "{error}");
        assert!(error.contains("--listen"), "{error}");
        let error = Bound::new(first.address, MANAGEMENT).unwrap_err();
        assert!(error.to_string().contains("--management"), "{error}");
    }

    #[test]
    fn an_address_that_the_machine_does_not_have_may_be_passed_over_and_a_taken_port_not() {
        // From the prefix for documentation.
        let foreign: SocketAddr = "[2001:db8::1]:0".parse().unwrap();
        assert!(Bound::new(foreign, AMQP).is_err());
        assert!(Bound::if_there(foreign, AMQP).unwrap().is_none());
        let taken = Bound::if_there(free(), AMQP).unwrap().expect("loopback").listen().unwrap();
        assert!(Bound::if_there(taken.address, AMQP).is_err());
    }

    #[test]
    fn a_port_shared_by_so_reuseport_counts_as_taken() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&free().into()).unwrap();
        socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(Bound::new(address, AMQP).is_err());
    }

    #[test]
    fn an_accepted_socket_does_not_hold_back_what_is_written() {
        let listening = Bound::new(free(), AMQP).unwrap().listen().unwrap();
        let _client = std::net::TcpStream::connect(listening.address).unwrap();
        let accepted = loop {
            match listening.listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn nobody_is_let_in_before_the_broker_listens() {
        let bound = Bound::new(free(), AMQP).unwrap();
        let address = bound.socket.local_addr().unwrap().as_socket().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err());
        let listening = bound.listen().unwrap();
        assert_eq!(listening.address, address);
        assert!(std::net::TcpStream::connect(address).is_ok());
    }
}
