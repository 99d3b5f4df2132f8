//! TLS in front of a mirror: takes connections with TLS and passes their octets on without it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{generate_simple_self_signed, CertifiedKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A front that runs until the process ends.
pub(crate) struct Front {
    /// TCP port on 127.0.0.1.
    pub(crate) port: u16,
    /// File with the certificate, which is its own authority.
    pub(crate) certificate: PathBuf,
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

impl Front {
    /// Passes everything on to 127.0.0.1, port `inner`.
    pub(crate) fn start(inner: u16) -> Front {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("the front is set up on loopback");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der())
            .expect("the front is set up on loopback");
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the front is set up on loopback")
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .expect("the front is set up on loopback");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("the front is set up on loopback");
        let port = listener.local_addr().expect("the front is set up on loopback").port();
        let file = format!("haremq-perf-front-{}-{port}.pem", std::process::id());
        let certificate = std::env::temp_dir().join(file);
        std::fs::write(&certificate, cert.pem()).expect("the front is set up on loopback");
        thread::spawn(move || {
            for outer in listener.incoming().flatten() {
                let connection =
                    ServerConnection::new(config.clone()).expect("the front is set up on loopback");
                // A client or mirror that hangs up ends its thread, and nothing else.
                thread::spawn(move || pass(StreamOwned::new(connection, outer), inner));
            }
        });
        Front { port, certificate }
    }
}

/// Both directions in turn, until either end has gone.
fn pass(mut outer: StreamOwned<ServerConnection, TcpStream>, inner: u16) -> io::Result<()> {
    let mut inner = TcpStream::connect(("127.0.0.1", inner))?;
    while outer.conn.is_handshaking() {
        outer.conn.complete_io(&mut outer.sock)?;
    }
    // Writes wait for room, reads do not wait for long.
    let moment = Some(Duration::from_micros(200));
    outer.sock.set_read_timeout(moment)?;
    inner.set_read_timeout(moment)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match read(&mut outer, &mut buffer)? {
            Some(0) => return Ok(()),
            Some(octets) => inner.write_all(&buffer[..octets])?,
            None => {}
        }
        match read(&mut inner, &mut buffer)? {
            Some(0) => return Ok(()),
            Some(octets) => outer.write_all(&buffer[..octets])?,
            None => {}
        }
    }
}

/// `None`: nothing there.
fn read(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.read(buffer) {
        Ok(octets) => Ok(Some(octets)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
