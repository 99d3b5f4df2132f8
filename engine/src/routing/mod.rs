//! Matching of routing keys and headers against bindings. Pure functions of bytes; knows no queue.
//!
//! A [`Router`] is one exchange's bindings in the form its type routes by. What a binding leads
//! to is the type parameter `D`, a small copyable handle that the topology gives a meaning.
//! Each (key, arguments, destination) inserted must be removed as often as it was inserted.
//! Routing takes `&self`; all working memory is a [`Scratch`] of the caller's, so that it does
//! not allocate once that has grown. Must not import topology, queues or the log.

mod destinations;
mod direct;
mod headers;
mod headers_match;
#[cfg(test)]
mod tests;
mod topic;
mod topic_match;

use std::hash::Hash;

pub use destinations::Destinations;
pub use headers_match::{HeadersMatch, MatchMode};

use crate::table::Table;
use direct::DirectRouter;
use headers::HeadersRouter;
use topic::TopicRouter;

/// The bindings of one exchange, by exchange type.
#[derive(Debug)]
pub enum Router<D> {
    /// Equality of keys (behaviour C1).
    Direct(DirectRouter<D>),
    /// The key is ignored (behaviour C2).
    Fanout(Destinations<D>),
    /// Words and wildcards (behaviour C3).
    Topic(TopicRouter<D>),
    /// Header values (behaviour C4, C5).
    Headers(HeadersRouter<D>),
}

/// Working memory of routing, kept by the caller between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    topic: topic_match::TopicScratch,
    candidates: Vec<u32>,
}

impl<D: Copy + Eq + Hash> Router<D> {
    pub fn direct() -> Self {
        Router::Direct(DirectRouter::default())
    }
    pub fn fanout() -> Self {
        Router::Fanout(Destinations::default())
    }
    pub fn topic() -> Self {
        Router::Topic(TopicRouter::default())
    }
    pub fn headers() -> Self {
        Router::Headers(HeadersRouter::default())
    }

    /// Adds a binding. `arguments` matter to a headers exchange alone.
    pub fn insert(&mut self, key: &[u8], arguments: &Table, destination: D) {
        match self {
            Router::Direct(router) => router.insert(key, destination),
            Router::Fanout(destinations) => destinations.insert(destination),
            Router::Topic(router) => router.insert(key, destination),
            Router::Headers(router) => router.insert(arguments, destination),
        }
    }

    /// Takes a binding away again; one that is not there is ignored.
    pub fn remove(&mut self, key: &[u8], arguments: &Table, destination: D) {
        match self {
            Router::Direct(router) => router.remove(key, destination),
            Router::Fanout(destinations) => destinations.remove(destination),
            Router::Topic(router) => router.remove(key, destination),
            Router::Headers(router) => router.remove(arguments, destination),
        }
    }

    /// Hands the destinations of every matching binding to `found`, in lists within which each
    /// destination stands once. Several keys (behaviour B7) match as any of them does. `headers`
    /// are the octets of the header table's fields.
    pub fn route<'a>(
        &'a self,
        keys: &[&[u8]],
        headers: Option<&[u8]>,
        scratch: &mut Scratch,
        mut found: impl FnMut(&'a Destinations<D>),
    ) {
        match self {
            Router::Direct(router) => {
                for key in keys {
                    router.route(key, &mut found);
                }
            }
            Router::Fanout(destinations) => found(destinations),
            Router::Topic(router) => {
                for key in keys {
                    router.route(key, &mut scratch.topic, &mut found);
                }
            }
            Router::Headers(router) => {
                router.route(headers.unwrap_or(&[]), &mut scratch.candidates, &mut found);
            }
        }
    }
}
