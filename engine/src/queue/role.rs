//! What a queue is there for: clients, or an exchange that keeps messages.

use std::sync::Arc;

use super::{DeadLetterRule, QueueSettings};
use crate::delay::delay_ms;
use crate::message::MessageRef;
use crate::properties;
use crate::table::Value;
use crate::topology::{Exchange, ExchangeKind};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// A queue that clients have declared.
    #[default]
    Ordinary,
    /// Holds messages of a delayed exchange until they are due (behaviour C10).
    Delays,
    /// Keeps the last messages of a recent-history exchange (behaviour C11).
    History,
    /// Where messages of a deduplicating exchange pass one by one (behaviour C13).
    Filters {
        /// `x-cache-size`
        size: u64,
        /// `x-cache-ttl`
        ttl_ms: Option<u64>,
        /// `x-cache-persistence` = `disk`, of a durable exchange
        persists: bool,
    },
}

impl Role {
    /// When a message that comes now is due; `None`: it stays.
    pub fn due_unix_ms(self, message: &MessageRef<'_>, now_unix_ms: u64) -> Option<u64> {
        match self {
            Role::Ordinary | Role::History => None,
            Role::Filters { .. } => Some(now_unix_ms),
            Role::Delays => {
                let delay = delay_ms(properties::headers(message.properties)).unwrap_or(0);
                Some(now_unix_ms.saturating_add(delay))
            }
        }
    }

    /// Whether values that have been seen are known after a restart.
    pub fn persists_values(self) -> bool {
        matches!(self, Role::Filters { persists: true, .. })
    }

    /// Whether messages leave by themselves when they are due.
    pub fn lets_go(self) -> bool {
        matches!(self, Role::Delays | Role::Filters { .. })
    }
}

/// `x-recent-history-length` of an exchange that says nothing.
const HISTORY_LENGTH: u64 = 20;

impl QueueSettings {
    /// Of the queue behind an exchange that keeps messages. Arguments were validated by the
    /// topology writer.
    pub fn of_store(exchange: &Exchange) -> Self {
        let count = |name| exchange.arguments.get(name).and_then(Value::as_count);
        let role = match exchange.kind {
            ExchangeKind::RecentHistory => Role::History,
            ExchangeKind::Deduplication => Role::Filters {
                size: count("x-cache-size").unwrap_or(1),
                ttl_ms: count("x-cache-ttl"),
                persists: exchange.durable
                    && exchange.arguments.get("x-cache-persistence").and_then(Value::as_str)
                        == Some("disk"),
            },
            _ => Role::Delays,
        };
        let history = count("x-recent-history-length");
        let rule = DeadLetterRule {
            vhost: exchange.vhost.clone(),
            queue: exchange.name.clone(),
            exchange: Box::from(&*exchange.name),
            routing_key: None,
            goes_on: true,
        };
        QueueSettings {
            survives_restart: exchange.durable,
            max_length: (role == Role::History).then(|| history.unwrap_or(HISTORY_LENGTH)),
            dead_letters: role.lets_go().then(|| Arc::new(rule)),
            role,
            ..QueueSettings::default()
        }
    }
}
