//! The octets of AMQP 0-9-1: frames, method arguments, content properties, Erlang's way to write
//! terms in error texts.
//!
//! Pure functions on byte slices; nothing here knows a connection. Reading borrows from the input
//! and allocates nothing; no length that a peer declares is ever used to reserve memory.

pub(crate) mod erlang;
pub(crate) mod frame;
pub(crate) mod properties;
pub(crate) mod reader;
pub(crate) mod writer;
