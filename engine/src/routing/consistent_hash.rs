//! Consistent-hash exchanges: each message to one destination, chosen by a hash, in proportion to
//! the destinations' weights (behaviour C6).
//!
//! Every destination draws a number from the message's hash and its own name, scaled by its
//! weight, and the highest wins (weighted rendezvous). So the choice depends on nothing but names
//! and weights: not on the order of binding, nor on restarts; and a destination that comes or
//! goes moves only the messages that it gets or had. Memory is that of the bindings, however
//! heavy they are; a choice takes time in proportion to the destinations.

use super::named::Named;
use super::stable_hash::{mix, StableHash};
use super::Subject;
use crate::properties::{property, Property};
use crate::table::{field, Table, Value};

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HashOn {
    /// The first routing key.
    #[default]
    Key,
    /// `hash-header`: the header of that name.
    Header(Box<[u8]>),
    /// `hash-property`
    Property(Property),
}

impl HashOn {
    /// From the arguments of an exchange. What makes no sense (the topology writer refuses it)
    /// counts as absent.
    pub fn of(arguments: &Table) -> HashOn {
        if let Some(Value::Bytes(name)) = arguments.get("hash-header") {
            return HashOn::Header(name.clone());
        }
        let named = arguments.get("hash-property").and_then(Value::as_str);
        named.and_then(HashOn::property).map_or(HashOn::Key, HashOn::Property)
    }

    /// A property that may be hashed.
    pub fn property(name: &str) -> Option<Property> {
        match name {
            "message_id" => Some(Property::MessageId),
            "correlation_id" => Some(Property::CorrelationId),
            "timestamp" => Some(Property::Timestamp),
            _ => None,
        }
    }

    /// Messages without the header or property have one hash in common.
    fn hash(&self, subject: &Subject<'_>) -> u64 {
        let hash = StableHash::new();
        let hash = match self {
            HashOn::Key => hash.octets(subject.keys.first().copied().unwrap_or_default()),
            HashOn::Header(name) => {
                let value = field(subject.headers.unwrap_or_default(), name);
                value.map_or(hash, |value| hash.value(value))
            }
            HashOn::Property(which) => {
                hash.octets(property(subject.properties, *which).unwrap_or_default())
            }
        };
        hash.finish()
    }

    /// True if the choice depends on nothing but the key, for a message without headers.
    pub(super) fn is_by_key(&self) -> bool {
        !matches!(self, HashOn::Property(_))
    }
}

/// The weight that a binding key asks for: a whole number above 0.
///
/// # Errors
/// What is wrong, in RabbitMQ's words; the key is to be shown behind `NotAnInteger`.
pub fn weight(key: &[u8]) -> Result<u32, BadWeight> {
    let text = std::str::from_utf8(key).map_err(|_| BadWeight::NotAnInteger)?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(BadWeight::NotAnInteger);
    }
    let significant = digits.trim_start_matches('0');
    if text.starts_with('-') || significant.is_empty() {
        return Err(BadWeight::NotPositive);
    }
    significant.parse().map_err(|_| BadWeight::TooLarge)
}

/// Why a binding key is no weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadWeight {
    NotAnInteger,
    NotPositive,
    /// Above 2^32 - 1.
    TooLarge,
}

/// See the module.
#[derive(Debug)]
pub struct ConsistentHashRouter<D> {
    on: HashOn,
    destinations: Named<D>,
}

impl<D: Copy + Eq> ConsistentHashRouter<D> {
    pub(super) fn new(on: HashOn) -> Self {
        ConsistentHashRouter { on, destinations: Named::default() }
    }

    pub(super) fn insert(&mut self, key: &[u8], name: &[u8], destination: D) {
        self.destinations.insert(name, destination, weight(key).unwrap_or(1));
    }

    pub(super) fn remove(&mut self, key: &[u8], name: &[u8], destination: D) {
        self.destinations.remove(name, destination, weight(key).unwrap_or(1));
    }

    pub(super) fn is_by_key(&self) -> bool {
        self.on.is_by_key()
    }

    pub(super) fn route<'a>(&'a self, subject: &Subject<'_>, found: &mut impl FnMut(&'a [D])) {
        let hash = self.on.hash(subject);
        let mut best = f64::NEG_INFINITY;
        let mut chosen: &[D] = &[];
        for place in self.destinations.places() {
            let own = StableHash::new().octets(place.name()).finish();
            let drawn = mix(hash ^ own.rotate_left(32)) >> 11;
            // Even over (0, 1).
            let even = (drawn as f64 + 0.5) / (1_u64 << 53) as f64;
            let score = even.ln() / f64::from(place.weight());
            if score > best {
                (best, chosen) = (score, place.as_slice());
            }
        }
        if !chosen.is_empty() {
            found(chosen);
        }
    }
}
