//! The default: a header row and a row for each item, tab separated, nothing escaped.

use super::super::command::List;
use super::super::term::{Field, FieldValue, Term};

pub(super) fn list(list: &List, headers: bool) -> String {
    let mut text = String::new();
    if headers {
        text.push_str(&list.columns.join("\t"));
        text.push('\n');
    }
    for row in &list.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}

/// One value. Text inside a table is quoted, text of its own is not.
pub(super) fn cell(term: &Term) -> String {
    match term {
        Term::Nothing => String::new(),
        Term::Bool(flag) => flag.to_string(),
        Term::Number(number) => number.to_string(),
        Term::Text(text) | Term::Pid(text) => text.clone(),
        Term::Address(address) => address.to_string(),
        Term::Version([major, minor, revision]) => format!("{{{major},{minor},{revision}}}"),
        Term::Words(words) => format!("[{}]", words.join(", ")),
        Term::Table(fields) => table(fields),
    }
}

fn table(fields: &[Field]) -> String {
    let fields = fields.iter();
    let pairs: Vec<String> = fields
        .map(|field| format!("{{{},{}}}", quoted(&field.name), value(&field.value)))
        .collect();
    format!("[{}]", pairs.join(","))
}

fn value(field: &FieldValue) -> String {
    match field {
        FieldValue::Void => "undefined".to_owned(),
        FieldValue::Bool(flag) => flag.to_string(),
        FieldValue::Number(number) => number.to_string(),
        // Erlang's empty string is the empty list.
        FieldValue::Text(text) if text.is_empty() => "[]".to_owned(),
        FieldValue::Text(text) => quoted(text),
        FieldValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|(_, item)| value(item)).collect();
            format!("[{}]", items.join(","))
        }
        FieldValue::Table(fields) => table(fields),
    }
}

/// Text as Erlang writes a string.
pub(in crate::ctl) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
