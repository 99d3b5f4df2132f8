//! Users, permissions, vhosts and the rules there are (policies, limits), kept between requests.
//!
//! Each request is authenticated, and asking a shard for a copy of everything to check one
//! password would make every request cost a shard time. All of these change only
//! by requests of this port, so a copy stays true until this port changes something. The request
//! that changes something runs as a task of its own: a client that hangs up half-way must not
//! leave an outdated copy behind.

use std::sync::{Arc, Mutex, PoisonError};

use haremq_engine::topology::{Topology, TopologyError, TopologyOutcome, TopologyRequest};

use super::errors::ApiError;
use super::shards::Shards;
use super::{import, Shared};
use crate::control::{Stopping, Wanted};

/// The copy, if there is one, and how often it has been made invalid.
#[derive(Default)]
pub(super) struct AccountCache {
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    current: Option<Arc<Topology>>,
    generation: u64,
}

impl AccountCache {
    /// A replica without anything that clients declare.
    pub(super) async fn get(&self, shards: &Shards) -> Result<Arc<Topology>, Stopping> {
        let generation = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(current) = &state.current {
                return Ok(Arc::clone(current));
            }
            state.generation
        };
        let mut topology = Topology::new();
        for change in shards.definitions(Wanted::Accounts).await?.accounts {
            topology.apply(&change);
        }
        let topology = Arc::new(topology);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation == generation {
            state.current = Some(Arc::clone(&topology));
        }
        Ok(topology)
    }

    fn invalidate(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.current = None;
        state.generation += 1;
    }
}

/// Sends one change of what the copy holds, and forgets it.
pub(super) async fn change(
    app: &Shared,
    request: TopologyRequest,
) -> Result<Result<TopologyOutcome, TopologyError>, ApiError> {
    let app = Arc::clone(app);
    let task = tokio::spawn(async move {
        let result = app.shards.topology(request).await;
        app.accounts.invalidate();
        result
    });
    match task.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApiError::Stopping),
    }
}

/// Reads a document of definitions in, and forgets the copy.
pub(super) async fn import(
    app: &Shared,
    document: serde_json::Map<String, serde_json::Value>,
    vhost: Option<String>,
) -> Result<(), ApiError> {
    let app = Arc::clone(app);
    let task = tokio::spawn(async move {
        let result = import::run(&app.shards, &document, vhost.as_deref()).await;
        app.accounts.invalidate();
        result.map_err(|wrong| wrong.error)
    });
    task.await.unwrap_or(Err(ApiError::Stopping))
}
