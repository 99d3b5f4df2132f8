//! What exists: vhosts, exchanges, queues, bindings, policies, users, permissions.
//!
//! Every shard holds a replica ([`Topology`]) that its connections read without asking anyone;
//! shard 0 alone decides changes ([`Topology::decide`]), in one order for the whole broker.
//!
//! Invariants: every binding stands in its source's set and in its target's set and in its
//! source's router, and both ends exist; every queue is found by name and by number; deciding
//! and applying cost what they change, not what exists. Imports ids, table, routing and access;
//! must not import queues, the log or the shard.

mod ack_timeout;
mod apply;
mod binding_ref;
mod cascade;
mod change;
mod decide;
mod decide_access;
mod decide_rules;
mod definition;
mod definition_limits;
mod equivalence;
mod error;
mod exchange_arguments;
mod missing;
mod name;
mod policy;
mod policy_check;
mod predeclared;
mod queue_arguments;
mod record;
mod replica;
mod request;
mod route;
mod routes;
mod store;
#[cfg(test)]
mod tests;

pub use ack_timeout::AckTimeout;
pub use change::{Change, EntityKey};
pub use decide::Decision;
pub use definition::{
    limit_reached, Binding, BindingTarget, Exchange, ExchangeKind, GlobalParameter, Permission,
    Queue, TopicPermission, User, UserLimits, Vhost, VhostLimits,
};
pub use definition_limits::DefinitionLimits;
pub use error::TopologyError;
pub use missing::{MissingExchange, MissingExchanges, NamedBy};
pub use policy::{ApplyTo, EffectivePolicy, Policy};
pub use record::DefinitionError;
pub use replica::Topology;
pub use request::{TopologyOutcome, TopologyRequest};
pub use routes::{RouteError, Routes};
