//! The values of the messages that are in a queue.

use rustc_hash::FxHashMap;

use super::DedupKey;
use crate::ids::Seq;

/// Kept in memory alone: after a restart the queue's owner looks at the messages again.
#[derive(Debug, Default)]
pub struct Present {
    /// How many messages have each value: mostly one.
    counts: FxHashMap<DedupKey, u32>,
    by_seq: FxHashMap<Seq, DedupKey>,
}

impl Present {
    pub fn contains(&self, key: DedupKey) -> bool {
        self.counts.contains_key(&key)
    }

    /// The message of that number has that value.
    pub fn insert(&mut self, seq: Seq, key: DedupKey) {
        if self.by_seq.insert(seq, key).is_none() {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    /// The message has left the queue.
    pub fn remove(&mut self, seq: Seq) {
        if let Some(key) = self.by_seq.remove(&seq) {
            self.forget(key);
        }
    }

    /// Many have left: those that `stays` does not say to stay.
    pub fn retain(&mut self, mut stays: impl FnMut(Seq) -> bool) {
        let gone: Vec<Seq> = self.by_seq.keys().copied().filter(|seq| !stays(*seq)).collect();
        for seq in gone {
            self.remove(seq);
        }
    }

    fn forget(&mut self, key: DedupKey) {
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }
}
