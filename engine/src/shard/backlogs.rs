//! What recovery finds of each queue, before it is known which queues there are.

use rustc_hash::FxHashMap;

use crate::ids::QueueId;
use crate::queue::{Backlog, ChunkPool};

/// Backlogs that pack what they have left open at one occasion, of which there is one for each record.
const CONDENSED_AT_ONCE: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    /// In the order in which they were found. `None`: claimed.
    all: Vec<Option<Backlog>>,
    by_queue: FxHashMap<QueueId, u32>,
}

impl Backlogs {
    pub(super) fn of(&mut self, queue: QueueId) -> &mut Backlog {
        let next = self.all.len() as u32;
        let at = *self.by_queue.entry(queue).or_insert(next);
        if at == next {
            self.all.push(None);
        }
        self.all[at as usize].get_or_insert_with(|| Backlog::new(at))
    }

    /// Takes one out.
    pub(super) fn claim(&mut self, queue: QueueId) -> Option<Backlog> {
        let at = self.by_queue.remove(&queue)?;
        self.all[at as usize].take()
    }

    /// What nobody has claimed.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Backlog> {
        self.all.into_iter().flatten()
    }

    /// They take more memory than there is: some pack what they have left open.
    #[cold]
    pub(super) fn condense_some(&mut self, pool: &mut ChunkPool) {
        for _ in 0..CONDENSED_AT_ONCE {
            let Some(at) = pool.next_to_condense() else { return };
            if let Some(backlog) = self.all.get_mut(at as usize).and_then(Option::as_mut) {
                if backlog.condense(pool) {
                    pool.note_loose(at);
                }
            }
        }
    }
}
