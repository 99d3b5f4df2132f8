//! When messages expire, and finding those whose time is over.

use super::{key, Index};
use crate::queue::chunk::NEVER;
use crate::queue::pool::ChunkPool;
use crate::queue::slot::{Slot, State, FAR_EXPIRY};

/// Bales that one sweep looks into: each may have to be read.
const BALES_AT_ONCE: usize = 8;

impl Index {
    /// When the message of that number expires; `slot` is its slot.
    #[inline]
    pub(in crate::queue) fn expires_unix_ms(&self, number: u64, slot: &Slot) -> Option<u64> {
        match slot.expiry() {
            0 => None,
            FAR_EXPIRY => self.rare.as_ref()?.far.get(&number).copied(),
            _ => self.chunks[self.position(key(number)).ok()?].expires_unix_ms(slot),
        }
    }

    /// A message that came back counts for the next expiry again.
    pub(in crate::queue) fn note_expiry(&mut self, number: u64, slot: &Slot) -> Option<u64> {
        let expires = self.expires_unix_ms(number, slot)?;
        let at = self.position(key(number)).ok()?;
        let chunk = &mut self.chunks[at];
        chunk.soonest_unix_ms = chunk.soonest_unix_ms.min(expires);
        Some(expires)
    }

    /// Lower bound of the expiry of all ready messages.
    pub(in crate::queue) fn next_expiry_unix_ms(&self) -> Option<u64> {
        let soonest = self.chunks.iter().map(|chunk| chunk.soonest_unix_ms).min();
        soonest.filter(|soonest| *soonest != NEVER)
    }

    /// Adds the numbers of ready messages whose time was before `now_unix_ms` to `expired`, and
    /// forgets that these were to expire: the caller kills them. False if it stopped before the end,
    /// behind the chunk in which there are `limit` of them or when it had looked into a few bales.
    pub(in crate::queue) fn collect_expired(
        &mut self,
        pool: &ChunkPool,
        now_unix_ms: u64,
        limit: usize,
        expired: &mut Vec<u64>,
    ) -> bool {
        let far = self.rare.as_ref().map(|rare| &rare.far);
        let mut bales = 0;
        for chunk in &mut self.chunks {
            if expired.len() >= limit || bales >= BALES_AT_ONCE {
                return false;
            }
            if chunk.soonest_unix_ms >= now_unix_ms {
                continue;
            }
            bales += usize::from(chunk.is_bale());
            let mut soonest = NEVER;
            for (offset, slot) in chunk.iter(pool) {
                let number = chunk.first() + offset as u64;
                if slot.state() != State::Ready || slot.expiry() == 0 {
                    continue;
                }
                let in_table = || far.and_then(|far| far.get(&number).copied());
                match chunk.expires_unix_ms(&slot).or_else(in_table) {
                    Some(expires) if expires < now_unix_ms => expired.push(number),
                    Some(expires) => soonest = soonest.min(expires),
                    None => {}
                }
            }
            chunk.soonest_unix_ms = soonest;
        }
        true
    }
}
