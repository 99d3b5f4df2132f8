//! `vhost-limits` and `user-limits`: list, of one, set one limit, clear one (behaviour B59, B60).

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use haremq_engine::topology::{TopologyRequest, UserLimits, VhostLimits};
use serde_json::{json, Map, Value};

use super::auth::{Administrator, Identity};
use super::errors::ApiError;
use super::extract::{Body, InVhost, Names, Query};
use super::listing::ListQuery;
use super::{accounts, json as body_json, Shared};

const MAX_CONNECTIONS: &str = "max-connections";
const MAX_QUEUES: &str = "max-queues";
const MAX_CHANNELS: &str = "max-channels";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/vhost-limits", get(list_vhosts))
        .route("/vhost-limits/{vhost}", get(one_vhost).put(put_all_of_vhost))
        .route("/vhost-limits/{vhost}/{limit}", put(put_of_vhost).delete(delete_of_vhost))
        .route("/user-limits", get(list_users))
        .route("/user-limits/{user}", get(one_user).put(put_all_of_user))
        .route("/user-limits/{user}/{limit}", put(put_of_user).delete(delete_of_user))
}

fn shown(limits: [(&str, Option<i64>); 2]) -> Value {
    let set = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), json!(limit?))));
    Value::Object(set.collect())
}

pub(super) fn of_vhost(limits: &VhostLimits) -> Value {
    shown([(MAX_CONNECTIONS, limits.max_connections), (MAX_QUEUES, limits.max_queues)])
}

pub(super) fn of_user(limits: &UserLimits) -> Value {
    shown([(MAX_CONNECTIONS, limits.max_connections), (MAX_CHANNELS, limits.max_channels)])
}

async fn list_vhosts(
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let accounts = identity.accounts();
    let mut vhosts: Vec<_> =
        accounts.vhosts().filter(|vhost| identity.sees_vhost(&vhost.name)).collect();
    vhosts.sort_by(|a, b| a.name.cmp(&b.name));
    let all = vhosts.into_iter().map(|vhost| ("vhost", &vhost.name, of_vhost(&vhost.limits)));
    query.answer(with_limits(all))
}

/// Those that have any.
fn with_limits<'a>(
    all: impl Iterator<Item = (&'a str, &'a std::sync::Arc<str>, Value)>,
) -> Vec<Value> {
    all.filter(|(_, _, limits)| *limits != json!({}))
        .map(|(what, name, limits)| json!({what: **name, "value": limits}))
        .collect()
}

async fn one_vhost(
    InVhost(identity, vhost): InVhost<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let vhost = identity.accounts().vhost(&vhost).ok_or(ApiError::NotFound)?;
    let one = std::iter::once(("vhost", &vhost.name, of_vhost(&vhost.limits)));
    query.answer(with_limits(one))
}

async fn list_users(
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let mut users: Vec<_> = identity.accounts().users().collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    let all = users.into_iter().map(|user| ("user", &user.name, of_user(&user.limits)));
    query.answer(with_limits(all))
}

async fn one_user(
    Administrator(identity): Administrator,
    Names(user): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let user = identity.accounts().user(&user).ok_or(ApiError::NotFound)?;
    let one = std::iter::once(("user", &user.name, of_user(&user.limits)));
    query.answer(with_limits(one))
}

/// Whose limits they are. RabbitMQ keeps those of vhosts as runtime parameters, those of users by
/// themselves, and so has other words for what will not do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Vhost,
    User,
}

impl Whose {
    fn invalid(self, reason: String) -> ApiError {
        ApiError::bad_request(match self {
            Whose::Vhost => format!("Validation failed\n\n{reason}\n"),
            Whose::User => reason,
        })
    }

    fn number(self, name: &str, value: &Value) -> Result<i64, ApiError> {
        let actual = match value {
            Value::String(text) => format!("<<\"{text}\">>"),
            other => other.to_string(),
        };
        value.as_i64().ok_or_else(|| {
            self.invalid(format!("{name} should be a number, actually was {actual}"))
        })
    }

    fn unknown(self, name: &str, value: &Value) -> ApiError {
        let kind = match self {
            Whose::Vhost => "limits",
            Whose::User => "user-limits",
        };
        self.invalid(format!("Unrecognised terms [{{<<\"{name}\">>,{value}}}] in {kind}"))
    }

    /// The `value` of a body.
    fn value(self, body: &axum::body::Bytes, name: &str) -> Result<i64, ApiError> {
        let body = body_json::body(body)?;
        body_json::require(&body, &["value"])?;
        self.number(name, body.get("value").unwrap_or(&Value::Null))
    }
}

/// The limits that an object gives; those it does not name are none.
pub(super) fn vhost_limits(object: &Map<String, Value>) -> Result<VhostLimits, ApiError> {
    let mut limits = VhostLimits::default();
    for (name, value) in object {
        *vhost_limit(&mut limits, name).ok_or_else(|| Whose::Vhost.unknown(name, value))? =
            Some(Whose::Vhost.number(name, value)?);
    }
    Ok(limits)
}

pub(super) fn user_limits(object: &Map<String, Value>) -> Result<UserLimits, ApiError> {
    let mut limits = UserLimits::default();
    for (name, value) in object {
        *user_limit(&mut limits, name).ok_or_else(|| Whose::User.unknown(name, value))? =
            Some(Whose::User.number(name, value)?);
    }
    Ok(limits)
}

fn vhost_limit<'a>(limits: &'a mut VhostLimits, name: &str) -> Option<&'a mut Option<i64>> {
    match name {
        MAX_CONNECTIONS => Some(&mut limits.max_connections),
        MAX_QUEUES => Some(&mut limits.max_queues),
        _ => None,
    }
}

fn user_limit<'a>(limits: &'a mut UserLimits, name: &str) -> Option<&'a mut Option<i64>> {
    match name {
        MAX_CONNECTIONS => Some(&mut limits.max_connections),
        MAX_CHANNELS => Some(&mut limits.max_channels),
        _ => None,
    }
}

async fn set_vhost(app: &Shared, vhost: &str, limits: VhostLimits) -> Result<StatusCode, ApiError> {
    let request = TopologyRequest::SetVhostLimits { vhost: vhost.into(), limits };
    accounts::change(app, request).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_user(app: &Shared, user: &str, limits: UserLimits) -> Result<StatusCode, ApiError> {
    let request = TopologyRequest::SetUserLimits { user: user.into(), limits };
    accounts::change(app, request).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Ours: all limits at once, as the command line sets them.
async fn put_all_of_vhost(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(vhost): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    identity.accounts().vhost(&vhost).ok_or(ApiError::NotFound)?;
    set_vhost(&app, &vhost, vhost_limits(&body_json::body(&body)?)?).await
}

/// As [`put_all_of_vhost`]; here limits that are not named stay.
async fn put_all_of_user(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(user): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let present = identity.accounts().user(&user).ok_or(ApiError::NotFound)?.limits;
    let new = user_limits(&body_json::body(&body)?)?;
    let limits = UserLimits {
        max_connections: new.max_connections.or(present.max_connections),
        max_channels: new.max_channels.or(present.max_channels),
    };
    set_user(&app, &user, limits).await
}

async fn put_of_vhost(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let mut limits = identity.accounts().vhost(&vhost).ok_or(ApiError::NotFound)?.limits;
    let value = Whose::Vhost.value(&body, &name)?;
    *vhost_limit(&mut limits, &name).ok_or_else(|| Whose::Vhost.unknown(&name, &json!(value)))? =
        Some(value);
    set_vhost(&app, &vhost, limits).await
}

async fn delete_of_vhost(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut limits = identity.accounts().vhost(&vhost).ok_or(ApiError::NotFound)?.limits;
    *vhost_limit(&mut limits, &name).ok_or(ApiError::NotFound)? = None;
    set_vhost(&app, &vhost, limits).await
}

async fn put_of_user(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((user, name)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let mut limits = identity.accounts().user(&user).ok_or(ApiError::NotFound)?.limits;
    let value = Whose::User.value(&body, &name)?;
    *user_limit(&mut limits, &name).ok_or_else(|| Whose::User.unknown(&name, &json!(value)))? =
        Some(value);
    set_user(&app, &user, limits).await
}

async fn delete_of_user(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((user, name)): Names<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut limits = identity.accounts().user(&user).ok_or(ApiError::NotFound)?.limits;
    if name == "all" {
        limits = UserLimits::default();
    } else {
        *user_limit(&mut limits, &name).ok_or(ApiError::NotFound)? = None;
    }
    set_user(&app, &user, limits).await
}
