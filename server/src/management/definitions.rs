//! `definitions`: everything that exists but messages, as one document; and such a document read
//! in (behaviour E15, E35). `import` says what of it is asked for.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use haremq_engine::topology::{Binding, BindingTarget, Exchange, Queue, Topology};
use rustc_hash::FxHashSet;
use serde_json::{json, Map, Value};

use super::auth::Administrator;
use super::errors::ApiError;
use super::extract::{Body, Names};
use super::{
    accounts, json as body_json, parameters, permissions, policies, topic_permissions, users,
    vhosts, Shared,
};
use crate::control::{Definitions, Wanted};

/// Octets of a document at most: those of a very large broker.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024 * 1024;
/// What the document is one of, to whoever looks at its version.
const RABBITMQ_VERSION: &str = "3.10.8";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/definitions", get(export).post(import_all))
        .route("/definitions/{vhost}", get(export_vhost).post(import_vhost))
        .layer(DefaultBodyLimit::max(MAX_DOCUMENT_BYTES))
}

async fn export(_: Administrator, State(app): State<Shared>) -> Result<Json<Value>, ApiError> {
    let definitions = app.shards.definitions(Wanted::Everything).await?;
    let mut accounts = Topology::new();
    for change in &definitions.accounts {
        accounts.apply(change);
    }
    let mut names: Vec<_> = accounts.vhosts().map(|vhost| vhost.name.clone()).collect();
    names.sort_unstable();
    let of_vhosts = |list: &dyn Fn(&str) -> Vec<Value>| -> Vec<Value> {
        names.iter().flat_map(|name| list(name)).collect()
    };
    let mut document = declared(&definitions);
    let mut put = |key: &str, list: Vec<Value>| document.insert(key.to_owned(), Value::Array(list));
    let mut all_users: Vec<_> = accounts.users().collect();
    all_users.sort_by(|a, b| a.name.cmp(&b.name));
    put("users", all_users.into_iter().map(users::describe).collect());
    put("vhosts", names.iter().filter_map(|name| vhost(&accounts, name)).collect());
    put(
        "permissions",
        of_vhosts(&|vhost| {
            sorted(accounts.permissions(vhost).map(permissions::describe).collect(), &["user"])
        }),
    );
    put(
        "topic_permissions",
        of_vhosts(&|vhost| {
            let all = accounts.topic_permissions(vhost).map(topic_permissions::describe);
            sorted(all.collect(), &["user", "exchange"])
        }),
    );
    put("parameters", of_vhosts(&|vhost| policies::as_parameters(&accounts, vhost)));
    put(
        "global_parameters",
        accounts.global_parameters().iter().map(parameters::describe).collect(),
    );
    put("policies", of_vhosts(&|vhost| own_policies(&accounts, vhost)));
    Ok(Json(Value::Object(document)))
}

/// What is in one vhost; its name stands nowhere, so that another one can be filled with it.
async fn export_vhost(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(vhost): Names<String>,
) -> Result<Json<Value>, ApiError> {
    identity.require_vhost(&vhost)?;
    let all = |vhost: &str| Some(vhost.into());
    let mut definitions = app.shards.definitions(Wanted::Queues { vhost: all(&vhost) }).await?;
    let exchanges = app.shards.definitions(Wanted::Exchanges { vhost: all(&vhost) }).await?;
    let bindings = app.shards.definitions(Wanted::Bindings { vhost: all(&vhost) }).await?;
    definitions.exchanges = exchanges.exchanges;
    definitions.bindings = bindings.bindings;
    let mut document = declared(&definitions);
    let accounts = identity.accounts();
    let parameters = policies::as_parameters(accounts, &vhost);
    document.insert("parameters".to_owned(), Value::Array(parameters));
    document.insert("policies".to_owned(), Value::Array(own_policies(accounts, &vhost)));
    for list in document.values_mut().filter_map(Value::as_array_mut) {
        for item in list.iter_mut().filter_map(Value::as_object_mut) {
            item.remove("vhost");
        }
    }
    Ok(Json(Value::Object(document)))
}

fn vhost(accounts: &Topology, name: &str) -> Option<Value> {
    let shown = vhosts::describe(accounts.vhost(name)?);
    // Limits are among the parameters, as RabbitMQ keeps them.
    Some(json!({"name": shown["name"], "limits": [], "metadata": shown["metadata"]}))
}

fn own_policies(accounts: &Topology, vhost: &str) -> Vec<Value> {
    let own = accounts.policies(vhost).filter(|policy| !policy.operator);
    sorted(own.map(policies::describe).collect(), &["name"])
}

fn sorted(mut items: Vec<Value>, keys: &[&str]) -> Vec<Value> {
    let place = |item: &Value| -> Vec<String> {
        keys.iter().map(|key| item[*key].as_str().unwrap_or_default().to_owned()).collect()
    };
    items.sort_by_cached_key(place);
    items
}

/// Queues, exchanges and bindings, without what comes by itself or goes with a connection.
fn declared(definitions: &Definitions) -> Map<String, Value> {
    let lasting = definitions.queues.iter().filter(|queue| queue.exclusive_to.is_none());
    let gone: FxHashSet<(&str, &str)> = definitions
        .queues
        .iter()
        .filter(|queue| queue.exclusive_to.is_some())
        .map(|queue| (&*queue.vhost, &*queue.name))
        .collect();
    let bound = definitions.bindings.iter().filter(|binding| {
        let lasts = match &binding.target {
            BindingTarget::Queue(name) => !gone.contains(&(&*binding.vhost, &**name)),
            BindingTarget::Exchange(_) => true,
        };
        lasts && !binding.source.is_empty()
    });
    let made = definitions.exchanges.iter();
    let made = made.filter(|one| !one.name.is_empty() && !one.name.starts_with("amq."));
    let place = ["vhost", "name"];
    let document = json!({
        "rabbit_version": RABBITMQ_VERSION,
        "rabbitmq_version": RABBITMQ_VERSION,
        "product_name": "HareMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
        "queues": sorted(lasting.map(|one| queue(one)).collect(), &place),
        "exchanges": sorted(made.map(exchange).collect(), &place),
        "bindings": sorted(
            bound.map(binding).collect(),
            &["vhost", "source", "destination_type", "destination", "routing_key"],
        ),
    });
    match document {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

fn queue(queue: &Queue) -> Value {
    json!({
        "name": &*queue.name,
        "vhost": &*queue.vhost,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "type": "classic",
        "arguments": body_json::object(&queue.arguments),
    })
}

fn exchange(exchange: &Exchange) -> Value {
    json!({
        "name": &*exchange.name,
        "vhost": &*exchange.vhost,
        "type": exchange.kind.name(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": body_json::object(&exchange.arguments),
    })
}

fn binding(binding: &Binding) -> Value {
    let kind = match &binding.target {
        BindingTarget::Queue(_) => "queue",
        BindingTarget::Exchange(_) => "exchange",
    };
    json!({
        "source": &*binding.source,
        "vhost": &*binding.vhost,
        "destination": &**binding.target.name(),
        "destination_type": kind,
        "routing_key": &*binding.key,
        "arguments": body_json::object(&binding.arguments),
    })
}

async fn import_all(
    _: Administrator,
    State(app): State<Shared>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let document = body_json::body(&body)?;
    accounts::import(&app, document, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn import_vhost(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(vhost): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    identity.require_vhost(&vhost)?;
    let document = body_json::body(&body)?;
    accounts::import(&app, document, Some(vhost)).await?;
    Ok(StatusCode::NO_CONTENT)
}
