//! Messages that came back too often, from queues that have nowhere to send them: they are dropped
//! (behaviour I27), and not without a trace. The operator is told of a queue's first one, its tenth,
//! its hundredth and so on.

use rustc_hash::FxHashMap;

use crate::ids::QueueId;

/// Queues that are counted; beyond them counting begins anew.
const COUNTED_MAX: usize = 10_000;

/// How many messages of which queue.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    counts: FxHashMap<QueueId, u64>,
}

impl GivenUp {
    /// Counts one more; gives the number if it is to be told.
    pub(super) fn count(&mut self, queue: QueueId) -> Option<u64> {
        if self.counts.len() >= COUNTED_MAX && !self.counts.contains_key(&queue) {
            self.counts.clear();
        }
        let count = self.counts.entry(queue).or_default();
        *count += 1;
        let is_round = 10_u64.checked_pow(count.ilog10()) == Some(*count);
        is_round.then_some(*count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_tenth_and_the_hundredth_of_each_queue_are_told() {
        let mut given_up = GivenUp::default();
        let told: Vec<u64> = (0..500).filter_map(|_| given_up.count(QueueId(7))).collect();
        assert_eq!(told, [1, 10, 100]);
        assert_eq!(given_up.count(QueueId(8)), Some(1));
    }
}
