//! What exists: vhosts, exchanges, queues, bindings, users, permissions.
//!
//! Every shard holds a replica ([`Topology`]) that its connections read without asking anyone;
//! shard 0 alone decides changes ([`Topology::decide`]), in one order for the whole broker.

mod change;
mod definition;
mod error;
mod request;

pub use change::Change;
pub use definition::{
    Binding, BindingTarget, Exchange, ExchangeKind, Permission, Queue, User, Vhost,
};
pub use error::TopologyError;
pub use request::{TopologyOutcome, TopologyRequest};

mod replica;
pub use replica::{Decision, RouteError, Routes, Topology};
