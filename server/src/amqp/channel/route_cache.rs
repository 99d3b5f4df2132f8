//! Where the last publish went, so that the next one to the same place need not ask again.
//!
//! One entry: publishers mostly send to one place. Valid while the topology has not changed,
//! permissions included. A route that may depend on headers is not kept.

use std::ops::Range;

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::topology::Routes;

#[derive(Debug, Default)]
pub(super) struct RouteCache {
    /// Version of the topology; `None`: what is here is for one message only.
    version: Option<u64>,
    exchange: Vec<u8>,
    key: Vec<u8>,
    queues: Vec<QueueId>,
    /// The parts of `queues`, one for each shard.
    shards: Vec<(ShardId, Range<usize>)>,
    /// What gets the message is the memory of an exchange at most.
    leads_nowhere: bool,
}

impl RouteCache {
    #[inline]
    pub(super) fn holds(&self, version: u64, exchange: &[u8], key: &[u8]) -> bool {
        self.version == Some(version) && same(&self.key, key) && same(&self.exchange, exchange)
    }

    /// Takes over a route; to be found again if `version` is given.
    pub(super) fn fill(
        &mut self,
        version: Option<u64>,
        exchange: &[u8],
        key: &[u8],
        routes: &Routes,
    ) {
        self.version = version;
        if version.is_some() {
            self.exchange.clear();
            self.exchange.extend_from_slice(exchange);
            self.key.clear();
            self.key.extend_from_slice(key);
        }
        self.leads_nowhere = routes.leads_nowhere();
        self.queues.clear();
        self.shards.clear();
        for (shard, targets) in routes.by_shard() {
            let start = self.queues.len();
            self.queues.extend(targets.iter().map(|target| target.queue));
            self.shards.push((shard, start..self.queues.len()));
        }
    }

    /// The present route leads nowhere.
    pub(super) fn clear(&mut self) {
        self.version = None;
        self.leads_nowhere = true;
        self.queues.clear();
        self.shards.clear();
    }

    /// True if the message is unroutable.
    #[inline]
    pub(super) fn leads_nowhere(&self) -> bool {
        self.leads_nowhere
    }

    /// Shards that the present route leads to.
    #[inline]
    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The present route: for each shard its queues.
    #[inline]
    pub(super) fn parts(&self) -> impl Iterator<Item = (ShardId, &[QueueId])> {
        self.shards
            .iter()
            .map(|(shard, range)| (*shard, self.queues.get(range.clone()).unwrap_or_default()))
    }
}

/// Equality of names, eight octets at a time in line: they are short, and calling the library's
/// comparison for so little costs more than all the rest of a look-up.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (mut a_words, mut b_words) = (a.chunks_exact(8), b.chunks_exact(8));
    let word = |octets: &[u8]| octets.first_chunk::<8>().map(|octets| u64::from_ne_bytes(*octets));
    let words = a_words.by_ref().zip(b_words.by_ref()).all(|(x, y)| word(x) == word(y));
    words && a_words.remainder().iter().zip(b_words.remainder()).all(|(x, y)| x == y)
}

#[cfg(test)]
mod tests {
    use haremq_engine::ids::Target;

    use super::*;

    #[test]
    fn names_are_the_same_if_all_their_octets_are() {
        let name: Vec<u8> = (0..40).collect();
        for length in 0..name.len() {
            assert!(same(&name[..length], &name[..length]));
            assert!(!same(&name[..length], &name[..length + 1]));
            for at in 0..length {
                let mut other = name[..length].to_vec();
                other[at] ^= 1;
                assert!(!same(&name[..length], &other), "{length} octets, differing at {at}");
            }
        }
    }

    #[test]
    fn a_route_is_found_under_its_version_exchange_and_key_only() {
        let target = |shard, queue| Target { shard: ShardId(shard), queue: QueueId(queue) };
        let mut routes = Routes::default();
        routes.targets = vec![target(0, 1), target(0, 2), target(3, 9)];
        let mut cache = RouteCache::default();
        assert!(!cache.holds(0, b"", b""));
        cache.fill(Some(4), b"x", b"k", &routes);
        assert!(cache.holds(4, b"x", b"k"));
        assert!(!cache.holds(5, b"x", b"k"));
        assert!(!cache.holds(4, b"k", b"x"));
        let parts: Vec<_> = cache.parts().map(|(shard, queues)| (shard.0, queues.len())).collect();
        assert_eq!(parts, [(0, 2), (3, 1)]);
        cache.fill(None, b"x", b"k", &routes);
        assert!(!cache.holds(4, b"x", b"k"));
        assert_eq!(cache.shards(), 2);
    }
}
