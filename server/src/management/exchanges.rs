//! `exchanges`: list, of a vhost, one, declare, delete. `amq.default` names the default exchange.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use haremq_engine::access::Right;
use haremq_engine::ids::QueueId;
use haremq_engine::topology::{Exchange, ExchangeKind, Topology, TopologyOutcome, TopologyRequest};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::{check_name, Body, InVhost, Names, Query};
use super::json::TableStyle;
use super::listing::ListQuery;
use super::{json as body_json, Shared};
use crate::control::{QueueReport, Wanted};

type Reports = FxHashMap<QueueId, QueueReport>;

/// What the default exchange, whose name is empty, is called in paths and permissions.
pub(super) const DEFAULT: &str = "amq.default";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/exchanges", get(list))
        .route("/exchanges/{vhost}", get(of_vhost))
        .route("/exchanges/{vhost}/{exchange}", get(one).put(put).delete(delete))
}

/// The exchange's own name for a name in a path.
pub(super) fn from_path(name: &str) -> &str {
    if name == DEFAULT {
        ""
    } else {
        name
    }
}

/// The name that permissions see.
pub(super) fn for_rights(name: &str) -> &str {
    if name.is_empty() {
        DEFAULT
    } else {
        name
    }
}

/// Numbers of the queues behind exchanges that keep messages; asked for only if there are any.
async fn kept(app: &Shared, exchanges: &[Exchange]) -> Result<Reports, ApiError> {
    match exchanges.iter().any(|exchange| exchange.store.is_some()) {
        true => Ok(app.shards.queue_reports().await?),
        false => Ok(Reports::default()),
    }
}

fn describe(exchange: &Exchange, kept: &Reports, accounts: &Topology, style: TableStyle) -> Value {
    let mut shown = json!({
        "name": &*exchange.name,
        "vhost": &*exchange.vhost,
        "type": exchange.kind.name(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": style.show(&exchange.arguments),
    });
    if exchange.kind == ExchangeKind::Delayed {
        let report = exchange.store.and_then(|store| kept.get(&store.queue));
        let delayed = report.map_or(0, |report| report.messages_ready);
        shown["messages_delayed"] = delayed.into();
    }
    // Shown where there is one, as RabbitMQ does.
    if let Some(policy) = accounts.exchange_policy(&exchange.vhost, &exchange.name).policy {
        shown["policy"] = json!(*policy);
    }
    shown
}

async fn matching(
    app: &Shared,
    query: &ListQuery,
    identity: &Identity,
    vhost: Option<&str>,
) -> Result<Json<Value>, ApiError> {
    let part = Wanted::Exchanges { vhost: vhost.map(Arc::from) };
    let mut exchanges = app.shards.definitions(part).await?.exchanges;
    exchanges.retain(|exchange| identity.sees_vhost(&exchange.vhost));
    exchanges.sort_by(|a, b| (&a.vhost, &a.name).cmp(&(&b.vhost, &b.name)));
    let (kept, style) = (kept(app, &exchanges).await?, query.table_style());
    let accounts = identity.accounts();
    let shown = exchanges.iter().map(|exchange| describe(exchange, &kept, accounts, style));
    query.answer(shown.collect())
}

async fn list(
    identity: Identity,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    matching(&app, &query, &identity, None).await
}

async fn of_vhost(
    InVhost(identity, vhost): InVhost<String>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    matching(&app, &query, &identity, Some(&vhost)).await
}

async fn find(app: &Shared, vhost: &str, name: &str) -> Result<Exchange, ApiError> {
    let part = Wanted::Exchange { vhost: vhost.into(), name: name.into() };
    app.shards.definitions(part).await?.exchanges.pop().ok_or(ApiError::NotFound)
}

async fn one(
    InVhost(identity, (vhost, name)): InVhost<(String, String)>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let exchange = find(&app, &vhost, from_path(&name)).await?;
    let kept = kept(&app, std::slice::from_ref(&exchange)).await?;
    let accounts = identity.accounts();
    Ok(query.answer_one(describe(&exchange, &kept, accounts, query.table_style())))
}

async fn put(
    identity: Identity,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    if identity.accounts().vhost(&vhost).is_none() {
        return Err(ApiError::NotFoundBecause("vhost_not_found".to_owned()));
    }
    check_name("exchange", &name)?;
    let body = body_json::body(&body)?;
    let name = from_path(&name);
    identity.require_right(&vhost, Right::Configure, for_rights(name))?;
    let arguments = body_json::arguments(&body)?;
    if let Some(alternate) = arguments.get("alternate-exchange").and_then(|value| value.as_str()) {
        identity.require_right(&vhost, Right::Read, name)?;
        identity.require_right(&vhost, Right::Write, for_rights(alternate))?;
    }
    let request = TopologyRequest::DeclareExchange {
        vhost: Arc::from(vhost),
        name: Arc::from(name),
        kind: Arc::from(body_json::text(&body, "type")?.unwrap_or("direct")),
        durable: body_json::flag(&body, "durable")?,
        auto_delete: body_json::flag(&body, "auto_delete")?,
        internal: body_json::flag(&body, "internal")?,
        arguments: Arc::new(arguments),
    };
    match app.shards.topology(request).await?? {
        TopologyOutcome::Created(true) => Ok(StatusCode::CREATED),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Query of a deletion.
#[derive(Debug, Deserialize)]
struct DeleteQuery {
    #[serde(rename = "if-unused")]
    if_unused: Option<String>,
}

async fn delete(
    InVhost(identity, (vhost, name)): InVhost<(String, String)>,
    State(app): State<Shared>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let name = from_path(&name);
    find(&app, &vhost, name).await?;
    identity.require_right(&vhost, Right::Configure, for_rights(name))?;
    let request = TopologyRequest::DeleteExchange {
        vhost: Arc::from(vhost),
        name: Arc::from(name),
        if_unused: query.if_unused.as_deref() == Some("true"),
    };
    app.shards.topology(request).await??;
    Ok(StatusCode::NO_CONTENT)
}
