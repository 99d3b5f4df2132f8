//! Headers that the broker puts into messages on their way, where the operator asks for them
//! (behaviour B12): when a message came, which node routed it, when it was sent on. Pure.

use crate::properties::{property, with_timestamp, Property, PropertyList};
use crate::table::fields;

const RECEIVED: &[u8] = b"timestamp_in_ms";
const ROUTED_BY: &[u8] = b"x-routed-by";
const SENT: &[u8] = b"x-opt-rabbitmq-sent-time";

/// What becomes of a value that a message has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Keep,
    /// The broker's takes its place.
    Overwrite,
}

/// Which of them messages get; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// `message_interceptors.incoming.set_header_timestamp`: the header `timestamp_in_ms` and, in
    /// seconds, the property timestamp.
    pub received: Option<Existing>,
    /// `message_interceptors.incoming.set_header_routing_node`: the header `x-routed-by`.
    pub routed_by: Option<Existing>,
    /// `message_interceptors.outgoing.timestamp`: the header `x-opt-rabbitmq-sent-time` of
    /// deliveries.
    pub sent: bool,
}

impl Stamps {
    /// The properties that a message gets when it is published; `None`: it keeps those it has.
    #[inline]
    pub fn incoming(&self, properties: &[u8], unix_ms: u64, node: &str) -> Option<Vec<u8>> {
        if self.received.is_none() && self.routed_by.is_none() {
            return None;
        }
        self.stamped(properties, unix_ms, node)
    }

    fn stamped(&self, properties: &[u8], unix_ms: u64, node: &str) -> Option<Vec<u8>> {
        let mut stamped = None;
        if let Some(existing) = self.routed_by {
            stamped = with_header(properties, ROUTED_BY, b'S', node.as_bytes(), existing);
        }
        if let Some(existing) = self.received {
            let now = unix_ms.to_be_bytes();
            let current = stamped.as_deref().unwrap_or(properties);
            stamped = with_header(current, RECEIVED, b'l', &now, existing).or(stamped);
            let current = stamped.as_deref().unwrap_or(properties);
            let has_one = property(current, Property::Timestamp).is_some();
            if existing == Existing::Overwrite || !has_one {
                stamped = with_timestamp(current, unix_ms / 1000).or(stamped);
            }
        }
        stamped
    }

    /// The properties that a message is delivered with; `None`: those that it has.
    #[inline]
    pub fn outgoing(&self, properties: &[u8], unix_ms: u64) -> Option<Vec<u8>> {
        if !self.sent {
            return None;
        }
        with_header(properties, SENT, b'l', &unix_ms.to_be_bytes(), Existing::Overwrite)
    }
}

/// `None`: there is such a header already, and it stays.
fn with_header(
    properties: &[u8],
    name: &[u8],
    kind: u8,
    value: &[u8],
    existing: Existing,
) -> Option<Vec<u8>> {
    let list = PropertyList::read(properties);
    if existing == Existing::Keep {
        let mut headers = fields(list.headers()).map_while(Result::ok);
        if headers.any(|(found, _)| found == name) {
            return None;
        }
    }
    let mut out = Vec::with_capacity(properties.len() + name.len() + value.len() + 10);
    list.write_with(&mut out, name, kind, value);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, Value};

    const ALL: Stamps = Stamps {
        received: Some(Existing::Overwrite),
        routed_by: Some(Existing::Overwrite),
        sent: false,
    };

    fn headers_of(properties: &[u8]) -> Table {
        Table::decode(PropertyList::read(properties).headers()).expect("a table")
    }

    fn timestamp_of(properties: &[u8]) -> Option<u64> {
        let octets = property(properties, Property::Timestamp)?;
        octets.try_into().ok().map(u64::from_be_bytes)
    }

    #[test]
    fn nothing_is_stamped_that_was_not_asked_for() {
        assert_eq!(Stamps::default().incoming(&[0, 0], 5_000, "n"), None);
        assert_eq!(Stamps::default().outgoing(&[0, 0], 5_000), None);
    }

    #[test]
    fn a_message_says_when_it_came_and_who_routed_it() {
        let stamped = ALL.incoming(&[0, 0], 5_678, "haremq@here").expect("stamped");
        let expected = Table(vec![
            ("x-routed-by".into(), Value::text("haremq@here")),
            ("timestamp_in_ms".into(), Value::I64(5_678)),
        ]);
        assert_eq!((headers_of(&stamped), timestamp_of(&stamped)), (expected, Some(5)));
    }

    #[test]
    fn what_a_message_says_itself_stays_or_not_as_asked() {
        let first = ALL.incoming(&[0, 0], 5_678, "one").expect("stamped");
        let keep = Some(Existing::Keep);
        let keeping = Stamps { received: keep, routed_by: keep, sent: false };
        assert_eq!(keeping.incoming(&first, 9_999, "two"), None);
        let again = ALL.incoming(&first, 9_999, "two").expect("stamped");
        let expected = Table(vec![
            ("x-routed-by".into(), Value::text("two")),
            ("timestamp_in_ms".into(), Value::I64(9_999)),
        ]);
        assert_eq!((headers_of(&again), timestamp_of(&again)), (expected, Some(9)));
        // Only one of both is there.
        let only_time = with_timestamp(&[0, 0], 3).expect("a list");
        let kept = keeping.incoming(&only_time, 9_999, "two").expect("stamped");
        assert_eq!((headers_of(&kept).0.len(), timestamp_of(&kept)), (2, Some(3)));
    }

    #[test]
    fn a_delivery_says_when_it_was_sent() {
        let sent = Stamps { sent: true, ..Stamps::default() };
        let stamped = sent.outgoing(&[0, 0], 77).expect("stamped");
        let expected = Table(vec![("x-opt-rabbitmq-sent-time".into(), Value::I64(77))]);
        assert_eq!(headers_of(&stamped), expected);
    }
}
