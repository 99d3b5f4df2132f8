//! Exchanges that something names and that are not there (behaviour B11). That is allowed; what
//! should go to one is dropped, and the operator is told once of each.

use std::fmt;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

/// Names that are remembered; beyond them nothing is told.
const REMEMBERED_MAX: usize = 1000;

/// An exchange that is named and is not there. Shown as a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingExchange {
    pub vhost: Arc<str>,
    /// Its name.
    pub exchange: Arc<str>,
    pub named_by: NamedBy,
}

/// Who names an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// It should take what that exchange has no binding for.
    Exchange(Arc<str>),
    /// It should take the dead letters of that queue.
    Queue(Arc<str>),
}

impl fmt::Display for MissingExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingExchange { vhost, exchange, named_by } = self;
        match named_by {
            NamedBy::Exchange(of) => {
                write!(f, "alternate exchange '{exchange}' of exchange '{of}'")?
            }
            NamedBy::Queue(of) => write!(f, "dead-letter exchange '{exchange}' of queue '{of}'")?,
        }
        write!(f, " in vhost '{vhost}' does not exist: messages for it are dropped")
    }
}

/// Which have been told of.
#[derive(Debug, Default)]
pub struct MissingExchanges {
    told: FxHashMap<Arc<str>, FxHashSet<Arc<str>>>,
    count: usize,
}

impl MissingExchanges {
    /// True if the operator is to be told of this one: it is the first time.
    pub fn is_news(&mut self, vhost: &str, exchange: &str) -> bool {
        if self.told.get(vhost).is_some_and(|told| told.contains(exchange)) {
            return false;
        }
        if self.count >= REMEMBERED_MAX {
            return false;
        }
        self.count += 1;
        self.told.entry(vhost.into()).or_default().insert(exchange.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_exchange_is_told_of_once() {
        let mut missing = MissingExchanges::default();
        assert!(missing.is_news("/", "x"));
        assert!(!missing.is_news("/", "x"));
        assert!(missing.is_news("/", "y") && missing.is_news("v", "x"));
        for number in 0..2 * REMEMBERED_MAX {
            missing.is_news("/", &number.to_string());
        }
        assert_eq!(missing.count, REMEMBERED_MAX);
        assert!(!missing.is_news("/", "another"));
    }
}
