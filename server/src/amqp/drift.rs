//! Where the publishes of a connection go: whether it works for one other shard only.

use haremq_engine::ids::ShardId;

use super::shard_set::ShardSet;

/// Publishes in a row to one shard, after which a connection is drawn there for the first time.
const FIRST_RUN: u64 = 64;
/// So many times more each time after that: who works now here, now there comes to rest.
const GROWTH: u64 = 8;

/// A tally over the publishes of one connection.
#[derive(Debug)]
pub(crate) struct Drift {
    shard: ShardId,
    /// Publishes in a row for `shard`.
    run: u64,
    /// The run that is needed.
    needed: u64,
    /// `run` when the latest input began.
    run_before: u64,
    /// Shards that publishes of the latest input have gone to, but for the run at its end.
    seen: ShardSet,
}

impl Drift {
    pub(crate) fn new(home: ShardId) -> Self {
        let seen = ShardSet::default();
        Drift { shard: home, run: 0, needed: FIRST_RUN, run_before: 0, seen }
    }

    /// Input is about to be taken.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.run_before = self.run;
        self.seen = ShardSet::default();
    }

    /// Shards that publishes of the latest input have gone to.
    #[inline]
    pub(crate) fn targets(&self) -> ShardSet {
        let mut targets = self.seen;
        if self.run != self.run_before {
            targets.insert(self.shard);
        }
        targets
    }

    /// One message goes to that shard.
    #[inline]
    pub(crate) fn note(&mut self, shard: ShardId) {
        if shard != self.shard {
            self.end_run();
            self.shard = shard;
        }
        self.run += 1;
    }

    /// Some of a message goes to that shard.
    pub(crate) fn reach(&mut self, shard: ShardId) {
        self.seen.insert(shard);
    }

    /// The shard that all of the last publishes went to, if they were many.
    #[inline]
    pub(crate) fn destination(&self) -> Option<ShardId> {
        (self.run >= self.needed).then_some(self.shard)
    }

    /// It has moved, or cannot: it takes longer until the next time.
    pub(crate) fn tire(&mut self) {
        self.end_run();
        self.needed = self.needed.saturating_mul(GROWTH);
    }

    fn end_run(&mut self) {
        self.seen = self.targets();
        self.run = 0;
        self.run_before = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishes(drift: &mut Drift, shard: u16, count: u64) -> Option<ShardId> {
        (0..count).for_each(|_| drift.note(ShardId(shard)));
        drift.destination()
    }

    #[test]
    fn a_run_of_publishes_to_one_shard_draws_there_and_a_mixture_nowhere() {
        let mut drift = Drift::new(ShardId(0));
        assert_eq!(publishes(&mut drift, 1, FIRST_RUN - 1), None);
        assert_eq!(publishes(&mut drift, 2, 1), None);
        assert_eq!(publishes(&mut drift, 1, FIRST_RUN), Some(ShardId(1)));
        let mut mixed = Drift::new(ShardId(0));
        for shard in 0..1000 {
            assert_eq!(publishes(&mut mixed, shard % 2, 10), None);
        }
    }

    #[test]
    fn the_shards_that_the_latest_input_went_to_are_known() {
        let targets = |drift: &Drift| -> Vec<u16> {
            (0..8).filter(|shard| drift.targets().contains(ShardId(*shard))).collect()
        };
        let mut drift = Drift::new(ShardId(0));
        assert_eq!(targets(&drift), [0u16; 0], "nothing was published");
        publishes(&mut drift, 0, 1);
        assert_eq!(targets(&drift), [0]);
        drift.begin();
        assert_eq!(targets(&drift), [0u16; 0], "acknowledgements only");
        for shard in [0, 3, 5, 3] {
            publishes(&mut drift, shard, 2);
        }
        drift.tire();
        assert_eq!(targets(&drift), [0, 3, 5]);
        drift.begin();
        publishes(&mut drift, 3, 1);
        assert_eq!(targets(&drift), [3]);
        drift.begin();
        drift.reach(ShardId(6));
        assert_eq!(targets(&drift), [6], "a part of a body");
    }

    #[test]
    fn every_move_makes_the_next_one_dearer() {
        let mut drift = Drift::new(ShardId(0));
        publishes(&mut drift, 1, FIRST_RUN);
        drift.tire();
        assert_eq!(publishes(&mut drift, 0, FIRST_RUN * GROWTH - 1), None);
        assert_eq!(publishes(&mut drift, 0, 1), Some(ShardId(0)));
    }
}
