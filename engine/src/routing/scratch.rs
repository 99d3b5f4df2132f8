//! Working memory of routing, and the chance that random exchanges need.

use super::stable_hash::mix;
use super::topic_match::TopicScratch;

/// Kept by the caller between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) topic: TopicScratch,
    pub(super) candidates: Vec<u32>,
    /// State of a generator (splitmix64): this crate has no chance of its own.
    random: u64,
}

impl Scratch {
    /// Where chance begins. Whoever routes should have a seed of its own.
    pub fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// A number below `limit`, every one as likely (but for one in 2^32); 0 if there is none.
    pub(super) fn random_below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let high = mix(self.random) >> 32;
        // `limit` counts entries of a list, which are fewer than 2^32.
        ((high * limit as u64) >> 32) as usize
    }
}
