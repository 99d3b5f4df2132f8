//! Values of list columns, with what each formatter has to know about them.
//!
//! rabbitmqctl prints Erlang terms; these are the kinds that occur in its lists.

use std::net::IpAddr;

use serde_json::Value;

/// One cell of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// Not known, or not there: printed as nothing, as rabbitmqctl prints `undefined` and ''.
    Nothing,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    /// Process name, `<node.1.2.0>`.
    Pid(String),
    /// Peer's or own address.
    Address(IpAddr),
    /// Protocol version: `{0,9,1}`.
    Version([u8; 3]),
    /// Tags.
    Words(Vec<String>),
    /// Field table with types.
    Table(Vec<Field>),
}

/// `{<<"x-message-ttl">>,signedint,60000}`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) value: FieldValue,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum FieldValue {
    Void,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<(String, FieldValue)>),
    Table(Vec<Field>),
}

impl Term {
    pub(super) fn text(value: &Value) -> Term {
        match value {
            Value::String(text) => Term::Text(text.clone()),
            _ => Term::scalar(value),
        }
    }

    /// A number or boolean; anything else is nothing.
    pub(super) fn scalar(value: &Value) -> Term {
        match value {
            Value::Bool(flag) => Term::Bool(*flag),
            Value::Number(number) => Term::Number(number.clone()),
            _ => Term::Nothing,
        }
    }

    /// As JSON; an empty object is nothing.
    pub(super) fn json(value: &Value) -> Term {
        match value {
            Value::Object(members) if members.is_empty() => Term::Nothing,
            Value::Null => Term::Nothing,
            other => Term::Text(other.to_string()),
        }
    }

    pub(super) fn pid(value: &Value) -> Term {
        value.as_str().map_or(Term::Nothing, |text| Term::Pid(text.to_owned()))
    }

    pub(super) fn address(value: &Value) -> Term {
        let Some(text) = value.as_str() else { return Term::Nothing };
        text.parse().map_or_else(|_| Term::Text(text.to_owned()), Term::Address)
    }

    pub(super) fn words(value: &Value) -> Term {
        let words = value.as_array().into_iter().flatten();
        Term::Words(words.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// `[[name, type, value], ...]`, as the port gives tables with `arguments=typed`.
    pub(super) fn table(value: &Value) -> Term {
        Term::Table(fields(value))
    }
}

fn fields(value: &Value) -> Vec<Field> {
    let triples = value.as_array().into_iter().flatten();
    triples
        .filter_map(|triple| {
            let (name, kind) = (triple.get(0)?.as_str()?, triple.get(1)?.as_str()?);
            let value = field_value(kind, triple.get(2)?);
            Some(Field { name: name.to_owned(), kind: kind.to_owned(), value })
        })
        .collect()
}

fn field_value(kind: &str, value: &Value) -> FieldValue {
    match value {
        Value::Null | Value::Object(_) => FieldValue::Void,
        Value::Bool(flag) => FieldValue::Bool(*flag),
        Value::Number(number) => FieldValue::Number(number.clone()),
        Value::String(text) => FieldValue::Text(text.clone()),
        Value::Array(_) if kind == "table" => FieldValue::Table(fields(value)),
        Value::Array(items) => FieldValue::Array(
            items
                .iter()
                .filter_map(|pair| {
                    let kind = pair.get(0)?.as_str()?;
                    Some((kind.to_owned(), field_value(kind, pair.get(1)?)))
                })
                .collect(),
        ),
    }
}
