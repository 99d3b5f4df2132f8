//! `topic-permissions`: list, of a user, of a vhost, of both, set, clear (behaviour A119).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete as delete_method, get};
use axum::{Json, Router};
use haremq_engine::topology::{TopicPermission, TopologyError, TopologyRequest};
use serde::Deserialize;
use serde_json::{json, Map, Value};

use super::auth::{Administrator, Identity};
use super::errors::ApiError;
use super::extract::{Body, Names, Query};
use super::listing::ListQuery;
use super::{accounts, json as body_json, Shared};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/topic-permissions", get(list))
        .route("/topic-permissions/{vhost}/{user}", get(of_both).put(put).delete(delete))
        .route("/topic-permissions/{vhost}/{user}/{exchange}", delete_method(delete_of_exchange))
        .route("/vhosts/{vhost}/topic-permissions", get(of_vhost))
        .route("/users/{user}/topic-permissions", get(of_user))
}

pub(super) fn describe(permission: &TopicPermission) -> Value {
    json!({
        "user": &*permission.user,
        "vhost": &*permission.vhost,
        "exchange": &*permission.exchange,
        "write": &*permission.write,
        "read": &*permission.read,
    })
}

/// By vhost, user and exchange.
fn matching(identity: &Identity, wanted: impl Fn(&TopicPermission) -> bool) -> Vec<Value> {
    let accounts = identity.accounts();
    let all = accounts.vhosts().flat_map(|vhost| accounts.topic_permissions(&vhost.name));
    let mut found: Vec<&TopicPermission> = all.filter(|one| wanted(one)).collect();
    found.sort_by(|a, b| (&a.vhost, &a.user, &a.exchange).cmp(&(&b.vhost, &b.user, &b.exchange)));
    found.into_iter().map(describe).collect()
}

async fn list(
    Administrator(identity): Administrator,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    query.answer(matching(&identity, |_| true))
}

async fn of_vhost(
    Administrator(identity): Administrator,
    Names(vhost): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.accounts().vhost(&vhost).ok_or(ApiError::NotFound)?;
    query.answer(matching(&identity, |one| *one.vhost == *vhost))
}

async fn of_user(
    Administrator(identity): Administrator,
    Names(user): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.accounts().user(&user).ok_or(ApiError::NotFound)?;
    query.answer(matching(&identity, |one| *one.user == *user))
}

async fn of_both(
    Administrator(identity): Administrator,
    Names((vhost, user)): Names<(String, String)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let found = matching(&identity, |one| *one.vhost == *vhost && *one.user == *user);
    if found.is_empty() {
        return Err(ApiError::NotFound);
    }
    query.answer(found)
}

/// The permission that a body describes.
pub(super) fn request(
    vhost: &str,
    user: &str,
    body: &Map<String, Value>,
) -> Result<TopologyRequest, ApiError> {
    body_json::require(body, &["exchange", "write", "read"])?;
    let text = |name| -> Result<Arc<str>, ApiError> {
        Ok(body_json::text(body, name)?.unwrap_or_default().into())
    };
    Ok(TopologyRequest::SetTopicPermission(TopicPermission {
        vhost: vhost.into(),
        user: user.into(),
        exchange: text("exchange")?,
        write: text("write")?,
        read: text("read")?,
    }))
}

async fn put(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, user)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let known = matching(&identity, |one| *one.vhost == *vhost && *one.user == *user);
    let request = request(&vhost, &user, &body_json::body(&body)?)?;
    match accounts::change(&app, request).await? {
        Ok(_) if known.is_empty() => Ok(StatusCode::CREATED),
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(TopologyError::NoVhost { .. } | TopologyError::NoUser { .. }) => {
            Err(ApiError::bad_request("vhost_or_user_not_found"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Query of a deletion: ours, for one exchange alone.
#[derive(Debug, Deserialize)]
struct DeleteQuery {
    exchange: Option<String>,
}

async fn delete(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, user)): Names<(String, String)>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    clear(&identity, &app, &vhost, &user, query.exchange.as_deref()).await
}

async fn delete_of_exchange(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, user, exchange)): Names<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    clear(&identity, &app, &vhost, &user, Some(&exchange)).await
}

/// Of one exchange or of all. Whether the exchange has any does not matter, as with RabbitMQ; the
/// user must have some in the vhost.
async fn clear(
    identity: &Identity,
    app: &Shared,
    vhost: &str,
    user: &str,
    exchange: Option<&str>,
) -> Result<StatusCode, ApiError> {
    if matching(identity, |one| *one.vhost == *vhost && *one.user == *user).is_empty() {
        return Err(ApiError::NotFound);
    }
    let exchange = exchange.map(Arc::from);
    let request =
        TopologyRequest::ClearTopicPermission { vhost: vhost.into(), user: user.into(), exchange };
    match accounts::change(app, request).await? {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(TopologyError::NoVhost { .. } | TopologyError::NoUser { .. }) => {
            Err(ApiError::NotFound)
        }
        Err(error) => Err(error.into()),
    }
}
