//! Field tables: what queue arguments and server properties are made of. Pure.

use super::put::Put;
use super::WireError;

/// Tables nested deeper than this are refused.
const MAX_DEPTH: u32 = 16;

/// One field value, reduced to what a client needs to say or to read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `t`
    Bool(bool),
    /// Any of the integer types; written as `l` (64 bits).
    Integer(i64),
    /// `f` or `d`; written as `d`.
    Float(f64),
    /// `S` or `x`; octets that are not UTF-8 are replaced.
    Text(String),
    /// `F`
    Table(Table),
    /// `A`
    List(Vec<Value>),
    /// `V`
    Void,
}

/// Names and values in the order they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table(pub(crate) Vec<(String, Value)>);

impl Table {
    /// Adds an entry.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Table {
        self.0.push((name.to_owned(), value));
        self
    }

    /// The text under `name`, if there is one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(key, value)| match value {
            Value::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// Reads `name=value` as a command line has it: an integer, true/false, or else text.
    pub(crate) fn parse_entry(entry: &str) -> Option<(String, Value)> {
        let (name, value) = entry.split_once('=')?;
        if name.is_empty() || name.len() > 255 {
            return None;
        }
        let value = match value {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => match text.parse::<i64>() {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Text(text.to_owned()),
            },
        };
        Some((name.to_owned(), value))
    }

    /// Appends the table with its length in front.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u32(0);
        for (name, value) in &self.0 {
            out.put_short(name);
            value.encode(out);
        }
        patch_length(out, start);
    }

    /// Reads a table (length first) and returns it with the octets after it.
    pub(crate) fn decode(octets: &[u8]) -> Result<(Table, &[u8]), WireError> {
        decode_table(octets, 0)
    }
}

impl Value {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
            Value::Integer(value) => {
                out.put_u8(b'l');
                out.put_u64(*value as u64);
            }
            Value::Float(value) => {
                out.put_u8(b'd');
                out.put_u64(value.to_bits());
            }
            Value::Text(text) => {
                out.put_u8(b'S');
                out.put_long(text.as_bytes());
            }
            Value::Table(table) => {
                out.put_u8(b'F');
                table.encode(out);
            }
            Value::List(values) => {
                out.put_u8(b'A');
                let start = out.len();
                out.put_u32(0);
                values.iter().for_each(|value| value.encode(out));
                patch_length(out, start);
            }
            Value::Void => out.put_u8(b'V'),
        }
    }
}

/// Writes into the four octets at `start` how many octets follow them.
fn patch_length(out: &mut [u8], start: usize) {
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn decode_table(octets: &[u8], depth: u32) -> Result<(Table, &[u8]), WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError::NestedTooDeeply);
    }
    let (mut inside, rest) = long_octets(octets)?;
    let mut table = Table::default();
    while !inside.is_empty() {
        let (length, after) = inside.split_first().ok_or(WireError::Truncated)?;
        let (name, after) = take(after, usize::from(*length))?;
        let (value, after) = decode_value(after, depth)?;
        table.0.push((String::from_utf8_lossy(name).into_owned(), value));
        inside = after;
    }
    Ok((table, rest))
}

fn decode_value(octets: &[u8], depth: u32) -> Result<(Value, &[u8]), WireError> {
    let (kind, rest) = octets.split_first().ok_or(WireError::Truncated)?;
    let fixed = |length: usize| take(rest, length);
    let integer = |length: usize, signed: bool| {
        fixed(length).map(|(octets, rest)| (Value::Integer(wide(octets, signed)), rest))
    };
    match kind {
        b't' => fixed(1).map(|(octets, rest)| (Value::Bool(octets != [0]), rest)),
        b'b' => integer(1, true),
        b'B' => integer(1, false),
        b's' | b'U' => integer(2, true),
        b'u' => integer(2, false),
        b'I' => integer(4, true),
        b'i' => integer(4, false),
        b'l' | b'L' | b'T' => integer(8, true),
        b'f' => fixed(4).map(|(octets, rest)| {
            (Value::Float(f64::from(f32::from_bits(wide(octets, false) as u32))), rest)
        }),
        b'd' => fixed(8)
            .map(|(octets, rest)| (Value::Float(f64::from_bits(wide(octets, false) as u64)), rest)),
        // A decimal is a scale and a number; nothing here needs its value, only its length.
        b'D' => fixed(5).map(|(_, rest)| (Value::Void, rest)),
        b'S' | b'x' => long_octets(rest)
            .map(|(text, rest)| (Value::Text(String::from_utf8_lossy(text).into_owned()), rest)),
        b'F' => decode_table(rest, depth + 1).map(|(table, rest)| (Value::Table(table), rest)),
        b'A' => decode_list(rest, depth + 1),
        b'V' => Ok((Value::Void, rest)),
        other => Err(WireError::UnknownFieldType(char::from(*other))),
    }
}

fn decode_list(octets: &[u8], depth: u32) -> Result<(Value, &[u8]), WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError::NestedTooDeeply);
    }
    let (mut inside, rest) = long_octets(octets)?;
    let mut values = Vec::new();
    while !inside.is_empty() {
        let (value, after) = decode_value(inside, depth)?;
        values.push(value);
        inside = after;
    }
    Ok((Value::List(values), rest))
}

fn take(octets: &[u8], length: usize) -> Result<(&[u8], &[u8]), WireError> {
    octets.split_at_checked(length).ok_or(WireError::Truncated)
}

fn long_octets(octets: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (length, rest) = octets.split_first_chunk::<4>().ok_or(WireError::Truncated)?;
    take(rest, u32::from_be_bytes(*length) as usize)
}

/// A big-endian integer of up to eight octets.
fn wide(octets: &[u8], signed: bool) -> i64 {
    let start =
        if signed && octets.first().is_some_and(|octet| octet & 0x80 != 0) { -1 } else { 0 };
    octets.iter().fold(start, |value: i64, octet| (value << 8) | i64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_encode_and_decode() {
        let table = Table::default()
            .with("x-max-length", Value::Integer(-5))
            .with("on", Value::Bool(true))
            .with("ratio", Value::Float(0.5))
            .with("text", Value::Text("käse".into()))
            .with("inner", Value::Table(Table::default().with("none", Value::Void)))
            .with("list", Value::List(vec![Value::Integer(1), Value::Text("a".into())]));
        let mut octets = Vec::new();
        table.encode(&mut octets);
        octets.push(77);
        let (back, rest) = Table::decode(&octets).unwrap();
        assert_eq!(back, table);
        assert_eq!(rest, [77]);
    }

    #[test]
    fn narrow_integers_keep_their_sign() {
        assert_eq!(decode_value(&[b'b', 0xFF], 0).unwrap().0, Value::Integer(-1));
        assert_eq!(decode_value(&[b'B', 0xFF], 0).unwrap().0, Value::Integer(255));
        assert_eq!(decode_value(&[b'I', 0xFF, 0xFF, 0xFF, 0xFE], 0).unwrap().0, Value::Integer(-2));
    }

    #[test]
    fn broken_tables_are_errors_not_panics() {
        let mut octets = Vec::new();
        Table::default().with("a", Value::Text("b".into())).encode(&mut octets);
        for cut in 0..octets.len() {
            assert_eq!(Table::decode(&octets[..cut]), Err(WireError::Truncated));
        }
        let mut deep = Vec::new();
        for _ in 0..40 {
            let mut outer = vec![1, b'a', b'F'];
            outer.put_u32(deep.len() as u32);
            outer.extend_from_slice(&deep);
            deep = outer;
        }
        let mut octets = Vec::new();
        octets.put_long(&deep);
        assert_eq!(Table::decode(&octets), Err(WireError::NestedTooDeeply));
    }

    #[test]
    fn command_line_entries_get_the_type_they_look_like() {
        let parse = |text| Table::parse_entry(text).map(|(_, value)| value);
        assert_eq!(parse("x-max-length=10"), Some(Value::Integer(10)));
        assert_eq!(parse("x-single-active-consumer=true"), Some(Value::Bool(true)));
        assert_eq!(parse("x-overflow=reject-publish"), Some(Value::Text("reject-publish".into())));
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse("=1"), None);
    }
}
