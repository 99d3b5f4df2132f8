//! Who asks, and what they may see and do (behaviour A25, B64, A115-A117).
//!
//! Every handler takes an [`Identity`]; there is no other way to be let in. Refusals are worded as
//! RabbitMQ's management plugin words them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use haremq_engine::access::{verify_password, Right};
use haremq_engine::topology::Topology;

use super::errors::ApiError;
use super::server::Peer;
use super::Shared;

/// The user that exists from the first start and may come from loopback only (behaviour A25).
const LOOPBACK_USER: &str = "guest";
/// What the holder of the operator's token is called in answers.
const OPERATOR: &str = "operator";

/// One authenticated asker with a tag that lets them use the port.
pub(super) struct Identity {
    pub(super) name: Arc<str>,
    pub(super) tags: Vec<Arc<str>>,
    /// Holder of the token: permissions do not apply, as they do not to `rabbitmqctl`.
    operator: bool,
    accounts: Arc<Topology>,
}

impl Identity {
    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| &**own == tag)
    }

    pub(super) fn is_operator(&self) -> bool {
        self.operator
    }

    pub(super) fn is_administrator(&self) -> bool {
        self.has_tag("administrator")
    }

    fn is_monitor(&self) -> bool {
        self.is_administrator() || self.has_tag("monitoring")
    }

    /// Users, permissions and vhosts as they were when the request came.
    pub(super) fn accounts(&self) -> &Topology {
        &self.accounts
    }

    pub(super) fn require_administrator(&self) -> Result<(), ApiError> {
        self.is_administrator()
            .then_some(())
            .ok_or(ApiError::NotAuthorised("Not administrator user"))
    }

    pub(super) fn require_monitor(&self) -> Result<(), ApiError> {
        self.is_monitor().then_some(()).ok_or(ApiError::NotAuthorised("Not monitor user"))
    }

    pub(super) fn require_policymaker(&self) -> Result<(), ApiError> {
        (self.is_administrator() || self.has_tag("policymaker"))
            .then_some(())
            .ok_or(ApiError::NotAuthorised("Not policymaker user"))
    }

    /// Whether what is in the vhost may be seen.
    pub(super) fn sees_vhost(&self, vhost: &str) -> bool {
        self.is_administrator() || self.accounts.access(vhost, &self.name).is_some()
    }

    /// Whether the vhost itself is listed.
    pub(super) fn sees_vhost_name(&self, vhost: &str) -> bool {
        self.is_monitor() || self.sees_vhost(vhost)
    }

    /// Whether connections and channels of that user may be seen.
    pub(super) fn sees_user(&self, user: &str) -> bool {
        self.is_monitor() || *self.name == *user
    }

    /// Whether a connection of that user may be closed.
    pub(super) fn require_control_of(&self, user: &str) -> Result<(), ApiError> {
        (self.is_administrator() || *self.name == *user)
            .then_some(())
            .ok_or(ApiError::NotAuthorised("User not authorised to access object"))
    }

    pub(super) fn require_sight_of_user(&self, user: &str) -> Result<(), ApiError> {
        self.sees_user(user)
            .then_some(())
            .ok_or(ApiError::NotAuthorised("User not authorised to access object"))
    }

    /// Not found if the vhost does not exist, refused if it is not this user's to see.
    pub(super) fn require_vhost(&self, vhost: &str) -> Result<(), ApiError> {
        if self.accounts.vhost(vhost).is_none() {
            return Err(ApiError::NotFound);
        }
        self.sees_vhost(vhost)
            .then_some(())
            .ok_or(ApiError::NotAuthorised("User not authorised to access virtual host"))
    }

    /// As the AMQP method of the same effect would be checked. The default exchange is
    /// `amq.default` here.
    pub(super) fn require_right(
        &self,
        vhost: &str,
        right: Right,
        resource: &str,
    ) -> Result<(), ApiError> {
        if self.operator {
            return Ok(());
        }
        let access = self
            .accounts
            .access(vhost, &self.name)
            .ok_or(ApiError::NotAuthorised("User not authorised to access virtual host"))?;
        access.allows(right, resource).then_some(()).ok_or(ApiError::AccessRefused)
    }
}

/// Somebody with the tag `administrator`; whoever else asks is refused before anything more of the
/// request is read.
pub(super) struct Administrator(pub(super) Identity);

impl FromRequestParts<Shared> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        let identity = Identity::from_request_parts(parts, app).await?;
        identity.require_administrator()?;
        Ok(Administrator(identity))
    }
}

impl FromRequestParts<Shared> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        let header = parts.headers.get(AUTHORIZATION).ok_or(ApiError::Anonymous)?;
        let header = header.to_str().map_err(|_| ApiError::MalformedAuthorization)?;
        let loopback = match parts.extensions.get::<Peer>() {
            Some(Peer(address)) => is_loopback(address.ip()),
            None => false,
        };
        let (scheme, credentials) = header.split_once(' ').unwrap_or((header, ""));
        let accounts = app.accounts.get(&app.shards).await?;
        if scheme.eq_ignore_ascii_case("bearer") {
            if loopback && app.token.matches(credentials.trim()) {
                return Ok(operator(accounts));
            }
            return Err(ApiError::LoginFailed);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(ApiError::LoginFailed);
        }
        let (name, password) =
            basic_credentials(credentials).ok_or(ApiError::MalformedAuthorization)?;
        login(accounts, &name, &password, loopback)
    }
}

fn operator(accounts: Arc<Topology>) -> Identity {
    Identity {
        name: Arc::from(OPERATOR),
        tags: vec![Arc::from("administrator")],
        operator: true,
        accounts,
    }
}

/// Checks a name and password; the work is the same whether the user exists or not.
pub(super) fn login(
    accounts: Arc<Topology>,
    name: &str,
    password: &[u8],
    loopback: bool,
) -> Result<Identity, ApiError> {
    let user = accounts.user(name);
    let proven = verify_password(user.and_then(|user| user.credentials()), password);
    let user = match user {
        Some(user) if proven && !password.is_empty() => user.clone(),
        _ => return Err(ApiError::LoginFailed),
    };
    if name == LOOPBACK_USER && !loopback {
        return Err(ApiError::LoginFailed);
    }
    let admits = ["administrator", "monitoring", "policymaker", "management"];
    if !user.tags.iter().any(|tag| admits.contains(&&**tag)) {
        return Err(ApiError::NotAuthorised("Not management user"));
    }
    Ok(Identity { name: user.name, tags: user.tags, operator: false, accounts })
}

/// The user's name and the password's octets of a Basic authorization.
fn basic_credentials(encoded: &str) -> Option<(String, Vec<u8>)> {
    let mut octets = STANDARD.decode(encoded.trim()).ok()?;
    let colon = octets.iter().position(|octet| *octet == b':')?;
    let password = octets.split_off(colon + 1);
    octets.truncate(colon);
    Some((String::from_utf8(octets).ok()?, password))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_contain_colons() {
        let (name, password) = basic_credentials(&STANDARD.encode("u:a:b")).expect("credentials");
        assert_eq!((name.as_str(), password.as_slice()), ("u", b"a:b".as_slice()));
    }

    #[test]
    fn authorization_that_is_not_name_and_password_is_malformed() {
        assert!(basic_credentials("!!").is_none());
        assert!(basic_credentials(&STANDARD.encode("nocolon")).is_none());
        assert!(basic_credentials(&STANDARD.encode(b"\xff:x")).is_none());
    }

    #[test]
    fn a_mapped_loopback_address_is_loopback() {
        assert!(is_loopback("::ffff:127.0.0.1".parse().expect("address")));
        assert!(is_loopback("::1".parse().expect("address")));
        assert!(!is_loopback("::ffff:10.0.0.1".parse().expect("address")));
    }
}
