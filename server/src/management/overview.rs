//! `overview`, `whoami`, `nodes`: the broker at a glance.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::Names;
use super::queues::Totals;
use super::Shared;
use super::{process, storage};
use crate::control::{NodeFacts, ShardReport, Wanted};

/// The exchange types there are.
const EXCHANGE_TYPES: [(&str, &str); 4] = [
    ("direct", "AMQP direct exchange, as per the AMQP specification"),
    ("fanout", "AMQP fanout exchange, as per the AMQP specification"),
    ("headers", "AMQP headers exchange, as per the AMQP specification"),
    ("topic", "AMQP topic exchange, as per the AMQP specification"),
];

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/overview", get(overview))
        .route("/whoami", get(whoami))
        .route("/nodes", get(nodes))
        .route("/nodes/{node}", get(node))
}

async fn overview(identity: Identity, State(app): State<Shared>) -> Result<Json<Value>, ApiError> {
    let facts = app.shards.facts();
    let queues = app.shards.definitions(Wanted::Queues { vhost: None }).await?.queues;
    let exchanges = app.shards.definitions(Wanted::Exchanges { vhost: None }).await?.exchanges;
    let reports = app.shards.queue_reports().await?;
    let queues = queues.iter().filter(|queue| identity.sees_vhost(&queue.vhost));
    let totals = Totals::of(queues.clone().filter_map(|queue| reports.get(&queue.id)));
    let connections = app.shards.connections().await?;
    let channels = app.shards.channels().await?;
    let exchanges = exchanges.iter().filter(|one| identity.sees_vhost(&one.vhost));
    let mut answer = json!({
        "product_name": "HareMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
        "management_version": env!("CARGO_PKG_VERSION"),
        "cluster_name": facts.node,
        "node": facts.node,
        "rates_mode": "none",
        "exchange_types": exchange_types(),
        "message_stats": totals.message_stats(),
        "queue_totals": totals.messages(),
        "object_totals": {
            "channels": channels.iter().filter(|one| identity.sees_user(&one.user)).count(),
            "connections": connections.iter().filter(|one| identity.sees_user(&one.user)).count(),
            "consumers": totals.consumers,
            "exchanges": exchanges.count(),
            "queues": queues.count(),
        },
    });
    if identity.require_monitor().is_ok() {
        answer["listeners"] = listeners(facts);
    }
    Ok(Json(answer))
}

fn exchange_types() -> Value {
    let types = EXCHANGE_TYPES.iter();
    types
        .map(|(name, description)| json!({"name": name, "description": description, "enabled": true}))
        .collect()
}

/// Every port the broker listens on.
pub(super) fn listeners(facts: &NodeFacts) -> Value {
    let amqp = facts.listeners.iter().map(|address| ("amqp", address));
    let http = facts.management.iter().map(|address| ("http", address));
    let ssl = facts.ssl_listeners.iter().map(|address| ("amqp/ssl", address));
    amqp.chain(ssl)
        .chain(http)
        .map(|(protocol, address)| {
            json!({
                "node": facts.node,
                "protocol": protocol,
                "ip_address": address.ip().to_string(),
                "port": address.port(),
            })
        })
        .collect()
}

async fn whoami(identity: Identity) -> Json<Value> {
    Json(json!({"name": &*identity.name, "tags": tags(&identity.tags)}))
}

/// Tags as a list of texts.
pub(super) fn tags(tags: &[std::sync::Arc<str>]) -> Value {
    tags.iter().map(|tag| json!(**tag)).collect()
}

async fn nodes(identity: Identity, State(app): State<Shared>) -> Result<Json<Value>, ApiError> {
    identity.require_monitor()?;
    let reports = app.shards.status().await?;
    Ok(Json(json!([describe_node(app.shards.facts(), &reports)])))
}

async fn node(
    identity: Identity,
    State(app): State<Shared>,
    Names(name): Names<String>,
) -> Result<Json<Value>, ApiError> {
    identity.require_monitor()?;
    let facts = app.shards.facts();
    if name != facts.node {
        return Err(ApiError::NotFound);
    }
    let reports = app.shards.status().await?;
    Ok(Json(describe_node(facts, &reports)))
}

fn describe_node(facts: &NodeFacts, reports: &[ShardReport]) -> Value {
    let process = process::read(&facts.data_dir);
    json!({
        "name": facts.node,
        "running": true,
        "type": "disc",
        "os_pid": std::process::id().to_string(),
        "uptime": uptime_ms(facts),
        "processors": num_cpus::get(),
        "shards": facts.shards,
        "mem_used": process.memory_bytes,
        "fd_used": process.descriptors,
        "fd_total": process.descriptor_limit,
        "sockets_used": process.sockets,
        "disk_free": process.disk_free_bytes,
        "db_dir": facts.data_dir,
        "config_files": facts.config_file.iter().collect::<Vec<_>>(),
        "rates_mode": "none",
        "exchange_types": exchange_types(),
        "storage": storage::shown(reports),
    })
}

/// Milliseconds since the broker started.
pub(super) fn uptime_ms(facts: &NodeFacts) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    now.saturating_sub(facts.started_unix_ms)
}
