//! Reading encoded tables without building them: an iterator that borrows, allocates nothing and
//! looks at each octet once. Also the decoder, which is built on it.

use super::{encode, Table, TableError, Value, MAX_DEPTH};

/// A value where it lies: its type octet and its octets (of strings, arrays and tables without
/// the length prefix).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawValue<'a> {
    kind: u8,
    octets: &'a [u8],
}

/// Walks the fields of an encoded table. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Walks the items of an encoded array. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
}

/// The fields of a table, from its octets without length prefix.
pub fn fields(octets: &[u8]) -> Fields<'_> {
    Fields { rest: octets }
}

/// The first field called `name`; a broken table ends at the break.
pub fn field<'a>(octets: &'a [u8], name: &[u8]) -> Option<RawValue<'a>> {
    fields(octets).map_while(Result::ok).find(|(n, _)| *n == name).map(|(_, value)| value)
}

impl<'a> Iterator for Fields<'a> {
    /// Name as it is on the wire, and value.
    type Item = Result<(&'a [u8], RawValue<'a>), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&length, rest) = self.rest.split_first()?;
        let field = split(rest, length.into())
            .and_then(|(name, rest)| value(rest).map(|(value, rest)| (name, value, rest)));
        Some(match field {
            Ok((name, value, rest)) => {
                self.rest = rest;
                Ok((name, value))
            }
            Err(error) => {
                self.rest = &[];
                Err(error)
            }
        })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<RawValue<'a>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = value(self.rest);
        self.rest = item.map_or(&[], |(_, rest)| rest);
        Some(item.map(|(value, _)| value))
    }
}

fn split(octets: &[u8], at: usize) -> Result<(&[u8], &[u8]), TableError> {
    octets.split_at_checked(at).ok_or(TableError::Truncated)
}

/// The value at the head of `octets`, and what follows it.
fn value(octets: &[u8]) -> Result<(RawValue<'_>, &[u8]), TableError> {
    let (&kind, rest) = octets.split_first().ok_or(TableError::Truncated)?;
    let (octets, rest) = match kind {
        b'V' => split(rest, 0)?,
        b't' | b'b' | b'B' => split(rest, 1)?,
        b's' | b'u' => split(rest, 2)?,
        b'I' | b'i' | b'f' => split(rest, 4)?,
        b'D' => split(rest, 5)?,
        b'l' | b'L' | b'd' | b'T' => split(rest, 8)?,
        b'S' | b'x' | b'A' | b'F' => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(TableError::Truncated)?;
            let length = u32::from_be_bytes(*length);
            split(rest, usize::try_from(length).map_err(|_| TableError::Truncated)?)?
        }
        other => return Err(TableError::UnknownType(other)),
    };
    Ok((RawValue { kind, octets }, rest))
}

/// RabbitMQ's name of a type octet. `L` shares its name with `l`, being read the same.
pub(super) fn type_name(kind: u8) -> &'static str {
    match kind {
        b't' => "bool",
        b'b' => "byte",
        b'B' => "unsignedbyte",
        b's' => "short",
        b'u' => "unsignedshort",
        b'I' => "signedint",
        b'i' => "unsignedint",
        b'l' | b'L' => "long",
        b'f' => "float",
        b'd' => "double",
        b'D' => "decimal",
        b'S' => "longstr",
        b'A' => "array",
        b'T' => "timestamp",
        b'F' => "table",
        b'x' => "binary",
        _ => "void",
    }
}

impl<'a> RawValue<'a> {
    /// The value of `octets` as type `kind`: what [`RawValue::kind`] and [`RawValue::octets`]
    /// gave. Fixed-size types of a wrong size read as `None` later on.
    pub fn new(kind: u8, octets: &'a [u8]) -> Self {
        RawValue { kind, octets }
    }
    /// The type octet.
    pub fn kind(&self) -> u8 {
        self.kind
    }
    /// The value's octets, without length prefix.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }
    /// RabbitMQ's name of the type.
    pub fn type_name(&self) -> &'static str {
        type_name(self.kind)
    }
    /// A long string's octets.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        (self.kind == b'S').then_some(self.octets)
    }
    /// A long string's text.
    pub fn as_str(&self) -> Option<&'a str> {
        self.as_bytes().and_then(|octets| std::str::from_utf8(octets).ok())
    }
    /// As [`Value::as_integer`].
    pub fn as_integer(&self) -> Option<i128> {
        match self.kind {
            b'b' | b's' | b'I' | b'l' | b'L' => self.signed(),
            b'B' | b'u' | b'i' => self.unsigned(),
            _ => None,
        }
    }
    /// A whole number above 0, written as a number or as digits.
    pub fn as_count(&self) -> Option<u64> {
        let number = match self.as_integer() {
            Some(integer) => u64::try_from(integer).ok(),
            None => self.as_str().and_then(|digits| digits.parse().ok()),
        };
        number.filter(|number| *number > 0)
    }
    /// A timestamp's seconds.
    pub fn as_timestamp(&self) -> Option<u64> {
        (self.kind == b'T').then(|| self.fixed().map(u64::from_be_bytes)).flatten()
    }
    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        (self.kind == b't').then(|| self.octets.first().map(|&octet| octet != 0)).flatten()
    }
    /// A floating point number of either size.
    pub fn as_float(&self) -> Option<f64> {
        match self.kind {
            b'f' => self.fixed().map(|octets| f32::from_be_bytes(octets).into()),
            b'd' => self.fixed().map(f64::from_be_bytes),
            _ => None,
        }
    }
    /// The items of an array.
    pub fn items(&self) -> Option<Items<'a>> {
        (self.kind == b'A').then_some(Items { rest: self.octets })
    }
    /// The fields of a nested table.
    pub fn table(&self) -> Option<Fields<'a>> {
        (self.kind == b'F').then_some(Fields { rest: self.octets })
    }
    /// The owned value.
    pub fn decode(&self) -> Result<Value, TableError> {
        decode_value(*self, 1)
    }

    fn fixed<const N: usize>(&self) -> Option<[u8; N]> {
        self.octets.try_into().ok()
    }
    fn unsigned(&self) -> Option<i128> {
        if self.octets.is_empty() || self.octets.len() > 8 {
            return None;
        }
        Some(self.octets.iter().fold(0, |number, &octet| number << 8 | i128::from(octet)))
    }
    fn signed(&self) -> Option<i128> {
        let unsigned = self.unsigned()?;
        let range = 1_i128 << (8 * self.octets.len());
        Some(if unsigned >= range / 2 { unsigned - range } else { unsigned })
    }
}

/// A value that owns its encoded octets: for comparing stored values with raw ones.
pub(crate) fn encoded(value: &Value) -> (u8, Box<[u8]>) {
    let mut octets = Vec::new();
    encode::payload(value, &mut octets);
    if matches!(value.kind(), b'S' | b'x' | b'A' | b'F') {
        octets.drain(..4);
    }
    (value.kind(), octets.into())
}

pub(super) fn decode_table(octets: &[u8], depth: usize) -> Result<Table, TableError> {
    if depth > MAX_DEPTH {
        return Err(TableError::TooDeep(MAX_DEPTH));
    }
    let mut table = Vec::new();
    for field in fields(octets) {
        let (name, value) = field?;
        let name = std::str::from_utf8(name).map_err(|_| TableError::NameNotUtf8)?;
        table.push((name.into(), decode_value(value, depth)?));
    }
    Ok(Table(table))
}

fn decode_value(raw: RawValue<'_>, depth: usize) -> Result<Value, TableError> {
    Ok(match raw.kind {
        b't' => Value::Bool(fixed::<1>(raw)?[0] != 0),
        b'b' => Value::I8(i8::from_be_bytes(fixed(raw)?)),
        b'B' => Value::U8(u8::from_be_bytes(fixed(raw)?)),
        b's' => Value::I16(i16::from_be_bytes(fixed(raw)?)),
        b'u' => Value::U16(u16::from_be_bytes(fixed(raw)?)),
        b'I' => Value::I32(i32::from_be_bytes(fixed(raw)?)),
        b'i' => Value::U32(u32::from_be_bytes(fixed(raw)?)),
        b'l' => Value::I64(i64::from_be_bytes(fixed(raw)?)),
        b'L' => Value::U64(u64::from_be_bytes(fixed(raw)?)),
        b'f' => Value::F32(u32::from_be_bytes(fixed(raw)?)),
        b'd' => Value::F64(u64::from_be_bytes(fixed(raw)?)),
        b'D' => {
            let [scale, value @ ..] = fixed::<5>(raw)?;
            Value::Decimal { scale, value: u32::from_be_bytes(value) }
        }
        b'S' => Value::Bytes(raw.octets.into()),
        b'x' => Value::ByteArray(raw.octets.into()),
        b'A' => decode_array(raw.octets, depth + 1)?,
        b'T' => Value::Timestamp(u64::from_be_bytes(fixed(raw)?)),
        b'F' => Value::Table(decode_table(raw.octets, depth + 1)?),
        b'V' => Value::Void,
        other => return Err(TableError::UnknownType(other)),
    })
}

fn decode_array(octets: &[u8], depth: usize) -> Result<Value, TableError> {
    if depth > MAX_DEPTH {
        return Err(TableError::TooDeep(MAX_DEPTH));
    }
    let mut items = Vec::new();
    for item in (Items { rest: octets }) {
        items.push(decode_value(item?, depth)?);
    }
    Ok(Value::Array(items.into()))
}

fn fixed<const N: usize>(raw: RawValue<'_>) -> Result<[u8; N], TableError> {
    raw.fixed().ok_or(TableError::Truncated)
}
