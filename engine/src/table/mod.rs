//! AMQP field tables: values with their wire types, order kept.
//!
//! RabbitMQ's dialect of AMQP 0-9-1 (behaviour A49): `t b B s u I i l L f d D S A T F V x`, where
//! `s` is int16 and `l` int64 and there is no short-string value. Encoding what was decoded gives
//! back the same octets, with one exception: a boolean octet other than 0 comes back as 1.
//!
//! Two ways to read octets: [`Table::decode`] builds an owned table (declarations, bindings,
//! client properties), [`fields`] walks encoded octets without allocating (headers of messages).
//! Neither takes memory on a declared length: what is allocated is bounded by octets present.
//! Pure functions; imports nothing of the engine.

mod encode;
mod raw;
mod term;
#[cfg(test)]
mod tests;

pub(crate) use raw::encoded;
pub use raw::{field, fields, Fields, Items, RawValue};
pub use term::Term;

/// Tables and arrays may be nested this deep, the outermost table counting as 1.
pub const MAX_DEPTH: usize = 32;

/// A field value with the type it had on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `L`
    U64(u64),
    /// `f`, kept as bits so that equality and re-encoding are exact
    F32(u32),
    /// `d`, kept as bits
    F64(u64),
    /// `D`
    Decimal { scale: u8, value: u32 },
    /// `S`: octets, mostly UTF-8
    Bytes(Box<[u8]>),
    /// `A`
    Array(Box<[Value]>),
    /// `T`: seconds since 1970
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `V`
    Void,
    /// `x`
    ByteArray(Box<[u8]>),
}

/// A field table: pairs in wire order. Names are short strings (at most 255 octets).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Table(pub Vec<(Box<str>, Value)>);

/// Why octets are not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("table ends in the middle of a field")]
    Truncated,
    #[error("unknown field type {0}")]
    UnknownType(u8),
    #[error("field name is not UTF-8")]
    NameNotUtf8,
    #[error("tables nested deeper than {0}")]
    TooDeep(usize),
}

impl Table {
    /// Decodes the octets between the length prefix and the end of a table.
    pub fn decode(octets: &[u8]) -> Result<Table, TableError> {
        raw::decode_table(octets, 1)
    }
    /// Appends the table with its four octet length prefix.
    ///
    /// A name of more than 255 octets cannot be written and is cut at a character border; tables
    /// that were decoded have none.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::table(self, out);
    }
    /// Appends the fields alone, without length prefix: what [`Table::decode`] reads.
    pub fn encode_fields(&self, out: &mut Vec<u8>) {
        encode::fields(self, out);
    }
    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }
    /// The same fields in ascending order of name; fields of one name keep their order. It is
    /// the form in which a binding's arguments are compared.
    pub fn sorted(&self) -> Table {
        let mut fields = self.0.clone();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Table(fields)
    }
    /// Whether [`Table::sorted`] would change nothing.
    pub fn is_sorted(&self) -> bool {
        self.0.windows(2).all(|pair| pair[0].0 <= pair[1].0)
    }
}

impl Value {
    /// A long string.
    pub fn text(text: &str) -> Value {
        Value::Bytes(text.as_bytes().into())
    }
    /// RabbitMQ's name of the type, as its error texts show it: `longstr`, `signedint`, `bool`, ...
    pub fn type_name(&self) -> &'static str {
        raw::type_name(self.kind())
    }
    /// The type octet on the wire.
    pub fn kind(&self) -> u8 {
        match self {
            Value::Bool(_) => b't',
            Value::I8(_) => b'b',
            Value::U8(_) => b'B',
            Value::I16(_) => b's',
            Value::U16(_) => b'u',
            Value::I32(_) => b'I',
            Value::U32(_) => b'i',
            Value::I64(_) => b'l',
            Value::U64(_) => b'L',
            Value::F32(_) => b'f',
            Value::F64(_) => b'd',
            Value::Decimal { .. } => b'D',
            Value::Bytes(_) => b'S',
            Value::Array(_) => b'A',
            Value::Timestamp(_) => b'T',
            Value::Table(_) => b'F',
            Value::Void => b'V',
            Value::ByteArray(_) => b'x',
        }
    }
    /// Any integer type, widened; neither a timestamp nor a decimal is one. `L` is read as
    /// signed, as RabbitMQ reads it.
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Value::I8(v) => Some(v.into()),
            Value::U8(v) => Some(v.into()),
            Value::I16(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::I32(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::I64(v) => Some(v.into()),
            Value::U64(v) => Some((v as i64).into()),
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
    /// The text of a long string; `None` for other types and for octets that are not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Bytes(octets) => std::str::from_utf8(octets).ok(),
            _ => None,
        }
    }
    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(v) => Some(*v),
            _ => None,
        }
    }
}
