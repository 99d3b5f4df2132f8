//! What giving segments back may put in the way of what is confirmed: one write.
//!
//! Copies, Liveness and Recycled records go into the same batches as everything else, and who
//! publishes after them waits until they are on stable storage. So only one batch at a time holds
//! any that are not: the next one may when that is durable, and until then reclaiming waits. The
//! measure is taken record by record.

use super::{Log, Memory};

/// Octets of reclaiming's records in a batch, reached by the last one.
const OCTETS_PER_BATCH: usize = 256 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Start of the batch that holds the latest ones.
    batch: Option<u64>,
    /// Octets of them in it.
    octets: usize,
    /// It takes no more.
    is_full: bool,
}

impl<M: Memory> Log<M> {
    /// Reclaiming may write a record now, if it is short enough.
    #[inline]
    pub(super) fn may_reclaim(&self) -> bool {
        if self.urgent && self.commit.is_quiet() && !self.batch.is_empty() {
            // It is about to go out, for somebody who waits for it.
            return false;
        }
        match self.share.batch {
            None => true,
            Some(batch) if batch == self.batch.start() => !self.share.is_full,
            Some(batch) => batch < self.commit.durable(),
        }
    }

    /// Reclaiming may write records of so many octets now that make so many references, and are to
    /// lie together. If not, what it waits for is on its way.
    pub(super) fn takes_of_reclaiming(&mut self, octets: usize, references: u32) -> bool {
        if self.share.batch == Some(self.batch.start()) && !self.share.is_full {
            let numbered = u64::from(self.segments.tail().references()) + u64::from(references);
            let fits =
                numbered <= u64::from(self.geometry.references_max()) && self.batch.fits(octets);
            if !fits || self.share.octets >= OCTETS_PER_BATCH {
                self.share.is_full = true;
                self.urgent = true;
            }
        }
        self.may_reclaim()
    }

    /// Reclaiming has written so many octets of records, the last of them into the open batch.
    pub(super) fn note_reclaiming(&mut self, octets: usize) {
        let (start, durable) = (self.batch.start(), self.commit.durable());
        if self.share.batch != Some(start) {
            let is_over = self.share.batch.is_none_or(|batch| batch < durable);
            let before = if is_over { 0 } else { self.share.octets };
            self.share = Share { batch: Some(start), octets: before, is_full: false };
        }
        self.share.octets += octets;
    }

    /// Octets of reclaiming's records that are not on stable storage.
    pub(super) fn reclaiming_octets(&self) -> u64 {
        match self.share.batch {
            Some(batch) if batch >= self.commit.durable() => self.share.octets as u64,
            _ => 0,
        }
    }
}
