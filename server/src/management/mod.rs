//! The management port: RabbitMQ's HTTP API, as far as HareMQ has what it speaks of.
//!
//! An ordinary single-threaded tokio server on a thread of its own, beside the shards. It owns no
//! broker state: every answer is made from copies that the shards send ([`crate::control`]), every
//! change is a request to the topology writer or to a queue's owner. It may import the engine's
//! data types and `control`; it must not import `amqp`, `ring` or `runtime`.
//!
//! Invariants: no request is read further than its limits before it is authenticated
//! ([`server`]); no `Authorization` header, password or token is ever logged; an answer contains
//! only fields that are facts.

mod accounts;
mod auth;
mod bindings;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod errors;
mod exchanges;
mod extract;
mod import;
mod import_error;
mod json;
mod latency;
mod limits;
mod listing;
mod overview;
mod parameters;
mod permissions;
pub mod pid;
mod policies;
mod process;
mod queues;
mod server;
mod shards;
mod status;
mod storage;
pub mod token;
mod topic_permissions;
mod users;
mod vhosts;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{HeaderName, HeaderValue, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::StatusCode;
use axum::response::Response;
use axum::Router;
use serde_json::error::Category;
use tokio::sync::oneshot;

use self::accounts::AccountCache;
use self::shards::Shards;
use self::token::OperatorToken;
use crate::control::Control;

/// Octets of a request body at most; more is answered with 413 and not read.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What every handler works with.
struct App {
    shards: Shards,
    accounts: AccountCache,
    token: OperatorToken,
}

type Shared = Arc<App>;

/// Serves the HTTP API on `listener` until `shutdown` fires or its sender is dropped.
///
/// Blocks the calling thread, which should be one of its own. `token` comes from
/// [`token::create`]. Open requests get a moment to finish after `shutdown`.
///
/// # Errors
/// The listener cannot be handed to tokio, or the runtime cannot be built.
pub fn run(
    control: Control,
    listener: std::net::TcpListener,
    token: OperatorToken,
    shutdown: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        server::serve(listener, router(control, token), shutdown).await;
        Ok(())
    })
}

/// Reads a document of definitions in, as the HTTP API would. Blocks the calling thread.
///
/// # Errors
/// What is wrong with the document, and where; parts of it may have been read in.
pub fn load(control: Control, document: &[u8]) -> Result<(), String> {
    let document = serde_json::from_slice(document).map_err(|error| match error.classify() {
        Category::Data => "not an object with lists of definitions".to_owned(),
        Category::Io | Category::Syntax | Category::Eof => format!("not JSON: {error}"),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let shards = Shards::new(control);
    runtime.block_on(import::run(&shards, &document, None)).map_err(|wrong| wrong.to_string())
}

/// All paths of the API, on top of `control`.
fn router(control: Control, token: OperatorToken) -> Router {
    let shards = Shards::new(control);
    let node = HeaderValue::from_str(&shards.facts().node).ok();
    let app = Arc::new(App { accounts: AccountCache::default(), shards, token });
    let api = Router::new()
        .merge(overview::routes())
        .merge(status::routes())
        .merge(latency::routes())
        .merge(storage::routes())
        .merge(vhosts::routes())
        .merge(users::routes())
        .merge(permissions::routes())
        .merge(topic_permissions::routes())
        .merge(policies::routes())
        .merge(limits::routes())
        .merge(parameters::routes())
        .merge(definitions::routes())
        .merge(exchanges::routes())
        .merge(queues::routes())
        .merge(bindings::routes())
        .merge(connections::routes())
        .merge(channels::routes())
        .merge(consumers::routes());
    Router::new()
        .nest("/api", api)
        .fallback(|| async { errors::ApiError::NotFound })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::map_response_with_state(node, finish))
        .with_state(app)
}

/// Headers that every answer carries. Strangers are not told the node's name.
async fn finish(State(node): State<Option<HeaderValue>>, mut response: Response) -> Response {
    let known = response.status() != StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if let Some(node) = node.filter(|_| known) {
        headers.insert(HeaderName::from_static("x-haremq-node"), node);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}
