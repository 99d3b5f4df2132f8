//! The fixed head of a message in the arena; the four byte strings follow it.

use crate::log::Stored;
use crate::message::MessageRef;
use crate::now::Now;

/// Octets of the head: see `encode` for the fields.
pub(super) const HEAD_BYTES: usize = 36;
/// Where the count of references lies in the head.
pub(super) const REFERENCES_AT: usize = 32;
/// Stands for "no expiration".
const NEVER: u64 = u64::MAX;

/// Everything of a message but its octets and its holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    received_unix_ms: u64,
    expiration_ms: u64,
    body: u32,
    properties: u32,
    routing_key: u16,
    exchange: u16,
    persistent: bool,
    priority: u8,
}

impl Entry {
    #[inline]
    pub(super) fn of(now: Now, message: &MessageRef<'_>) -> Self {
        Entry {
            received_unix_ms: now.unix_ms,
            expiration_ms: message.expiration_ms.unwrap_or(NEVER),
            body: length(message.body.len()),
            properties: length(message.properties.len()),
            routing_key: name_length(message.routing_key.len()),
            exchange: name_length(message.exchange.len()),
            persistent: message.persistent,
            priority: message.priority,
        }
    }

    /// As this one, with a body of so many octets.
    pub(super) fn with_body(self, bytes: usize) -> Self {
        Entry { body: length(bytes), ..self }
    }

    /// Head and octets.
    pub(super) fn total_bytes(&self) -> usize {
        HEAD_BYTES
            + usize::from(self.exchange)
            + usize::from(self.routing_key)
            + self.properties as usize
            + self.body as usize
    }

    #[inline]
    pub(super) fn encode(&self, references: u32) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0..8].copy_from_slice(&self.received_unix_ms.to_le_bytes());
        head[8..16].copy_from_slice(&self.expiration_ms.to_le_bytes());
        head[16..20].copy_from_slice(&self.body.to_le_bytes());
        head[20..24].copy_from_slice(&self.properties.to_le_bytes());
        head[24..26].copy_from_slice(&self.routing_key.to_le_bytes());
        head[26..28].copy_from_slice(&self.exchange.to_le_bytes());
        head[28] = u8::from(self.persistent);
        head[29] = self.priority;
        head[REFERENCES_AT..].copy_from_slice(&references.to_le_bytes());
        head
    }

    #[inline]
    pub(super) fn decode(head: &[u8; HEAD_BYTES]) -> Self {
        Entry {
            received_unix_ms: u64::from_le_bytes(field(head, 0)),
            expiration_ms: u64::from_le_bytes(field(head, 8)),
            body: u32::from_le_bytes(field(head, 16)),
            properties: u32::from_le_bytes(field(head, 20)),
            routing_key: u16::from_le_bytes(field(head, 24)),
            exchange: u16::from_le_bytes(field(head, 26)),
            persistent: head[28] != 0,
            priority: head[29],
        }
    }

    /// The message whose octets start at `octets`.
    #[inline]
    pub(super) fn message<'a>(&self, octets: &'a [u8]) -> Stored<'a> {
        let (exchange, rest) = octets.split_at(usize::from(self.exchange));
        let (routing_key, rest) = rest.split_at(usize::from(self.routing_key));
        let (properties, rest) = rest.split_at(self.properties as usize);
        let body = &rest[..self.body as usize];
        Stored {
            message: MessageRef {
                exchange,
                routing_key,
                properties,
                body,
                persistent: self.persistent,
                priority: self.priority,
                expiration_ms: (self.expiration_ms != NEVER).then_some(self.expiration_ms),
            },
            received_unix_ms: self.received_unix_ms,
        }
    }
}

fn field<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    let mut octets = [0; N];
    octets.copy_from_slice(&head[at..at + N]);
    octets
}

/// The wire has 32 bits for each; more would be cut silently, so it must not come this far.
fn length(octets: usize) -> u32 {
    assert!(octets <= u32::MAX as usize, "a message part of {octets} octets does not fit");
    octets as u32
}

/// Exchange names and routing keys are short strings.
fn name_length(octets: usize) -> u16 {
    assert!(octets <= usize::from(u16::MAX), "a name of {octets} octets does not fit");
    octets as u16
}
