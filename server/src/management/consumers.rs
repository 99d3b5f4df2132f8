//! `consumers`: list, of a vhost.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use haremq_engine::ids::ConnectionId;
use rustc_hash::FxHashMap;
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::{InVhost, Query};
use super::listing::ListQuery;
use super::pid::Pids;
use super::{channels, Shared};
use crate::control::{ConnectionReport, ConsumerReport};

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/consumers", get(list)).route("/consumers/{vhost}", get(of_vhost))
}

async fn list(
    identity: Identity,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    matching(&app, &query, |vhost| identity.sees_vhost(vhost)).await
}

async fn of_vhost(
    InVhost(_, vhost): InVhost<String>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    matching(&app, &query, |other| *other == *vhost).await
}

/// Consumers of queues in the wanted vhosts. One whose queue has gone meanwhile is left out.
async fn matching(
    app: &Shared,
    query: &ListQuery,
    wanted: impl Fn(&str) -> bool,
) -> Result<Json<Value>, ApiError> {
    let connections = app.shards.connections().await?;
    let connections: FxHashMap<ConnectionId, &ConnectionReport> =
        connections.iter().map(|connection| (connection.id, connection)).collect();
    let consumers = app.shards.consumers().await?;
    let mut rows: Vec<(_, &ConsumerReport)> = consumers
        .iter()
        .filter(|consumer| wanted(&consumer.vhost))
        .map(|consumer| ((&*consumer.vhost, &*consumer.queue), consumer))
        .collect();
    rows.sort_by(|(a, x), (b, y)| (a, &x.consumer_tag).cmp(&(b, &y.consumer_tag)));
    let pids = Pids::new(app.shards.facts());
    let style = query.table_style();
    let describe = |((vhost, queue), consumer): ((&str, &str), &ConsumerReport)| {
        let mut channel = json!({
            "number": consumer.channel,
            "node": app.shards.facts().node,
            "pid": pids.channel(consumer.connection, consumer.channel),
        });
        if let Some(connection) = connections.get(&consumer.connection) {
            channel["name"] = json!(channels::name(&connection.name, consumer.channel));
            channel["connection_name"] = json!(connection.name);
            channel["peer_host"] = json!(connection.peer_host);
            channel["peer_port"] = json!(connection.peer_port);
            channel["user"] = json!(*connection.user);
        }
        json!({
            "queue": {"name": queue, "vhost": vhost},
            "consumer_tag": &*consumer.consumer_tag,
            "ack_required": consumer.ack_required,
            "exclusive": consumer.exclusive,
            "prefetch_count": consumer.prefetch_count,
            "active": consumer.active,
            "activity_status": consumer.activity_status(),
            "arguments": style.show(&consumer.arguments),
            "channel_details": channel,
        })
    };
    query.answer(rows.into_iter().map(describe).collect())
}
