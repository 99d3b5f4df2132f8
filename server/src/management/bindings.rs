//! `bindings`: list, of a vhost, of a queue, of an exchange, between two, bind, unbind.
//!
//! One binding is addressed by its properties key: the routing key, and if there are arguments a
//! `~` and a hash of them. `~` alone is the empty key. The hash is stable, but not RabbitMQ's.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use haremq_engine::access::Right;
use haremq_engine::table::Table;
use haremq_engine::topology::{Binding, BindingTarget, TopologyRequest};
use percent_encoding::{utf8_percent_encode, AsciiSet, NON_ALPHANUMERIC};
use serde_json::{json, Value};

use super::auth::Identity;
use super::errors::ApiError;
use super::exchanges::{for_rights, from_path};
use super::extract::{check_name, Body, InVhost, Query};
use super::json::TableStyle;
use super::listing::ListQuery;
use super::{json as body_json, Shared};
use crate::control::Wanted;

/// What a routing key keeps in a properties key.
const KEY_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
/// What a properties key keeps in a path.
const PATH_ESCAPES: &AsciiSet = &KEY_ESCAPES.remove(b'~');

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/bindings", get(list))
        .route("/bindings/{vhost}", get(of_vhost))
        .route("/queues/{vhost}/{queue}/bindings", get(of_queue))
        .route("/exchanges/{vhost}/{exchange}/bindings/source", get(from_exchange))
        .route("/exchanges/{vhost}/{exchange}/bindings/destination", get(to_exchange))
        .route("/bindings/{vhost}/e/{source}/{kind}/{destination}", get(between).post(bind))
        .route("/bindings/{vhost}/e/{source}/{kind}/{destination}/{props}", get(one).delete(unbind))
}

fn target_parts(target: &BindingTarget) -> (&'static str, &str) {
    match target {
        BindingTarget::Queue(name) => ("queue", name),
        BindingTarget::Exchange(name) => ("exchange", name),
    }
}

fn describe(binding: &Binding, style: TableStyle) -> Value {
    let (kind, destination) = target_parts(&binding.target);
    json!({
        "source": &*binding.source,
        "vhost": &*binding.vhost,
        "destination": destination,
        "destination_type": kind,
        "routing_key": &*binding.key,
        "arguments": style.show(&binding.arguments),
        "properties_key": properties_key(&binding.key, &binding.arguments),
    })
}

/// See the head of this module.
fn properties_key(key: &str, arguments: &Table) -> String {
    let encoded = utf8_percent_encode(key, KEY_ESCAPES).to_string();
    if arguments.0.is_empty() {
        return if encoded.is_empty() { "~".to_owned() } else { encoded };
    }
    // FNV-1a: small, well defined, and the same in every build.
    let mut octets = Vec::new();
    arguments.encode(&mut octets);
    let hash = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{encoded}~{}", URL_SAFE_NO_PAD.encode(hash.to_be_bytes()))
}

async fn matching(
    app: &Shared,
    query: &ListQuery,
    part: Wanted,
    wanted: impl Fn(&Binding) -> bool,
) -> Result<Json<Value>, ApiError> {
    let mut bindings = app.shards.definitions(part).await?.bindings;
    bindings.retain(|binding| wanted(binding));
    bindings.sort_by(|a, b| {
        let place = |one: &'_ Binding| {
            let (vhost, source) = (Arc::clone(&one.vhost), Arc::clone(&one.source));
            (vhost, source, one.target.clone(), Arc::clone(&one.key))
        };
        place(a).cmp(&place(b))
    });
    let style = query.table_style();
    query.answer(bindings.iter().map(|binding| describe(binding, style)).collect())
}

async fn list(
    identity: Identity,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let all = Wanted::Bindings { vhost: None };
    matching(&app, &query, all, |binding| identity.sees_vhost(&binding.vhost)).await
}

async fn of_vhost(
    InVhost(_, vhost): InVhost<String>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let part = Wanted::Bindings { vhost: Some(vhost.into()) };
    matching(&app, &query, part, |_| true).await
}

async fn of_queue(
    InVhost(_, (vhost, queue)): InVhost<(String, String)>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let target = BindingTarget::Queue(queue.into());
    let part = Wanted::BindingsTo { vhost: vhost.into(), target };
    matching(&app, &query, part, |_| true).await
}

async fn from_exchange(
    InVhost(_, (vhost, exchange)): InVhost<(String, String)>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let exchange = from_path(&exchange);
    let part = Wanted::BindingsFrom { vhost: vhost.into(), exchange: exchange.into() };
    matching(&app, &query, part, |_| true).await
}

async fn to_exchange(
    InVhost(_, (vhost, exchange)): InVhost<(String, String)>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let exchange = from_path(&exchange);
    let target = BindingTarget::Exchange(exchange.into());
    let part = Wanted::BindingsTo { vhost: vhost.into(), target };
    matching(&app, &query, part, |_| true).await
}

/// Source and destination of a path.
struct Ends {
    vhost: Arc<str>,
    source: Arc<str>,
    target: BindingTarget,
}

impl Ends {
    fn new(vhost: &str, source: &str, kind: &str, destination: &str) -> Result<Self, ApiError> {
        let target = match kind {
            "q" => BindingTarget::Queue(Arc::from(destination)),
            "e" => BindingTarget::Exchange(Arc::from(from_path(destination))),
            _ => return Err(ApiError::NotFound),
        };
        Ok(Ends { vhost: Arc::from(vhost), source: Arc::from(from_path(source)), target })
    }

    fn are_of(&self, binding: &Binding) -> bool {
        binding.vhost == self.vhost
            && binding.source == self.source
            && binding.target == self.target
    }

    /// Write on the destination first, then read on the source (behaviour A117).
    fn require_rights(&self, identity: &Identity) -> Result<(), ApiError> {
        let (_, destination) = target_parts(&self.target);
        identity.require_right(&self.vhost, Right::Write, for_rights(destination))?;
        identity.require_right(&self.vhost, Right::Read, for_rights(&self.source))
    }

    /// Those of the target alone: a queue or exchange is bound to few others, mostly.
    fn wanted(&self) -> Wanted {
        Wanted::BindingsTo { vhost: self.vhost.clone(), target: self.target.clone() }
    }

    async fn find(&self, app: &Shared, props: &str) -> Result<Binding, ApiError> {
        let bindings = app.shards.definitions(self.wanted()).await?.bindings;
        bindings
            .into_iter()
            .filter(|binding| self.are_of(binding))
            .find(|binding| {
                let key = properties_key(&binding.key, &binding.arguments);
                // The path was decoded once; a client may also have sent the key as it is.
                let plain = binding.arguments.0.is_empty() && *binding.key == *props;
                key == props || plain
            })
            .ok_or(ApiError::NotFound)
    }
}

async fn between(
    InVhost(_, (vhost, source, kind, destination)): InVhost<EndsPath>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let ends = Ends::new(&vhost, &source, &kind, &destination)?;
    matching(&app, &query, ends.wanted(), |binding| ends.are_of(binding)).await
}

/// Vhost, source, kind and name of the destination.
type EndsPath = (String, String, String, String);

/// The same and the binding's properties key.
type BindingPath = (String, String, String, String, String);

async fn one(
    InVhost(_, (vhost, source, kind, destination, props)): InVhost<BindingPath>,
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let ends = Ends::new(&vhost, &source, &kind, &destination)?;
    let binding = ends.find(&app, &props).await?;
    Ok(query.answer_one(describe(&binding, query.table_style())))
}

async fn bind(
    InVhost(identity, (vhost, source, kind, destination)): InVhost<EndsPath>,
    State(app): State<Shared>,
    Body(body): Body,
) -> Result<(StatusCode, [(HeaderName, String); 1]), ApiError> {
    let ends = Ends::new(&vhost, &source, &kind, &destination)?;
    let body = body_json::body(&body)?;
    let key = body_json::text(&body, "routing_key")?.unwrap_or_default();
    check_name("routing key", key)?;
    let arguments = body_json::arguments(&body)?;
    ends.require_rights(&identity)?;
    let props = properties_key(key, &arguments);
    let request = TopologyRequest::Bind {
        vhost: ends.vhost,
        source: ends.source,
        target: ends.target,
        key: Arc::from(key),
        arguments: Arc::new(arguments),
        connection: None,
    };
    app.shards.topology(request).await??;
    let location = format!(
        "{}/{}",
        utf8_percent_encode(&destination, PATH_ESCAPES),
        utf8_percent_encode(&props, PATH_ESCAPES)
    );
    Ok((StatusCode::CREATED, [(LOCATION, location)]))
}

async fn unbind(
    InVhost(identity, (vhost, source, kind, destination, props)): InVhost<BindingPath>,
    State(app): State<Shared>,
) -> Result<StatusCode, ApiError> {
    let ends = Ends::new(&vhost, &source, &kind, &destination)?;
    let binding = ends.find(&app, &props).await?;
    ends.require_rights(&identity)?;
    let request = TopologyRequest::Unbind {
        vhost: ends.vhost,
        source: ends.source,
        target: ends.target,
        key: binding.key,
        arguments: binding.arguments,
        connection: None,
    };
    app.shards.topology(request).await??;
    Ok(StatusCode::NO_CONTENT)
}
