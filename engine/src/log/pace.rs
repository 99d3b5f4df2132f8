//! How much publishers may write while copying is far behind: as much as it goes through.
//!
//! What copying goes through is given back in the end, but for the copies. So publishers go on at its pace, a window's
//! worth at a time, and do not stand still until a whole segment is done; what segments take does not grow meanwhile by
//! more than the one that is being copied. Copies are written to the same log, and take of it what they are long.

use super::{Log, Memory};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Position up to which the log may be written while copying is far behind.
    end: u64,
    /// Copying was far behind in the latest turn.
    was_behind: bool,
}

impl<M: Memory> Log<M> {
    /// Call once in a turn: nobody is held back for what was written before copying fell behind, or before a start.
    pub(super) fn look_at_pace(&mut self) {
        let (is_behind, end) = (self.is_far_behind(), self.batch.end());
        let pace = &mut self.copying.pace;
        if !(is_behind && pace.was_behind) {
            pace.end = end;
        }
        pace.was_behind = is_behind;
    }

    /// Copying has gone through so many octets of its victim.
    pub(super) fn gone_through(&mut self, octets: u64) {
        // More is not saved up than what is written at once.
        let most = self.batch.end() + self.config.buffer_bytes as u64;
        let pace = &mut self.copying.pace;
        pace.end = (pace.end + octets).min(most);
    }

    /// Publishers have written as much as copying has gone through, and it is far behind.
    pub(super) fn waits_for_copying(&self) -> bool {
        self.batch.end() >= self.copying.pace.end
            && self.copying.is_under_way()
            && self.is_far_behind()
    }
}
