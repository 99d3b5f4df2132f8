//! Matching of routing keys and headers against bindings. Pure functions of bytes; knows no queue.
//!
//! A [`Router`] is one exchange's bindings in the form its type routes by. What a binding leads
//! to is the type parameter `D`, a small copyable handle that the topology gives a meaning.
//! Each (key, arguments, destination) inserted must be removed as often as it was inserted.
//! Routing takes `&self`; all working memory is a [`Scratch`] of the caller's, so that it does
//! not allocate once that has grown. Must not import topology, queues or the log.

mod consistent_hash;
mod destinations;
mod direct;
mod headers;
mod headers_match;
mod modulus_hash;
mod named;
mod scratch;
mod stable_hash;
#[cfg(test)]
mod tests;
mod topic;
mod topic_match;

use std::hash::Hash;

pub use consistent_hash::{weight, BadWeight, HashOn};
pub use destinations::Destinations;
pub use headers_match::{HeadersMatch, MatchMode};
pub use scratch::Scratch;

use crate::table::Table;
use consistent_hash::ConsistentHashRouter;
use direct::DirectRouter;
use headers::HeadersRouter;
use modulus_hash::ModulusHashRouter;
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
    /// One destination, by a hash and weights (behaviour C6).
    ConsistentHash(ConsistentHashRouter<D>),
    /// One destination, by chance (behaviour C7).
    Random(Destinations<D>),
    /// One destination, by the key's hash (behaviour C9).
    ModulusHash(ModulusHashRouter<D>),
}

/// What a message is routed by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Several (behaviour B7) match as any of them does. The message's own is the first.
    pub keys: &'a [&'a [u8]],
    /// The octets of the header table's fields, if there is one.
    pub headers: Option<&'a [u8]>,
    /// Property flags and list.
    pub properties: &'a [u8],
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
    pub fn consistent_hash(on: HashOn) -> Self {
        Router::ConsistentHash(ConsistentHashRouter::new(on))
    }
    pub fn random() -> Self {
        Router::Random(Destinations::default())
    }
    pub fn modulus_hash() -> Self {
        Router::ModulusHash(ModulusHashRouter::default())
    }

    /// Adds a binding. `arguments` matter to a headers exchange alone, the destination's `name`
    /// to those that choose by hash.
    pub fn insert(&mut self, key: &[u8], arguments: &Table, name: &[u8], destination: D) {
        match self {
            Router::Direct(router) => router.insert(key, destination),
            Router::Fanout(destinations) => destinations.insert(destination),
            Router::Topic(router) => router.insert(key, destination),
            Router::Headers(router) => router.insert(arguments, destination),
            Router::ConsistentHash(router) => router.insert(key, name, destination),
            Router::Random(destinations) => destinations.insert(destination),
            Router::ModulusHash(router) => router.insert(name, destination),
        }
    }

    /// Takes a binding away again; one that is not there is ignored.
    pub fn remove(&mut self, key: &[u8], arguments: &Table, name: &[u8], destination: D) {
        match self {
            Router::Direct(router) => router.remove(key, destination),
            Router::Fanout(destinations) => destinations.remove(destination),
            Router::Topic(router) => router.remove(key, destination),
            Router::Headers(router) => router.remove(arguments, destination),
            Router::ConsistentHash(router) => router.remove(key, name, destination),
            Router::Random(destinations) => destinations.remove(destination),
            Router::ModulusHash(router) => router.remove(name, destination),
        }
    }

    /// True if a message without headers goes where the one before with its key went.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Router::Random(_) => false,
            Router::ConsistentHash(router) => router.is_by_key(),
            _ => true,
        }
    }

    /// Hands the destinations of every matching binding to `found`, in lists within which each
    /// destination stands once.
    pub fn route<'a>(
        &'a self,
        subject: &Subject<'_>,
        scratch: &mut Scratch,
        mut found: impl FnMut(&'a [D]),
    ) {
        match self {
            Router::Direct(router) => {
                for key in subject.keys {
                    router.route(key, &mut found);
                }
            }
            Router::Fanout(destinations) => found(destinations.as_slice()),
            Router::Topic(router) => {
                for key in subject.keys {
                    router.route(key, &mut scratch.topic, &mut found);
                }
            }
            Router::Headers(router) => {
                let headers = subject.headers.unwrap_or_default();
                router.route(headers, &mut scratch.candidates, &mut found);
            }
            Router::ConsistentHash(router) => router.route(subject, &mut found),
            Router::Random(destinations) => {
                let all = destinations.as_slice();
                let at = scratch.random_below(all.len());
                found(all.get(at..at + 1).unwrap_or_default());
            }
            Router::ModulusHash(router) => router.route(subject.keys, &mut found),
        }
    }
}
