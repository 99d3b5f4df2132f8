//! `--formatter pretty_table`: boxes drawn with the terminal's line drawing characters.

use super::super::command::List;
use super::super::term::{Field, FieldValue, Term};
use super::table;

/// Columns between tab stops of a terminal.
const TAB_STOP: usize = 8;

/// The corners and crossings of one horizontal line, in line drawing characters.
struct Rule {
    left: char,
    cross: char,
    right: char,
}

const TOP: Rule = Rule { left: 'l', cross: 'w', right: 'k' };
const MIDDLE: Rule = Rule { left: 't', cross: 'n', right: 'u' };
const BOTTOM: Rule = Rule { left: 'm', cross: 'v', right: 'j' };

pub(super) fn list(list: &List) -> String {
    let rows: Vec<Vec<String>> =
        list.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let widths: Vec<usize> = (0..list.columns.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            cells.chain([width(&list.columns[column])]).max().unwrap_or(0)
        })
        .collect();
    let mut text = rule(&TOP, &widths);
    text.push_str(&line(&list.columns, &widths, true));
    for row in &rows {
        text.push_str(&rule(&MIDDLE, &widths));
        text.push_str(&line(row, &widths, false));
    }
    text.push_str(&rule(&BOTTOM, &widths));
    text
}

fn rule(rule: &Rule, widths: &[usize]) -> String {
    let segments: Vec<String> = widths.iter().map(|width| "q".repeat(width + 2)).collect();
    let Rule { left, cross, right } = rule;
    format!("\x1b(0{left}{}{right}\x1b(B\n", segments.join(&cross.to_string()))
}

fn line(cells: &[String], widths: &[usize], bold: bool) -> String {
    const BAR: &str = "\x1b(0x\x1b(B";
    let mut text = String::from(BAR);
    for (cell, wanted) in cells.iter().zip(widths) {
        let padding = " ".repeat(wanted.saturating_sub(width(cell)));
        let shown = if bold { format!("\x1b[1m{cell}\x1b[0m") } else { cell.clone() };
        text.push_str(&format!(" {shown}{padding} {BAR}"));
    }
    text.push('\n');
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// Tables are shown with their types here; an empty one is shown as nothing.
fn cell(term: &Term) -> String {
    match term {
        Term::Table(fields) => fields.iter().map(field).collect(),
        Term::Words(words) => words.join(", "),
        Term::Address(std::net::IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{{{a},{b},{c},{d}}}")
        }
        other => expand_tabs(&table::cell(other)),
    }
}

/// A tab would break the box: spaces to the next stop.
fn expand_tabs(text: &str) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut column = 0;
    for letter in text.chars() {
        if letter == '\t' {
            let spaces = TAB_STOP - column % TAB_STOP;
            expanded.push_str(&" ".repeat(spaces));
            column += spaces;
        } else {
            expanded.push(if letter.is_control() { ' ' } else { letter });
            column += 1;
        }
    }
    expanded
}

fn field(field: &Field) -> String {
    format!("{{{},{},{}}}", binary(&field.name), field.kind, value(&field.value))
}

fn value(field_value: &FieldValue) -> String {
    match field_value {
        FieldValue::Void => "undefined".to_owned(),
        FieldValue::Bool(flag) => flag.to_string(),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Text(text) => binary(text),
        FieldValue::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|(kind, item)| format!("{{{kind},{}}}", value(item))).collect();
            format!("[{}]", items.join(","))
        }
        FieldValue::Table(fields) => {
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("[{}]", fields.join(","))
        }
    }
}

/// Text as Erlang writes a binary.
fn binary(text: &str) -> String {
    if text.is_empty() {
        return "<<>>".to_owned();
    }
    format!("<<{}>>", table::quoted(text))
}
