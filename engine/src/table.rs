//! AMQP field tables: values with their wire types, order kept.
//!
//! RabbitMQ's dialect of AMQP 0-9-1 (behaviour A49): `t b B s u I i l L f d D S A T F V x`, where
//! `s` is int16 and `l` int64 and there is no short-string value. Encoding what was decoded gives
//! back the same octets.

/// A field value with the type it had on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
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
    Decimal {
        scale: u8,
        value: u32,
    },
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    pub fn decode(_octets: &[u8]) -> Result<Table, TableError> {
        todo!()
    }
    /// Appends the table with its four octet length prefix.
    pub fn encode(&self, _out: &mut Vec<u8>) {
        todo!()
    }
    /// The first field of that name.
    pub fn get(&self, _name: &str) -> Option<&Value> {
        todo!()
    }
}

impl Value {
    /// RabbitMQ's name of the type, as its error texts show it: `longstr`, `signedint`, `bool`, ...
    pub fn type_name(&self) -> &'static str {
        todo!()
    }
    /// Any integer type, widened.
    pub fn as_integer(&self) -> Option<i128> {
        todo!()
    }
    pub fn as_str(&self) -> Option<&str> {
        todo!()
    }
}
