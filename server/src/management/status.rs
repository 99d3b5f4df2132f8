//! `haremq/status`: what `haremqctl status` prints. A path of our own.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::{overview, process, Shared};

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/haremq/status", get(status))
}

async fn status(identity: Identity, State(app): State<Shared>) -> Result<Json<Value>, ApiError> {
    identity.require_monitor()?;
    let facts = app.shards.facts();
    let shards = app.shards.status().await?;
    let process = process::read(&facts.data_dir);
    let sum = |part: fn(&crate::control::ShardReport) -> u64| shards.iter().map(part).sum::<u64>();
    let mut alarms: Vec<&str> = shards.iter().filter_map(|shard| shard.blocked).collect();
    alarms.sort_unstable();
    alarms.dedup();
    Ok(Json(json!({
        "node": facts.node,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "os": "Linux",
        "uptime": overview::uptime_ms(facts) / 1000,
        "shards": facts.shards,
        "data_directory": facts.data_dir,
        "config_files": facts.config_file.iter().collect::<Vec<_>>(),
        "alarms": alarms,
        "memory": {
            "total": process.memory_bytes,
            "strategy": "rss",
            "messages": sum(|shard| shard.memory_bytes),
            "index": sum(|shard| shard.index_bytes),
        },
        "file_descriptors": {
            "total_used": process.descriptors,
            "total_limit": process.descriptor_limit,
            "sockets_used": process.sockets,
        },
        "disk_free": process.disk_free_bytes,
        "disk_used": sum(|shard| shard.disk_bytes),
        "disk_live": sum(|shard| shard.live_bytes),
        "disk_copied": sum(|shard| shard.copied_bytes),
        "disk_index": sum(|shard| shard.index_file_bytes),
        "totals": {
            "connection_count": sum(|shard| shard.connections),
            "queue_count": sum(|shard| shard.queues),
            "virtual_host_count": identity.accounts().vhosts().count(),
        },
        "listeners": overview::listeners(facts),
    })))
}
