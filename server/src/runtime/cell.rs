//! A connection as its shard holds it: the state machine, and how to wake the task of its socket.

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::task::{Context, Waker};

use haremq_engine::ids::ConnectionId;

use crate::amqp::Connection;

/// One connection. Shared within a shard by the task of its socket and the shard's host.
pub(super) struct ConnectionCell {
    pub(super) id: ConnectionId,
    /// `None`: it has gone to another shard.
    connection: RefCell<Option<Connection>>,
    waker: RefCell<Option<Waker>>,
    /// In the host's list of connections that wait for `end_of_turn`.
    pub(super) touched: Cell<bool>,
    /// In the host's list of connections to wake at the end of this turn.
    pub(super) roused: Cell<bool>,
    /// In the host's list of connections that wait for room.
    pub(super) starved: Cell<bool>,
    /// A call into it has panicked: its state is not to be trusted, its socket is to be closed.
    broken: Cell<bool>,
}

impl ConnectionCell {
    pub(super) fn new(id: ConnectionId, connection: Connection) -> Self {
        ConnectionCell {
            id,
            connection: RefCell::new(Some(connection)),
            waker: RefCell::new(None),
            touched: Cell::new(false),
            roused: Cell::new(false),
            starved: Cell::new(false),
            broken: Cell::new(false),
        }
    }

    /// Calls into the connection. `None` if it is not here any more, is broken, or breaks: a panic ends one connection,
    /// not the shard. (A panic of the shard under the call does end the process, see
    /// [`super::abort`].)
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        if self.broken.get() {
            return None;
        }
        let mut connection = self.connection.borrow_mut();
        let connection = connection.as_mut()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
        if outcome.is_err() {
            tracing::error!(connection = ?self.id, "internal error, the connection is closed");
            self.broken.set(true);
            self.wake();
        }
        outcome.ok()
    }

    /// Takes the connection out, for another shard.
    pub(super) fn take(&self) -> Option<Connection> {
        self.connection.borrow_mut().take()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Remembers the task that polls, to be woken by [`ConnectionCell::wake`].
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
