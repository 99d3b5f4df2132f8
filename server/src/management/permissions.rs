//! `permissions`: list, of a user, of a vhost, one, set, clear (behaviour A115).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use haremq_engine::topology::{Permission, Topology, TopologyError, TopologyRequest};
use serde_json::{json, Map, Value};

use super::auth::Administrator;
use super::errors::ApiError;
use super::extract::{Body, Names, Query};
use super::listing::ListQuery;
use super::{accounts, json as body_json, Shared};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/permissions", get(list))
        .route("/permissions/{vhost}/{user}", get(one).put(put).delete(delete))
        .route("/vhosts/{vhost}/permissions", get(of_vhost))
}

/// All permissions, by vhost and user.
fn all(accounts: &Topology) -> Vec<&Permission> {
    let mut vhosts: Vec<_> = accounts.vhosts().map(|vhost| &*vhost.name).collect();
    vhosts.sort_unstable();
    let mut permissions = Vec::new();
    for vhost in vhosts {
        let mut here: Vec<_> = accounts.permissions(vhost).collect();
        here.sort_by(|a, b| a.user.cmp(&b.user));
        permissions.extend(here);
    }
    permissions
}

pub(super) fn describe(permission: &Permission) -> Value {
    json!({
        "user": &*permission.user,
        "vhost": &*permission.vhost,
        "configure": &*permission.configure,
        "write": &*permission.write,
        "read": &*permission.read,
    })
}

async fn list(
    Administrator(identity): Administrator,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    query.answer(all(identity.accounts()).into_iter().map(describe).collect())
}

/// `users/:user/permissions`
pub(super) async fn of_user(
    Administrator(identity): Administrator,
    Names(user): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.accounts().user(&user).ok_or(ApiError::NotFound)?;
    let permissions = all(identity.accounts()).into_iter();
    query.answer(permissions.filter(|one| *one.user == *user).map(describe).collect())
}

async fn of_vhost(
    Administrator(identity): Administrator,
    Names(vhost): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.accounts().vhost(&vhost).ok_or(ApiError::NotFound)?;
    let permissions = all(identity.accounts()).into_iter();
    query.answer(permissions.filter(|one| *one.vhost == *vhost).map(describe).collect())
}

fn find<'a>(accounts: &'a Topology, vhost: &str, user: &str) -> Option<&'a Permission> {
    accounts.permissions(vhost).find(|permission| *permission.user == *user)
}

async fn one(
    Administrator(identity): Administrator,
    Names((vhost, user)): Names<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let permission = find(identity.accounts(), &vhost, &user).ok_or(ApiError::NotFound)?;
    Ok(Json(describe(permission)))
}

async fn put(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, user)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let body = body_json::body(&body)?;
    body_json::require(&body, &["configure", "write", "read"])?;
    let existed = find(identity.accounts(), &vhost, &user).is_some();
    let request = TopologyRequest::SetPermission {
        vhost: Arc::from(vhost),
        user: Arc::from(user),
        configure: pattern(&body, "configure")?,
        write: pattern(&body, "write")?,
        read: pattern(&body, "read")?,
    };
    match accounts::change(&app, request).await? {
        Ok(_) if existed => Ok(StatusCode::NO_CONTENT),
        Ok(_) => Ok(StatusCode::CREATED),
        Err(TopologyError::NoVhost { .. } | TopologyError::NoUser { .. }) => {
            Err(ApiError::bad_request("vhost_or_user_not_found"))
        }
        Err(error) => Err(error.into()),
    }
}

fn pattern(body: &Map<String, Value>, name: &str) -> Result<Arc<str>, ApiError> {
    Ok(Arc::from(body_json::text(body, name)?.unwrap_or_default()))
}

async fn delete(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names((vhost, user)): Names<(String, String)>,
) -> Result<StatusCode, ApiError> {
    find(identity.accounts(), &vhost, &user).ok_or(ApiError::NotFound)?;
    let request =
        TopologyRequest::ClearPermission { vhost: Arc::from(vhost), user: Arc::from(user) };
    match accounts::change(&app, request).await? {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(TopologyError::NoVhost { .. } | TopologyError::NoUser { .. }) => {
            Err(ApiError::NotFound)
        }
        Err(error) => Err(error.into()),
    }
}
