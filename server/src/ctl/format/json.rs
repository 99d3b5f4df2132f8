//! `--formatter json`: `[`, one object a line, lines after the first start with a comma, `]`.

use std::net::IpAddr;

use serde_json::{json, Value};

use super::super::command::List;
use super::super::term::{Field, FieldValue, Term};

pub(super) fn list(list: &List) -> String {
    if list.rows.is_empty() && !list.streamed {
        return "[]\n".to_owned();
    }
    let mut text = String::from("[\n");
    for (index, row) in list.rows.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        // By hand: the columns keep the order in which they were asked for.
        let members = list.columns.iter().zip(row);
        let members: Vec<String> = members
            .map(|(column, term)| format!("{}:{}", Value::from(column.as_str()), cell(term)))
            .collect();
        text.push_str(&format!("{{{}}}\n", members.join(",")));
    }
    text.push_str("]\n");
    text
}

fn cell(term: &Term) -> Value {
    match term {
        Term::Nothing => json!(""),
        Term::Bool(flag) => json!(flag),
        Term::Number(number) => Value::Number(number.clone()),
        Term::Text(text) | Term::Pid(text) => json!(text),
        Term::Address(IpAddr::V4(address)) => json!(address.octets()),
        Term::Address(IpAddr::V6(address)) => json!(address.segments()),
        Term::Version(numbers) => json!(numbers),
        Term::Words(words) => json!(words),
        Term::Table(fields) => table(fields),
    }
}

fn table(fields: &[Field]) -> Value {
    fields.iter().map(|field| json!([field.name, field.kind, value(&field.value)])).collect()
}

fn value(field: &FieldValue) -> Value {
    match field {
        FieldValue::Void => json!("undefined"),
        FieldValue::Bool(flag) => json!(flag),
        FieldValue::Number(number) => Value::Number(number.clone()),
        FieldValue::Text(text) => json!(text),
        FieldValue::Array(items) => {
            items.iter().map(|(kind, item)| json!([kind, value(item)])).collect()
        }
        FieldValue::Table(fields) => table(fields),
    }
}
