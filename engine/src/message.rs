//! A message as the engine sees it: routing facts and two opaque byte strings.
//!
//! Borrowed from wherever it lies (a socket's read buffer, a ring batch, the log, the arena);
//! no message is ever owned by the hot path.

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
