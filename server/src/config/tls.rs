//! TLS: certificate, key, and what is asked of clients. Files are named here and read at the start.

use std::path::PathBuf;

/// By RabbitMQ's names, those of `ssl_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Our certificate, then those between it and the authority's, as PEM.
    pub certfile: PathBuf,
    /// Its private key, as PEM.
    pub keyfile: PathBuf,
    /// Authorities that clients' certificates may come from, as PEM.
    pub cacertfile: Option<PathBuf>,
    /// Ask clients for a certificate, and check it if there is one.
    pub verify_peer: bool,
    /// Refuse clients that show none.
    pub fail_if_no_peer_cert: bool,
    pub versions: TlsVersions,
}

/// Versions of the protocol that are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    Only12,
    Only13,
}

/// As written in flags or file, before it is known whether it makes sense together.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsKeys {
    pub(super) certfile: Option<PathBuf>,
    pub(super) keyfile: Option<PathBuf>,
    pub(super) cacertfile: Option<PathBuf>,
    pub(super) verify_peer: Option<bool>,
    pub(super) fail_if_no_peer_cert: Option<bool>,
    pub(super) versions: Option<TlsVersions>,
}

/// A setting without which another makes no sense: the flags of both, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    pub(super) flag: &'static str,
    pub(super) lacks: &'static str,
}

impl TlsKeys {
    /// Flags before the file.
    pub(super) fn or(self, file: TlsKeys) -> TlsKeys {
        TlsKeys {
            certfile: self.certfile.or(file.certfile),
            keyfile: self.keyfile.or(file.keyfile),
            cacertfile: self.cacertfile.or(file.cacertfile),
            verify_peer: self.verify_peer.or(file.verify_peer),
            fail_if_no_peer_cert: self.fail_if_no_peer_cert.or(file.fail_if_no_peer_cert),
            versions: self.versions.or(file.versions),
        }
    }

    /// `None`: neither certificate nor key is named, and nobody needs them.
    pub(super) fn judge(
        self,
        needed: Option<&'static str>,
    ) -> Result<Option<TlsSettings>, Lacking> {
        const CERTFILE: &str = "--ssl-options-certfile";
        const KEYFILE: &str = "--ssl-options-keyfile";
        const VERIFY: &str = "--ssl-options-verify verify_peer";
        let verify_peer = self.verify_peer.unwrap_or(false);
        let fail_if_no_peer_cert = self.fail_if_no_peer_cert.unwrap_or(false);
        let (certfile, keyfile) = match (self.certfile, self.keyfile, needed) {
            (Some(certfile), Some(keyfile), _) => (certfile, keyfile),
            (Some(_), None, _) => return Err(Lacking { flag: CERTFILE, lacks: KEYFILE }),
            (None, Some(_), _) => return Err(Lacking { flag: KEYFILE, lacks: CERTFILE }),
            (None, None, Some(flag)) => return Err(Lacking { flag, lacks: CERTFILE }),
            (None, None, None) => return Ok(None),
        };
        if verify_peer && self.cacertfile.is_none() {
            return Err(Lacking { flag: VERIFY, lacks: "--ssl-options-cacertfile" });
        }
        if fail_if_no_peer_cert && !verify_peer {
            return Err(Lacking { flag: "--ssl-options-fail-if-no-peer-cert", lacks: VERIFY });
        }
        Ok(Some(TlsSettings {
            certfile,
            keyfile,
            cacertfile: self.cacertfile,
            verify_peer,
            fail_if_no_peer_cert,
            versions: self.versions.unwrap_or_default(),
        }))
    }
}

pub(super) fn verify(text: &str) -> Result<bool, String> {
    match text {
        "verify_peer" => Ok(true),
        "verify_none" => Ok(false),
        _ => Err("must be verify_peer or verify_none".into()),
    }
}

pub(super) fn versions(text: &str) -> Result<TlsVersions, String> {
    let mut names: Vec<_> = text.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    match names.join(",").as_str() {
        "tlsv1.2" => Ok(TlsVersions::Only12),
        "tlsv1.3" => Ok(TlsVersions::Only13),
        "tlsv1.2,tlsv1.3" => Ok(TlsVersions::Both),
        _ => Err("must be tlsv1.2, tlsv1.3 or tlsv1.3,tlsv1.2".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> TlsKeys {
        let (certfile, keyfile) = (Some("/c.pem".into()), Some("/k.pem".into()));
        TlsKeys { certfile, keyfile, ..TlsKeys::default() }
    }

    #[test]
    fn what_needs_something_else_names_both() {
        let lacks = |keys: TlsKeys, needed| keys.judge(needed).unwrap_err().lacks;
        assert_eq!(TlsKeys::default().judge(None), Ok(None));
        assert_eq!(lacks(TlsKeys::default(), Some("--listen-ssl")), "--ssl-options-certfile");
        assert_eq!(lacks(TlsKeys { keyfile: None, ..named() }, None), "--ssl-options-keyfile");
        assert_eq!(lacks(TlsKeys { certfile: None, ..named() }, None), "--ssl-options-certfile");
        let checking = TlsKeys { verify_peer: Some(true), ..named() };
        assert_eq!(lacks(checking.clone(), None), "--ssl-options-cacertfile");
        let strict = TlsKeys { fail_if_no_peer_cert: Some(true), ..named() };
        assert_eq!(lacks(strict, None), "--ssl-options-verify verify_peer");
        let all = TlsKeys {
            cacertfile: Some("/a.pem".into()),
            fail_if_no_peer_cert: Some(true),
            ..checking
        };
        assert!(all.judge(None).unwrap().is_some_and(|tls| tls.fail_if_no_peer_cert));
    }

    #[test]
    fn flags_win_over_the_file_key_by_key() {
        let file = TlsKeys { verify_peer: Some(true), cacertfile: Some("/a".into()), ..named() };
        let flags = TlsKeys { verify_peer: Some(false), ..TlsKeys::default() };
        let tls = flags.or(file).judge(Some("--listen-ssl")).unwrap().unwrap();
        assert!(!tls.verify_peer);
        assert_eq!(tls.certfile, PathBuf::from("/c.pem"));
    }

    #[test]
    fn words_of_ssl_options_are_rabbitmqs() {
        assert_eq!((verify("verify_peer"), verify("verify_none")), (Ok(true), Ok(false)));
        assert!(verify("on").is_err());
        assert_eq!(versions("tlsv1.3"), Ok(TlsVersions::Only13));
        assert!(versions("tlsv1.1").is_err());
    }
}
