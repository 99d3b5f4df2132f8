//! Our field tables as those of the crate `amq-protocol-types`, for comparing both. The fuzz target
//! `table` has this file, too.

use std::collections::BTreeMap;

use amq_protocol_types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use haremq_engine::table::{Table, Value};

/// A value as the other one sees it; it reads `L` as signed, as RabbitMQ does.
fn theirs(value: &Value) -> AMQPValue {
    match value {
        Value::Bool(v) => AMQPValue::Boolean(*v),
        Value::I8(v) => AMQPValue::ShortShortInt(*v),
        Value::U8(v) => AMQPValue::ShortShortUInt(*v),
        Value::I16(v) => AMQPValue::ShortInt(*v),
        Value::U16(v) => AMQPValue::ShortUInt(*v),
        Value::I32(v) => AMQPValue::LongInt(*v),
        Value::U32(v) => AMQPValue::LongUInt(*v),
        Value::I64(v) => AMQPValue::LongLongInt(*v),
        Value::U64(v) => AMQPValue::LongLongInt(*v as i64),
        Value::F32(bits) => AMQPValue::Float(f32::from_bits(*bits)),
        Value::F64(bits) => AMQPValue::Double(f64::from_bits(*bits)),
        Value::Decimal { scale, value } => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: *value })
        }
        Value::Bytes(octets) => AMQPValue::LongString(octets.to_vec().into()),
        Value::Array(items) => {
            AMQPValue::FieldArray(items.iter().map(theirs).collect::<Vec<_>>().into())
        }
        Value::Timestamp(v) => AMQPValue::Timestamp(*v),
        Value::Table(table) => AMQPValue::FieldTable(their_table(table)),
        Value::Void => AMQPValue::Void,
        Value::ByteArray(octets) => AMQPValue::ByteArray(octets.to_vec().into()),
    }
}

/// A table as the other one sees it. It keeps one field of each name, the last one.
pub(crate) fn their_table(table: &Table) -> FieldTable {
    let mut fields = BTreeMap::new();
    for (name, value) in &table.0 {
        fields.insert(ShortString::from(&**name), theirs(value));
    }
    fields.into()
}
