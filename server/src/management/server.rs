//! Sockets of the management port: accepting, limits, deadlines, stopping.
//!
//! Owned by the management thread. Knows nothing of the API behind the router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::Router;
use hyper::body::Incoming;
use hyper::service::{service_fn, Service};
use hyper::Request;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch, Semaphore};

/// Open HTTP connections at most; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;
/// Octets of request line and headers at most; more is answered with 431.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Headers of a request at most.
const MAX_HEADERS: usize = 64;
/// Time for a client to send a request's headers; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a whole request: body read, shards asked, answer made.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that open requests get when the broker stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept (no descriptors left), so as not to spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The address of the client, in each request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Accepts and serves until `shutdown`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    mut shutdown: oneshot::Receiver<()>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopping) = watch::channel(false);
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { break };
        let router = router.clone();
        let stopping = stopping.clone();
        tokio::spawn(async move {
            connection(stream, peer, router, stopping).await;
            drop(slot);
        });
    }
    drop(listener);
    drop(stopping);
    // Every connection holds a receiver: closed() returns when the last one has gone.
    let _ = stop.send(true);
    let _ = tokio::time::timeout(STOP_TIMEOUT, stop.closed()).await;
}

/// One client, once there is room for it. `None` if there will never be room again.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            Err(error) => {
                tracing::debug!(%error, "management: accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Serves one client until it leaves, breaks a limit, or the broker stops.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let answer = router.call(request);
        async move {
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, answer).await;
            let response: Response = match answer {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    let conversation = http.serve_connection(TokioIo::new(stream), service);
    let mut conversation = std::pin::pin!(conversation);
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        _ = stopping.changed() => {
            conversation.as_mut().graceful_shutdown();
            conversation.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "management: connection ended");
    }
}
