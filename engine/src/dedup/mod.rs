//! Telling messages that were published twice (behaviour C13, I18): by the value of the header
//! `x-deduplication-header`.
//!
//! A [`Cache`] remembers so many values for so long, for an exchange; [`Present`] knows those of
//! the messages that are in a queue. Both keep 128 bits of a cryptographic hash, because a
//! message that is taken for another one is lost. Imports table alone.

mod cache;
mod key;
mod present;

pub use cache::Cache;
pub use key::DedupKey;
pub use present::Present;
