//! Who the client is: mechanisms of SASL, from start-ok to connection.tune (behaviour A7-A11, B62).

use haremq_engine::access::verify_password;
use haremq_engine::table::{Table, Value};

use super::phase::Phase;
use super::Connection;
use crate::amqp::broker::{Broker, Login};
use crate::amqp::error::ProtocolError;
use crate::amqp::introduction::TlsLogin;
use crate::amqp::method::connection;
use crate::sasl::Mechanism;

/// What RABBIT-CR-DEMO asks for after the user, and how the answer begins.
const CHALLENGE: &[u8] = b"Please tell me your password";
const ANSWER: &[u8] = b"My password is ";

/// Why a login is refused, for the log.
type Refusal = &'static str;

impl Connection {
    /// Names of the mechanisms that this client may use, in the operator's order.
    pub(super) fn offered_mechanisms(&self) -> String {
        let all = self.session.settings.mechanisms.iter();
        let offered = all.filter(|mechanism| self.offers(**mechanism));
        offered.map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(" ")
    }

    fn offers(&self, mechanism: Mechanism) -> bool {
        let settings = &self.session.settings;
        settings.mechanisms.contains(&mechanism)
            && match mechanism {
                Mechanism::Plain | Mechanism::AmqPlain | Mechanism::CrDemo => true,
                // Even to a client without a certificate, which so hears a better reason.
                Mechanism::External => self.tls.is_some(),
                Mechanism::Anonymous => settings.anonymous_login_user.is_some(),
            }
    }

    /// The mechanism that the client has chosen, with its first response.
    pub(super) fn authenticate<B: Broker>(
        &mut self,
        name: &str,
        response: &[u8],
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let Ok(mechanism) = name.parse::<Mechanism>() else {
            return Err(ProtocolError::UnknownMechanism { mechanism: name.to_owned() });
        };
        self.mechanism = mechanism.name();
        if !self.offers(mechanism) {
            return Err(ProtocolError::MechanismNotOffered { mechanism: mechanism.name() });
        }
        match mechanism {
            Mechanism::Plain => self.log_in_by_password(plain(response), broker),
            Mechanism::AmqPlain => self.log_in_by_password(amqplain(response), broker),
            Mechanism::External => {
                let user = match self.tls.as_deref() {
                    Some(TlsLogin { user: Some(user), .. }) => Ok(user.clone()),
                    Some(tls) if tls.report.certificate.is_some() => Err("no name found"),
                    _ => Err("no peer certificate"),
                };
                self.log_in_by_name(user, broker)
            }
            Mechanism::Anonymous => {
                let user = self.session.settings.anonymous_login_user.clone();
                self.log_in_by_name(user.ok_or("nobody may"), broker)
            }
            Mechanism::CrDemo => {
                let user = String::from_utf8(response.to_vec()).map_err(|_| undecodable())?;
                self.claimed_user = Some(user);
                connection::secure(self.session.output.frames(0), CHALLENGE);
                self.phase = Phase::Securing;
                Ok(())
            }
        }
    }

    /// The answer to the challenge.
    pub(super) fn secure_ok<B: Broker>(
        &mut self,
        response: &[u8],
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let user = self.claimed_user.take().unwrap_or_default();
        let Some(password) = response.strip_prefix(ANSWER) else {
            return Err(ProtocolError::InvalidResponse { mechanism: self.mechanism });
        };
        self.log_in_by_password(Some((user, password.to_vec())), broker)
    }

    fn log_in_by_password<B: Broker>(
        &mut self,
        credentials: Option<(String, Vec<u8>)>,
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let (name, password) = credentials.ok_or_else(undecodable)?;
        // A user who does not exist takes as long as one who does.
        let user = broker.topology().user(&name);
        let right = verify_password(user.and_then(|user| user.credentials()), &password);
        let login = match right {
            true => self.let_in(&name, broker),
            false => Err("invalid credentials"),
        };
        self.logged_in(&name, login, broker)
    }

    /// Somebody else vouches for the name.
    fn log_in_by_name<B: Broker>(
        &mut self,
        name: Result<String, Refusal>,
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let login = name.as_deref().map_err(|why| *why);
        let login = login.and_then(|name| self.let_in(name, broker));
        self.logged_in(name.as_deref().unwrap_or_default(), login, broker)
    }

    /// Whether there is such a user, who may come from there.
    fn let_in<B: Broker>(&self, name: &str, broker: &B) -> Result<Login, Refusal> {
        let user = broker.topology().user(name).ok_or("invalid credentials")?;
        let local_only = self.session.settings.loopback_users.iter().any(|local| local == name);
        if local_only && !self.peer.ip().to_canonical().is_loopback() {
            return Err("user can only connect via localhost");
        }
        Ok(Login { user: user.name.clone(), tags: user.tags.clone() })
    }

    fn logged_in<B: Broker>(
        &mut self,
        name: &str,
        login: Result<Login, Refusal>,
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        self.announce_login(name, login.is_ok(), broker);
        let login = login.map_err(|why| ProtocolError::LoginRefused {
            mechanism: self.mechanism,
            user: name.into(),
            why,
        })?;
        self.session.user = login.user;
        self.session.tags = login.tags;
        let settings = &self.session.settings;
        let (channels, frame, heartbeat) =
            (settings.channel_max, settings.frame_max, settings.heartbeat_s);
        connection::tune(self.session.output.frames(0), channels, frame, heartbeat);
        self.phase = Phase::Tuning;
        Ok(())
    }
}

/// The response holds a password: it is not shown.
fn undecodable() -> ProtocolError {
    ProtocolError::CannotDecode { octets: Box::default() }
}

/// `NUL user NUL password`.
fn plain(response: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut parts = response.split(|octet| *octet == 0);
    let (nothing, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if !nothing.is_empty() || parts.next().is_some() {
        return None;
    }
    Some((String::from_utf8(user.to_vec()).ok()?, password.to_vec()))
}

/// Fields LOGIN and PASSWORD of a table that has no length prefix, both of octets. Any other
/// password is taken as the empty one, which is refused like any that is wrong.
fn amqplain(response: &[u8]) -> Option<(String, Vec<u8>)> {
    let octets = |value: &Value| match value {
        Value::Bytes(octets) | Value::ByteArray(octets) => Some(octets.to_vec()),
        _ => None,
    };
    let table = Table::decode(response).ok()?;
    let login = String::from_utf8(octets(table.get("LOGIN")?)?).ok()?;
    Some((login, octets(table.get("PASSWORD")?).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_responses_have_exactly_two_parts() {
        assert_eq!(plain(b"\0guest\0pw"), Some(("guest".into(), b"pw".to_vec())));
        assert_eq!(plain(b"\0guest\0"), Some(("guest".into(), Vec::new())));
        for bad in [&b"garbage"[..], b"", b"\0guest", b"x\0guest\0pw", b"\0guest\0pw\0more"] {
            assert_eq!(plain(bad), None);
        }
    }

    #[test]
    fn amqplain_responses_are_tables_without_length() {
        let mut response = Vec::new();
        Table(vec![("LOGIN".into(), Value::text("guest")), ("PASSWORD".into(), Value::text("pw"))])
            .encode(&mut response);
        assert_eq!(amqplain(&response[4..]), Some(("guest".into(), b"pw".to_vec())));
        assert_eq!(amqplain(b"LOGIN"), None);
        // Refused, as RabbitMQ does: once the client heard nothing for three seconds instead.
        let mut odd = Vec::new();
        Table(vec![("LOGIN".into(), Value::text("guest")), ("PASSWORD".into(), Value::I32(1))])
            .encode(&mut odd);
        assert_eq!(amqplain(&odd[4..]), Some(("guest".into(), Vec::new())));
        let mut nameless = Vec::new();
        Table(vec![("LOGIN".into(), Value::I32(1)), ("PASSWORD".into(), Value::text("pw"))])
            .encode(&mut nameless);
        assert_eq!(amqplain(&nameless[4..]), None);
        let mut octets = Vec::new();
        Table(vec![
            ("LOGIN".into(), Value::ByteArray(Box::from(*b"guest"))),
            ("PASSWORD".into(), Value::ByteArray(Box::from(*b"pw"))),
        ])
        .encode(&mut octets);
        assert_eq!(amqplain(&octets[4..]), Some(("guest".into(), b"pw".to_vec())));
    }
}
