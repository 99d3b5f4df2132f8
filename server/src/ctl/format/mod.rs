//! Replies as text, one module a formatter.

mod csv;
mod json;
mod pretty;
mod table;

#[cfg(test)]
mod tests;

use serde_json::{json, Value};

use super::command::{List, Reply};
pub(in crate::ctl) use table::quoted;

/// `--formatter`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formatter {
    /// Nothing asked for: tab separated.
    Table,
    Json,
    Csv,
    PrettyTable,
}

impl Formatter {
    pub(super) fn named(name: Option<&str>) -> Result<Self, String> {
        match name {
            None | Some("table") => Ok(Formatter::Table),
            Some("json") => Ok(Formatter::Json),
            Some("csv") => Ok(Formatter::Csv),
            Some("pretty_table") => Ok(Formatter::PrettyTable),
            Some(other) => {
                Err(format!("formatter '{other}' is not one of json, csv, table, pretty_table"))
            }
        }
    }

    /// Whether lines like `Listing queues ...` are printed: not into what a program reads.
    pub(super) fn announces(self) -> bool {
        matches!(self, Formatter::Table | Formatter::PrettyTable)
    }
}

/// The text of a reply, complete with its last newline.
pub(super) fn reply(
    reply: &Reply,
    formatter: Formatter,
    headers: bool,
    node: Option<&str>,
) -> String {
    let is_json = formatter == Formatter::Json;
    match reply {
        Reply::List(rows) => list(rows, formatter, headers),
        Reply::Done if is_json => line(json!({"node": node, "result": "ok"})),
        Reply::Done => String::new(),
        Reply::Said(text) if is_json => line(json!({"message": text})),
        Reply::Said(text) => format!("{text}\n"),
        Reply::Report { value, .. } if is_json => line(value.clone()),
        Reply::Report { text, .. } => format!("{text}\n"),
    }
}

fn line(value: Value) -> String {
    format!("{value}\n")
}

fn list(list: &List, formatter: Formatter, headers: bool) -> String {
    if formatter == Formatter::Json {
        return json::list(list);
    }
    if list.rows.is_empty() {
        // A list that rabbitmqctl makes in one piece ends its absence with a newline.
        return if list.streamed { String::new() } else { "\n".to_owned() };
    }
    match formatter {
        Formatter::Csv => csv::list(list),
        Formatter::PrettyTable => pretty::list(list),
        _ => table::list(list, headers),
    }
}
