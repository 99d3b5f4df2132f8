//! The Message record: one message and the queues that hold it.
//!
//! Everything after the head is the message's *content*: references, exchange, routing key,
//! properties, body, one after the other. It follows the head, or, where that would make the
//! record too long, lies in Part records that the head is followed by the addresses of.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{entries, head, Malformed, PartEntry, RecordHeader, KIND_MESSAGE};
use crate::ids::{QueueId, Seq};
use crate::log::Stored;
use crate::message::MessageRef;

/// `MessageHead::attributes`: delivery-mode 2.
const PERSISTENT: u8 = 1;
/// `MessageHead` instants and durations that are absent.
const NONE: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MessageHead {
    record: RecordHeader,
    received_unix_ms: U64,
    /// When it expires, or all ones.
    expires_unix_ms: U64,
    /// The `expiration` property in milliseconds, or all ones.
    expiration_ms: U64,
    body: U64,
    properties: U32,
    references: U32,
    exchange: U16,
    routing_key: U16,
    /// Part records that hold the content; 0: it follows.
    parts: U16,
    priority: u8,
    attributes: u8,
}

pub(in crate::log) const MESSAGE_HEAD_BYTES: usize = size_of::<MessageHead>();
const _: () = assert!(MESSAGE_HEAD_BYTES == 56);

/// One reference: a queue that holds the message, and the message's place in it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::log) struct ReferenceEntry {
    queue: U64,
    seq: U64,
}

pub(in crate::log) const REFERENCE_BYTES: usize = size_of::<ReferenceEntry>();

impl ReferenceEntry {
    pub(in crate::log) fn new(queue: QueueId, seq: Seq) -> Self {
        ReferenceEntry { queue: U64::new(queue.0), seq: U64::new(seq.0) }
    }
    pub(in crate::log) fn get(&self) -> (QueueId, Seq) {
        (QueueId(self.queue.get()), Seq(self.seq.get()))
    }
}

/// Lengths of the content's pieces, and facts beside it.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Attributes {
    pub received_unix_ms: u64,
    pub expires_unix_ms: Option<u64>,
}

/// A Message record as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct MessageView<'a> {
    head: &'a MessageHead,
    pub payload: Payload<'a>,
}

/// Where the content is.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) enum Payload<'a> {
    Inline(&'a [u8]),
    Parts(&'a [PartEntry]),
}

/// Octets of a message's content.
#[inline]
pub(in crate::log) fn content_bytes(message: &MessageRef<'_>, references: usize) -> usize {
    references * REFERENCE_BYTES
        + message.exchange.len()
        + message.routing_key.len()
        + message.properties.len()
        + message.body.len()
}

impl<'a> MessageView<'a> {
    #[inline]
    pub(in crate::log) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, rest) = head::<MessageHead>(octets)?;
        let parts = usize::from(head.parts.get());
        let payload = if parts == 0 {
            Payload::Inline(rest)
        } else {
            Payload::Parts(entries::<PartEntry>(rest, parts)?.0)
        };
        let view = MessageView { head, payload };
        match (payload, view.content_bytes()) {
            (_, None) => Err(Malformed("a message longer than can be")),
            (Payload::Inline(rest), Some(bytes)) if rest.len() as u64 != bytes => {
                Err(Malformed("a message whose pieces do not add up"))
            }
            _ => Ok(view),
        }
    }

    /// Whether the Message record that `octets` begin with says that it has parts, if they do begin with one.
    #[inline]
    pub(in crate::log) fn names_parts(octets: &[u8]) -> bool {
        MessageHead::ref_from_prefix(octets).is_ok_and(|(head, _)| head.parts != U16::ZERO)
    }

    /// Octets of the content. `None`: they do not fit a number.
    pub(in crate::log) fn content_bytes(&self) -> Option<u64> {
        let small = u64::from(self.head.references.get()) * REFERENCE_BYTES as u64
            + u64::from(self.head.exchange.get())
            + u64::from(self.head.routing_key.get())
            + u64::from(self.head.properties.get());
        small.checked_add(self.head.body.get())
    }
    pub(in crate::log) fn references(&self) -> u32 {
        self.head.references.get()
    }
    pub(in crate::log) fn expires_unix_ms(&self) -> Option<u64> {
        present(self.head.expires_unix_ms)
    }
    /// False: it was spilled, and the start that reads this is its end.
    pub(in crate::log) fn is_persistent(&self) -> bool {
        self.head.attributes & PERSISTENT != 0
    }
    pub(in crate::log) fn body_bytes(&self) -> u64 {
        self.head.body.get()
    }

    /// The references at the start of `content`, of which the rest may be missing.
    pub(in crate::log) fn references_in(
        &self,
        content: &'a [u8],
    ) -> Result<&'a [ReferenceEntry], Malformed> {
        Ok(entries::<ReferenceEntry>(content, self.references() as usize)?.0)
    }

    /// The message, of which `content` is the whole content.
    #[inline]
    pub(in crate::log) fn stored<'c>(&self, content: &'c [u8]) -> Result<Stored<'c>, Malformed> {
        let stored = self.beginning(content)?;
        if stored.message.body.len() as u64 != self.head.body.get() {
            return Err(Malformed("a message shorter than its pieces"));
        }
        Ok(stored)
    }

    /// As much of the message as there is content: all that comes before the body, and perhaps body.
    #[inline]
    pub(in crate::log) fn beginning<'c>(&self, content: &'c [u8]) -> Result<Stored<'c>, Malformed> {
        let head = self.head;
        let short = Malformed("a message shorter than its pieces");
        let skip = head.references.get() as usize * REFERENCE_BYTES;
        let rest = content.get(skip..).ok_or(short)?;
        let (exchange, rest) =
            rest.split_at_checked(usize::from(head.exchange.get())).ok_or(short)?;
        let (routing_key, rest) =
            rest.split_at_checked(usize::from(head.routing_key.get())).ok_or(short)?;
        let (properties, body) =
            rest.split_at_checked(head.properties.get() as usize).ok_or(short)?;
        let message = MessageRef {
            exchange,
            routing_key,
            properties,
            body,
            persistent: head.attributes & PERSISTENT != 0,
            priority: head.priority,
            expiration_ms: present(head.expiration_ms),
        };
        Ok(Stored { message, received_unix_ms: head.received_unix_ms.get() })
    }
}

/// Writes the head of a record of `length` octets, and gives back where the rest goes. The body of
/// `message` is not looked at.
///
/// # Panics
/// If exchange or routing key are longer than 65535 octets, or there are more parts than that.
#[inline]
pub(in crate::log) fn write_head<'o>(
    out: &'o mut [u8],
    length: usize,
    attributes: Attributes,
    message: &MessageRef<'_>,
    body_bytes: u64,
    references: usize,
    parts: usize,
) -> &'o mut [u8] {
    let short = |length: usize| U16::new(u16::try_from(length).expect("at most 65535"));
    let head = MessageHead {
        record: RecordHeader::of(KIND_MESSAGE, 0, length),
        received_unix_ms: U64::new(attributes.received_unix_ms),
        expires_unix_ms: U64::new(attributes.expires_unix_ms.unwrap_or(NONE)),
        expiration_ms: U64::new(message.expiration_ms.unwrap_or(NONE)),
        body: U64::new(body_bytes),
        properties: U32::new(u32::try_from(message.properties.len()).expect("one frame at most")),
        references: U32::new(references as u32),
        exchange: short(message.exchange.len()),
        routing_key: short(message.routing_key.len()),
        parts: short(parts),
        priority: message.priority,
        attributes: if message.persistent { PERSISTENT } else { 0 },
    };
    let (place, rest) = out.split_at_mut(MESSAGE_HEAD_BYTES);
    place.copy_from_slice(head.as_bytes());
    rest
}

/// Writes the content, of exactly the length of `out`.
#[inline]
pub(in crate::log) fn write_content(
    out: &mut [u8],
    message: &MessageRef<'_>,
    references: &[(QueueId, Seq)],
) {
    let (place, mut rest) = out.split_at_mut(references.len() * REFERENCE_BYTES);
    for (place, (queue, seq)) in place.chunks_exact_mut(REFERENCE_BYTES).zip(references) {
        place.copy_from_slice(ReferenceEntry::new(*queue, *seq).as_bytes());
    }
    for piece in [message.exchange, message.routing_key, message.properties, message.body] {
        let place;
        (place, rest) = rest.split_at_mut(piece.len());
        place.copy_from_slice(piece);
    }
}

fn present(value: U64) -> Option<u64> {
    (value.get() != NONE).then_some(value.get())
}
