//! After a restart: which values the messages in deduplicating queues have (behaviour C13). The
//! log's records say so, and are read back by and by; a message that comes before that is done
//! may be taken though it is a duplicate.

use std::collections::VecDeque;

use super::queues::Queues;
use super::Shard;
use crate::dedup::DedupKey;
use crate::ids::{QueueId, Seq};
use crate::log::{Fetch, Memory};
use crate::properties;

/// Messages looked at in one turn at most.
const LOOKS_PER_TURN: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recall {
    waiting: VecDeque<(QueueId, VecDeque<Seq>)>,
    /// The next message's octets are being read.
    is_reading: bool,
}

impl Recall {
    /// For the queues that recovery has brought back.
    pub(super) fn of(queues: &Queues) -> Self {
        let all = queues.iter().filter(|queue| queue.settings().deduplicates);
        let all = all
            .map(|queue| (queue.id(), queue.messages(&queues.pool).map(|(seq, _)| seq).collect()));
        Recall { waiting: all.collect(), is_reading: false }
    }

    /// True if a message can be looked at.
    pub(super) fn can_go_on(&self) -> bool {
        !self.waiting.is_empty() && !self.is_reading
    }

    pub(super) fn read_done(&mut self) {
        self.is_reading = false;
    }
}

impl<M: Memory> Shard<M> {
    /// Looks at what can be looked at now, within what a turn may take.
    pub(super) fn recall(&mut self) {
        for _ in 0..LOOKS_PER_TURN {
            if !self.recall.can_go_on() {
                return;
            }
            let Some((id, left)) = self.recall.waiting.front_mut() else { return };
            let Some(&seq) = left.front() else {
                self.recall.waiting.pop_front();
                continue;
            };
            let hosted = self.queues.open(*id);
            let found = hosted.and_then(|(_, hosted, pool)| {
                let slot = hosted.queue.live(pool, seq)?;
                Some((hosted, slot))
            });
            if let Some((hosted, slot)) = found {
                let Fetch::Ready(stored) = self.store.fetch(&slot) else {
                    self.recall.is_reading = true;
                    return;
                };
                let headers = properties::headers(stored.message.properties);
                if let Some(key) = DedupKey::of(headers) {
                    hosted.queue.note_value(seq, key);
                }
            }
            left.pop_front();
        }
    }
}
