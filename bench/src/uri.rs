//! `amqp://user:password@host:port/vhost`, as RabbitMQ's URI specification has it, and of its query parameters
//! `cacertfile` and `verify`. Pure.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Where and as whom to connect.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AmqpUri {
    /// Name or address; an IPv6 address without its brackets.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// User name.
    pub(crate) user: String,
    /// Password.
    pub(crate) password: String,
    /// Virtual host; `/` when the URI has no path.
    pub(crate) vhost: String,
    /// amqps://: whom to believe. `None`: without TLS.
    pub(crate) tls: Option<Trust>,
}

/// Which servers to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those with a certificate from an authority in that PEM file.
    Authorities(PathBuf),
    /// Any.
    Anybody,
}

/// What is wrong with a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    /// Neither amqp:// nor amqps://
    #[error("'{0}' is no AMQP URI: it must begin with amqp:// or amqps://")]
    Scheme(String),
    /// amqps:// without a word on whom to believe.
    #[error(
        "amqps:// needs ?cacertfile=FILE with the authority of the broker's certificate, or ?verify=verify_none"
    )]
    Trust,
    /// `%` without two hexadecimal digits, or not UTF-8.
    #[error("'{0}' in the URI is not percent-encoded correctly")]
    Percent(String),
    /// A port that is no number.
    #[error("'{0}' in the URI is no port number")]
    Port(String),
    /// No host.
    #[error("the URI has no host")]
    NoHost,
    /// An IPv6 address without its closing bracket.
    #[error("the URI has an IPv6 address without ']'")]
    Bracket,
    /// The vhost has more than one segment.
    #[error("the vhost in the URI has a '/': write it as %2f")]
    VhostSlash,
    /// A vhost is a short string.
    #[error("the vhost in the URI is longer than 255 octets")]
    VhostTooLong,
}

impl AmqpUri {
    /// Its process is one of this machine's.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// host:port, with brackets where needed.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for AmqpUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<AmqpUri, UriError> {
        let (rest, is_tls) = match (text.strip_prefix("amqp://"), text.strip_prefix("amqps://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(UriError::Scheme(text.to_owned())),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let tls = if is_tls { Some(trust(query)?) } else { None };
        let (authority, vhost) = match rest.split_once('/') {
            Some((_, vhost)) if vhost.contains('/') => return Err(UriError::VhostSlash),
            // "amqp://host/" names the vhost "" in the specification, and everybody means "/".
            Some((authority, "")) => (authority, "/".to_owned()),
            Some((authority, vhost)) => (authority, decode(vhost)?),
            None => (rest, "/".to_owned()),
        };
        if vhost.len() > 255 {
            return Err(UriError::VhostTooLong);
        }
        let (user, password, place) = match authority.rsplit_once('@') {
            Some((login, place)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (decode(user)?, decode(password)?, place)
            }
            None => ("guest".to_owned(), "guest".to_owned(), authority),
        };
        let (host, port) = split_port(place, if is_tls { 5671 } else { 5672 })?;
        let host = decode(host)?;
        if host.is_empty() {
            return Err(UriError::NoHost);
        }
        Ok(AmqpUri { host, port, user, password, vhost, tls })
    }
}

/// Other parameters (heartbeat, ...) mean nothing to a load generator.
fn trust(query: &str) -> Result<Trust, UriError> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    match (value("cacertfile"), value("verify")) {
        (_, Some("verify_none")) => Ok(Trust::Anybody),
        (Some(file), _) => Ok(Trust::Authorities(decode(file)?.into())),
        (None, _) => Err(UriError::Trust),
    }
}

fn split_port(place: &str, usual: u16) -> Result<(&str, u16), UriError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(inside) => {
            let (host, after) = inside.split_once(']').ok_or(UriError::Bracket)?;
            (host, after.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(digits) => digits.parse().map_err(|_| UriError::Port(digits.to_owned()))?,
        None => usual,
    };
    Ok((host, port))
}

fn decode(text: &str) -> Result<String, UriError> {
    let bad = || UriError::Percent(text.to_owned());
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
        let digit = |octet: u8| char::from(octet).to_digit(16).ok_or_else(bad);
        octets.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = after;
    }
    String::from_utf8(octets).map_err(|_| bad())
}

/// Without the password, so that it can be printed and stored.
impl fmt::Display for AmqpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vhost = self.vhost.replace('%', "%25").replace('/', "%2f");
        let scheme = if self.tls.is_some() { "amqps" } else { "amqp" };
        write!(f, "{scheme}://{}@{}/{vhost}", self.user, self.address())
    }
}

impl fmt::Debug for AmqpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AmqpUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AmqpUri, UriError> {
        text.parse()
    }

    fn all(host: &str, port: u16, user: &str, password: &str, vhost: &str) -> AmqpUri {
        let [host, user, password, vhost] = [host, user, password, vhost].map(str::to_owned);
        AmqpUri { host, port, user, password, vhost, tls: None }
    }

    #[test]
    fn every_part_is_read_and_decoded() {
        assert_eq!(
            parse("amqp://us%40er:p%3Aw@localhost:5673/my%2fhost?heartbeat=5"),
            Ok(all("localhost", 5673, "us@er", "p:w", "my/host"))
        );
    }

    #[test]
    fn parts_left_out_have_the_usual_defaults() {
        let usual = all("127.0.0.1", 5672, "guest", "guest", "/");
        assert_eq!(parse("amqp://127.0.0.1"), Ok(usual.clone()));
        assert_eq!(parse("amqp://127.0.0.1/"), Ok(usual.clone()));
        assert_eq!(parse("amqp://127.0.0.1/%2F"), Ok(usual));
        assert_eq!(parse("amqp://[::1]"), Ok(all("::1", 5672, "guest", "guest", "/")));
        assert_eq!(parse("amqp://a:b@[::1]:9/v"), Ok(all("::1", 9, "a", "b", "v")));
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for (uri, is_here) in [
            ("amqp://127.0.0.1", true),
            ("amqp://localhost", true),
            ("amqp://[::1]", true),
            ("amqp://10.0.0.1", false),
            ("amqp://broker.example", false),
        ] {
            assert_eq!(parse(uri).map(|uri| uri.is_loopback()), Ok(is_here), "{uri}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("http://x"), Err(UriError::Scheme("http://x".into())));
        assert_eq!(parse("amqps://x"), Err(UriError::Trust));
        assert_eq!(parse("amqps://x?verify=verify_peer"), Err(UriError::Trust));
        assert_eq!(parse("amqp://"), Err(UriError::NoHost));
        assert_eq!(parse("amqp://x:70000"), Err(UriError::Port("70000".into())));
        assert_eq!(parse("amqp://x/%zz"), Err(UriError::Percent("%zz".into())));
        assert_eq!(parse("amqp://x/a/b"), Err(UriError::VhostSlash));
        assert_eq!(parse("amqp://[::1"), Err(UriError::Bracket));
    }

    #[test]
    fn with_tls_the_uri_says_whom_to_believe() {
        let secure = |port, trust| {
            let plain = all("h", port, "guest", "guest", "/");
            Ok(AmqpUri { tls: Some(trust), ..plain })
        };
        let file = Trust::Authorities("/c a.pem".into());
        assert_eq!(parse("amqps://h?cacertfile=/c%20a.pem"), secure(5671, file));
        let uri = parse("amqps://h:7/%2f?heartbeat=5&verify=verify_none");
        assert_eq!(uri, secure(7, Trust::Anybody));
        assert_eq!(uri.unwrap().to_string(), "amqps://guest@h:7/%2f");
    }

    #[test]
    fn printing_leaves_the_password_out() {
        let uri: AmqpUri = "amqp://bob:secret@h:1/%2f".parse().unwrap();
        assert_eq!(uri.to_string(), "amqp://bob@h:1/%2f");
    }
}
