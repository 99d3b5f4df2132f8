//! What a listener asks of those who come in: a PROXY header, TLS, a certificate. Made once, at the
//! start, on the main thread; shared by all shards and never changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{version, RootCertStore, SupportedProtocolVersion};

use super::certificate;
use crate::config::{CertificateName, TlsSettings, TlsVersions};

/// One kind of listener.
#[derive(Clone, Debug, Default)]
pub(in crate::runtime) struct Door {
    /// Connections begin with a PROXY header.
    pub(in crate::runtime) proxy: bool,
    /// `None`: plain.
    pub(in crate::runtime) tls: Option<TlsDoor>,
}

/// Certificate, key and rules.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct TlsDoor {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate_name: CertificateName,
}

/// A file or setting of TLS that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("cannot read {} ({flag}): {source}", path.display())]
    Unreadable { path: PathBuf, flag: &'static str, source: std::io::Error },
    #[error("{} ({flag}) is not PEM: {what}", path.display())]
    NotPem { path: PathBuf, flag: &'static str, what: String },
    #[error("{} ({flag}) holds no {what}", path.display())]
    Empty { path: PathBuf, flag: &'static str, what: &'static str },
    #[error(
        "{} (--ssl-options-keyfile) is encrypted; write it without a password, readable by the \
         broker alone, with `openssl pkey -in FILE -out NEW`",
        path.display()
    )]
    EncryptedKey { path: PathBuf },
    #[error(
        "the key in {} (--ssl-options-keyfile) is not that of the certificate in {} \
         (--ssl-options-certfile)",
        key.display(), certificate.display()
    )]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("{} ({flag}) cannot be used: {what}", path.display())]
    Unusable { path: PathBuf, flag: &'static str, what: String },
}

const CERTFILE: &str = "--ssl-options-certfile";
const KEYFILE: &str = "--ssl-options-keyfile";
const CACERTFILE: &str = "--ssl-options-cacertfile";

impl TlsDoor {
    /// Reads the files and looks whether they fit together.
    pub(in crate::runtime) fn open(
        settings: &TlsSettings,
        certificate_name: CertificateName,
    ) -> Result<TlsDoor, DoorError> {
        let chain = certificates(&settings.certfile, CERTFILE)?;
        warn_of_bad_time(&settings.certfile, &chain);
        let key = key(&settings.keyfile)?;
        let provider = Arc::new(ring::default_provider());
        let unusable = |path: &Path, flag, error: &dyn std::fmt::Display| DoorError::Unusable {
            path: path.to_owned(),
            flag,
            what: error.to_string(),
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(settings.versions))
            .map_err(|error| unusable(&settings.certfile, CERTFILE, &error))?;
        let builder = match &settings.cacertfile {
            Some(path) if settings.verify_peer => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, CACERTFILE)? {
                    roots.add(authority).map_err(|error| unusable(path, CACERTFILE, &error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match settings.fail_if_no_peer_cert {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build();
                let verifier = verifier.map_err(|error| unusable(path, CACERTFILE, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => DoorError::Mismatch {
                key: settings.keyfile.clone(),
                certificate: settings.certfile.clone(),
            },
            rustls::Error::InvalidCertificate(_) => unusable(&settings.certfile, CERTFILE, &error),
            error => unusable(&settings.keyfile, KEYFILE, &error),
        })?;
        Ok(TlsDoor { config: Arc::new(config), certificate_name })
    }
}

fn versions(wanted: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match wanted {
        TlsVersions::Both => rustls::ALL_VERSIONS,
        TlsVersions::Only12 => &ONLY_12,
        TlsVersions::Only13 => &ONLY_13,
    }
}

fn read(path: &Path, flag: &'static str) -> Result<Vec<u8>, DoorError> {
    std::fs::read(path).map_err(|source| DoorError::Unreadable {
        path: path.to_owned(),
        flag,
        source,
    })
}

fn certificates(
    path: &Path,
    flag: &'static str,
) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let text = read(path, flag)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(DoorError::Empty { path: path.to_owned(), flag, what: "certificate" })
        }
        Ok(found) => Ok(found),
        Err(error) => Err(not_pem(path, flag, &error)),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, DoorError> {
    let text = read(path, KEYFILE)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        _ if is_encrypted(&text) => DoorError::EncryptedKey { path: path.to_owned() },
        pem::Error::NoItemsFound => {
            DoorError::Empty { path: path.to_owned(), flag: KEYFILE, what: "private key" }
        }
        error => not_pem(path, KEYFILE, &error),
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn not_pem(path: &Path, flag: &'static str, error: &pem::Error) -> DoorError {
    DoorError::NotPem { path: path.to_owned(), flag, what: error.to_string() }
}

/// Clients will refuse it, and not all of them say why.
fn warn_of_bad_time(path: &Path, chain: &[CertificateDer<'_>]) {
    let own = chain.first().filter(|der| !certificate::is_valid_now(der));
    if let Some(report) = own.and_then(|der| certificate::report(der)) {
        tracing::warn!(
            "the certificate in {} is valid at another time: {}",
            path.display(),
            report.validity
        );
    }
}
