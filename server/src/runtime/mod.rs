//! The runtime: the only place that knows glommio, and with it sockets, files, timers, cores and
//! the clock.
//!
//! [`run`] is the broker, from the checks before the start to the clean stop. The main thread
//! starts one thread per shard and the management thread, moves them from stage to stage
//! ([`start`]) and otherwise sleeps. Each shard's thread runs one executor ([`boot`]) whose tasks
//! share one [`shard::ShardRuntime`] and take turns with the one [`host::Host`] in it.
//!
//! [`Segments`], [`PageFile`], [`ReadAhead`], [`DmaMemory`], [`DIRECT_WRITE_BYTES_MAX`] and [`URGENT_WRITE_BYTES_MIN`] are
//! public for benches: a shard of the engine on its real files, without the rest.
//!
//! Invariants: nothing of a shard is touched by another thread except its mailbox and its rings;
//! no borrow of a host lives across an await; an error of the log ends the process before
//! anything else is confirmed.

mod abort;
mod acceptor;
mod acks;
mod alarms;
mod boot;
mod budget;
mod cell;
mod clock;
mod connection;
mod damage;
mod desk;
mod direct_writes;
mod doze;
mod error;
mod host;
mod loads;
mod lookout;
mod machine;
mod mail;
mod mailbox;
mod management;
mod memory;
mod pages;
mod preflight;
mod random;
mod read_ahead;
mod requests;
mod rooms;
mod segments;
mod shard;
mod shards;
mod socket;
mod stage;
mod start;
mod ticker;
mod transfer;
mod transport;
mod turnstile;
mod world;

pub use budget::URGENT_WRITE_BYTES_MIN;
pub use damage::check;
pub use direct_writes::DIRECT_WRITE_BYTES_MAX;
pub use error::StartError;
pub use memory::DmaMemory;
pub use pages::PageFile;
pub use read_ahead::ReadAhead;
pub use segments::Segments;
pub use start::run;
