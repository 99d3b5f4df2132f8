//! Writing tables. Depth is bounded by whoever built the table: decoding allows
//! [`super::MAX_DEPTH`] levels, the broker itself makes three at most.

use super::{Table, Value};

pub(super) fn table(table: &Table, out: &mut Vec<u8>) {
    with_length(out, |out| fields(table, out));
}

pub(super) fn fields(table: &Table, out: &mut Vec<u8>) {
    for (name, field) in &table.0 {
        let name = short(name);
        // `short` keeps it within 255 octets.
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        value(field, out);
    }
}

/// At most 255 octets of `name`, whole characters.
fn short(name: &str) -> &[u8] {
    let mut end = name.len().min(255);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name.as_bytes()[..end]
}

/// The type octet and the value.
fn value(value: &Value, out: &mut Vec<u8>) {
    out.push(value.kind());
    payload(value, out);
}

/// The value without its type octet.
pub(super) fn payload(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(v) => out.push((*v).into()),
        Value::I8(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::U8(v) => out.push(*v),
        Value::I16(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::U16(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::I32(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::U32(v) | Value::F32(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::I64(v) => out.extend_from_slice(&v.to_be_bytes()),
        Value::U64(v) | Value::F64(v) | Value::Timestamp(v) => {
            out.extend_from_slice(&v.to_be_bytes());
        }
        Value::Decimal { scale, value } => {
            out.push(*scale);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Bytes(octets) | Value::ByteArray(octets) => {
            with_length(out, |out| out.extend_from_slice(octets));
        }
        Value::Array(items) => with_length(out, |out| {
            for item in items {
                self::value(item, out);
            }
        }),
        Value::Table(inner) => table(inner, out),
        Value::Void => {}
    }
}

/// Writes what `body` appends behind its length.
fn with_length(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = out.len() - start - 4;
    // A table is a part of one frame, whose size is 32 bits too.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
