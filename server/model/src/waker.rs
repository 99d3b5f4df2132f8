//! The checker's AtomicWaker, called as the one of the broker is.

use std::fmt;
use std::task::Waker;

/// See the module.
#[derive(Default)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

impl fmt::Debug for AtomicWaker {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("AtomicWaker")
    }
}

impl AtomicWaker {
    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }
    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}
