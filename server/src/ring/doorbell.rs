//! How a thread learns that there is mail while it sleeps, and is left alone while it does not.

use std::task::{Context, Poll};

use super::sync::{fence, AtomicBool, AtomicWaker, Ordering};

/// One per shard, shared with everybody who sends to it.
///
/// The sender writes its mail, then looks at `asleep`; the owner writes `asleep`, then looks for
/// mail. A sequentially consistent fence stands between the two steps on either side, so that at
/// least one of them sees the other's write: either the sender wakes the owner, or the owner finds
/// the mail and does not go to sleep.
#[derive(Debug, Default)]
pub struct Doorbell {
    asleep: AtomicBool,
    waker: AtomicWaker,
}

impl Doorbell {
    pub fn new() -> Self {
        Self::default()
    }

    /// Call after the mail has been made visible. Costs a fence and a load if the owner is awake.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// For the owner alone: it does not sleep any more and needs no bell. It is to ask
    /// [`Doorbell::poll_mail`] before it sleeps again.
    pub fn stay_awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// For the owner alone: ready if `has_mail` finds some after the owner has declared itself
    /// asleep, otherwise pending until the bell rings.
    pub fn poll_mail(&self, cx: &mut Context<'_>, has_mail: impl FnOnce() -> bool) -> Poll<()> {
        self.waker.register(cx.waker());
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if has_mail() {
            self.asleep.store(false, Ordering::Relaxed);
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
