//! Certificates for one test: an authority that nobody else knows, and what it has signed.

use crate::directory::TestDirectory;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority, with the directory of all that it has signed.
pub struct Authority {
    directory: TestDirectory,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For longer than the test lives.
    Now,
    /// Not any more.
    Expired,
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&[(DnType::CommonName, "authority of a test")]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("a certificate can be made");
        let directory = TestDirectory::new();
        write(&directory.path().join("authority.pem"), &certificate.pem());
        let certificate = certificate.der().clone();
        Authority { directory, certificate, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// A server's certificate, for localhost and 127.0.0.1.
    pub fn server(&self, file: &str, validity: Validity) -> Certified {
        let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()])
            .expect("these are names");
        params.distinguished_name = name(&[(DnType::CommonName, "localhost")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(file, params, validity)
    }

    /// A client's certificate: organisation `tests`, that common name, that host among its names.
    pub fn client(&self, common_name: &str, host: &str, validity: Validity) -> Certified {
        let mut params = CertificateParams::default();
        params.distinguished_name =
            name(&[(DnType::OrganizationName, "tests"), (DnType::CommonName, common_name)]);
        params.subject_alt_names = vec![SanType::DnsName(host.try_into().expect("a host's name"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(common_name, params, validity)
    }

    fn sign(&self, file: &str, mut params: CertificateParams, validity: Validity) -> Certified {
        if validity == Validity::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let made = Certified {
            certificate: self.directory.path().join(format!("{file}.pem")),
            key: self.directory.path().join(format!("{file}.key")),
        };
        write(&made.certificate, &certificate.pem());
        write(&made.key, &key.serialize_pem());
        made
    }

    /// A client's configuration that believes this authority, and shows a certificate if there is one.
    pub fn client_config(&self, own: Option<&Certified>) -> ClientConfig {
        self.client_config_of(own, rustls::ALL_VERSIONS)
    }

    /// The same for some versions of TLS.
    pub fn client_config_of(
        &self,
        own: Option<&Certified>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("the authority can be believed");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("these are versions")
            .with_root_certificates(roots);
        let Some(own) = own else { return builder.with_no_client_auth() };
        let chain = CertificateDer::pem_file_iter(&own.certificate).expect("it was written");
        let chain = chain.collect::<Result<_, _>>().expect("it is PEM");
        let key = PrivateKeyDer::from_pem_file(&own.key).expect("it is PEM");
        builder.with_client_auth_cert(chain, key).expect("they belong together")
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

fn name(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the directory of the test can be written");
}
