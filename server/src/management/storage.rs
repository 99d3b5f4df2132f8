//! `haremq/storage`: what the log of each shard holds and what it takes on disk. A path of our own,
//! and a part of a node's listing.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::Shared;
use crate::control::ShardReport;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/haremq/storage", get(storage))
}

async fn storage(identity: Identity, State(app): State<Shared>) -> Result<Json<Value>, ApiError> {
    identity.require_monitor()?;
    let reports = app.shards.status().await?;
    let sum = |part: fn(&ShardReport) -> u64| reports.iter().map(part).sum::<u64>();
    Ok(Json(json!({
        "node": app.shards.facts().node,
        "disk_used": sum(|report| report.disk_bytes),
        "live": sum(|report| report.live_bytes),
        "shards": shown(&reports),
    })))
}

/// Octets but for `segments` and `index_file_refusals`.
pub(super) fn shown(reports: &[ShardReport]) -> Value {
    let each = reports.iter().enumerate().map(|(shard, report)| {
        json!({
            "shard": shard,
            "disk_used": report.disk_bytes,
            "live": report.live_bytes,
            "segments": report.segments,
            "copied_forward": report.copied_bytes,
            "out_of_space": report.is_out_of_space,
            "memory_messages": report.memory_bytes,
            "memory_index": report.index_bytes,
            "index_paged": report.index_paged_bytes,
            "index_file": report.index_file_bytes,
            "index_file_refusals": report.index_refusals,
        })
    });
    each.collect()
}
