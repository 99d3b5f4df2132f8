//! The lookout of a shard: knows which sockets have something, and sleeps for the whole shard.
//!
//! The executor's own sleep is dear: between falling asleep and waking up it takes back and sets
//! anew several timers and polls, each with a system call, some ten in all. Sockets, the
//! listeners and the bell that other shards ring are therefore watched by one epoll instance, and
//! while nothing is under way in the executor the lookout, which is one of its tasks, sleeps in
//! epoll itself: one system call. As soon as something is (a write of the log), it leaves the
//! sleep to the executor, which watches the epoll instance among the rest.
//!
//! The lookout may sleep only if no other task wants to run. Tasks run in the order in which they
//! were woken: the lookout wakes itself, and if no other task has made a step when it runs again,
//! none was waiting. Every task of a shard therefore says [`Lookout::step`] when it runs.
//!
//! Of one thread. Knows nothing of AMQP or of the engine.

mod alarm;
mod appointment;
mod run;
#[cfg(test)]
mod tests;
mod watch;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use glommio::io::PollableFd;
use rustc_hash::FxHashMap;
use rustix::buffer::spare_capacity;
use rustix::event::{epoll, Timespec};
use rustix::io::Errno;

use self::alarm::{counter, Alarm};
use self::appointment::Appointment;
use self::watch::Watch;

pub(super) use self::run::{keep_a_timer, run, stand_sentry};
pub(super) use self::watch::{Seat, Watched};

/// What is watched of every descriptor, as changes.
const ARRIVALS: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);
/// Stands for the alarm among the tokens of descriptors.
const ALARM: u64 = 0;
/// Descriptors that one look can tell of; the rest is told by the next.
const EVENTS: usize = 256;

/// One per shard.
pub(super) struct Lookout {
    epoll: PollableFd<OwnedFd>,
    /// Always readable: waiting for it lets the executor look at the world and costs no sleep.
    open: PollableFd<OwnedFd>,
    /// How other threads end the sleep.
    alarm: Waker,
    watches: RefCell<FxHashMap<u64, Rc<Watch>>>,
    last_token: Cell<u64>,
    events: RefCell<Vec<epoll::Event>>,
    /// Steps that tasks have made.
    steps: Cell<u64>,
    /// What the executor has to wait for: log effects and naps.
    under_way: Cell<u32>,
    /// Tasks that have worked for long and let others have their turn.
    paused: RefCell<Vec<Waker>>,
    /// Times that paused tasks were told to go on.
    breaths: Cell<u64>,
    /// When the ticker wants to be called.
    tick_at: Cell<Option<Instant>>,
    /// The ticker waits for its time.
    ticker: Appointment,
    /// The mail task waits for mail.
    postman: Appointment,
    /// The sentry waits to be posted.
    sentry: Appointment,
    /// The sentry is at its post: it waits, in the executor, for the epoll instance.
    is_posted: Cell<bool>,
    /// The lookout waits in the executor.
    sleeper: Appointment,
}

impl Lookout {
    /// To be made on the shard's thread, in its executor.
    ///
    /// # Errors
    /// When the process may have no more descriptors.
    pub(super) fn new() -> io::Result<Rc<Lookout>> {
        let alarm = Arc::new(Alarm::new()?);
        let instance = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&instance, alarm.descriptor(), epoll::EventData::new_u64(ALARM), flags)?;
        Ok(Rc::new(Lookout {
            epoll: PollableFd::new(instance)?,
            open: PollableFd::new(counter(1)?)?,
            alarm: Waker::from(alarm),
            watches: RefCell::default(),
            last_token: Cell::new(ALARM),
            events: RefCell::new(Vec::with_capacity(EVENTS)),
            steps: Cell::new(0),
            under_way: Cell::new(0),
            paused: RefCell::default(),
            breaths: Cell::new(0),
            tick_at: Cell::new(None),
            ticker: Appointment::default(),
            postman: Appointment::default(),
            sentry: Appointment::default(),
            is_posted: Cell::new(false),
            sleeper: Appointment::default(),
        }))
    }

    fn add(&self, descriptor: BorrowedFd<'_>, watch: Rc<Watch>) -> io::Result<u64> {
        self.add_with(descriptor, watch, ARRIVALS)
    }

    /// Watched, but nothing is told of it until it is called for.
    fn add_uncalled(&self, descriptor: BorrowedFd<'_>, watch: Rc<Watch>) -> io::Result<u64> {
        self.add_with(descriptor, watch, epoll::EventFlags::ONESHOT)
    }

    fn add_with(
        &self,
        descriptor: BorrowedFd<'_>,
        watch: Rc<Watch>,
        flags: epoll::EventFlags,
    ) -> io::Result<u64> {
        let token = self.last_token.get() + 1;
        let data = epoll::EventData::new_u64(token);
        epoll::add(self.epoll.get_ref(), descriptor, data, flags)?;
        self.last_token.set(token);
        self.watches.borrow_mut().insert(token, watch);
        Ok(token)
    }

    /// Room to write is watched too from now on. If there is some by now, the next look tells.
    ///
    /// # Panics
    /// If the kernel refuses, which it has no reason for: nobody would ever hear of the room.
    fn add_room(&self, descriptor: BorrowedFd<'_>, token: u64) {
        let data = epoll::EventData::new_u64(token);
        let flags = ARRIVALS | epoll::EventFlags::OUT;
        if let Err(error) = epoll::modify(self.epoll.get_ref(), descriptor, data, flags) {
            panic!("room in a socket cannot be watched: {error}");
        }
    }

    /// The descriptor lives on, unwatched.
    fn remove(&self, descriptor: BorrowedFd<'_>) {
        if let Err(error) = epoll::delete(self.epoll.get_ref(), descriptor) {
            tracing::warn!(%error, "a descriptor goes on being watched by a shard it has left");
        }
    }

    /// A descriptor that is closed leaves the epoll instance by itself. Tokens are not used again:
    /// what may still be told of it goes to nobody.
    fn forget(&self, token: u64) {
        self.watches.borrow_mut().remove(&token);
    }

    /// Some task runs.
    #[inline]
    pub(super) fn step(&self) {
        self.steps.set(self.steps.get().wrapping_add(1));
    }

    /// Something has begun that the executor has to wait for. To be told of the end by
    /// [`Lookout::end`].
    pub(super) fn begin(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    /// Whether something is.
    pub(super) fn is_anything_under_way(&self) -> bool {
        self.under_way.get() > 0
    }

    /// Something that was announced by [`Lookout::begin`] is over.
    ///
    /// # Panics
    /// If nothing was under way.
    pub(super) fn end(&self) {
        let others = self.under_way.get().checked_sub(1);
        self.under_way.set(others.expect("what ends has begun"));
        self.step();
        if self.under_way.get() == 0 {
            self.sleeper.call();
        }
    }

    /// Sleeps.
    pub(super) async fn nap(&self, time: Duration) {
        self.begin();
        glommio::timer::sleep(time).await;
        self.end();
    }

    /// For a task that has worked for long: until the world has been looked at.
    pub(super) async fn breathe(&self) {
        let breaths = self.breaths.get();
        poll_fn(|cx| {
            if self.breaths.get() != breaths {
                return Poll::Ready(());
            }
            self.paused.borrow_mut().push(cx.waker().clone());
            self.sleeper.call();
            Poll::Pending
        })
        .await;
        self.step();
    }

    /// For the ticker: until `pause` is over.
    pub(super) async fn tick(&self, pause: Duration) {
        self.ticker.reset();
        self.tick_at.set(Some(Instant::now() + pause));
        // A lookout that waits in the executor does so until the time it knows.
        self.sleeper.call();
        poll_fn(|cx| self.ticker.poll(cx)).await;
    }

    /// For the mail task: until there is something in its rings or its mailbox, or may be.
    pub(super) async fn mail(&self) {
        poll_fn(|cx| self.postman.poll(cx)).await;
    }

    /// The mail task is to run soon.
    pub(super) fn call_postman(&self) {
        self.postman.call();
    }

    /// Asks the kernel what has changed, waits for that up to `time`, and wakes whom it concerns.
    /// Returns of how many descriptors there was something to say.
    ///
    /// # Panics
    /// If the kernel refuses, which it has no reason for.
    pub(super) fn look(&self, time: Duration) -> usize {
        let timeout = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut events = self.events.borrow_mut();
        events.clear();
        match epoll::wait(self.epoll.get_ref(), spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("no descriptor can be watched any more: {error}"),
        }
        let watches = self.watches.borrow();
        for event in events.iter() {
            // The alarm is for waking up alone: mail is looked for before the next sleep.
            if let Some(watch) = watches.get(&event.data.u64()) {
                watch.note(event.flags);
            }
        }
        events.len()
    }
}
