//! What a queue was declared as, parsed once.

use std::sync::Arc;

use super::Role;
use crate::table::{Table, Value};
use crate::topology::{self, EffectivePolicy};

/// Longest name of an exchange or routing key.
const NAME_BYTES_MAX: usize = 255;

/// What happens to a message that comes to a full queue (behaviour B28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The oldest ready message goes.
    #[default]
    DropHead,
    /// The new one is refused; its publisher gets a nack.
    RejectPublish,
    /// As `RejectPublish`, and the message is dead-lettered.
    RejectPublishDlx,
}

/// Where a queue's dead messages go (behaviour B30), and what x-death tells of the queue.
#[derive(Debug, PartialEq, Eq)]
pub struct DeadLetterRule {
    pub vhost: Arc<str>,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// It need not exist (behaviour B11).
    pub exchange: Box<str>,
    /// `None`: the message keeps its keys.
    pub routing_key: Option<Box<str>>,
    /// The queue is the exchange's own: its messages have not died but go on to where the
    /// exchange routes them.
    pub goes_on: bool,
}

impl DeadLetterRule {
    fn of(queue: &topology::Queue, policy: &EffectivePolicy) -> Option<Arc<Self>> {
        let name = |key| {
            let text = text(&queue.arguments, policy, key);
            text.filter(|text| text.len() <= NAME_BYTES_MAX).map(Box::from)
        };
        Some(Arc::new(DeadLetterRule {
            vhost: queue.vhost.clone(),
            queue: queue.name.clone(),
            exchange: name("dead-letter-exchange")?,
            routing_key: name("dead-letter-routing-key"),
            goes_on: false,
        }))
    }
}

/// What a queue is to do: its arguments, and its policy where they say nothing, or a higher number
/// (behaviour B56). Both were validated by the topology writer; what makes no sense all the same
/// counts as absent.
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
    /// `x-dead-letter-exchange` and `x-dead-letter-routing-key`; `None`: dead messages are gone.
    pub dead_letters: Option<Arc<DeadLetterRule>>,
    /// `x-delivery-limit`: how often a message may come back (behaviour I27).
    pub delivery_limit: Option<u64>,
    /// `x-single-active-consumer` (behaviour B16).
    pub single_active_consumer: bool,
    /// `x-message-deduplication`: no message is taken while one of the same value is there (C13).
    pub deduplicates: bool,
    pub role: Role,
}

impl QueueSettings {
    pub fn of(queue: &topology::Queue, policy: &EffectivePolicy) -> Self {
        let arguments = &queue.arguments;
        let lower = |key| lower(arguments, policy, key);
        let overflow = match text(arguments, policy, "overflow") {
            Some("reject-publish") => Overflow::RejectPublish,
            Some("reject-publish-dlx") => Overflow::RejectPublishDlx,
            _ => Overflow::DropHead,
        };
        QueueSettings {
            survives_restart: queue.survives_restart(),
            auto_delete: queue.auto_delete,
            max_priority: number(arguments, "x-max-priority").map_or(0, |n| n.min(255) as u8),
            message_ttl_ms: lower("message-ttl"),
            expires_ms: lower("expires").filter(|ms| *ms > 0),
            max_length: lower("max-length"),
            max_length_bytes: lower("max-length-bytes"),
            overflow,
            dead_letters: DeadLetterRule::of(queue, policy),
            delivery_limit: lower("delivery-limit"),
            single_active_consumer: matches!(
                arguments.get("x-single-active-consumer"),
                Some(Value::Bool(true))
            ),
            deduplicates: matches!(
                arguments.get("x-message-deduplication"),
                Some(Value::Bool(true))
            ),
            role: Role::Ordinary,
        }
    }

    /// True if the queue takes every message as it comes, and keeps it until somebody has it: no limits, no deadlines
    /// of its own, nothing left out.
    pub fn is_plain(&self) -> bool {
        let has_deadlines = self.message_ttl_ms.is_some();
        self.role == Role::Ordinary && !self.deduplicates && !self.is_bounded() && !has_deadlines
    }

    /// True if a message that is refused for want of room is dead-lettered.
    pub fn buries_refused(&self) -> bool {
        self.overflow == Overflow::RejectPublishDlx && self.dead_letters.is_some()
    }

    /// True if messages may ever be dropped or refused for want of room.
    pub fn is_bounded(&self) -> bool {
        self.max_length.is_some() || self.max_length_bytes.is_some()
    }
}

fn number(arguments: &Table, name: &str) -> Option<u64> {
    arguments.get(name).and_then(Value::as_integer).and_then(|value| u64::try_from(value).ok())
}

/// The queue's argument of that key, with an `x-`.
fn argument<'a>(arguments: &'a Table, key: &str) -> Option<&'a Value> {
    let field = arguments.0.iter().find(|(name, _)| name.strip_prefix("x-") == Some(key));
    field.map(|(_, value)| value)
}

/// The argument, or what the policy says.
fn text<'a>(
    arguments: &'a Table,
    policy: &'a EffectivePolicy,
    key: &'static str,
) -> Option<&'a str> {
    argument(arguments, key).and_then(Value::as_str).or_else(|| policy.text(key))
}

/// The lower of what argument and policy say.
fn lower(arguments: &Table, policy: &EffectivePolicy, key: &str) -> Option<u64> {
    let own = argument(arguments, key).and_then(Value::as_integer);
    let own = own.and_then(|value| u64::try_from(value).ok());
    own.into_iter().chain(policy.number(key)).min()
}
