//! The sleep of an idle shard's ticker, and what ends it early. Of one thread.

use std::cell::{Cell, RefCell};
use std::task::Waker;

/// Whether the ticker dozes, and how to rouse it.
#[derive(Debug, Default)]
pub(super) struct Doze {
    on: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Doze {
    pub(super) fn begin(&self) {
        self.on.set(true);
    }

    /// Whether it has been roused; if not, `waker` will be told.
    pub(super) fn is_over(&self, waker: &Waker) -> bool {
        if self.on.get() {
            *self.waker.borrow_mut() = Some(waker.clone());
        }
        !self.on.get()
    }

    pub(super) fn end(&self) {
        self.on.set(false);
        self.waker.borrow_mut().take();
    }

    /// After every turn.
    #[inline]
    pub(super) fn rouse(&self) {
        if self.on.replace(false) {
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_first_turn_rouses_and_the_next_ones_do_nothing() {
        let (doze, count) = (Doze::default(), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        doze.rouse();
        doze.begin();
        assert!(!doze.is_over(&waker));
        doze.rouse();
        doze.rouse();
        assert!(doze.is_over(&waker));
        doze.end();
        doze.rouse();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
