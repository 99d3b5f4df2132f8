//! AMQP 0-9-1: bytes in, bytes out. Codec and connection/channel state machines.
//!
//! Lives on the connection's shard. No socket, file, clock or thread: time and randomness come
//! through [`Broker`], bytes through [`Connection::receive`]. Must not import `runtime`, `ring`,
//! `management` or glommio.
#![forbid(unsafe_code)]

mod broker;
mod channel;
mod codec;
mod connection;
mod drift;
mod error;
mod introduction;
mod method;
mod outgoing;
mod output;
mod population;
mod reply;
mod session;
mod settings;
mod shard_set;
#[cfg(test)]
mod tests;
mod topology_words;

pub use broker::{Broker, Login};
pub use connection::Connection;
pub use introduction::{Introduction, TlsLogin};
pub use population::{Counted, Population};
pub use settings::ConnectionSettings;
pub use shard_set::ShardSet;
