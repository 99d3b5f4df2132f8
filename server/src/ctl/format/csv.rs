//! `--formatter csv`: every cell quoted, quotes doubled, a header line.

use super::super::command::List;
use super::table::cell;

pub(super) fn list(list: &List) -> String {
    let mut text = line(list.columns.iter().cloned());
    for row in &list.rows {
        text.push_str(&line(row.iter().map(cell)));
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> =
        cells.map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
    format!("{}\n", cells.join(","))
}
