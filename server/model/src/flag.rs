//! The checker's AtomicBool, but that what is stored is swapped in.
//!
//! The checker does not know that nothing can come between what a swap reads and what it writes. So it has a sender
//! that rings a bell late look past an owner's later store, as no machine would: a false alarm. A store that is a swap stands
//! in order with all others; nothing here depends on its being less.

use loom::sync::atomic::Ordering;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        AtomicBool(loom::sync::atomic::AtomicBool::new(value))
    }
    pub(crate) fn load(&self, ordering: Ordering) -> bool {
        self.0.load(ordering)
    }
    pub(crate) fn store(&self, value: bool, ordering: Ordering) {
        self.0.swap(value, ordering);
    }
    pub(crate) fn swap(&self, value: bool, ordering: Ordering) -> bool {
        self.0.swap(value, ordering)
    }
}
