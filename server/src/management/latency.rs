//! `haremq/latency`: how long things take, for the broker and for each shard. A path of our own.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hdrhistogram::Histogram;
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::Shared;
use crate::latency::Latencies;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/haremq/latency", get(latency))
}

async fn latency(identity: Identity, State(app): State<Shared>) -> Result<Json<Value>, ApiError> {
    identity.require_monitor()?;
    let (shards, reports) = (app.shards.latencies().await?, app.shards.status().await?);
    let mut sum = Latencies::new();
    shards.iter().for_each(|latencies| sum.merge(latencies));
    let each = shards.iter().zip(&reports).enumerate().map(|(shard, (latencies, report))| {
        json!({
            "shard": shard,
            "connections": report.connections,
            "connections_arrived": report.arrivals,
            "queues": report.queues,
            "latency": shown(latencies),
        })
    });
    Ok(Json(json!({
        "node": app.shards.facts().node,
        "latency": shown(&sum),
        "shards": each.collect::<Vec<_>>(),
    })))
}

fn shown(latencies: &Latencies) -> Value {
    latencies
        .all()
        .into_iter()
        .map(|(name, histogram)| (name.to_owned(), figures(histogram)))
        .collect()
}

/// Times in microseconds; none where nothing has been counted.
fn figures(histogram: &Histogram<u64>) -> Value {
    let count = histogram.len();
    if count == 0 {
        return json!({ "count": 0 });
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({
        "count": count,
        "mean_us": (histogram.mean() * 10.0).round() / 10.0,
        "min_us": histogram.min(),
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": histogram.max(),
    })
}
