//! Bodies that say who they are, so that every octet of a delivery can be judged.

use haremq_engine::message::MessageRef;

use crate::violation::{broken, Kind, Verdict};

/// Number of the message, then its size; the rest follows from the number.
pub const BODY_BYTES_MIN: usize = 16;

/// The body of message `number`.
pub fn body(number: u64, bytes: usize) -> Vec<u8> {
    let bytes = bytes.max(BODY_BYTES_MIN);
    let mut octets = Vec::with_capacity(bytes + 8);
    octets.extend_from_slice(&number.to_le_bytes());
    octets.extend_from_slice(&(bytes as u64).to_le_bytes());
    let mut pattern = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while octets.len() < bytes {
        pattern ^= pattern << 13;
        pattern ^= pattern >> 7;
        pattern ^= pattern << 17;
        octets.extend_from_slice(&pattern.to_le_bytes());
    }
    octets.truncate(bytes);
    octets
}

/// The message that this is the body of, if every octet is right.
pub fn number_of(octets: &[u8]) -> Verdict<u64> {
    let Some(head) = octets.first_chunk::<8>() else {
        return broken(Kind::Corrupt, format!("a body of {} octets", octets.len()));
    };
    let number = u64::from_le_bytes(*head);
    match octets == body(number, octets.len()) {
        true => Ok(number),
        false => broken(Kind::Corrupt, format!("{number} is not what was published")),
    }
}

/// The message that a transaction publishes: it may be without its body.
pub fn number_put(message: &MessageRef<'_>) -> Option<u64> {
    match message.body {
        [] => number_in(message.properties),
        body => number_of(body).ok(),
    }
}

/// The message that has these properties, of which the last one is its id, whatever came before it on
/// its way.
pub fn number_in(properties: &[u8]) -> Option<u64> {
    let digits = properties.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let id = properties.get(properties.len() - digits..)?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// Content header properties of message `number`: delivery-mode and message-id.
pub fn properties(number: u64, persistent: bool) -> Vec<u8> {
    let id = format!("{number}");
    let mut octets = vec![0x10, 0x80, if persistent { 2 } else { 1 }, id.len() as u8];
    octets.extend_from_slice(id.as_bytes());
    octets
}
