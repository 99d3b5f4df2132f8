//! `parameters` and `global-parameters`: what runtime parameters there are.
//!
//! Components that take parameters are plugins; there are none, so a parameter can be listed (the
//! limits and operator policies, which RabbitMQ keeps there) but not set by these paths. Global
//! parameters are kept for whoever sets them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use haremq_engine::topology::{GlobalParameter, TopologyError, TopologyOutcome, TopologyRequest};
use serde_json::{json, Value};

use super::auth::{Administrator, Identity};
use super::errors::ApiError;
use super::extract::{check_name, Body, Names, Query};
use super::listing::ListQuery;
use super::{accounts, json as body_json, policies, Shared};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/parameters", get(list))
        .route("/parameters/{component}", get(of_component))
        .route("/parameters/{component}/{vhost}", get(of_vhost))
        .route("/global-parameters", get(list_global))
        .route("/global-parameters/{name}", get(one_global).put(put_global).delete(delete_global))
}

fn matching(identity: &Identity, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let accounts = identity.accounts();
    let mut names: Vec<_> = accounts.vhosts().map(|vhost| &*vhost.name).collect();
    names.retain(|name| identity.sees_vhost(name));
    names.sort_unstable();
    let all = names.into_iter().flat_map(|name| policies::as_parameters(accounts, name));
    all.filter(|parameter| wanted(parameter)).collect()
}

async fn list(identity: Identity, Query(query): Query<ListQuery>) -> Result<Json<Value>, ApiError> {
    identity.require_policymaker()?;
    query.answer(matching(&identity, |_| true))
}

async fn of_component(
    identity: Identity,
    Names(component): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.require_policymaker()?;
    query.answer(matching(&identity, |one| one["component"] == *component))
}

async fn of_vhost(
    identity: Identity,
    Names((component, vhost)): Names<(String, String)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.require_policymaker()?;
    identity.require_vhost(&vhost)?;
    let wanted = |one: &Value| one["component"] == *component && one["vhost"] == *vhost;
    query.answer(matching(&identity, wanted))
}

/// Its value is JSON that was checked when it was set.
pub(super) fn describe(parameter: &GlobalParameter) -> Value {
    let value: Value = serde_json::from_str(&parameter.value).unwrap_or(Value::Null);
    json!({"name": &*parameter.name, "value": value})
}

async fn list_global(
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.require_policymaker()?;
    query.answer(identity.accounts().global_parameters().iter().map(describe).collect())
}

async fn one_global(
    identity: Identity,
    Names(name): Names<String>,
) -> Result<Json<Value>, ApiError> {
    identity.require_policymaker()?;
    let all = identity.accounts().global_parameters();
    let one = all.iter().find(|parameter| *parameter.name == *name).ok_or(ApiError::NotFound)?;
    Ok(Json(describe(one)))
}

async fn put_global(
    _: Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    check_name("parameter", &name)?;
    let body = body_json::body(&body)?;
    body_json::require(&body, &["value"])?;
    let value = body.get("value").unwrap_or(&Value::Null).to_string().into();
    let parameter = GlobalParameter { name: name.into(), value };
    match accounts::change(&app, TopologyRequest::SetGlobalParameter(parameter)).await?? {
        TopologyOutcome::Created(true) => Ok(StatusCode::CREATED),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

async fn delete_global(
    _: Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
) -> Result<StatusCode, ApiError> {
    let request = TopologyRequest::ClearGlobalParameter { name: name.into() };
    match accounts::change(&app, request).await? {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(TopologyError::NoParameter) => Err(ApiError::NotFound),
        Err(error) => Err(error.into()),
    }
}
