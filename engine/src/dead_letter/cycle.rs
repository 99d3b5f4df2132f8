//! Messages that would go round for ever (behaviour B35, as RabbitMQ 3.10 tells them).
//!
//! A message that comes back to a queue it has died in goes round without anybody's doing unless
//! a consumer has rejected it on the way: then it is the consumer that keeps it going. Pure.

use crate::table::{field, RawValue};

/// True if a message with these headers (the fields of its table, with the death that sends it
/// on its way) must not go to the queue of that name.
pub fn closes_cycle(headers: &[u8], queue: &[u8]) -> bool {
    let Some(deaths) = field(headers, b"x-death").and_then(|value| value.items()) else {
        return false;
    };
    for death in deaths.map_while(Result::ok) {
        // Anything else than a table is a client's doing.
        if death.kind() != b'F' || text(&death, b"reason") == Some(b"rejected") {
            return false;
        }
        if text(&death, b"queue") == Some(queue) {
            return true;
        }
    }
    false
}

/// A long string of a table.
pub(super) fn text<'a>(table: &RawValue<'a>, name: &[u8]) -> Option<&'a [u8]> {
    if table.kind() != b'F' {
        return None;
    }
    field(table.octets(), name)?.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, Value};

    fn headers(deaths: &[(&str, &str)]) -> Vec<u8> {
        let deaths = deaths.iter().map(|(queue, reason)| {
            Value::Table(Table(vec![
                ("queue".into(), Value::text(queue)),
                ("reason".into(), Value::text(reason)),
            ]))
        });
        encoded(Value::Array(deaths.collect()))
    }

    fn encoded(x_death: Value) -> Vec<u8> {
        let mut octets = Vec::new();
        Table(vec![("x-death".into(), x_death)]).encode_fields(&mut octets);
        octets
    }

    #[test]
    fn a_round_without_a_rejection_is_a_cycle() {
        assert!(closes_cycle(&headers(&[("a", "expired")]), b"a"));
        assert!(closes_cycle(&headers(&[("b", "maxlen"), ("a", "expired")]), b"a"));
        assert!(!closes_cycle(&headers(&[("b", "maxlen"), ("a", "expired")]), b"c"));
    }

    #[test]
    fn a_rejection_on_the_way_keeps_the_message_going() {
        assert!(!closes_cycle(&headers(&[("b", "expired"), ("a", "rejected")]), b"a"));
        assert!(!closes_cycle(&headers(&[("b", "rejected"), ("a", "expired")]), b"a"));
        // One before the last visit does not.
        assert!(closes_cycle(&headers(&[("a", "expired"), ("b", "rejected")]), b"a"));
    }

    #[test]
    fn what_a_client_has_put_there_is_no_cycle_of_ours() {
        assert!(!closes_cycle(&encoded(Value::text("a")), b"a"));
        assert!(!closes_cycle(&encoded(Value::Array(Box::new([Value::text("a")]))), b"a"));
        assert!(!closes_cycle(&[], b"a"));
    }
}
