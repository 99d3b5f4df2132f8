//! A message as the engine sees it: routing facts and two opaque byte strings.
//!
//! Borrowed from wherever it lies (a socket's read buffer, a ring batch, the log, the arena);
//! no message is ever owned by the hot path.

/// The longest time that a message may be given, or a queue, to expire in: ten years of 365 days, in
/// milliseconds (RabbitMQ's limit; behaviour B23, B24, B26).
pub const EXPIRY_MAX_MS: u64 = 315_360_000_000;

/// A message in transit. `properties` are the wire octets of an AMQP content header after the
/// body size (property flags and property list), passed through byte-exact (behaviour A108).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRef<'a> {
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    pub properties: &'a [u8],
    pub body: &'a [u8],
    /// delivery-mode 2 (behaviour A109): survives a restart if its queue is durable.
    pub persistent: bool,
    /// 0 when absent; queues clamp it to their own maximum.
    pub priority: u8,
    /// The `expiration` property, milliseconds.
    pub expiration_ms: Option<u64>,
}
