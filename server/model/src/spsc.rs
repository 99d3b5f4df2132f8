//! A model of the rings of `rtrb`: the same calls, and the same loads and stores of two indexes in the same order,
//! copies of the other side's index included. A slot is behind a lock that nobody may ever have to wait for.

use std::cell::Cell;
use std::fmt;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};

/// What both ends share.
struct Shared<T> {
    /// Items ever popped.
    head: AtomicUsize,
    /// Items ever pushed.
    tail: AtomicUsize,
    slots: Vec<Mutex<Option<T>>>,
}

impl<T> Shared<T> {
    /// Reaches a slot that is this side's alone.
    fn slot<R>(&self, index: usize, act: impl FnOnce(&mut Option<T>) -> R) -> R {
        let slot = self.slots.get(index % self.slots.len()).expect("an index modulo the length");
        act(&mut slot.try_lock().expect("no slot is ever reached from both sides at a time"))
    }
}

/// A ring with so many slots.
pub(crate) struct RingBuffer;

impl RingBuffer {
    #[expect(clippy::new_ret_no_self, reason = "so it is called")]
    pub(crate) fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let slots = (0..capacity).map(|_| Mutex::new(None)).collect();
        let shared =
            Arc::new(Shared { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), slots });
        let (head, tail) = (Cell::new(0), Cell::new(0));
        let producer = Producer { shared: shared.clone(), head: head.clone(), tail: tail.clone() };
        (producer, Consumer { shared, head, tail })
    }
}

#[derive(Debug)]
pub(crate) enum PushError<T> {
    Full(T),
}

/// Nothing is there.
#[derive(Debug)]
pub(crate) struct Empty;

pub(crate) struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// What was last seen of the other side.
    head: Cell<usize>,
    tail: Cell<usize>,
}

impl<T> Producer<T> {
    pub(crate) fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        let tail = self.tail.get();
        if tail - self.head.get() == self.shared.slots.len() {
            self.head.set(self.shared.head.load(Ordering::Acquire));
            if tail - self.head.get() == self.shared.slots.len() {
                return Err(PushError::Full(value));
            }
        }
        self.shared.slot(tail, |slot| assert!(slot.replace(value).is_none(), "it was empty"));
        self.shared.tail.store(tail + 1, Ordering::Release);
        self.tail.set(tail + 1);
        Ok(())
    }

    pub(crate) fn slots(&self) -> usize {
        self.head.set(self.shared.head.load(Ordering::Acquire));
        self.shared.slots.len() - (self.tail.get() - self.head.get())
    }
}

pub(crate) struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: Cell<usize>,
    /// What was last seen of the other side.
    tail: Cell<usize>,
}

impl<T> Consumer<T> {
    pub(crate) fn pop(&mut self) -> Result<T, Empty> {
        if self.is_empty() {
            return Err(Empty);
        }
        let head = self.head.get();
        let value = self.shared.slot(head, |slot| slot.take().expect("what was pushed"));
        self.shared.head.store(head + 1, Ordering::Release);
        self.head.set(head + 1);
        Ok(value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        if self.head.get() == self.tail.get() {
            self.tail.set(self.shared.tail.load(Ordering::Acquire));
        }
        self.head.get() == self.tail.get()
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Producer {{ pushed: {} }}", self.tail.get())
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Consumer {{ popped: {} }}", self.head.get())
    }
}
