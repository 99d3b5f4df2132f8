//! Field tables as JSON, both ways, and the bodies of requests.
//!
//! RabbitMQ shows a table as a JSON object, which loses types and order. A client that needs both
//! (the command line does) asks for `arguments=typed` and gets a list of `[name, type, value]`.

use axum::body::Bytes;
use haremq_engine::table::{Table, Value as Field};
use serde_json::{json, Map, Number, Value};

use super::errors::ApiError;

/// How tables are to be shown in one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableStyle {
    /// `{"x-message-ttl": 60000}`
    Object,
    /// `[["x-message-ttl", "signedint", 60000]]`
    Typed,
}

impl TableStyle {
    pub(super) fn show(self, table: &Table) -> Value {
        match self {
            TableStyle::Object => object(table),
            TableStyle::Typed => typed(table),
        }
    }
}

/// A table as an object; of fields with the same name the last one is shown.
pub(super) fn object(table: &Table) -> Value {
    Value::Object(table.0.iter().map(|(name, value)| (name.to_string(), field(value))).collect())
}

fn typed(table: &Table) -> Value {
    let fields = table.0.iter();
    fields.map(|(name, value)| json!([name, value.type_name(), typed_value(value)])).collect()
}

fn typed_value(value: &Field) -> Value {
    match value {
        Field::Table(inner) => typed(inner),
        Field::Array(items) => {
            items.iter().map(|item| json!([item.type_name(), typed_value(item)])).collect()
        }
        other => field(other),
    }
}

/// One value. Octets that are not UTF-8 are shown with replacement characters.
pub(super) fn field(value: &Field) -> Value {
    match value {
        Field::Bool(flag) => json!(flag),
        Field::I8(number) => json!(number),
        Field::U8(number) => json!(number),
        Field::I16(number) => json!(number),
        Field::U16(number) => json!(number),
        Field::I32(number) => json!(number),
        Field::U32(number) => json!(number),
        Field::I64(number) => json!(number),
        // `L` is read as signed, as RabbitMQ reads it.
        Field::U64(number) => json!(*number as i64),
        Field::Timestamp(number) => json!(number),
        Field::F32(bits) => json!(f32::from_bits(*bits)),
        Field::F64(bits) => json!(f64::from_bits(*bits)),
        Field::Decimal { scale, value } => {
            json!(f64::from(*value) / 10_f64.powi(i32::from(*scale)))
        }
        Field::Bytes(octets) | Field::ByteArray(octets) => {
            Value::String(String::from_utf8_lossy(octets).into_owned())
        }
        Field::Array(items) => Value::Array(items.iter().map(field).collect()),
        Field::Table(inner) => object(inner),
        Field::Void => Value::Null,
    }
}

/// The table that a JSON object means: integers become `l`, other numbers `d`, text `S`, as with
/// RabbitMQ.
pub(super) fn table(object: &Map<String, Value>) -> Result<Table, ApiError> {
    let mut fields = Vec::with_capacity(object.len());
    for (name, value) in object {
        if name.len() > 255 {
            return Err(ApiError::bad_request("argument name is longer than 255 octets"));
        }
        fields.push((name.as_str().into(), from_json(value)?));
    }
    Ok(Table(fields))
}

fn from_json(value: &Value) -> Result<Field, ApiError> {
    Ok(match value {
        Value::Null => Field::Void,
        Value::Bool(flag) => Field::Bool(*flag),
        Value::Number(number) => from_number(number)?,
        Value::String(text) => Field::Bytes(text.as_bytes().into()),
        Value::Array(items) => {
            Field::Array(items.iter().map(from_json).collect::<Result<Vec<_>, _>>()?.into())
        }
        Value::Object(inner) => Field::Table(table(inner)?),
    })
}

fn from_number(number: &Number) -> Result<Field, ApiError> {
    if let Some(integer) = number.as_i64() {
        return Ok(Field::I64(integer));
    }
    match number.as_f64() {
        Some(float) if !number.is_u64() => Ok(Field::F64(float.to_bits())),
        _ => Err(ApiError::bad_request(format!("number {number} is out of range"))),
    }
}

/// The object that a request's body must be. An empty body counts as `{}` (as RabbitMQ's does
/// where nothing is required).
pub(super) fn body(octets: &Bytes) -> Result<Map<String, Value>, ApiError> {
    if octets.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(octets) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(ApiError::bad_request("not_json")),
    }
}

/// A flag of a body; absent is false.
pub(super) fn flag(body: &Map<String, Value>, name: &str) -> Result<bool, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(other) => Err(ApiError::BadRequest(json!(["not_boolean", other]))),
    }
}

/// A text of a body, if it is there.
pub(super) fn text<'a>(
    body: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ApiError::BadRequest(json!(["not_string", other]))),
    }
}

/// Refuses a body without these members, as RabbitMQ words it.
pub(super) fn require(body: &Map<String, Value>, names: &[&str]) -> Result<(), ApiError> {
    let missing = names.iter().filter(|name| !body.contains_key(**name));
    let missing: Vec<String> = missing.map(|name| format!("{{key_missing,{name}}}")).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!("[{}]", missing.join(",")))),
    }
}

/// The `arguments` of a body as a table; absent is empty.
pub(super) fn arguments(body: &Map<String, Value>) -> Result<Table, ApiError> {
    match body.get("arguments") {
        None | Some(Value::Null) => Ok(Table::default()),
        Some(Value::Object(object)) => table(object),
        // An empty list is how some clients write an empty table.
        Some(Value::Array(items)) if items.is_empty() => Ok(Table::default()),
        Some(other) => Err(ApiError::BadRequest(json!(["not_a_table", other]))),
    }
}

/// Tags of a user or vhost: a list of texts, or one text with commas. `None`: not given.
pub(super) fn tags(
    body: &Map<String, Value>,
) -> Result<Option<Vec<std::sync::Arc<str>>>, ApiError> {
    let words: Vec<&str> = match body.get("tags") {
        None => return Ok(None),
        Some(Value::String(text)) => text.split(',').collect(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().ok_or_else(|| bad_tags(item)))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(bad_tags(other)),
    };
    let words = words.into_iter().map(str::trim).filter(|word| !word.is_empty());
    Ok(Some(words.map(std::sync::Arc::from).collect()))
}

fn bad_tags(offender: &Value) -> ApiError {
    ApiError::BadRequest(json!(["not_tags", offender]))
}

/// A number of unsettled deliveries, as basic.qos has it; `None`: the body does not name it.
pub(super) fn prefetch(body: &Map<String, Value>, name: &str) -> Result<Option<u16>, ApiError> {
    let Some(value) = body.get(name) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(ApiError::BadRequest(json!([format!("bad_{name}"), value]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        Table(vec![
            ("x-message-ttl".into(), Field::I32(60_000)),
            ("b".into(), Field::Array([Field::I32(1), Field::Bytes((*b"z").into())].into())),
            ("t".into(), Field::Table(Table(vec![("n".into(), Field::Void)]))),
        ])
    }

    #[test]
    fn object_style_is_what_rabbitmq_shows() {
        let shown = TableStyle::Object.show(&sample());
        assert_eq!(shown, json!({"x-message-ttl": 60000, "b": [1, "z"], "t": {"n": null}}));
    }

    #[test]
    fn integers_of_a_body_become_long_integers_and_come_back() {
        let body = json!({"a": 1, "b": 1.5, "c": "x", "d": [true, null], "e": {"f": -1}});
        let Value::Object(map) = body.clone() else { unreachable!("an object") };
        let table = table(&map).expect("table");
        assert_eq!(table.0[0].1, Field::I64(1));
        assert_eq!(object(&table), body);
    }

    #[test]
    fn a_number_beyond_64_bits_signed_is_refused() {
        let Value::Object(map) = json!({"a": u64::MAX}) else { unreachable!("an object") };
        assert!(table(&map).is_err());
    }

    #[test]
    fn flags_are_booleans_or_their_names() {
        let Value::Object(map) = json!({"a": true, "b": "false", "c": "yes"}) else {
            unreachable!("an object")
        };
        assert_eq!(flag(&map, "a"), Ok(true));
        assert_eq!(flag(&map, "b"), Ok(false));
        assert_eq!(flag(&map, "absent"), Ok(false));
        assert_eq!(flag(&map, "c"), Err(ApiError::BadRequest(json!(["not_boolean", "yes"]))));
    }

    #[test]
    fn tags_are_a_list_or_a_text_with_commas() {
        let Value::Object(map) = json!({"tags": "a, b,"}) else { unreachable!("an object") };
        assert_eq!(tags(&map), Ok(Some(vec!["a".into(), "b".into()])));
        let Value::Object(map) = json!({"tags": ["a", "b"]}) else { unreachable!("an object") };
        assert_eq!(tags(&map), Ok(Some(vec!["a".into(), "b".into()])));
        assert_eq!(tags(&Map::new()), Ok(None));
    }
}
