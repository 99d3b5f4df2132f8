//! How often messages have come back to a queue that sets a limit to it (`x-delivery-limit`,
//! behaviour B22, I27). Kept in memory alone: deliveries are not logged, so after a restart the
//! count begins anew. Other queues keep nothing.

use super::Queue;
use crate::ids::Seq;

impl Queue {
    /// How often that message has come back; `None`: this queue does not count.
    pub fn delivery_count(&self, seq: Seq) -> Option<u32> {
        self.settings.delivery_limit?;
        let count = self.comebacks.as_ref().and_then(|comebacks| comebacks.get(&seq).copied());
        Some(count.unwrap_or(0))
    }

    /// True if it may not come back once more.
    pub(super) fn has_come_back_too_often(&self, seq: Seq) -> bool {
        let limit = self.settings.delivery_limit;
        limit.is_some_and(|limit| {
            self.delivery_count(seq).is_some_and(|count| u64::from(count) >= limit)
        })
    }

    pub(super) fn count_comeback(&mut self, seq: Seq) {
        if self.settings.delivery_limit.is_some() {
            let count = self.comebacks.get_or_insert_default().entry(seq).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The message has left the queue.
    #[inline]
    pub(super) fn forget(&mut self, seq: Seq) {
        if let Some(present) = &mut self.present {
            present.remove(seq);
        }
        if let Some(comebacks) = &mut self.comebacks {
            comebacks.remove(&seq);
            if comebacks.is_empty() {
                self.comebacks = None;
            }
        }
    }
}
