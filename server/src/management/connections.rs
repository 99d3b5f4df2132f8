//! `connections`: list, of a vhost, one, close (behaviour A28, E14).
//!
//! A connection is found by its name (`127.0.0.1:50168 -> 127.0.0.1:5672`) or its process name.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::extract::{InVhost, Names, Query};
use super::json::TableStyle;
use super::listing::ListQuery;
use super::pid::Pids;
use super::{channels, Shared};
use crate::control::{ConnectionReport, NodeFacts};

/// What the client is told if the request does not say.
const DEFAULT_REASON: &str = "Closed via management plugin";
/// Octets of a reason at most: with its prefix it must fit in an AMQP short string.
const MAX_REASON_BYTES: usize = 200;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/connections", get(list))
        .route("/connections/{connection}", get(one).delete(close))
        .route("/connections/{connection}/channels", get(channels::of_connection))
        .route("/vhosts/{vhost}/connections", get(of_vhost))
}

fn describe(facts: &NodeFacts, connection: &ConnectionReport, style: TableStyle) -> Value {
    let tls = connection.tls.as_ref();
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    let mut described = json!({
        "name": connection.name,
        "pid": Pids::new(facts).connection(connection.id),
        "node": facts.node,
        "type": "network",
        "protocol": "AMQP 0-9-1",
        "user": &*connection.user,
        "vhost": &*connection.vhost,
        "state": connection.state,
        "peer_host": connection.peer_host,
        "peer_port": connection.peer_port,
        "host": connection.host,
        "port": connection.port,
        "ssl": tls.is_some(),
        "ssl_protocol": tls.map(|tls| tls.protocol),
        "ssl_key_exchange": tls.map(|tls| tls.key_exchange),
        "ssl_cipher": tls.map(|tls| tls.cipher),
        "ssl_hash": tls.map(|tls| tls.hash),
        "peer_cert_subject": certificate.map(|certificate| &certificate.subject),
        "peer_cert_issuer": certificate.map(|certificate| &certificate.issuer),
        "peer_cert_validity": certificate.map(|certificate| &certificate.validity),
        "channels": connection.channels,
        "channel_max": connection.channel_max,
        "frame_max": connection.frame_max,
        "timeout": connection.heartbeat_s,
        "connected_at": connection.connected_at_unix_ms,
        "auth_mechanism": connection.auth_mechanism,
        "client_properties": style.show(&connection.client_properties),
        "recv_oct": connection.recv_oct,
        "recv_cnt": connection.recv_cnt,
        "send_oct": connection.send_oct,
        "send_cnt": connection.send_cnt,
    });
    // Without one there is no such field, as with RabbitMQ.
    if let Some(name) = connection.name_given_by_client() {
        described["user_provided_name"] = json!(name);
    }
    described
}

async fn matching(
    app: &Shared,
    query: &ListQuery,
    wanted: impl Fn(&ConnectionReport) -> bool,
) -> Result<Json<Value>, ApiError> {
    let mut connections = app.shards.connections().await?;
    connections.retain(|connection| wanted(connection));
    let (facts, style) = (app.shards.facts(), query.table_style());
    query.answer(connections.iter().map(|one| describe(facts, one, style)).collect())
}

async fn list(
    identity: Identity,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    matching(&app, &query, |connection| identity.sees_user(&connection.user)).await
}

async fn of_vhost(
    InVhost(identity, vhost): InVhost<String>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let wanted = |one: &ConnectionReport| *one.vhost == *vhost && identity.sees_user(&one.user);
    matching(&app, &query, wanted).await
}

/// The connection with that name or process name.
pub(super) async fn find(app: &Shared, name: &str) -> Result<ConnectionReport, ApiError> {
    let pids = Pids::new(app.shards.facts());
    let connections = app.shards.connections().await?;
    connections
        .into_iter()
        .find(|connection| connection.name == name || pids.connection(connection.id) == name)
        .ok_or(ApiError::NotFound)
}

async fn one(
    identity: Identity,
    State(app): State<Shared>,
    Names(name): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let connection = find(&app, &name).await?;
    identity.require_sight_of_user(&connection.user)?;
    Ok(query.answer_one(describe(app.shards.facts(), &connection, query.table_style())))
}

async fn close(
    identity: Identity,
    State(app): State<Shared>,
    Names(name): Names<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let connection = find(&app, &name).await?;
    identity.require_control_of(&connection.user)?;
    let reason = headers.get("x-reason").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let reason: Arc<str> = Arc::from(clip(reason.as_deref().unwrap_or(DEFAULT_REASON)));
    match app.shards.close_connection(connection.id, reason).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::NotFound),
    }
}

/// As much of a reason as fits, whole characters only.
fn clip(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "ä".repeat(MAX_REASON_BYTES);
        assert_eq!(clip(&reason).len(), MAX_REASON_BYTES);
        let reason = format!("x{reason}");
        assert_eq!(clip(&reason).len(), MAX_REASON_BYTES - 1);
        assert_eq!(clip("bye"), "bye");
    }
}
