//! What the logs of a world hold, so that what is kept for nobody is seen.

use crate::world::World;

/// Definitions and marks that come and go; everything that tests wonder about is far longer.
const SLACK_OCTETS: u64 = 1_000;

/// Octets that somebody wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint(u64);

impl Footprint {
    pub(crate) fn of(world: &World) -> Self {
        Footprint(world.shards.iter().map(|shard| shard.log_space().live_octets).sum())
    }

    /// How many more there are by now.
    pub(crate) fn growth(self, world: &World) -> u64 {
        Footprint::of(world).0.saturating_sub(self.0)
    }

    /// After a clean restart: no more is wanted than then.
    pub(crate) fn expect_after_restart(self, world: &mut World) {
        world.restart_cleanly();
        world.settle_down();
        self.expect(world);
    }

    /// No more is wanted than then.
    pub(crate) fn expect(self, world: &World) {
        let left = self.growth(world);
        assert!(left < SLACK_OCTETS, "{left} octets are kept for nobody");
    }
}
