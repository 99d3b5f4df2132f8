//! `policies` and `operator-policies`: list, of a vhost, one, set, clear (behaviour B56, B57).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use haremq_engine::topology::{Policy, Topology, TopologyError, TopologyOutcome, TopologyRequest};
use serde_json::{json, Map, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::{check_name, Body, InVhost, Names, Query};
use super::listing::ListQuery;
use super::{accounts, json as body_json, Shared};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/policies", get(list::<false>))
        .route("/policies/{vhost}", get(of_vhost::<false>))
        .route(
            "/policies/{vhost}/{name}",
            get(one::<false>).put(put::<false>).delete(delete::<false>),
        )
        .route("/operator-policies", get(list::<true>))
        .route("/operator-policies/{vhost}", get(of_vhost::<true>))
        .route(
            "/operator-policies/{vhost}/{name}",
            get(one::<true>).put(put::<true>).delete(delete::<true>),
        )
}

pub(super) fn describe(policy: &Policy) -> Value {
    json!({
        "vhost": &*policy.vhost,
        "name": &*policy.name,
        "pattern": &*policy.pattern,
        "apply-to": policy.apply_to.name(),
        "definition": body_json::object(&policy.definition),
        "priority": policy.priority,
    })
}

/// By vhost and name.
fn matching(identity: &Identity, operator: bool, vhost: Option<&str>) -> Vec<Value> {
    let accounts = identity.accounts();
    let mut policies: Vec<&Policy> = accounts
        .vhosts()
        .filter(|one| vhost.is_none_or(|vhost| *one.name == *vhost))
        .filter(|one| identity.sees_vhost(&one.name))
        .flat_map(|one| accounts.policies(&one.name))
        .filter(|policy| policy.operator == operator)
        .collect();
    policies.sort_by(|a, b| (&a.vhost, &a.name).cmp(&(&b.vhost, &b.name)));
    policies.into_iter().map(describe).collect()
}

async fn list<const OPERATOR: bool>(
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    query.answer(matching(&identity, OPERATOR, None))
}

async fn of_vhost<const OPERATOR: bool>(
    InVhost(identity, vhost): InVhost<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    query.answer(matching(&identity, OPERATOR, Some(&vhost)))
}

/// Policies are for policymakers, operator policies for administrators. Lists of them are for all
/// who see the vhost.
fn require_right(identity: &Identity, operator: bool, vhost: &str) -> Result<(), ApiError> {
    match operator {
        true => identity.require_administrator()?,
        false => identity.require_policymaker()?,
    }
    identity.require_vhost(vhost)
}

async fn one<const OPERATOR: bool>(
    identity: Identity,
    Names((vhost, name)): Names<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    require_right(&identity, OPERATOR, &vhost)?;
    let policy = identity.accounts().policy(&vhost, &name, OPERATOR).ok_or(ApiError::NotFound)?;
    Ok(Json(describe(policy)))
}

async fn put<const OPERATOR: bool>(
    identity: Identity,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    require_right(&identity, OPERATOR, &vhost)?;
    check_name("policy", &name)?;
    let body = body_json::body(&body)?;
    body_json::require(&body, &["pattern", "definition"])?;
    let request = request(vhost.into(), name.into(), OPERATOR, &body)?;
    match accounts::change(&app, request).await?? {
        TopologyOutcome::Created(true) => Ok(StatusCode::CREATED),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// The policy that a body describes.
pub(super) fn request(
    vhost: Arc<str>,
    name: Arc<str>,
    operator: bool,
    body: &Map<String, Value>,
) -> Result<TopologyRequest, ApiError> {
    let definition = match body.get("definition") {
        Some(Value::Object(definition)) => body_json::table(definition)?,
        Some(Value::Array(items)) if items.is_empty() => Default::default(),
        other => return Err(ApiError::BadRequest(json!(["not_a_definition", other]))),
    };
    let priority = match body.get("priority") {
        None | Some(Value::Null) => 0,
        Some(Value::Number(number)) if number.is_i64() => number.as_i64().unwrap_or_default(),
        // As the command line of old clients sends it.
        Some(Value::String(text)) if text.parse::<i64>().is_ok() => text.parse().unwrap_or(0),
        Some(other) => {
            let shown = match other {
                Value::String(text) => format!("<<\"{text}\">>"),
                other => other.to_string(),
            };
            return Err(ApiError::bad_request(format!(
                "Validation failed\n\npriority should be a whole number, actually was {shown}\n"
            )));
        }
    };
    Ok(TopologyRequest::SetPolicy {
        vhost,
        name,
        operator,
        pattern: body_json::text(body, "pattern")?.unwrap_or_default().into(),
        apply_to: body_json::text(body, "apply-to")?.unwrap_or("all").into(),
        priority,
        definition: Arc::new(definition),
    })
}

async fn delete<const OPERATOR: bool>(
    identity: Identity,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
) -> Result<StatusCode, ApiError> {
    require_right(&identity, OPERATOR, &vhost)?;
    let request =
        TopologyRequest::ClearPolicy { vhost: vhost.into(), name: name.into(), operator: OPERATOR };
    match accounts::change(&app, request).await? {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(TopologyError::NoVhost { .. } | TopologyError::NoParameter) => Err(ApiError::NotFound),
        Err(error) => Err(error.into()),
    }
}

/// Operator policies and limits as the runtime parameters that RabbitMQ keeps them as.
pub(super) fn as_parameters(accounts: &Topology, vhost: &str) -> Vec<Value> {
    let operator = accounts.policies(vhost).filter(|policy| policy.operator);
    let mut parameters: Vec<Value> = operator
        .map(|policy| {
            json!({
                "component": "operator_policy",
                "vhost": &*policy.vhost,
                "name": &*policy.name,
                "value": {
                    "pattern": &*policy.pattern,
                    "apply-to": policy.apply_to.name(),
                    "definition": body_json::object(&policy.definition),
                    "priority": policy.priority,
                },
            })
        })
        .collect();
    if let Some(vhost) = accounts.vhost(vhost) {
        let limits = super::limits::of_vhost(&vhost.limits);
        if limits != json!({}) {
            parameters.push(json!({
                "component": "vhost-limits",
                "vhost": &*vhost.name,
                "name": "limits",
                "value": limits,
            }));
        }
    }
    parameters
}
