//! How much of the log is wanted, and how much there is.

use super::segments::Segments;
use super::{Log, Memory};

/// What a log takes and what it holds. Octets are those of records, or of files where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogSpace {
    /// Segments that hold something wanted, and the one written to.
    pub segments: u64,
    /// Octets of records that are wanted.
    pub live_octets: u64,
    /// Octets of all segment files, free ones included.
    pub file_octets: u64,
}

/// The running sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Space {
    live_octets: u64,
}

impl Space {
    pub(super) fn after_recovery(segments: &Segments) -> Self {
        Space { live_octets: segments.iter().map(|segment| segment.live_octets()).sum() }
    }

    /// So many octets of a record have been appended that are wanted.
    #[inline]
    pub(super) fn taken(&mut self, octets: u64) {
        self.live_octets += octets;
    }

    /// So many octets are wanted no more.
    #[inline]
    pub(super) fn freed(&mut self, octets: u64) {
        self.live_octets = self.live_octets.saturating_sub(octets);
    }
}

impl<M: Memory> Log<M> {
    /// What the log takes and what it holds.
    pub fn space(&self) -> LogSpace {
        let segments = self.segments.len() as u64;
        LogSpace {
            segments,
            live_octets: self.space.live_octets,
            file_octets: self.files.count(self.segments.len()) * self.geometry.segment_bytes,
        }
    }
}
