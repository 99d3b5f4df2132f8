//! The values of the messages that are in a queue.

use rustc_hash::{FxHashMap, FxHashSet};

use super::DedupKey;
use crate::ids::Seq;

/// Kept in memory alone: what was in the queue before a restart is not known.
#[derive(Debug, Default)]
pub struct Present {
    keys: FxHashSet<DedupKey>,
    by_seq: FxHashMap<Seq, DedupKey>,
}

impl Present {
    pub fn contains(&self, key: DedupKey) -> bool {
        self.keys.contains(&key)
    }

    pub fn insert(&mut self, seq: Seq, key: DedupKey) {
        self.keys.insert(key);
        self.by_seq.insert(seq, key);
    }

    /// The message has left the queue.
    pub fn remove(&mut self, seq: Seq) {
        if let Some(key) = self.by_seq.remove(&seq) {
            self.keys.remove(&key);
        }
    }

    /// Many have left: those that `stays` does not say to stay.
    pub fn retain(&mut self, mut stays: impl FnMut(Seq) -> bool) {
        let Present { keys, by_seq } = self;
        by_seq.retain(|seq, key| {
            let stays = stays(*seq);
            if !stays {
                keys.remove(key);
            }
            stays
        });
    }
}
