//! What threads share, from where doorbell, lanes and ports take it: a model checker puts its own in this place.

pub(super) use std::sync::atomic::{fence, AtomicBool, Ordering};
pub(super) use std::sync::Arc;

pub(super) use futures_util::task::AtomicWaker;
pub(super) use rtrb::{Consumer, Producer, PushError, RingBuffer};
