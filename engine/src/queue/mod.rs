//! A queue: order, readiness, consumers and credit. Knows addresses, not bytes; never imports the log.
mod error;
pub use error::QueueError;
