//! The grammar of the command line, which is rabbitmqctl's.
//!
//! Options stand anywhere: before the command, after it, between its words. `--name value`,
//! `--name=value`, `-x value`; a flag may be written `--no-name` or `--name=false`. `--` ends
//! options. An option that the command does not have is reported with its value, as given.

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Text,
    /// A whole number, not negative.
    Number,
}

/// One option that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) kind: Kind,
}

pub(super) const fn switch(name: &'static str, short: Option<char>, kind: Kind) -> Switch {
    Switch { name, short, kind }
}

/// Options of every command.
pub(super) const GLOBAL: [Switch; 13] = [
    switch("help", Some('?'), Kind::Flag),
    switch("help", Some('h'), Kind::Flag),
    switch("version", None, Kind::Flag),
    switch("quiet", Some('q'), Kind::Flag),
    switch("silent", Some('s'), Kind::Flag),
    switch("vhost", Some('p'), Kind::Text),
    switch("timeout", Some('t'), Kind::Number),
    switch("formatter", None, Kind::Text),
    switch("node", Some('n'), Kind::Text),
    switch("url", None, Kind::Text),
    switch("user", None, Kind::Text),
    switch("password", None, Kind::Text),
    switch("data-dir", None, Kind::Text),
];

/// A command line that has been read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// What is not an option, without the command itself.
    pub(super) words: Vec<String>,
    /// Options in order; a later one wins.
    values: Vec<(&'static str, Value)>,
    /// What was not understood: the option as written, and its value.
    pub(super) invalid: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Flag(bool),
    Text(String),
    Number(u64),
}

impl Line {
    fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().rev().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Flag(true)))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn vhost(&self) -> &str {
        self.text("vhost").unwrap_or("/")
    }
}

/// The first word: the command. Whatever any command takes counts as an option here.
pub(super) fn command_name(argv: &[String]) -> Option<String> {
    let mut all = GLOBAL.to_vec();
    for command in super::command::catalogue::all() {
        all.extend_from_slice(command.own_switches);
    }
    scan(argv, &all).words.into_iter().find(|word| !word.is_empty())
}

/// Reads a line whose first word is the command, if it has one.
pub(super) fn read(argv: &[String], switches: &[Switch]) -> Line {
    let mut line = scan(argv, switches);
    if !line.words.is_empty() {
        line.words.remove(0);
    }
    line
}

fn scan(argv: &[String], switches: &[Switch]) -> Line {
    let mut line = Line::default();
    let mut rest = argv.iter().peekable();
    while let Some(word) = rest.next() {
        if word == "--" {
            line.words.extend(rest.by_ref().cloned());
            break;
        }
        let is_option = word.len() > 1 && word.starts_with('-') && !is_negative_number(word);
        if !is_option {
            line.words.push(word.clone());
            continue;
        }
        let (written, attached) = match word.split_once('=') {
            Some((written, value)) => (written, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let Some((switch, negated)) = find(written, switches) else {
            line.invalid.push((written.to_owned(), attached));
            continue;
        };
        let value = match (switch.kind, attached) {
            (Kind::Flag, attached) => Some(attached.unwrap_or_else(|| "true".to_owned())),
            (_, Some(attached)) => Some(attached),
            (_, None) => rest.next_if(|next| !next.starts_with('-') || next.len() == 1).cloned(),
        };
        match value.as_deref().and_then(|text| convert(switch.kind, text)) {
            Some(Value::Flag(flag)) => {
                line.values.push((switch.name, Value::Flag(flag != negated)));
            }
            Some(value) => line.values.push((switch.name, value)),
            None => line.invalid.push((written.to_owned(), value)),
        }
    }
    line
}

fn is_negative_number(word: &str) -> bool {
    word[1..].bytes().all(|octet| octet.is_ascii_digit())
}

/// The option of that spelling, and whether it is written as its negation.
fn find<'a>(written: &str, switches: &'a [Switch]) -> Option<(&'a Switch, bool)> {
    if let Some(long) = written.strip_prefix("--") {
        if let Some(switch) = switches.iter().find(|switch| switch.name == long) {
            return Some((switch, false));
        }
        let positive = long.strip_prefix("no-")?;
        let flag = |switch: &&Switch| switch.name == positive && switch.kind == Kind::Flag;
        return switches.iter().find(flag).map(|switch| (switch, true));
    }
    let mut letters = written[1..].chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    let short = switches.iter().find(|switch| switch.short == Some(letter));
    short.map(|switch| (switch, false))
}

fn convert(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Flag => text.parse().ok().map(Value::Flag),
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Number => text.parse().ok().map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn global_options_stand_anywhere() {
        for text in [
            "-q -p v list_queues name",
            "--vhost v list_queues -q name",
            "list_queues name --vhost=v --quiet",
            "list_queues --quiet=true -p v name",
        ] {
            let argv = words(text);
            assert_eq!(command_name(&argv).as_deref(), Some("list_queues"), "{text}");
            let line = read(&argv, &GLOBAL);
            assert_eq!(line.words, ["name"], "{text}");
            assert!(line.flag("quiet"), "{text}");
            assert_eq!(line.vhost(), "v", "{text}");
        }
    }

    #[test]
    fn a_flag_can_be_taken_back() {
        assert!(!read(&words("x --quiet=false"), &GLOBAL).flag("quiet"));
        assert!(!read(&words("x --no-quiet"), &GLOBAL).flag("quiet"));
        assert!(!read(&words("x -q --no-quiet"), &GLOBAL).flag("quiet"));
    }

    #[test]
    fn what_is_not_understood_is_reported_as_written() {
        let report = |text: &str| read(&words(text), &GLOBAL).invalid;
        assert_eq!(report("x --nope"), [("--nope".to_owned(), None)]);
        assert_eq!(report("x --noquiet name"), [("--noquiet".to_owned(), None)]);
        assert_eq!(report("x -p"), [("-p".to_owned(), None)]);
        assert_eq!(report("x -t abc"), [("-t".to_owned(), Some("abc".to_owned()))]);
        assert_eq!(report("x --nope=1"), [("--nope".to_owned(), Some("1".to_owned()))]);
    }

    #[test]
    fn after_two_dashes_everything_is_a_word() {
        let line = read(&words("add_user u -- -q"), &GLOBAL);
        assert_eq!(line.words, ["u", "-q"]);
        assert!(!line.flag("quiet"));
    }

    #[test]
    fn the_value_of_an_option_is_not_the_command() {
        let argv = words("--if-empty -t 5 --reason -q delete_queue q");
        assert_eq!(command_name(&argv).as_deref(), Some("delete_queue"));
    }

    #[test]
    fn no_command_is_no_command() {
        assert_eq!(command_name(&words("-q")), None);
        assert_eq!(command_name(&[String::new()]), None);
    }
}
