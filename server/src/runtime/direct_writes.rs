//! Which writes of the log the shard's thread carries out itself, waiting for the device.
//!
//! The executor's way costs ten system calls and a kernel thread's help for one write; that is
//! nothing beside a batch, but twice the device's own time beside a single message for which
//! somebody waits. So a small write is held back until nobody wants to run, and then made with one
//! system call. While it lasts the shard serves nobody, hence the conditions: nothing else of the
//! log is under way, the device has been quick, and the last such write kept few sockets waiting.
//!
//! Of one thread. Decides, but does no I/O and reads no clock.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use glommio::io::DmaBuffer;
use haremq_engine::log::LogEffect;

/// Larger writes, in octets, belong to busy publishers, who gain more from working on meanwhile.
pub const DIRECT_WRITE_BYTES_MAX: usize = 32 << 10;
/// A device that takes longer is not waited for.
const QUICK: Duration = Duration::from_micros(500);
/// Writes in a row that must have taken longer: one alone says that something else had the core.
const SLOW_WRITES: u32 = 2;
/// Sockets that may have something when a write is over: a publisher and its consumer.
const SOCKETS_MAX: usize = 2;
/// How long a shard that has kept more waiting leaves writes to the executor.
const CROWDED: Duration = Duration::from_millis(5);
/// How often all others may run while a write is held back.
const ROUNDS_MAX: u32 = 4;

/// The write held back, if any, and what earlier ones have taught.
#[derive(Debug, Default)]
pub(super) struct DirectWrites {
    held: RefCell<Option<LogEffect<DmaBuffer>>>,
    /// How often it has had to let others go first.
    rounds: Cell<u32>,
    /// The latest writes that have taken too long, in a row.
    slow_writes: Cell<u32>,
    crowded_until: Cell<Option<Instant>>,
    /// A write is over, and nobody has looked yet who had to wait for it.
    is_look_due: Cell<bool>,
}

impl DirectWrites {
    /// Whether the effect may be held back, given that nothing else is under way.
    pub(super) fn suits(&self, effect: &LogEffect<DmaBuffer>, now: Instant) -> bool {
        let is_small =
            matches!(effect, LogEffect::Write { length, .. } if *length <= DIRECT_WRITE_BYTES_MAX);
        let is_crowded = self.crowded_until.get().is_some_and(|until| now < until);
        let is_slow = self.slow_writes.get() >= SLOW_WRITES;
        is_small && !is_crowded && !is_slow && self.held.borrow().is_none()
    }

    /// # Panics
    /// If one is held already.
    pub(super) fn hold(&self, effect: LogEffect<DmaBuffer>) {
        self.put_back(effect);
        self.rounds.set(0);
    }

    /// Holds one that was taken for a little longer; it keeps its place.
    ///
    /// # Panics
    /// If one is held already.
    pub(super) fn put_back(&self, effect: LogEffect<DmaBuffer>) {
        let held = self.held.replace(Some(effect));
        assert!(held.is_none(), "a write held back is not forgotten");
    }

    pub(super) fn take(&self) -> Option<LogEffect<DmaBuffer>> {
        self.held.take()
    }

    /// Others have run once more while a write was held back: whether that is too much.
    pub(super) fn is_overdue(&self) -> bool {
        self.rounds.set(self.rounds.get().saturating_add(1));
        self.rounds.get() > ROUNDS_MAX
    }

    /// Whether a write has been made directly since this was last asked.
    pub(super) fn is_look_due(&self) -> bool {
        self.is_look_due.take()
    }

    /// One is over that was made directly.
    pub(super) fn note_direct(&self) {
        self.is_look_due.set(true);
    }

    /// A write, made in either way, took so long.
    pub(super) fn note_write(&self, took: Duration) {
        self.slow_writes.set(match took > QUICK {
            true => self.slow_writes.get().saturating_add(1),
            false => 0,
        });
    }

    /// So many sockets had something when the write was over, or other shards had.
    pub(super) fn note_waiting(&self, sockets: usize, has_mail: bool, now: Instant) {
        if sockets > SOCKETS_MAX || has_mail {
            self.crowded_until.set(Some(now + CROWDED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haremq_engine::log::FileId;
    use std::rc::Rc;

    fn write(length: usize) -> LogEffect<DmaBuffer> {
        let buffer = Rc::new(glommio::allocate_dma_buffer_global(length));
        LogEffect::Write { ticket: 1, file: FileId(0), offset: 0, buffer, length }
    }

    #[test]
    fn only_one_small_write_at_a_time_is_held_back() {
        let (writes, now) = (DirectWrites::default(), Instant::now());
        assert!(writes.suits(&write(4096), now));
        assert!(!writes.suits(&write(DIRECT_WRITE_BYTES_MAX + 4096), now));
        let delete = LogEffect::Delete { ticket: 1, file: FileId(0) };
        assert!(!writes.suits(&delete, now));
        writes.hold(write(4096));
        assert!(!writes.suits(&write(4096), now));
        assert!(writes.take().is_some() && writes.take().is_none());
        assert!(writes.suits(&write(4096), now));
    }

    #[test]
    fn a_write_does_not_wait_long_for_others() {
        let writes = DirectWrites::default();
        writes.hold(write(4096));
        assert_eq!((1..).find(|_| writes.is_overdue()), Some(ROUNDS_MAX + 1));
        let held = writes.take().unwrap();
        writes.put_back(held);
        assert!(writes.is_overdue(), "it is the same one");
        writes.take();
        writes.hold(write(4096));
        assert!(!writes.is_overdue(), "the next one begins anew");
    }

    #[test]
    fn a_slow_device_is_not_waited_for_until_it_is_quick_again() {
        let (writes, now) = (DirectWrites::default(), Instant::now());
        writes.note_write(QUICK * 2);
        assert!(writes.suits(&write(4096), now), "one may have lost the core");
        writes.note_write(QUICK * 2);
        assert!(!writes.suits(&write(4096), now));
        writes.note_write(QUICK / 2);
        assert!(writes.suits(&write(4096), now));
    }

    #[test]
    fn who_has_kept_several_waiting_leaves_it_to_the_executor_for_a_while() {
        let (writes, now) = (DirectWrites::default(), Instant::now());
        writes.note_waiting(SOCKETS_MAX, false, now);
        assert!(writes.suits(&write(4096), now));
        for (sockets, has_mail) in [(SOCKETS_MAX + 1, false), (0, true)] {
            writes.note_waiting(sockets, has_mail, now);
            assert!(!writes.suits(&write(4096), now));
            assert!(writes.suits(&write(4096), now + CROWDED));
        }
    }
}
