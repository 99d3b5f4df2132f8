//! `vhosts`: list, one, create or describe, delete (behaviour B65).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use haremq_engine::topology::{TopologyError, TopologyOutcome, TopologyRequest, Vhost};
use serde_json::{json, Map, Value};

use super::auth::{Administrator, Identity};
use super::errors::ApiError;
use super::extract::{check_name, Body, Names, Query};
use super::listing::ListQuery;
use super::{accounts, json as body_json, overview, Shared};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/vhosts", get(list))
        .route("/vhosts/{vhost}", get(one).put(put).delete(delete))
        .route("/vhosts/{vhost}/deletion/protection", post(protect).delete(unprotect))
}

async fn list(identity: Identity, Query(query): Query<ListQuery>) -> Result<Json<Value>, ApiError> {
    let mut vhosts: Vec<&Vhost> = identity.accounts().vhosts().collect();
    vhosts.retain(|vhost| identity.sees_vhost_name(&vhost.name));
    vhosts.sort_by(|a, b| a.name.cmp(&b.name));
    query.answer(vhosts.into_iter().map(describe).collect())
}

async fn one(
    Administrator(identity): Administrator,
    Names(name): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let vhost = identity.accounts().vhost(&name).ok_or(ApiError::NotFound)?;
    Ok(query.answer_one(describe(vhost)))
}

pub(super) fn describe(vhost: &Vhost) -> Value {
    let tags = overview::tags(&vhost.tags);
    let mut metadata = json!({"description": &*vhost.description, "tags": tags});
    if let Some(kind) = &vhost.default_queue_type {
        metadata["default_queue_type"] = json!(**kind);
    }
    if vhost.protected_from_deletion {
        metadata["protected_from_deletion"] = json!(true);
    }
    let mut shown = json!({
        "name": &*vhost.name,
        "description": &*vhost.description,
        "tags": tags,
        "metadata": metadata,
        "tracing": vhost.tracing,
        "protected_from_deletion": vhost.protected_from_deletion,
    });
    if let Some(kind) = &vhost.default_queue_type {
        shown["default_queue_type"] = json!(**kind);
    }
    shown
}

async fn put(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    check_name("vhost", &name)?;
    let body = body_json::body(&body)?;
    if body_json::flag(&body, "tracing")? {
        return Err(ApiError::bad_request("tracing is not supported"));
    }
    let name: Arc<str> = Arc::from(name);
    let request = TopologyRequest::AddVhost {
        name: Arc::clone(&name),
        description: body_json::text(&body, "description")?.map(Arc::from),
        tags: body_json::tags(&body)?,
        default_queue_type: default_queue_type(&body)?,
    };
    let protected = match body.contains_key("protected_from_deletion") {
        true => Some(body_json::flag(&body, "protected_from_deletion")?),
        false => None,
    };
    let created = accounts::change(&app, request).await?? == TopologyOutcome::Created(true);
    if let Some(protected) = protected {
        protect_or_not(&app, &name, protected).await?;
    }
    if created && !identity.is_operator() {
        // As RabbitMQ: whoever makes a vhost may use it.
        let all: Arc<str> = Arc::from(".*");
        let request = TopologyRequest::SetPermission {
            vhost: name,
            user: Arc::clone(&identity.name),
            configure: Arc::clone(&all),
            write: Arc::clone(&all),
            read: all,
        };
        accounts::change(&app, request).await??;
    }
    Ok(if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// `undefined` is how RabbitMQ writes that there is none.
pub(super) fn default_queue_type(body: &Map<String, Value>) -> Result<Option<Arc<str>>, ApiError> {
    let named = body_json::text(body, "default_queue_type")?;
    let named = named.or(body_json::text(body, "defaultqueuetype")?);
    Ok(named.filter(|kind| *kind != "undefined").map(Arc::from))
}

async fn delete(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
) -> Result<StatusCode, ApiError> {
    if identity.accounts().vhost(&name).is_none() {
        return Err(ApiError::NotFound);
    }
    let request = TopologyRequest::DeleteVhost { name: Arc::from(name) };
    match accounts::change(&app, request).await? {
        Err(TopologyError::NoVhost { .. }) => Err(ApiError::NotFound),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(StatusCode::NO_CONTENT),
    }
}

async fn protect(
    _: Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
) -> Result<StatusCode, ApiError> {
    protect_or_not(&app, &name, true).await
}

async fn unprotect(
    _: Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
) -> Result<StatusCode, ApiError> {
    protect_or_not(&app, &name, false).await
}

async fn protect_or_not(app: &Shared, name: &str, protected: bool) -> Result<StatusCode, ApiError> {
    let request = TopologyRequest::ProtectVhost { name: name.into(), protected };
    match accounts::change(app, request).await? {
        Err(TopologyError::NoVhost { .. }) => Err(ApiError::NotFound),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(StatusCode::NO_CONTENT),
    }
}
