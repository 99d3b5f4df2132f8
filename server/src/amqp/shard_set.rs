//! A set of shards, as small as a few words.

use haremq_engine::ids::ShardId;

const WORDS: usize = 4;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet([u64; WORDS]);

impl ShardSet {
    /// The first shard that no set can hold.
    pub const CAPACITY: u16 = (WORDS * 64) as u16;

    #[inline]
    pub fn insert(&mut self, shard: ShardId) {
        if let Some(word) = self.0.get_mut(usize::from(shard.0 / 64)) {
            *word |= 1 << (shard.0 % 64);
        }
    }

    pub fn remove(&mut self, shard: ShardId) {
        if let Some(word) = self.0.get_mut(usize::from(shard.0 / 64)) {
            *word &= !(1 << (shard.0 % 64));
        }
    }

    pub fn contains(&self, shard: ShardId) -> bool {
        let word = self.0.get(usize::from(shard.0 / 64)).copied().unwrap_or(0);
        word & (1 << (shard.0 % 64)) != 0
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + '_ {
        (0..Self::CAPACITY).map(ShardId).filter(|shard| self.contains(*shard))
    }

    /// Whether some shard is in both.
    #[inline]
    pub fn meets(&self, other: &ShardSet) -> bool {
        self.0.iter().zip(other.0).any(|(one, other)| one & other != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_there_until_it_is_taken_out() {
        let mut set = ShardSet::default();
        for shard in [0, 63, 64, 255].map(ShardId) {
            assert!(!set.contains(shard));
            set.insert(shard);
            assert!(set.contains(shard));
        }
        let mut other = ShardSet::default();
        assert!(!set.meets(&other));
        assert!(set.iter().eq([0, 63, 64, 255].map(ShardId)) && other.iter().next().is_none());
        other.insert(ShardId(64));
        assert!(set.meets(&other));
        set.remove(ShardId(64));
        assert!(!set.meets(&other) && set.contains(ShardId(63)));
    }
}
