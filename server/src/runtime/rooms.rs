//! Which shards' logs have room for publishes, as far as this shard knows: who publishes faster than a disk can write
//! waits before its socket is read, whichever shard that disk belongs to.
//!
//! A shard always takes in what its rings bring: behind publishes there may be what makes room, and answers that
//! another shard waits for. So it is the senders that hold back. A shard whose log falls behind says so to each shard that
//! publishes to it, by the ring, and again when it has caught up. What can still come until all have heard is what the
//! rings hold and, from each connection, one read of its socket. Costs a comparison per batch and per turn.

use haremq_engine::ids::ShardId;

use crate::amqp::ShardSet;
use crate::config::SHARDS_MAX;

const _: () = assert!(SHARDS_MAX <= ShardSet::CAPACITY, "a set holds every shard");

/// See the module.
#[derive(Debug)]
pub(super) struct Rooms {
    shard: ShardId,
    /// Shards that have no room.
    full: ShardSet,
    /// Shards that have been told that this one has none.
    told: ShardSet,
    /// Some shard has room that had none when this was last asked.
    has_eased: bool,
}

impl Rooms {
    pub(super) fn new(shard: ShardId) -> Self {
        let (full, told) = (ShardSet::default(), ShardSet::default());
        Rooms { shard, full, told, has_eased: false }
    }

    /// Whether this shard's log had room when it was last looked at.
    #[inline]
    pub(super) fn own(&self) -> bool {
        !self.full.contains(self.shard)
    }

    /// That shard's log has room from now on, or has none.
    pub(super) fn note(&mut self, shard: ShardId, has_room: bool) {
        if has_room {
            self.has_eased |= self.full.contains(shard);
            self.full.remove(shard);
        } else {
            self.full.insert(shard);
        }
    }

    /// That shard has published to this one. True: it must be told that there is no room here.
    #[inline]
    pub(super) fn must_tell(&mut self, from: ShardId) -> bool {
        if self.own() || self.told.contains(from) {
            return false;
        }
        self.told.insert(from);
        true
    }

    /// Shards that must be told that there is room here again.
    pub(super) fn take_told(&mut self) -> ShardSet {
        std::mem::take(&mut self.told)
    }

    /// Whether a connection may be read from whose latest publishes went to these shards.
    #[inline]
    pub(super) fn lets_in(&self, targets: &ShardSet) -> bool {
        !self.full.meets(targets)
    }

    /// Whether some shard has got room since this was last asked.
    pub(super) fn take_eased(&mut self) -> bool {
        std::mem::take(&mut self.has_eased)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(shards: &[u16]) -> ShardSet {
        let mut set = ShardSet::default();
        shards.iter().for_each(|shard| set.insert(ShardId(*shard)));
        set
    }

    #[test]
    fn only_those_wait_who_publish_to_a_shard_without_room() {
        let mut rooms = Rooms::new(ShardId(0));
        assert!(rooms.own());
        rooms.note(ShardId(2), false);
        rooms.note(ShardId(0), false);
        assert!(!rooms.own());
        assert!(rooms.lets_in(&set(&[])) && rooms.lets_in(&set(&[1, 3])));
        assert!(!rooms.lets_in(&set(&[0])) && !rooms.lets_in(&set(&[1, 2])));
        assert!(!rooms.take_eased());
        rooms.note(ShardId(2), true);
        assert!(rooms.lets_in(&set(&[2])) && rooms.take_eased() && !rooms.take_eased());
    }

    #[test]
    fn those_who_publish_are_told_once_and_told_again_when_there_is_room() {
        let mut rooms = Rooms::new(ShardId(1));
        assert!(!rooms.must_tell(ShardId(0)));
        rooms.note(ShardId(1), false);
        assert!(rooms.must_tell(ShardId(0)) && !rooms.must_tell(ShardId(0)));
        assert!(rooms.must_tell(ShardId(3)));
        rooms.note(ShardId(1), true);
        assert_eq!(rooms.take_told(), set(&[0, 3]));
        assert_eq!(rooms.take_told(), set(&[]));
    }
}
