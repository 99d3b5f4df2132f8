//! What is looked at before any shard starts, so that a broker that cannot work says why in one
//! sentence. Runs on the main thread.

mod data_dir;
mod limits;
mod listeners;
mod uring;

pub(super) use data_dir::{shard_dir, DataDir};
pub(super) use limits::{forbid_huge_pages, raise_limits, usable_cores};
pub(super) use listeners::{Bound, Listening, AMQP, AMQPS, MANAGEMENT};
pub(super) use uring::check_uring;
