//! Policies have changed: the queues that may be meant are looked at a few at a time, so that very
//! many of them hold nobody up (behaviour B58). The change counts as applied on this shard when
//! all have been looked at.

use std::sync::Arc;

use super::queues::QueueSlot;
use super::Shard;
use crate::log::Memory;
use crate::now::Now;
use crate::queue::QueueSettings;

/// Queues looked at in one turn.
const QUEUES_PER_TURN: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PolicyWalk {
    vhosts: Vec<Arc<str>>,
    /// Not looked at yet.
    left: Vec<QueueSlot>,
}

impl PolicyWalk {
    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty()
    }
}

impl<M: Memory> Shard<M> {
    /// The policies of these vhosts are others: their queues live by them from now on.
    pub(super) fn begin_policy_walk(&mut self, now: Now, vhosts: Vec<Arc<str>>) {
        let walk = &mut self.policy_walk;
        if walk.is_over() {
            walk.vhosts.clear();
        }
        walk.vhosts.extend(vhosts);
        walk.left = self.queues.slots();
        self.walk_policies(now);
    }

    /// Looks at the next queues. True if that was the end.
    pub(super) fn walk_policies(&mut self, now: Now) -> bool {
        for _ in 0..QUEUES_PER_TURN {
            let Some(at) = self.policy_walk.left.pop() else { break };
            self.apply_policy(now, at);
        }
        self.policy_walk.is_over()
    }

    fn apply_policy(&mut self, now: Now, at: QueueSlot) {
        let Some((hosted, _)) = self.queues.get_mut(at) else { return };
        let Some(queue) = self.topology.queue_by_id(hosted.queue.id()) else { return };
        if !self.policy_walk.vhosts.contains(&queue.vhost) {
            return;
        }
        let policy = self.topology.queue_policy(&queue.vhost, &queue.name);
        let settings = QueueSettings::of(queue, &policy);
        if *hosted.queue.settings() == settings {
            return;
        }
        let settings = self.queues.share(settings);
        if let Some((hosted, _)) = self.queues.get_mut(at) {
            hosted.queue.change_settings(settings, now.unix_ms);
        }
        self.drop_excess(now, at);
        self.set_timer(at);
    }
}
