//! A connection's octets: a socket, or TLS over one. Blocking or not, as the socket is.
//!
//! Ciphertext is read and written in pieces as large as those of a plain connection, so that what is measured
//! with TLS is TLS and not a generator that asks the kernel too often.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, RootCertStore,
    SignatureScheme,
};

use crate::uri::Trust;

/// Octets of ciphertext read at once.
const CIPHER_OCTETS: usize = 32 * 1024;
/// Room for the plaintext of one such read, with what was left of a record before.
const ROOM_OCTETS: usize = 2 * CIPHER_OCTETS;
/// Octets encrypted before the socket must have taken them.
const PORTION_OCTETS: usize = 128 * 1024;

/// See the module.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// TLS, as a client.
pub(crate) struct Tls {
    connection: ClientConnection,
    socket: TcpStream,
    cipher: Box<[u8]>,
    /// Octets that are encrypted, but not all of them have left.
    owed: usize,
}

impl Stream {
    /// Carries out the handshake, on a blocking socket.
    pub(crate) fn secure(socket: TcpStream, host: &str, trust: &Trust) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(config(trust)?, name).map_err(io::Error::other)?;
        let cipher = vec![0; CIPHER_OCTETS].into_boxed_slice();
        let mut tls = Tls { connection, socket, cipher, owed: 0 };
        tls.connection.set_buffer_limit(Some(PORTION_OCTETS));
        while tls.connection.is_handshaking() {
            tls.connection.complete_io(&mut tls.socket).map_err(in_other_words)?;
        }
        Ok(Stream::Tls(Box::new(tls)))
    }

    /// To wait for, and to set limits.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.socket,
        }
    }
}

impl Read for Stream {
    /// With TLS nothing that was decrypted is kept back: what is left to read is in the socket, where whoever waits
    /// for it sees it. `buffer` must have room for twice [`CIPHER_OCTETS`], or nothing may be under way.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    /// With TLS octets count as written when their ciphertext has left: until then the same octets must be offered
    /// again.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(octets),
            Stream::Tls(tls) => tls.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = self.drain(buffer)?;
        while filled == 0 || buffer.len() - filled >= ROOM_OCTETS {
            let octets = match self.socket.read(&mut self.cipher) {
                Ok(0) => return Ok(filled),
                Ok(octets) => octets,
                Err(_) if filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            };
            let mut cipher = &self.cipher[..octets];
            while !cipher.is_empty() {
                self.connection.read_tls(&mut cipher)?;
                self.connection.process_new_packets().map_err(io::Error::other)?;
                filled += drain(&mut self.connection, &mut buffer[filled..])?;
            }
            // A blocking socket would wait for more.
            if octets < self.cipher.len() && filled > 0 {
                break;
            }
        }
        Ok(filled)
    }

    fn drain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        drain(&mut self.connection, buffer)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.owed == 0 {
            self.push()?;
            self.owed = self.connection.writer().write(octets)?;
        }
        self.push()?;
        Ok(std::mem::take(&mut self.owed))
    }

    fn push(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// Says what to do about failures of a handshake that its own words do not tell.
fn in_other_words(error: io::Error) -> io::Error {
    let why = match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "what answers there is not TLS: amqp:// may be meant"
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the broker's certificate is not signed by an authority in cacertfile"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{why} ({error})"))
}

/// Everything that is decrypted, as far as there is room.
fn drain(connection: &mut ClientConnection, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match connection.reader().read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(octets) => filled += octets,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Made once for each way to trust: a run may open thousands of connections.
fn config(trust: &Trust) -> io::Result<Arc<ClientConfig>> {
    static MADE: Mutex<Vec<(Trust, Arc<ClientConfig>)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, config)) = made.iter().find(|(known, _)| known == trust) {
        return Ok(config.clone());
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = match trust {
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
            .with_no_client_auth(),
        Trust::Authorities(file) => {
            let unusable = |what: String| io::Error::other(format!("{}: {what}", file.display()));
            let mut roots = RootCertStore::empty();
            let found = CertificateDer::pem_file_iter(file);
            for authority in found.map_err(|error| unusable(error.to_string()))? {
                let authority = authority.map_err(|error| unusable(error.to_string()))?;
                roots.add(authority).map_err(|error| unusable(error.to_string()))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    // Each connection pays for its handshake, as that of another program would.
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    made.push((trust.clone(), config.clone()));
    Ok(config)
}

/// Believes every server that has the key of the certificate it shows.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
