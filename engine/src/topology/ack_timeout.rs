//! How long a consumer may keep a delivery of a queue without settling it (behaviour B18).

use super::{Queue, Topology};
use crate::table::Value;

/// See the module. What neither the queue nor its policy says is the broker's to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckTimeout {
    /// The lower of `x-consumer-timeout` and the policy's `consumer-timeout`; 0: for ever.
    pub timeout_ms: Option<u64>,
    /// `x-consumer-timeout-action`, or the policy's: the message alone goes back to its queue,
    /// and the channel is not closed.
    pub requeues: bool,
}

impl Topology {
    pub fn ack_timeout(&self, queue: &Queue) -> AckTimeout {
        let policy = self.queue_policy(&queue.vhost, &queue.name);
        let own = queue.arguments.get("x-consumer-timeout").and_then(Value::as_integer);
        let own = own.and_then(|value| u64::try_from(value).ok());
        let action = queue.arguments.get("x-consumer-timeout-action").and_then(Value::as_str);
        let action = action.or_else(|| policy.text("consumer-timeout-action"));
        AckTimeout {
            timeout_ms: own.into_iter().chain(policy.number("consumer-timeout")).min(),
            requeues: action == Some("requeue"),
        }
    }
}
