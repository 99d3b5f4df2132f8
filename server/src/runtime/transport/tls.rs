//! TLS over a socket: ciphertext on one side, octets of AMQP on the other.
//!
//! The protocol is rustls's, used without any I/O of its own. Ciphertext is read as everything is,
//! by one call into the shard's buffer, and written by one call for several records.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use rustls::server::ServerConnection;

use super::certificate;
use super::door::TlsDoor;
use crate::amqp::TlsLogin;
use crate::config::CertificateName;
use crate::control::TlsReport;
use crate::runtime::socket::Socket;

/// Octets of ciphertext that a handshake may take. Certificates with all that leads to their
/// authority take some ten thousand.
const HANDSHAKE_MAX_OCTETS: usize = 128 << 10;
/// Octets of plaintext that are encrypted before the socket must have taken them.
const PORTION_OCTETS: usize = 128 << 10;
/// What the first record of a client begins with: it is a handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// Why a connection with TLS cannot go on. Each prints as a sentence for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("a connection is refused: AMQP without TLS, to a port with TLS")]
    PlainAmqp,
    #[error("a connection is refused: not TLS, to a port with TLS")]
    NotTls,
    #[error(
        "a connection is refused: its TLS handshake takes more than {HANDSHAKE_MAX_OCTETS} octets"
    )]
    HandshakeTooLong,
    #[error("a connection is refused, its TLS handshake has failed: {0}")]
    Handshake(rustls::Error),
    #[error("a connection is closed, its TLS is broken: {0}")]
    Broken(rustls::Error),
    #[error("a connection is closed, its TLS takes no more: {0}")]
    Full(io::Error),
}

#[derive(Debug)]
pub(super) struct Tls {
    connection: ServerConnection,
    certificate_name: CertificateName,
    /// Octets of ciphertext before the handshake was over.
    handshake_octets: usize,
    /// What the handshake has said of the client, until somebody asks.
    login: Option<Arc<TlsLogin>>,
    is_ready: bool,
    /// Octets of plaintext that are encrypted, but not all of them have left.
    owed: usize,
    /// The client says no more.
    ended: bool,
}

impl Tls {
    /// Octets of a record that has not come whole, at most.
    pub(super) const KEPT_MAX_OCTETS: usize = 32 << 10;

    pub(super) fn new(door: &TlsDoor) -> Result<Tls, rustls::Error> {
        let mut connection = ServerConnection::new(door.config.clone())?;
        connection.set_buffer_limit(Some(PORTION_OCTETS));
        Ok(Tls {
            connection,
            certificate_name: door.certificate_name,
            handshake_octets: 0,
            login: None,
            is_ready: false,
            owed: 0,
            ended: false,
        })
    }

    /// Once, when the handshake is over.
    pub(super) fn take_login(&mut self) -> Option<Arc<TlsLogin>> {
        self.login.take()
    }

    /// The client has said that it says no more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes all of `cipher`; puts what it says into `plain` and returns how much that is.
    pub(super) fn take(&mut self, mut cipher: &[u8], plain: &mut [u8]) -> Result<usize, TlsError> {
        if !self.is_ready {
            self.look_at_handshake(cipher)?;
        }
        let mut filled = 0;
        while !cipher.is_empty() && !self.ended {
            self.connection.read_tls(&mut cipher).map_err(TlsError::Full)?;
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(error) if self.is_ready => return Err(TlsError::Broken(error)),
                Err(error) => return Err(TlsError::Handshake(error)),
            };
            self.ended = state.peer_has_closed();
            let mut waiting = state.plaintext_bytes_to_read();
            while waiting > 0 {
                let octets = self.connection.reader().read(&mut plain[filled..]);
                let octets = octets.map_err(TlsError::Full)?;
                assert!(octets > 0, "decrypted octets have room in half a buffer");
                filled += octets;
                waiting = waiting.saturating_sub(octets);
            }
            if !self.is_ready && !self.connection.is_handshaking() {
                self.is_ready = true;
                self.login = Some(Arc::new(self.login()));
            }
        }
        Ok(filled)
    }

    /// What is no TLS at all is told by its first octet, and a handshake has an end.
    fn look_at_handshake(&mut self, cipher: &[u8]) -> Result<(), TlsError> {
        if self.handshake_octets == 0 {
            match cipher {
                [HANDSHAKE_RECORD, ..] => {}
                [b'A', ..] => return Err(TlsError::PlainAmqp),
                _ => return Err(TlsError::NotTls),
            }
        }
        self.handshake_octets += cipher.len();
        match self.handshake_octets > HANDSHAKE_MAX_OCTETS {
            true => Err(TlsError::HandshakeTooLong),
            false => Ok(()),
        }
    }

    fn login(&self) -> TlsLogin {
        let certificate = self.connection.peer_certificates().and_then(<[_]>::first);
        let suite = self.connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let [key_exchange, cipher, hash] = certificate::words_of(suite);
        TlsLogin {
            user: certificate.and_then(|der| certificate::name(der, self.certificate_name)),
            report: TlsReport {
                protocol: match self.connection.protocol_version() {
                    Some(rustls::ProtocolVersion::TLSv1_2) => "tlsv1.2",
                    _ => "tlsv1.3",
                },
                key_exchange,
                cipher,
                hash,
                certificate: certificate.and_then(|der| certificate::report(der)),
            },
        }
    }

    /// Says that octets have been written when their ciphertext has left: so everybody above can
    /// rely on that, as with a plain socket.
    pub(super) fn poll_write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.is_ready {
            return Poll::Pending;
        }
        if self.owed == 0 {
            // What TLS has to say by itself takes room from the portion.
            ready!(self.poll_flush(socket, cx))?;
            self.owed = self.connection.writer().write(octets)?;
        }
        assert!(self.owed <= octets.len(), "what is being written is offered again");
        ready!(self.poll_flush(socket, cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.owed)))
    }

    /// Writes ciphertext until none is left. Pending: the task is woken when there is room.
    pub(super) fn poll_flush(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            let mut outlet = Outlet { socket, cx };
            match self.connection.write_tls(&mut outlet) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn say_goodbye(&mut self, socket: &mut Socket, cx: &mut Context<'_>) {
        self.connection.send_close_notify();
        // Where there is no room for it now the end of the stream says the same.
        let _ = self.poll_flush(socket, cx);
    }
}

/// The socket as rustls writes to it.
struct Outlet<'a, 'b> {
    socket: &'a mut Socket,
    cx: &'a mut Context<'b>,
}

impl Write for Outlet<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self.socket.poll_write(self.cx, octets) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_write_vectored(self.cx, slices) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
