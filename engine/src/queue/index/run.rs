//! Messages that follow one another, looked at together: a run is part of one chunk that is not packed. What is in
//! no such run is handed out and taken out one by one.

use super::{key, offset, Index};
use crate::queue::pool::ChunkPool;
use crate::queue::slot::{Slot, State, FAR_EXPIRY};

impl Index {
    /// The slots from that number on of the chunk that it is in; none if that is packed.
    #[inline]
    pub(in crate::queue) fn slots_from(&mut self, number: u64) -> &mut [Slot] {
        match self.position(key(number)) {
            Ok(at) => self.chunks[at].slots_from(offset(number)),
            Err(_) => &mut [],
        }
    }

    /// Empties the slots from that number on, `limit` at most, as long as messages in that state are in them. `take`
    /// gets what was in them, if that is anything. Gives how many there were.
    #[inline]
    pub(in crate::queue) fn kill_run(
        &mut self,
        pool: &mut ChunkPool,
        number: u64,
        limit: usize,
        state: State,
        take: impl FnOnce(&[Slot]),
    ) -> usize {
        let Ok(at) = self.position(key(number)) else { return 0 };
        let chunk = &mut self.chunks[at];
        let slots = chunk.slots_from(offset(number));
        let is_so = |slot: &&Slot| slot.state() == state && slot.expiry() != FAR_EXPIRY;
        let count = slots.iter().take(limit).take_while(is_so).count();
        if count == 0 {
            return 0;
        }
        let run = &mut slots[..count];
        take(run);
        run.fill(Slot::DEAD);
        chunk.live -= count as u32;
        if chunk.live == 0 {
            self.drop_chunk(pool, at);
        }
        count
    }
}
