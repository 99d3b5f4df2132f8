//! The lookout's task, and the sentry that it posts in the executor.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Lookout;
use crate::runtime::shard::ShardRuntime;

/// The executor never sleeps longer, nor does the lookout before the ticker has begun.
const SLEEP_MAX: Duration = Duration::from_millis(5);

/// Runs until it is dropped.
pub(in crate::runtime) async fn run(runtime: Rc<ShardRuntime>, spin: Duration) {
    let lookout = &runtime.lookout;
    let bell = runtime.host.borrow().world.port.bell().clone();
    let has_mail = || runtime.mailbox().has_mail() || runtime.host.borrow().has_work();
    let mut spin_until = None;
    loop {
        let steps = lookout.steps.get();
        let_others_run().await;
        runtime.look_after_direct_write(has_mail);
        if lookout.steps.get() != steps {
            spin_until = None;
            runtime.delay_direct_write();
            continue;
        }
        // Nobody wants to run.
        let now = Instant::now();
        if lookout.tick_at.get().is_some_and(|at| at <= now) {
            lookout.tick_at.set(None);
            lookout.ticker.call();
            lookout.step();
            continue;
        }
        // Before mail, which may be such a task's affair.
        if lookout.has_paused() {
            runtime.give_up_direct_write();
            lookout.glance().await;
            runtime.budget.refresh();
            // Tasks that always have something to do must not keep the shard from its mail.
            if has_mail() {
                lookout.call_postman();
            }
            lookout.release_paused();
            continue;
        }
        if has_mail() {
            lookout.call_postman();
            lookout.step();
            continue;
        }
        if runtime.write_directly() {
            continue;
        }
        if now < *spin_until.get_or_insert(now + spin) {
            lookout.glance().await;
            runtime.budget.refresh();
            continue;
        }
        let mut alarm = Context::from_waker(&lookout.alarm);
        if bell.poll_mail(&mut alarm, has_mail).is_pending() {
            let time = lookout.tick_at.get().map_or(SLEEP_MAX, |at| at.duration_since(now));
            lookout.sleep(time).await;
            bell.stay_awake();
            runtime.budget.refresh();
        }
    }
}

/// The lookout's place is taken at the end of those who want to run.
async fn let_others_run() {
    let mut is_last = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_last, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs until it is dropped: waits in the executor for the epoll instance whenever the lookout
/// does, and as long as that takes. A task of its own, because a wait that is given up and begun
/// again costs two system calls.
pub(in crate::runtime) async fn stand_sentry(lookout: Rc<Lookout>) {
    loop {
        poll_fn(|cx| lookout.sentry.poll(cx)).await;
        if let Err(error) = lookout.epoll.readable().await {
            tracing::error!(%error, "the executor cannot wait for sockets");
        }
        lookout.is_posted.set(false);
        lookout.sleeper.call();
    }
}

/// Runs until it is dropped: keeps a timer of the executor's set. The executor goes to sleep with
/// runnable tasks if it loses its core at the wrong moment; this bounds what that can cost.
pub(in crate::runtime) async fn keep_a_timer() {
    loop {
        glommio::timer::sleep(SLEEP_MAX).await;
    }
}

impl Lookout {
    fn has_paused(&self) -> bool {
        !self.paused.borrow().is_empty()
    }

    fn release_paused(&self) {
        self.breaths.set(self.breaths.get().wrapping_add(1));
        for waker in self.paused.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Looks without sleeping, and lets the executor do the same if it has reason to.
    async fn glance(&self) {
        if self.under_way.get() > 0 {
            if let Err(error) = self.open.readable().await {
                tracing::error!(%error, "the executor does not look at the world");
            }
        }
        self.look(Duration::ZERO);
    }

    /// Until something happens, at most so long.
    async fn sleep(&self, time: Duration) {
        if self.under_way.get() == 0 {
            self.look(time);
            return;
        }
        self.sleeper.reset();
        if !self.is_posted.replace(true) {
            self.sentry.call();
        }
        let called = poll_fn(|cx| self.sleeper.poll(cx));
        futures_lite::future::or(called, async {
            glommio::timer::sleep(time).await;
        })
        .await;
        self.look(Duration::ZERO);
    }
}
