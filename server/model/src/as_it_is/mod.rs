//! The ring as it is.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the files of the broker, of which a model uses a part"
)]

#[path = "../../../src/ring/doorbell.rs"]
mod doorbell;
#[path = "../../../src/ring/lane.rs"]
mod lane;
#[path = "../../../src/ring/port.rs"]
mod port;

use crate::batch::RingBatch;
pub(crate) use doorbell::Doorbell;
pub(crate) use port::{mesh, Port};

const RING_SLOTS: usize = 1;

mod sync {
    pub(crate) use crate::flag::AtomicBool;
    pub(crate) use crate::spsc::{Consumer, Producer, PushError, RingBuffer};
    pub(crate) use crate::waker::AtomicWaker;
    pub(crate) use loom::sync::atomic::{fence, Ordering};
    pub(crate) use loom::sync::Arc;
}
