//! Exchanges that keep messages: each has a queue of its own, which clients never see. Whether a
//! message goes there is said here, what happens to it there by the shard that owns the queue.

use super::{Exchange, ExchangeKind};
use crate::delay::delay_ms;
use crate::ids::Target;
use crate::routing::Subject;
use crate::table::{field, Value};

/// What an exchange does with a message before it routes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// Nothing.
    No,
    /// It keeps a copy.
    Copy(Target),
    /// The message goes to the exchange's own queue, and from there where it is routed to.
    Whole(Target),
}

impl Exchange {
    /// The type whose bindings it has: that of `x-delayed-type` for a delayed exchange, fanout for
    /// those that have no rules of their own.
    pub(super) fn routes_as(&self) -> ExchangeKind {
        match self.kind {
            ExchangeKind::Delayed => {
                let named = self.arguments.get("x-delayed-type").and_then(Value::as_str);
                named.and_then(ExchangeKind::from_name).unwrap_or(ExchangeKind::Direct)
            }
            ExchangeKind::RecentHistory | ExchangeKind::Deduplication => ExchangeKind::Fanout,
            kind => kind,
        }
    }

    /// What is to be done with a message that comes to the exchange.
    #[inline]
    pub(super) fn keeping(&self, subject: &Subject<'_>) -> Keeping {
        match self.store {
            None => Keeping::No,
            Some(store) => self.keeping_in(store, subject.headers.unwrap_or_default()),
        }
    }

    fn keeping_in(&self, store: Target, headers: &[u8]) -> Keeping {
        let header = |name| field(headers, name);
        match self.kind {
            ExchangeKind::Delayed if delay_ms(headers).is_some() => Keeping::Whole(store),
            ExchangeKind::Deduplication if header(b"x-deduplication-header").is_some() => {
                Keeping::Whole(store)
            }
            ExchangeKind::RecentHistory => {
                let no_store = header(b"x-recent-history-no-store");
                match no_store.and_then(|value| value.as_bool()) {
                    Some(true) => Keeping::No,
                    _ => Keeping::Copy(store),
                }
            }
            _ => Keeping::No,
        }
    }
}
