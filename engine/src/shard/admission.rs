//! Which messages a queue lets in by what they are, before it is asked for room: none that it, or
//! the exchange it stands behind, has had already (behaviour C13).

use super::queues::Hosted;
use crate::dedup::DedupKey;
use crate::message::MessageRef;
use crate::now::Now;
use crate::properties;
use crate::table::field;

impl Hosted {
    /// False for nearly all queues: they let in what comes.
    #[inline]
    pub(super) fn is_special(&self) -> bool {
        self.seen.is_some() || self.queue.settings().deduplicates
    }

    /// False for a duplicate. Asking an exchange's queue counts: the value has been seen now.
    pub(super) fn lets_in(&mut self, message: &MessageRef<'_>, now: Now) -> bool {
        let headers = properties::headers(message.properties);
        let Some(key) = DedupKey::of(headers) else { return true };
        match &mut self.seen {
            Some(seen) => {
                let ttl_ms = field(headers, b"x-cache-ttl").and_then(|value| value.as_count());
                !seen.has_seen(key, ttl_ms, now.unix_ms)
            }
            None => !self.queue.has_already(key),
        }
    }
}
