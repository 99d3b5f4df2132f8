//! How many connections each shard has: what new ones are dealt out by, and what bounds moving.
//! Shared by all shards; changes with connections, not with messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haremq_engine::ids::ShardId;

use crate::amqp::Population;

/// A shard may draw connections until it has so many more than the shard they come from ...
const SLACK: usize = 8;
/// ... and this part of those more.
const SLACK_PART: usize = 4;

#[derive(Debug)]
pub(super) struct Loads {
    /// Connections of each shard, including those on their way to it.
    of_shards: Vec<AtomicUsize>,
    /// Of whom they are.
    population: Mutex<Population>,
}

impl Loads {
    pub(super) fn new(shards: usize) -> Self {
        Loads {
            of_shards: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            population: Mutex::default(),
        }
    }

    /// Whose connections and channels there are. Held for one look.
    pub(super) fn population(&self) -> MutexGuard<'_, Population> {
        self.population.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, shard: ShardId) {
        self.of(shard).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, shard: ShardId) {
        self.of(shard).fetch_sub(1, Ordering::Relaxed);
    }

    /// The shard for the next connection: the one with the fewest, or `home`, which has accepted the
    /// last one, if that has hardly more.
    pub(super) fn for_new(&self, home: ShardId) -> ShardId {
        let load = |shard: &usize| self.of_shards[*shard].load(Ordering::Relaxed);
        let least = (0..self.of_shards.len()).min_by_key(load).unwrap_or(0);
        match load(&usize::from(home.0)) <= load(&least) + 1 {
            true => home,
            false => ShardId(least as u16),
        }
    }

    /// Whether a connection may follow its messages from one shard to another: not if it would
    /// gather on one core what others could share.
    pub(super) fn allow_move(&self, from: ShardId, to: ShardId) -> bool {
        if usize::from(to.0) >= self.of_shards.len() {
            return false;
        }
        let [from, to] = [from, to].map(|shard| self.of(shard).load(Ordering::Relaxed));
        to < from + from / SLACK_PART + SLACK
    }

    fn of(&self, shard: ShardId) -> &AtomicUsize {
        &self.of_shards[usize::from(shard.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal(loads: &Loads, count: usize) {
        (0..count).for_each(|_| loads.begin(loads.for_new(ShardId(0))));
    }

    #[test]
    fn new_connections_go_to_all_shards_evenly() {
        let loads = Loads::new(3);
        deal(&loads, 30);
        let counts = [0, 1, 2].map(|shard| loads.of(ShardId(shard)).load(Ordering::Relaxed));
        assert!(counts.iter().all(|count| (9..=12).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_connection_after_the_other_stays_where_it_is_accepted() {
        let loads = Loads::new(2);
        for _ in 0..10 {
            let shard = loads.for_new(ShardId(0));
            assert_eq!(shard, ShardId(0));
            loads.begin(shard);
            loads.end(shard);
        }
    }

    #[test]
    fn one_busy_queue_does_not_draw_all_connections_to_its_shard() {
        let loads = Loads::new(2);
        deal(&loads, 40);
        let (home, away) = (ShardId(0), ShardId(1));
        let mut moved = 0;
        while loads.allow_move(away, home) {
            loads.end(away);
            loads.begin(home);
            moved += 1;
        }
        assert!((2..10).contains(&moved), "{moved} moved");
        assert!(!loads.allow_move(away, ShardId(7)), "there is no such shard");
    }
}
