//! How clients may log in: the mechanisms offered, and what stands behind them.

use super::file::FileKeys;
use super::settings::flag;
use super::{ConfigError, Flags};
use crate::sasl::Mechanism;

/// By RabbitMQ's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// `auth_mechanisms`, in the order in which clients see them; at least one.
    pub mechanisms: Vec<Mechanism>,
    /// `anonymous_login_user`: whom a client is taken for that logs in by ANONYMOUS. `None`:
    /// nobody may.
    pub anonymous_user: Option<String>,
    /// `ssl_cert_login_from`: where EXTERNAL looks for the user in a certificate.
    pub certificate_name: CertificateName,
    /// `handshake_timeout`: from the first octet, TLS included, to the open connection, in
    /// milliseconds.
    pub handshake_timeout_ms: u64,
}

impl AuthSettings {
    /// Flags before the file, the file before the defaults.
    pub(super) fn resolve(flags: &Flags, file: &FileKeys) -> Result<AuthSettings, ConfigError> {
        let mechanisms = match &flags.auth_mechanisms {
            Some(text) => flag("--auth-mechanisms", text, mechanisms(text))?,
            None => file.auth_mechanisms.clone().unwrap_or(Mechanism::DEFAULT.to_vec()),
        };
        let anonymous = flags.anonymous_login_user.as_ref().or(file.anonymous_login_user.as_ref());
        let certificate_name = match &flags.ssl_cert_login_from {
            Some(text) => flag("--ssl-cert-login-from", text, certificate_name(text))?,
            None => file.ssl_cert_login_from.unwrap_or_default(),
        };
        let handshake_timeout_ms = match &flags.handshake_timeout {
            Some(text) => flag("--handshake-timeout", text, handshake_timeout(text))?,
            None => file.handshake_timeout.unwrap_or(HANDSHAKE_TIMEOUT_DEFAULT_MS),
        };
        Ok(AuthSettings {
            mechanisms,
            anonymous_user: user_or_none(anonymous.map_or(ANONYMOUS_DEFAULT, |name| name)),
            certificate_name,
            handshake_timeout_ms,
        })
    }
}

/// The part of a certificate that says who its owner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateName {
    /// The whole subject, as RFC 4514 writes it.
    #[default]
    DistinguishedName,
    /// Its common name; several are joined by commas.
    CommonName,
    /// The first alternative name of that kind.
    AlternativeName(AlternativeName),
}

/// `ssl_cert_login_san_type`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlternativeName {
    #[default]
    Dns,
    Email,
    Uri,
}

/// As RabbitMQ 4.
const ANONYMOUS_DEFAULT: &str = "guest";
/// Ten seconds, as RabbitMQ.
const HANDSHAKE_TIMEOUT_DEFAULT_MS: u64 = 10_000;
/// A client that is not let in for longer holds a place for nothing.
const HANDSHAKE_TIMEOUT_MAX_MS: u64 = 600_000;

/// Names with spaces or commas between them.
pub(super) fn mechanisms(text: &str) -> Result<Vec<Mechanism>, String> {
    let mut found = Vec::new();
    for name in text.split([' ', ',']).filter(|name| !name.is_empty()) {
        let mechanism = name.parse::<Mechanism>().map_err(|error| format!("{name} {error}"))?;
        if found.contains(&mechanism) {
            return Err(format!("names {name} twice"));
        }
        found.push(mechanism);
    }
    match found.is_empty() {
        true => Err("must name at least one mechanism".into()),
        false => Ok(found),
    }
}

/// The name of a user; `none` for nobody.
fn user_or_none(text: &str) -> Option<String> {
    (text != "none").then(|| text.to_owned())
}

pub(super) fn handshake_timeout(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(timeout_ms) if (1..=HANDSHAKE_TIMEOUT_MAX_MS).contains(&timeout_ms) => Ok(timeout_ms),
        _ => Err(format!("must be a number of milliseconds from 1 to {HANDSHAKE_TIMEOUT_MAX_MS}")),
    }
}

/// `ssl_cert_login_from`, with the kind of alternative name as RabbitMQ's
/// `ssl_cert_login_san_type` has it behind a colon.
pub(super) fn certificate_name(text: &str) -> Result<CertificateName, String> {
    let alternative = |kind| Ok(CertificateName::AlternativeName(kind));
    match text {
        "distinguished_name" => Ok(CertificateName::DistinguishedName),
        "common_name" => Ok(CertificateName::CommonName),
        "subject_alternative_name" | "subject_alternative_name:dns" => {
            alternative(AlternativeName::Dns)
        }
        "subject_alternative_name:email" => alternative(AlternativeName::Email),
        "subject_alternative_name:uri" => alternative(AlternativeName::Uri),
        _ => Err("must be one of distinguished_name, common_name, subject_alternative_name, or \
                  the last with :dns, :email or :uri"
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_keep_their_order_and_come_once() {
        assert_eq!(mechanisms("AMQPLAIN PLAIN"), Ok(vec![Mechanism::AmqPlain, Mechanism::Plain]));
        assert_eq!(mechanisms("EXTERNAL,PLAIN"), Ok(vec![Mechanism::External, Mechanism::Plain]));
        for (bad, why) in [("", "at least one"), ("PLAIN PLAIN", "twice"), ("PLAIN FOO", "FOO")] {
            assert!(mechanisms(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn a_handshake_has_a_bound() {
        assert_eq!(handshake_timeout("250"), Ok(250));
        assert!(handshake_timeout("0").is_err());
        assert!(handshake_timeout("600001").is_err());
        assert!(handshake_timeout("long").is_err());
    }

    #[test]
    fn the_name_in_a_certificate_has_rabbitmqs_words() {
        assert_eq!(certificate_name("common_name"), Ok(CertificateName::CommonName));
        let email = CertificateName::AlternativeName(AlternativeName::Email);
        assert_eq!(certificate_name("subject_alternative_name:email"), Ok(email));
        assert!(certificate_name("cn").is_err());
    }
}
