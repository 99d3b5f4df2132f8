//! The engine of HareMQ: everything that decides, nothing that touches the world.
//!
//! Log, queues, routing, topology, access and the shard's state machine live here. There is no
//! socket, file, clock, random number, thread or executor in this crate: time and bytes come in
//! as arguments, intentions go out as effects, so the same code runs under the broker's executor
//! and under a simulator that crashes it wherever it likes.
#![forbid(unsafe_code)]

pub mod access;
pub mod arena;
pub mod dead_letter;
pub mod dedup;
pub mod delay;
pub mod event;
pub mod ids;

pub mod log;
pub mod mail;
pub mod message;
pub mod now;
pub mod properties;
pub mod queue;
pub mod routing;

pub mod shard;
pub mod stamp;
pub mod table;
pub mod topology;
pub mod transaction;
