//! What a certificate says of its owner, in RabbitMQ's words, and a cipher suite of itself.
//!
//! Pure. A certificate has been checked before it comes here; one that cannot be read says nothing.

use rustls::CipherSuite;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{parse_x509_certificate, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::{AlternativeName, CertificateName};
use crate::control::CertificateReport;

/// Short names of the parts of a distinguished name, by object identifier.
const PARTS: [(&[u64], &str); 17] = [
    (&[2, 5, 4, 3], "CN"),
    (&[2, 5, 4, 4], "SN"),
    (&[2, 5, 4, 5], "SERIALNUMBER"),
    (&[2, 5, 4, 6], "C"),
    (&[2, 5, 4, 7], "L"),
    (&[2, 5, 4, 8], "ST"),
    (&[2, 5, 4, 9], "STREET"),
    (&[2, 5, 4, 10], "O"),
    (&[2, 5, 4, 11], "OU"),
    (&[2, 5, 4, 12], "TITLE"),
    (&[2, 5, 4, 42], "GIVENNAME"),
    (&[2, 5, 4, 43], "INITIALS"),
    (&[2, 5, 4, 44], "GENERATIONQUALIFIER"),
    (&[2, 5, 4, 65], "PSEUDONYM"),
    (&[0, 9, 2342, 19200300, 100, 1, 1], "UID"),
    (&[0, 9, 2342, 19200300, 100, 1, 25], "DC"),
    (&[1, 2, 840, 113549, 1, 9, 1], "EMAILADDRESS"),
];
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    parse_x509_certificate(der).ok().map(|(_, certificate)| certificate)
}

/// For listings.
pub(super) fn report(der: &[u8]) -> Option<CertificateReport> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    Some(CertificateReport {
        subject: distinguished(certificate.subject()),
        issuer: distinguished(certificate.issuer()),
        validity: format!("{} - {}", moment(validity.not_before), moment(validity.not_after)),
    })
}

/// The user that the certificate names.
pub(super) fn name(der: &[u8], part: CertificateName) -> Option<String> {
    let certificate = parse(der)?;
    let name = match part {
        CertificateName::DistinguishedName => distinguished(certificate.subject()),
        CertificateName::CommonName => {
            let parts = certificate.subject().iter_attributes();
            let common = parts.filter(|one| is(one.attr_type(), COMMON_NAME));
            common.map(text).collect::<Vec<_>>().join(",")
        }
        CertificateName::AlternativeName(kind) => {
            let names = certificate.subject_alternative_name().ok()??;
            let names = names.value.general_names.iter();
            let of_kind = |name: &GeneralName<'_>| match (kind, name) {
                (AlternativeName::Dns, GeneralName::DNSName(name))
                | (AlternativeName::Email, GeneralName::RFC822Name(name))
                | (AlternativeName::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
                _ => None,
            };
            names.filter_map(of_kind).next()?
        }
    };
    Some(name).filter(|name| !name.is_empty())
}

pub(super) fn is_valid_now(der: &[u8]) -> bool {
    parse(der).is_some_and(|certificate| certificate.validity().is_valid())
}

/// The last part first, as RFC 4514 has it.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    format!("{}={}", part_name(attribute.attr_type()), escape(&text(attribute)))
}

fn part_name(kind: &Oid<'_>) -> String {
    let known = PARTS.iter().find(|(known, _)| is(kind, known));
    known.map_or_else(|| kind.to_id_string(), |(_, name)| (*name).to_owned())
}

fn is(kind: &Oid<'_>, numbers: &[u64]) -> bool {
    kind.iter().is_some_and(|parts| parts.eq(numbers.iter().copied()))
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(attribute.as_slice()).into_owned(),
    }
}

/// As RFC 4514 asks for, and all that is not printable ASCII as well, as RabbitMQ does.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, octet) in value.bytes().enumerate() {
        match octet {
            b' ' | b'#' if at == 0 => escaped.push('\\'),
            b' ' if at == last => escaped.push('\\'),
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => escaped.push('\\'),
            0..32 | 126.. => {
                escaped.push_str(&format!("\\{octet:02X}"));
                continue;
            }
            _ => {}
        }
        escaped.push(char::from(octet));
    }
    escaped
}

fn moment(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Key exchange, cipher and hash, as RabbitMQ lists them.
pub(super) fn words_of(suite: Option<CipherSuite>) -> [&'static str; 3] {
    use CipherSuite as Suite;
    let (key_exchange, cipher) = match suite {
        Some(Suite::TLS13_AES_128_GCM_SHA256) => ("any", "aes_128_gcm"),
        Some(Suite::TLS13_AES_256_GCM_SHA384) => ("any", "aes_256_gcm"),
        Some(Suite::TLS13_CHACHA20_POLY1305_SHA256) => ("any", "chacha20_poly1305"),
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => ("ecdhe_ecdsa", "aes_128_gcm"),
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => ("ecdhe_ecdsa", "aes_256_gcm"),
        Some(Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => {
            ("ecdhe_ecdsa", "chacha20_poly1305")
        }
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => ("ecdhe_rsa", "aes_128_gcm"),
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => ("ecdhe_rsa", "aes_256_gcm"),
        Some(Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => {
            ("ecdhe_rsa", "chacha20_poly1305")
        }
        _ => return [""; 3],
    };
    [key_exchange, cipher, "aead"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    fn made(parts: &[(DnType, &str)], names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), DnValue::Utf8String((*value).into()));
        }
        params.subject_alt_names = names;
        params.not_before = rcgen::date_time_ymd(2026, 1, 31);
        params.not_after = rcgen::date_time_ymd(2027, 2, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_distinguished_name_is_written_as_rabbitmq_writes_it() {
        let der = made(
            &[
                (DnType::CountryName, "DE"),
                (DnType::OrganizationName, "Müller, Söhne + Co~"),
                (DnType::CommonName, " #client\" "),
            ],
            Vec::new(),
        );
        let shown = r#"CN=\ #client\"\ ,O=M\C3\BCller\, S\C3\B6hne \+ Co\7E,C=DE"#;
        let report = report(&der).unwrap();
        assert_eq!(report.subject, shown);
        assert_eq!(report.issuer, shown, "it is its own");
        assert_eq!(report.validity, "2026-01-31T00:00:00Z - 2027-02-01T00:00:00Z");
        assert_eq!(name(&der, CertificateName::DistinguishedName).as_deref(), Some(shown));
        assert_eq!(name(&der, CertificateName::CommonName).as_deref(), Some(" #client\" "));
    }

    #[test]
    fn unknown_parts_are_named_by_their_number() {
        let kind = DnType::CustomDnType(vec![1, 2, 3, 4]);
        let der = made(&[(kind, "x")], Vec::new());
        assert_eq!(report(&der).unwrap().subject, format!("{}=x", ["1", "2", "3", "4"].join(".")));
    }

    #[test]
    fn the_first_alternative_name_of_the_wanted_kind_is_the_user() {
        let names = vec![
            SanType::Rfc822Name("bob@example".try_into().unwrap()),
            SanType::DnsName("bob.example".try_into().unwrap()),
            SanType::DnsName("other.example".try_into().unwrap()),
        ];
        let der = made(&[(DnType::CommonName, "bob")], names);
        let of = |kind| name(&der, CertificateName::AlternativeName(kind));
        assert_eq!(of(AlternativeName::Dns).as_deref(), Some("bob.example"));
        assert_eq!(of(AlternativeName::Email).as_deref(), Some("bob@example"));
        assert_eq!(of(AlternativeName::Uri), None);
    }

    #[test]
    fn what_is_not_there_is_no_user() {
        let der = made(&[(DnType::OrganizationName, "nobody")], Vec::new());
        assert_eq!(name(&der, CertificateName::CommonName), None);
        assert_eq!(name(b"garbage", CertificateName::CommonName), None);
        assert_eq!(report(b""), None);
        let nameless = made(&[], Vec::new());
        assert_eq!(name(&nameless, CertificateName::DistinguishedName), None);
    }
}
