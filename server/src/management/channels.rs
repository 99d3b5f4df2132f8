//! `channels`: list, of a vhost, of a connection, one; prefetch changed while it consumes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put as put_of};
use axum::{Json, Router};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::{Body, InVhost, Names, Query};
use super::listing::ListQuery;
use super::pid::Pids;
use super::{connections, json as body_json, Shared};
use crate::control::{ChannelReport, NodeFacts, PrefetchOf};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/channels", get(list))
        .route("/channels/{channel}", get(one).put(put))
        .route("/channels/{channel}/consumers/{tag}", put_of(put_consumer))
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
    InVhost(identity, vhost): InVhost<String>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
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
    let channel = find(&identity, &app, &wanted).await?;
    Ok(query.answer_one(describe(app.shards.facts(), &channel)))
}

/// The channel of that name, if the asker may see it.
async fn find(identity: &Identity, app: &Shared, wanted: &str) -> Result<ChannelReport, ApiError> {
    let mut channels = app.shards.channels().await?.into_iter();
    let channel = channels
        .find(|channel| name(&channel.connection_name, channel.number) == wanted)
        .ok_or(ApiError::NotFound)?;
    identity.require_sight_of_user(&channel.user)?;
    Ok(channel)
}

/// `prefetch` of each consumer and `global_prefetch` of the channel, as basic.qos would set them,
/// but for consumers that are there, too (behaviour I29).
async fn put(
    identity: Identity,
    State(app): State<Shared>,
    Names(wanted): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let body = body_json::body(&body)?;
    let each = body_json::prefetch(&body, "prefetch")?;
    let channel_wide = body_json::prefetch(&body, "global_prefetch")?;
    if each.or(channel_wide).is_none() {
        return Err(ApiError::bad_request("prefetch or global_prefetch is missing"));
    }
    let channel = find(&identity, &app, &wanted).await?;
    identity.require_control_of(&channel.user)?;
    let at = (channel.connection, channel.number);
    let mut wishes = [(PrefetchOf::Channel, channel_wide), (PrefetchOf::EachConsumer, each)];
    if channel_wide == Some(0) {
        // A new limit before an old one goes.
        wishes.reverse();
    }
    for (whose, prefetch) in wishes {
        let Some(prefetch) = prefetch else { continue };
        if !app.shards.set_prefetch(at, whose, prefetch).await? {
            return Err(ApiError::NotFound);
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `channels/:channel/consumers/:tag`: `prefetch` of one consumer.
async fn put_consumer(
    identity: Identity,
    State(app): State<Shared>,
    Names((wanted, tag)): Names<(String, String)>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let prefetch = body_json::prefetch(&body_json::body(&body)?, "prefetch")?
        .ok_or_else(|| ApiError::bad_request("prefetch is missing"))?;
    let channel = find(&identity, &app, &wanted).await?;
    identity.require_control_of(&channel.user)?;
    let (at, whose) = ((channel.connection, channel.number), PrefetchOf::Consumer(tag.into()));
    match app.shards.set_prefetch(at, whose, prefetch).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::NotFound),
    }
}
