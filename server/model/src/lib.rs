//! The broker's own doorbell, lanes and ports under a model checker (loom): two threads, and every order in which they
//! can run and see each other's writes, up to a bound on how often they are interrupted.
//!
//! What is asked: mail arrives, once and in order, and nobody sleeps while there is something for them. A thread
//! sleeps by its doorbell alone here, so that a lost wake-up is a thread that never ends, which loom reports. The rings are a
//! model of those of `rtrb` ([`spsc`]), with room for one batch, so that they are full all the time.
//!
//! That the checker would notice is asked as well: `flawed` has the same files with one thing taken from them. The files
//! are compiled where they are, each time with another `sync` beside them.

#![cfg(test)]

mod as_it_is;
mod flag;
mod flawed;
mod sound;
mod spsc;
mod waker;
mod without_fences;
mod without_wakers;

/// A batch of numbers.
mod batch {
    #[derive(Debug, Default)]
    pub(crate) struct RingBatch(pub(crate) Vec<u64>);

    impl RingBatch {
        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
        pub(crate) fn octets(&self) -> usize {
            0
        }
        pub(crate) fn shrink(&mut self) {}
    }
}
