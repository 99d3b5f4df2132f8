//! Values in the words of RabbitMQ's error texts, which are Erlang terms.

use std::fmt;

use super::{Table, Value};

/// A value as an Erlang term, strings as binaries: `<<"some">>`, `[{longstr,<<"a">>}]`.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a>(pub &'a Value);

/// A value as RabbitMQ shows it between quotes: strings bare, all else as a [`Term`].
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bytes(octets) | Value::ByteArray(octets) => {
                f.write_str(&String::from_utf8_lossy(octets))
            }
            other => Term(other).fmt(f),
        }
    }
}

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(v) => write!(f, "{v}"),
            Value::I8(v) => write!(f, "{v}"),
            Value::U8(v) => write!(f, "{v}"),
            Value::I16(v) => write!(f, "{v}"),
            Value::U16(v) => write!(f, "{v}"),
            Value::I32(v) => write!(f, "{v}"),
            Value::U32(v) => write!(f, "{v}"),
            Value::I64(v) => write!(f, "{v}"),
            Value::U64(v) => write!(f, "{}", *v as i64),
            Value::Timestamp(v) => write!(f, "{v}"),
            Value::F32(bits) => float(f, f32::from_bits(*bits).into()),
            Value::F64(bits) => float(f, f64::from_bits(*bits)),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::Bytes(octets) | Value::ByteArray(octets) => binary(f, octets),
            Value::Array(items) => array(f, items),
            Value::Table(inner) => table(f, inner),
            Value::Void => f.write_str("undefined"),
        }
    }
}

/// Erlang always writes a decimal point (`1.0e20`), and of the ways to write a number without and
/// with an exponent the shorter one: `100.0`, `1.0e3`.
fn float(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    let scientific = format!("{number:e}");
    let with_exponent = match scientific.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            format!("{mantissa}.0e{exponent}")
        }
        _ => scientific,
    };
    let plain = format!("{number}");
    let plain = if plain.contains('.') { plain } else { format!("{plain}.0") };
    f.write_str(if with_exponent.len() < plain.len() { &with_exponent } else { &plain })
}

/// `<<"text">>` where all is printable, else `<<1,2,3>>`.
fn binary(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    if octets.is_empty() {
        return f.write_str("<<>>");
    }
    if !octets.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\n' | b'\r' | b'\t')) {
        f.write_str("<<")?;
        for (at, octet) in octets.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{octet}")?;
        }
        return f.write_str(">>");
    }
    f.write_str("<<\"")?;
    for &octet in octets {
        match octet {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            other => write!(f, "{}", char::from(other))?,
        }
    }
    f.write_str("\">>")
}

fn array(f: &mut fmt::Formatter<'_>, items: &[Value]) -> fmt::Result {
    f.write_str("[")?;
    for (at, item) in items.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(f, "{comma}{{{},{}}}", item.type_name(), Term(item))?;
    }
    f.write_str("]")
}

fn table(f: &mut fmt::Formatter<'_>, fields: &Table) -> fmt::Result {
    f.write_str("[")?;
    for (at, (name, value)) in fields.0.iter().enumerate() {
        f.write_str(if at == 0 { "{" } else { ",{" })?;
        binary(f, name.as_bytes())?;
        write!(f, ",{},{}}}", value.type_name(), Term(value))?;
    }
    f.write_str("]")
}
