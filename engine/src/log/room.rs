//! Whether a log has room for more, or is slower than those who write to it.

use super::{Log, Memory};

/// Buffers that may wait for the device beside those in flight before publishers do. More would not make it busier: a
/// thread that goes on taking messages does not see that a write is done, and the next one waits for it.
const BUFFERS_WAITING_MAX: usize = 2;
/// The same for settles, beside as many as may be in flight.
const SETTLES_WAITING_MAX: usize = 4;

impl<M: Memory> Log<M> {
    /// False while so much waits for the device that more should not be accepted, while the end of
    /// the segment is near and there is no file for the next one but what is kept for settles,
    /// definitions and copies, and while copying has fallen far behind and has not gone through as much as has been
    /// written since.
    pub fn has_room(&self) -> bool {
        let used = self.geometry.offset(self.batch.start()) + self.batch.used() as u64;
        let number = self.segments.tail().number;
        let capacity = self.geometry.limit(number) - self.geometry.start(number);
        let nearly_full = used > capacity / 8 * 7;
        self.takes_settles()
            && self.waits_for(BUFFERS_WAITING_MAX)
            && (!nearly_full || self.files.has_spare())
            && !self.waits_for_copying()
            && self.segments.len() < self.geometry.segments_max()
    }

    /// There is room, and half of what may wait for the device has gone: it is worth telling those who wait.
    pub fn has_room_again(&self) -> bool {
        self.has_room() && self.waits_for(BUFFERS_WAITING_MAX / 2)
    }

    /// No more than so many buffers wait for the device.
    fn waits_for(&self, buffers: usize) -> bool {
        self.commit.waiting_bytes() <= buffers * self.config.buffer_bytes
    }

    /// False while so much waits for the device that even settles had better wait, if they can.
    pub fn takes_settles(&self) -> bool {
        let buffers = self.config.writes_in_flight_max + SETTLES_WAITING_MAX;
        !self.has_failed() && self.waits_for(buffers)
    }
}
