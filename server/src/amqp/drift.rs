//! Where the publishes of a connection go: whether it works for one other shard only.

use haremq_engine::ids::ShardId;

/// Publishes in a row to one shard, after which a connection is drawn there for the first time.
const FIRST_RUN: u32 = 64;
/// So many times more each time after that: who works now here, now there comes to rest.
const GROWTH: u32 = 8;

/// A tally over the publishes of one connection.
#[derive(Debug)]
pub(crate) struct Drift {
    shard: ShardId,
    /// Publishes in a row for `shard`.
    run: u32,
    /// The run that is needed.
    needed: u32,
}

impl Drift {
    pub(crate) fn new(home: ShardId) -> Self {
        Drift { shard: home, run: 0, needed: FIRST_RUN }
    }

    /// One message goes to that shard.
    #[inline]
    pub(crate) fn note(&mut self, shard: ShardId) {
        if shard != self.shard {
            self.shard = shard;
            self.run = 0;
        }
        self.run = self.run.saturating_add(1);
    }

    /// The shard that all of the last publishes went to, if they were many.
    #[inline]
    pub(crate) fn destination(&self) -> Option<ShardId> {
        (self.run >= self.needed).then_some(self.shard)
    }

    /// It has moved, or cannot: it takes longer until the next time.
    pub(crate) fn tire(&mut self) {
        self.run = 0;
        self.needed = self.needed.saturating_mul(GROWTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishes(drift: &mut Drift, shard: u16, count: u32) -> Option<ShardId> {
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
    fn every_move_makes_the_next_one_dearer() {
        let mut drift = Drift::new(ShardId(0));
        publishes(&mut drift, 1, FIRST_RUN);
        drift.tire();
        assert_eq!(publishes(&mut drift, 0, FIRST_RUN * GROWTH - 1), None);
        assert_eq!(publishes(&mut drift, 0, 1), Some(ShardId(0)));
    }
}
