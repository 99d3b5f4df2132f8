//! The `x-delay` header (behaviour C10): how long a message is to wait, and what is left of the
//! header once it has waited. Pure functions over the octets of a header table.

use crate::properties::{copy_field, push_field};
use crate::table::{fields, RawValue};

const X_DELAY: &[u8] = b"x-delay";
/// Longer delays count as none, as those above 2^32 - 1 ms do in RabbitMQ's plugin: a hundred
/// years. Due times are kept in 48 bits.
const DELAY_MAX_MS: i128 = 100 * 366 * 24 * 3600 * 1000;

/// A delay as it may be written: an integer, a fraction, or a string of digits.
fn number(value: RawValue<'_>) -> Option<i128> {
    if let Some(integer) = value.as_integer() {
        return Some(integer);
    }
    if let Some(fraction) = value.as_float() {
        return fraction.is_finite().then_some(fraction.trunc() as i128);
    }
    value.as_str()?.parse::<i64>().ok().map(Into::into)
}

/// How long the message is to be held back; `None`: not at all.
pub fn delay_ms(headers: &[u8]) -> Option<u64> {
    let found = fields(headers).map_while(Result::ok).find(|(name, _)| *name == X_DELAY)?;
    let delay = number(found.1).filter(|delay| (1..=DELAY_MAX_MS).contains(delay))?;
    u64::try_from(delay).ok()
}

/// Appends the fields with the delay turned negative: the message has waited, does not wait again
/// wherever it goes next, and its receiver can tell. BCC is left out.
pub fn write_waited(out: &mut Vec<u8>, headers: &[u8]) {
    for (name, value) in fields(headers).map_while(Result::ok) {
        match name {
            b"BCC" => {}
            X_DELAY => match number(value).filter(|delay| *delay > 0) {
                Some(delay) => write_number(out, value.kind(), -delay),
                None => copy_field(out, name, &value),
            },
            _ => copy_field(out, name, &value),
        }
    }
}

/// In the type that it had, if that has a sign.
fn write_number(out: &mut Vec<u8>, kind: u8, number: i128) {
    let octets = (number as i64).to_be_bytes();
    let narrow = match kind {
        b'b' => 1,
        b's' => 2,
        b'I' => 4,
        _ => 8,
    };
    let kind = if narrow == 8 { b'l' } else { kind };
    push_field(out, X_DELAY, kind, &octets[8 - narrow..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, Value};

    fn headers(delay: Value) -> Vec<u8> {
        let fields = vec![
            ("before".into(), Value::Bool(true)),
            ("x-delay".into(), delay),
            ("BCC".into(), Value::Array(Box::new([Value::text("secret")]))),
            ("after".into(), Value::Void),
        ];
        let mut octets = Vec::new();
        Table(fields).encode_fields(&mut octets);
        octets
    }

    fn waited(delay: Value) -> Option<Value> {
        let mut out = Vec::new();
        write_waited(&mut out, &headers(delay));
        let table = Table::decode(&out).expect("a table");
        assert_eq!(table.0.first().map(|field| &*field.0), Some("before"));
        assert_eq!(table.0.len(), 3, "BCC is told to nobody");
        table.get("x-delay").cloned()
    }

    #[test]
    fn delays_are_read_from_integers_fractions_and_digits() {
        for (value, expected) in [
            (Value::I32(5000), Some(5000)),
            (Value::U8(200), Some(200)),
            (Value::I64(1 << 33), Some(1 << 33)),
            (Value::F64(1.9_f64.to_bits()), Some(1)),
            (Value::text("250"), Some(250)),
            (Value::I32(0), None),
            (Value::I32(-5), None),
            (Value::I64(i64::MAX), None),
            (Value::F64(f64::NAN.to_bits()), None),
            (Value::text("soon"), None),
            (Value::Bool(true), None),
        ] {
            assert_eq!(delay_ms(&headers(value.clone())), expected, "{value:?}");
        }
        assert_eq!(delay_ms(&[]), None);
        assert_eq!(delay_ms(&[200, 1, 2]), None, "a broken table delays nothing");
    }

    #[test]
    fn a_delay_that_is_over_is_shown_negative_and_delays_no_more() {
        for (before, after) in [
            (Value::I32(5000), Value::I32(-5000)),
            (Value::I16(7), Value::I16(-7)),
            (Value::U32(u32::MAX), Value::I64(-i64::from(u32::MAX))),
            (Value::text("250"), Value::I64(-250)),
            (Value::I32(-5000), Value::I32(-5000)),
            (Value::text("soon"), Value::text("soon")),
        ] {
            assert_eq!(waited(before), Some(after.clone()));
            assert_eq!(delay_ms(&headers(after)), None);
        }
    }
}
