//! `channels`: list, of a vhost, of a connection, one.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::{Names, Query};
use super::listing::ListQuery;
use super::pid::Pids;
use super::{connections, Shared};
use crate::control::{ChannelReport, NodeFacts};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/channels", get(list))
        .route("/channels/{channel}", get(one))
        .route("/vhosts/{vhost}/channels", get(of_vhost))
}

/// `127.0.0.1:50168 -> 127.0.0.1:5672 (1)`
pub(super) fn name(connection: &str, number: u16) -> String {
    format!("{connection} ({number})")
}

fn describe(facts: &NodeFacts, channel: &ChannelReport) -> Value {
    let pids = Pids::new(facts);
    json!({
        "name": name(&channel.connection_name, channel.number),
        "number": channel.number,
        "pid": pids.channel(channel.connection, channel.number),
        "connection": pids.connection(channel.connection),
        "connection_details": {"name": channel.connection_name},
        "node": facts.node,
        "user": &*channel.user,
        "vhost": &*channel.vhost,
        "state": channel.state,
        "confirm": channel.confirm,
        "transactional": channel.transactional,
        "consumer_count": channel.consumer_count,
        "messages_unacknowledged": channel.messages_unacknowledged,
        "messages_unconfirmed": channel.messages_unconfirmed,
        "messages_uncommitted": channel.messages_uncommitted,
        "acks_uncommitted": channel.acks_uncommitted,
        "prefetch_count": channel.prefetch_count,
        "global_prefetch_count": channel.global_prefetch_count,
    })
}

async fn matching(
    app: &Shared,
    query: &ListQuery,
    wanted: impl Fn(&ChannelReport) -> bool,
) -> Result<Json<Value>, ApiError> {
    let mut channels = app.shards.channels().await?;
    channels.retain(|channel| wanted(channel));
    let facts = app.shards.facts();
    query.answer(channels.iter().map(|channel| describe(facts, channel)).collect())
}

async fn list(
    identity: Identity,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    matching(&app, &query, |channel| identity.sees_user(&channel.user)).await
}

async fn of_vhost(
    identity: Identity,
    State(app): State<Shared>,
    Names(vhost): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    identity.require_vhost(&vhost)?;
    let wanted = |one: &ChannelReport| *one.vhost == *vhost && identity.sees_user(&one.user);
    matching(&app, &query, wanted).await
}

/// `connections/:connection/channels`
pub(super) async fn of_connection(
    identity: Identity,
    State(app): State<Shared>,
    Names(connection): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let connection = connections::find(&app, &connection).await?;
    identity.require_sight_of_user(&connection.user)?;
    matching(&app, &query, |channel| channel.connection == connection.id).await
}

async fn one(
    identity: Identity,
    State(app): State<Shared>,
    Names(wanted): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let channels = app.shards.channels().await?;
    let channel = channels
        .iter()
        .find(|channel| name(&channel.connection_name, channel.number) == wanted)
        .ok_or(ApiError::NotFound)?;
    identity.require_sight_of_user(&channel.user)?;
    Ok(query.answer_one(describe(app.shards.facts(), channel)))
}
