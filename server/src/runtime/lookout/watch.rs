//! What is known of one descriptor: whether reading or writing may be worth a try, and who waits
//! for that. Of one thread.
//!
//! The kernel tells of changes only (edge-triggered): what is known stands until an attempt has
//! found it untrue.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Waker};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

use super::Lookout;

/// Both directions of one descriptor.
#[derive(Debug)]
pub(super) struct Watch {
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The kernel has been asked to tell when there is room to write.
    awaits_room: Cell<bool>,
    /// The other end says no more, or the connection is broken: reading has to wait no more, and
    /// no further change may be told.
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    fn new() -> Watch {
        Watch {
            // What came before it was watched.
            readable: Cell::new(true),
            writable: Cell::new(true),
            awaits_room: Cell::new(false),
            ended: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// The kernel says that something has changed.
    pub(super) fn note(&self, flags: EventFlags) {
        let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        let ended = broken || flags.intersects(EventFlags::RDHUP);
        let readable = ended || flags.intersects(EventFlags::IN);
        if ended {
            self.ended.set(true);
        }
        if readable {
            self.readable.set(true);
        }
        // May be told together with an arrival: news only to who has found the buffer full.
        let writable = broken || flags.intersects(EventFlags::OUT);
        let has_room_again = writable && !self.writable.replace(true);
        if readable || has_room_again {
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// A descriptor that its shard's lookout watches.
pub(in crate::runtime) struct Watched<T: AsFd> {
    inner: T,
    registration: Registration,
}

/// How any thread has a lookout told of one descriptor. For one that is watched [`Watched::by_turns`].
#[derive(Debug)]
pub(in crate::runtime) struct Seat {
    /// The lookout's.
    instance: OwnedFd,
    token: u64,
}

impl Seat {
    /// The lookout is told when there is something to read, which may be now; once.
    ///
    /// # Errors
    /// When the lookout is no more, or watches the descriptor no more.
    pub(in crate::runtime) fn call(&self, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
        let data = epoll::EventData::new_u64(self.token);
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        epoll::modify(&self.instance, descriptor, data, flags)
    }
}

/// Its place among the watched, which it gives up when dropped.
struct Registration {
    lookout: Rc<Lookout>,
    token: u64,
    watch: Rc<Watch>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.lookout.forget(self.token);
    }
}

impl<T: AsFd> Watched<T> {
    /// Begins to watch. The descriptor must be non-blocking.
    pub(in crate::runtime) fn new(inner: T, lookout: &Rc<Lookout>) -> io::Result<Watched<T>> {
        let watch = Rc::new(Watch::new());
        let token = lookout.add(inner.as_fd(), watch.clone())?;
        let registration = Registration { lookout: lookout.clone(), token, watch };
        Ok(Watched { inner, registration })
    }

    pub(in crate::runtime) fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Begins to watch something that others watch too: there is nothing to be told of it but, once, after each
    /// [`Seat::call`].
    pub(in crate::runtime) fn by_turns(
        inner: T,
        lookout: &Rc<Lookout>,
    ) -> io::Result<(Watched<T>, Seat)> {
        let watch = Rc::new(Watch::new());
        watch.readable.set(false);
        let instance = lookout.epoll.get_ref().try_clone()?;
        let token = lookout.add_uncalled(inner.as_fd(), watch.clone())?;
        let registration = Registration { lookout: lookout.clone(), token, watch };
        Ok((Watched { inner, registration }, Seat { instance, token }))
    }

    /// Stops watching and gives the descriptor back.
    pub(in crate::runtime) fn into_inner(self) -> T {
        let Watched { inner, registration } = self;
        registration.lookout.remove(inner.as_fd());
        inner
    }

    /// Whether reading may be worth a try. If not, the task is woken when it is.
    pub(in crate::runtime) fn may_read(&self, cx: &Context<'_>) -> bool {
        self.await_unless(self.registration.watch.readable.get(), cx)
    }

    /// Whether writing may be worth a try. If not, the task is woken when it is.
    pub(in crate::runtime) fn may_write(&self, cx: &Context<'_>) -> bool {
        self.await_unless(self.registration.watch.writable.get(), cx)
    }

    /// Whether the other end says no more. If not, the task is woken when it does.
    pub(in crate::runtime) fn has_ended(&self, cx: &Context<'_>) -> bool {
        self.await_unless(self.registration.watch.ended.get(), cx)
    }

    fn await_unless(&self, ready: bool, cx: &Context<'_>) -> bool {
        if !ready {
            self.registration.watch.register(cx);
        }
        ready
    }

    /// A read has taken all that there was: what follows will be told, but for an end that has
    /// been told already.
    pub(in crate::runtime) fn has_read_all(&self) {
        let watch = &self.registration.watch;
        watch.readable.set(watch.ended.get());
    }

    /// Reading would have to wait.
    pub(in crate::runtime) fn is_dry(&self) {
        self.registration.watch.readable.set(false);
    }

    /// Writing would have to wait. Most sockets never fill, so the kernel is asked about that only now: it would tell of
    /// every new one at once that it can be written to.
    pub(in crate::runtime) fn is_full(&self) {
        let Registration { lookout, token, watch } = &self.registration;
        watch.writable.set(false);
        if !watch.awaits_room.replace(true) {
            lookout.add_room(self.inner.as_fd(), *token);
        }
    }
}
