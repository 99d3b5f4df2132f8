//! What a queue was declared as, parsed once.

use crate::table::{Table, Value};
use crate::topology;

/// What happens to a message that comes to a full queue (behaviour B28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The oldest ready message goes.
    #[default]
    DropHead,
    /// The new one is refused; its publisher gets a nack.
    RejectPublish,
}

/// A queue's fixed properties. Arguments were validated by the topology writer; one that makes
/// no sense all the same counts as absent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct QueueSettings {
    /// Its persistent messages belong in the log.
    pub survives_restart: bool,
    pub auto_delete: bool,
    /// `x-max-priority`; 0: one level only (behaviour B38).
    pub max_priority: u8,
    /// `x-message-ttl` (behaviour B23).
    pub message_ttl_ms: Option<u64>,
    /// `x-expires`: unused for so long, the queue goes (behaviour B26).
    pub expires_ms: Option<u64>,
    /// `x-max-length`: ready messages (behaviour B27).
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`: octets of bodies of ready messages.
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    /// `x-single-active-consumer` (behaviour B16).
    pub single_active_consumer: bool,
}

impl QueueSettings {
    pub fn of(queue: &topology::Queue) -> Self {
        let arguments = &queue.arguments;
        let overflow = match arguments.get("x-overflow").and_then(Value::as_str) {
            // Without dead-lettering the two refuse alike.
            Some("reject-publish" | "reject-publish-dlx") => Overflow::RejectPublish,
            _ => Overflow::DropHead,
        };
        QueueSettings {
            survives_restart: queue.survives_restart(),
            auto_delete: queue.auto_delete,
            max_priority: number(arguments, "x-max-priority").map_or(0, |n| n.min(255) as u8),
            message_ttl_ms: number(arguments, "x-message-ttl"),
            expires_ms: number(arguments, "x-expires").filter(|ms| *ms > 0),
            max_length: number(arguments, "x-max-length"),
            max_length_bytes: number(arguments, "x-max-length-bytes"),
            overflow,
            single_active_consumer: matches!(
                arguments.get("x-single-active-consumer"),
                Some(Value::Bool(true))
            ),
        }
    }

    /// True if messages may ever be dropped or refused for want of room.
    pub fn is_bounded(&self) -> bool {
        self.max_length.is_some() || self.max_length_bytes.is_some()
    }
}

fn number(arguments: &Table, name: &str) -> Option<u64> {
    arguments.get(name).and_then(Value::as_integer).and_then(|value| u64::try_from(value).ok())
}
