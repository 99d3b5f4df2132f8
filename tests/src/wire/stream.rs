//! What the raw client speaks over: a socket, or TLS over one.

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Octets in both directions, with a socket below them.
pub trait Stream: Read + Write + Debug + Send {
    /// The socket itself.
    fn socket(&self) -> &TcpStream;

    /// Says that nothing more will be sent.
    fn end_sending(&mut self) {
        // A peer that has gone needs to hear nothing.
        let _ = self.socket().shutdown(std::net::Shutdown::Write);
    }
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl<T: Below> Stream for StreamOwned<ClientConnection, T> {
    fn socket(&self) -> &TcpStream {
        self.sock.below()
    }

    fn end_sending(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
        let _ = self.socket().shutdown(std::net::Shutdown::Write);
    }
}

/// What TLS can stand on.
pub trait Below: Read + Write + Debug + Send {
    /// The socket itself.
    fn below(&self) -> &TcpStream;
}

impl Below for TcpStream {
    fn below(&self) -> &TcpStream {
        self
    }
}

/// A socket that sends one octet at a time, each in a packet of its own.
#[derive(Debug)]
pub struct Dribble(pub TcpStream);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dribble {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Below for Dribble {
    fn below(&self) -> &TcpStream {
        &self.0
    }
}

/// TLS over `below`, as a client that believes to speak to localhost.
pub fn secure<T: Below>(config: ClientConfig, below: T) -> StreamOwned<ClientConnection, T> {
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    StreamOwned::new(connection, below)
}

/// A socket to the broker.
pub fn socket(broker: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&broker, super::client::PATIENCE)
        .unwrap_or_else(|error| panic!("no connection to {broker}: {error}"));
    stream.set_nodelay(true).expect("nodelay can be set");
    stream.set_write_timeout(Some(super::client::PATIENCE)).expect("a time limit can be set");
    stream
}
