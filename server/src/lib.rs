//! The HareMQ server: AMQP on top of the engine, the runtime that moves its bytes, and the
//! management port. See ARCHITECTURE.md for who may import whom.

pub mod amqp;
pub mod config;
pub mod control;
pub mod ctl;
pub mod latency;
pub mod management;
pub mod proxy;
pub mod ring;
pub mod runtime;
pub mod sasl;
