//! Which messages damage has met: for the last words of a broker that comes upon it.

use super::Shard;
use crate::ids::Seq;
use crate::log::{Address, LogError, Memory};
use crate::queue::Place;

impl<M: Memory> Shard<M> {
    /// Messages whose records lie in the block that `error` found damaged: vhost and name of the
    /// queue, and the number there. Parts of long messages are not looked for.
    ///
    /// Goes through every message of every queue: for a shard that is ending.
    pub fn stricken(&self, error: &LogError) -> Vec<(String, String, Seq)> {
        let LogError::Rot { file, offset, .. } = error else { return Vec::new() };
        let Some(there) = self.store.log.addresses_at(*file, *offset) else { return Vec::new() };
        let mut stricken = Vec::new();
        for queue in self.queues.iter() {
            let known = self.topology.queue_by_id(queue.id());
            let (vhost, name) = match known {
                Some(known) => (known.vhost.to_string(), known.name.to_string()),
                None => (String::new(), format!("number {}", queue.id().0)),
            };
            for (seq, slot) in queue.messages(&self.queues.pool) {
                let is_there = matches!(
                    slot.place(),
                    Place::Log { address, .. } if there.contains(&Address(address))
                );
                if is_there {
                    stricken.push((vhost.clone(), name.clone(), seq));
                }
            }
        }
        stricken
    }
}
