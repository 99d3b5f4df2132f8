//! What happens in the broker, as messages (behaviour C12): for the exchange `amq.rabbitmq.event`
//! of vhost `/`, if the broker has been started with one.
//!
//! An event's name is its routing key, its details are headers, its body is empty. Names and
//! headers are those of RabbitMQ's event exchange. Imports table and topology; must not import
//! shard, queue or log.

mod of_change;

use crate::table::{Table, Value};

/// Where events go.
pub const VHOST: &str = "/";
/// See [`VHOST`].
pub const EXCHANGE: &str = "amq.rabbitmq.event";

/// One event. `name` is such as `queue.created`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    name: &'static str,
    headers: Table,
}

impl Event {
    pub fn new(name: &'static str) -> Self {
        Event { name, headers: Table::default() }
    }

    /// The event with one detail more.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.headers.0.push((name.into(), value));
        self
    }

    /// The event with a text more.
    #[must_use]
    pub fn with_text(self, name: &str, text: &str) -> Self {
        self.with(name, Value::text(text))
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn headers(&self) -> &Table {
        &self.headers
    }

    /// Property flags and list: headers, delivery mode 2, timestamp.
    pub fn properties(&self, now_unix_ms: u64) -> Vec<u8> {
        const HEADERS_MODE_TIMESTAMP: u16 = 1 << 13 | 1 << 12 | 1 << 6;
        let mut octets = HEADERS_MODE_TIMESTAMP.to_be_bytes().to_vec();
        let mut headers = self.headers.clone();
        let at = ("timestamp_in_ms".into(), Value::I64(now_unix_ms as i64));
        headers.0.insert(0, at);
        headers.encode(&mut octets);
        octets.push(2);
        octets.extend_from_slice(&(now_unix_ms / 1000).to_be_bytes());
        octets
    }
}
