//! What the messages of these tests consist of.

use super::random::Random;
use crate::log::Stored;
use crate::message::MessageRef;

/// Contents that need no memory: made again to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub seed: u64,
    pub bytes: usize,
    pub is_definition: bool,
    /// It is in the log for want of memory, until the next start.
    pub is_spilled: bool,
}

impl Body {
    pub(super) fn octets(self) -> Vec<u8> {
        let mut random = Random::new(self.seed);
        let mut octets = Vec::with_capacity(self.bytes + 8);
        while octets.len() < self.bytes {
            octets.extend_from_slice(&random.next().to_le_bytes());
        }
        octets.truncate(self.bytes);
        octets
    }

    pub(super) fn message<'a>(self, octets: &'a [u8], texts: &'a Texts) -> MessageRef<'a> {
        MessageRef {
            exchange: &texts.exchange,
            routing_key: &texts.routing_key,
            properties: &texts.properties,
            body: octets,
            persistent: !self.is_spilled,
            priority: (self.seed % 10) as u8,
            expiration_ms: self.seed.is_multiple_of(3).then_some(self.seed),
        }
    }
}

#[derive(Debug)]
pub(super) struct Texts {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    properties: Vec<u8>,
}

impl Texts {
    pub(super) fn of(body: Body) -> Self {
        Texts {
            exchange: vec![b'x'; (body.seed % 200) as usize],
            routing_key: body.seed.to_string().into_bytes(),
            properties: vec![7; (body.seed % 77) as usize],
        }
    }
}

pub(super) fn compare(body: Body, stored: &Stored<'_>) {
    let (octets, texts) = (body.octets(), Texts::of(body));
    assert!(stored.message == body.message(&octets, &texts), "a message has changed");
    assert!(stored.received_unix_ms >= 1_700_000_000_000);
}
