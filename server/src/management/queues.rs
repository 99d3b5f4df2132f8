//! `queues`: list, of a vhost, one, declare, delete, purge. Numbers come from the owners' shards.

use std::ops::AddAssign;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use haremq_engine::access::Right;
use haremq_engine::topology::{Queue, Topology, TopologyOutcome, TopologyRequest};
use serde::Deserialize;
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::{queue_refusal, ApiError};
use super::exchanges::for_rights;
use super::extract::{check_name, Body, InVhost, Names, Query};
use super::json::TableStyle;
use super::listing::ListQuery;
use super::pid::Pids;
use super::{json as body_json, Shared};
use crate::control::{NodeFacts, QueueReport, Wanted};

/// How many messages went with a deletion or purge. Ours: RabbitMQ's API does not tell.
static MESSAGES_HEADER: HeaderName = HeaderName::from_static("x-haremq-messages");

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/queues", get(list))
        .route("/queues/{vhost}", get(of_vhost))
        .route("/queues/{vhost}/{queue}", get(one).put(put).delete(remove))
        .route("/queues/{vhost}/{queue}/contents", delete(purge))
}

/// Numbers of one queue or of many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    ready: u64,
    unacknowledged: u64,
    bytes: u64,
    pub(super) consumers: u64,
    publishes: u64,
    deliveries: u64,
    acks: u64,
}

impl AddAssign<&QueueReport> for Totals {
    fn add_assign(&mut self, report: &QueueReport) {
        self.ready += report.messages_ready;
        self.unacknowledged += report.messages_unacknowledged;
        self.bytes += report.message_bytes;
        self.consumers += report.consumers;
        self.publishes += report.publishes;
        self.deliveries += report.deliveries;
        self.acks += report.acks;
    }
}

impl Totals {
    pub(super) fn of<'a>(reports: impl Iterator<Item = &'a QueueReport>) -> Self {
        let mut totals = Totals::default();
        for report in reports {
            totals += report;
        }
        totals
    }

    pub(super) fn messages(&self) -> Value {
        json!({
            "messages": self.ready + self.unacknowledged,
            "messages_ready": self.ready,
            "messages_unacknowledged": self.unacknowledged,
        })
    }

    pub(super) fn message_stats(&self) -> Value {
        json!({"publish": self.publishes, "deliver_get": self.deliveries, "ack": self.acks})
    }
}

/// A queue whose owner has just forgotten it is shown without messages.
fn describe(
    facts: &NodeFacts,
    queue: &Queue,
    report: Option<&QueueReport>,
    accounts: &Topology,
    style: TableStyle,
) -> Value {
    let totals = Totals::of(report.into_iter());
    let policy = accounts.queue_policy(&queue.vhost, &queue.name);
    let pids = Pids::new(facts);
    json!({
        "name": &*queue.name,
        "vhost": &*queue.vhost,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.exclusive_to.is_some(),
        "arguments": style.show(&queue.arguments),
        "type": "classic",
        "state": "running",
        "node": facts.node,
        "pid": pids.queue(queue.id),
        "owner_pid": queue.exclusive_to.map(|connection| pids.connection(connection)),
        "policy": policy.policy.as_deref(),
        "operator_policy": policy.operator_policy.as_deref(),
        "effective_policy_definition": body_json::object(&policy.definition),
        "messages": totals.ready + totals.unacknowledged,
        "messages_ready": totals.ready,
        "messages_unacknowledged": totals.unacknowledged,
        "message_bytes": totals.bytes,
        "consumers": totals.consumers,
        "message_stats": totals.message_stats(),
    })
}

async fn matching(
    app: &Shared,
    query: &ListQuery,
    identity: &Identity,
    vhost: Option<&str>,
) -> Result<Json<Value>, ApiError> {
    let part = Wanted::Queues { vhost: vhost.map(Arc::from) };
    let mut queues = app.shards.definitions(part).await?.queues;
    queues.retain(|queue| identity.sees_vhost(&queue.vhost));
    queues.sort_by(|a, b| (&a.vhost, &a.name).cmp(&(&b.vhost, &b.name)));
    let reports = app.shards.queue_reports().await?;
    let (facts, style) = (app.shards.facts(), query.table_style());
    let accounts = identity.accounts();
    let shown =
        queues.iter().map(|queue| describe(facts, queue, reports.get(&queue.id), accounts, style));
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

async fn find(app: &Shared, vhost: &str, name: &str) -> Result<Arc<Queue>, ApiError> {
    app.shards.queue(vhost, name).await?.ok_or(ApiError::NotFound)
}

async fn one(
    InVhost(identity, (vhost, name)): InVhost<(String, String)>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let queue = find(&app, &vhost, &name).await?;
    let report = app.shards.queue_report(&queue).await?;
    let (facts, accounts) = (app.shards.facts(), identity.accounts());
    let shown = describe(facts, &queue, report.as_ref(), accounts, query.table_style());
    Ok(query.answer_one(shown))
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
    check_name("queue", &name)?;
    let body = body_json::body(&body)?;
    identity.require_right(&vhost, Right::Configure, &name)?;
    let arguments = body_json::arguments(&body)?;
    let dead_letters = arguments.get("x-dead-letter-exchange").and_then(|value| value.as_str());
    if let Some(exchange) = dead_letters {
        identity.require_right(&vhost, Right::Read, &name)?;
        identity.require_right(&vhost, Right::Write, for_rights(exchange))?;
    }
    let request = TopologyRequest::DeclareQueue {
        vhost: Arc::from(vhost),
        name: Arc::from(name),
        durable: body_json::flag(&body, "durable")?,
        auto_delete: body_json::flag(&body, "auto_delete")?,
        exclusive_to: None,
        connection: None,
        arguments: Arc::new(arguments),
    };
    match app.shards.topology(request).await?? {
        TopologyOutcome::Queue { created: true, .. } => Ok(StatusCode::CREATED),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// The queue, if this asker may use `right` on it. An exclusive queue belongs to its connection
/// (behaviour A67); only the operator reaches past that, as `rabbitmqctl` does.
async fn reach(
    identity: &Identity,
    app: &Shared,
    vhost: &str,
    name: &str,
    right: Right,
) -> Result<Arc<Queue>, ApiError> {
    identity.require_vhost(vhost)?;
    let queue = find(app, vhost, name).await?;
    identity.require_right(vhost, right, name)?;
    if !identity.is_operator() {
        queue.check_lock(None)?;
    }
    Ok(queue)
}

/// Query of a deletion.
#[derive(Debug, Deserialize)]
struct DeleteQuery {
    #[serde(rename = "if-empty")]
    if_empty: Option<String>,
    #[serde(rename = "if-unused")]
    if_unused: Option<String>,
}

async fn remove(
    identity: Identity,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
    Query(query): Query<DeleteQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let queue = reach(&identity, &app, &vhost, &name, Right::Configure).await?;
    let if_unused = query.if_unused.as_deref() == Some("true");
    let if_empty = query.if_empty.as_deref() == Some("true");
    match app.shards.delete_queue(&queue, if_unused, if_empty).await? {
        Ok(messages) => Ok(gone(messages)),
        Err(error) => Err(queue_refusal(error, &vhost, &name)),
    }
}

async fn purge(
    identity: Identity,
    State(app): State<Shared>,
    Names((vhost, name)): Names<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let queue = reach(&identity, &app, &vhost, &name, Right::Read).await?;
    let messages = app.shards.purge_queue(&queue).await?.ok_or(ApiError::NotFound)?;
    Ok(gone(messages))
}

fn gone(messages: u64) -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(MESSAGES_HEADER.clone(), messages.to_string())])
}
