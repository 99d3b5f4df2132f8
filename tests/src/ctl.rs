//! Runs `haremqctl` and compares what it prints with recorded sessions.

use crate::binaries::binaries;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The operator's command line, pointed at one broker.
#[derive(Debug, Clone)]
pub struct Ctl {
    management: SocketAddr,
    data_directory: PathBuf,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it printed to standard output.
    pub out: String,
    /// What it printed to standard error.
    pub err: String,
    /// Its exit code.
    pub code: i32,
}

impl Ctl {
    /// A command line for the broker whose management API listens there and whose data is there.
    pub fn new(management: SocketAddr, data_directory: PathBuf) -> Ctl {
        Ctl { management, data_directory }
    }

    /// Runs one command to its end.
    pub fn run(&self, words: &[&str]) -> Answer {
        let output = Command::new(&binaries().haremqctl)
            .args(words)
            .env("HAREMQ_URL", format!("http://{}", self.management))
            .env("HAREMQ_DATA_DIR", &self.data_directory)
            .stdin(Stdio::null())
            .output()
            .expect("haremqctl can be started");
        Answer {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// Runs a command that must succeed; gives its output.
    #[track_caller]
    pub fn succeed(&self, words: &[&str]) -> String {
        let answer = self.run(words);
        assert_eq!(answer.code, 0, "haremqctl {words:?}: {}{}", answer.out, answer.err);
        answer.out
    }

    /// The rows of a listing, without headers and titles, each split at its tabs.
    #[track_caller]
    pub fn rows(&self, words: &[&str]) -> Vec<Vec<String>> {
        let text = self.succeed(&[&["-q", "--no-table-headers"], words].concat());
        text.lines().map(|line| line.split('\t').map(String::from).collect()).collect()
    }

    /// How many messages `list_queues` shows for a queue of vhost `/`; None when it does not list it.
    #[track_caller]
    pub fn messages(&self, queue: &str) -> Option<u64> {
        let rows = self.rows(&["list_queues", "name", "messages"]);
        let row = rows.into_iter().find(|row| row[0] == queue)?;
        Some(row[1].parse().expect("a number of messages"))
    }
}

/// One command of a recorded session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command's words after the program's name.
    pub words: Vec<String>,
    /// The lines it printed, to standard output and then to standard error.
    pub lines: Vec<String>,
    /// Its exit code.
    pub code: i32,
}

/// Reads a recorded session: `$ haremqctl words…`, the lines printed, `[exit N]`. A word may stand in single quotes.
/// Lines starting with `#` are comments where no command is open.
pub fn read_session(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut open: Option<Step> = None;
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("$ haremqctl ") {
            assert!(open.is_none(), "no [exit N] before: {line}");
            open = Some(Step { words: split_words(words), lines: Vec::new(), code: 0 });
        } else if let Some(step) = &mut open {
            match line.strip_prefix("[exit ").and_then(|rest| rest.strip_suffix(']')) {
                Some(code) => {
                    step.code = code.parse().expect("an exit code");
                    steps.extend(open.take());
                }
                None => step.lines.push(line.to_string()),
            }
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "outside of a command: {line}");
        }
    }
    assert!(open.is_none(), "the last command has no [exit N]");
    steps
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_string());
        } else {
            words.extend(part.split_whitespace().map(String::from));
        }
    }
    words
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Lines whose order counts.
    Text,
    /// A title perhaps, a header, and rows in any order.
    Table,
    /// A title perhaps, and rows in any order.
    Rows,
}

impl Shape {
    /// The shape of what these words print.
    pub fn of(words: &[String]) -> Shape {
        let has = |sought: &[&str]| words.iter().any(|word| sought.contains(&word.as_str()));
        if !words.iter().any(|word| word.starts_with("list_")) {
            Shape::Text
        } else if has(&["-s", "--silent", "--no-table-headers"]) {
            Shape::Rows
        } else {
            Shape::Table
        }
    }
}

/// Makes output comparable: ids that differ from run to run are masked, empty lines at the end dropped, and rows,
/// whose order means nothing, are sorted.
pub fn comparable(lines: impl IntoIterator<Item = String>, shape: Shape) -> Vec<String> {
    let process = regex::Regex::new(r"<[^<> @]+@[^<> ]+\.\d+\.\d+\.\d+>").expect("a valid pattern");
    let port = regex::Regex::new(r"\b\d{5}\b").expect("a valid pattern");
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|line| process.replace_all(&line, "<pid>").into_owned())
        .map(|line| port.replace_all(&line, "<port>").into_owned())
        .collect();
    if let Some(usage) = lines.iter().position(|line| line.contains("Usage")) {
        // Each program explains itself in its own words.
        lines.truncate(usage);
    }
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    if lines.first().is_some_and(|line| line == "[") {
        // Rows of JSON: the comma stands before each but the first.
        for line in &mut lines {
            *line = line.trim_start_matches(',').to_string();
        }
        lines.sort();
    } else if shape != Shape::Text {
        let titles = lines.iter().take_while(|line| line.ends_with("...")).count();
        let headers = usize::from(shape == Shape::Table);
        let rows = (titles + headers).min(lines.len());
        lines[rows..].sort();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_with_its_words_lines_and_codes() {
        let text = "# comment\n$ haremqctl add_user u1 'p 1'\nAdding\n\n[exit 0]\n\n$ haremqctl x\n[exit 64]\n";
        let steps = read_session(text);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].words, ["add_user", "u1", "p 1"]);
        assert_eq!(steps[0].lines, ["Adding", ""]);
        assert_eq!(steps[1].code, 64);
    }

    #[test]
    fn rows_are_compared_as_a_set_and_ids_are_masked() {
        let one = ["Listing queues ...", "name\tpid", "b\t<h@localhost.1.2.3>", "a\t12345", ""];
        let other = ["Listing queues ...", "name\tpid", "a\t54321", "b\t<g@localhost.9.9.9>"];
        let comparable =
            |lines: &[&str]| comparable(lines.iter().map(|line| line.to_string()), Shape::Table);
        assert_eq!(comparable(&one), comparable(&other));
    }
}
