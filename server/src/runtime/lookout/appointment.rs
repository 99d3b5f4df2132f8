//! What one task waits for until another one calls it. Of one thread.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Calls that come before the waiting begins count; several count as one.
#[derive(Debug, Default)]
pub(super) struct Appointment {
    came: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Appointment {
    /// Ready, once, if there was a call.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.came.replace(false) {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn call(&self) {
        if !self.came.replace(true) {
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Forgets a call that came before.
    pub(super) fn reset(&self) {
        self.came.set(false);
    }
}
