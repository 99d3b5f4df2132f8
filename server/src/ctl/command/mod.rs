//! What a command is, what it works with, and what comes of it.

pub(super) mod catalogue;
mod columns;
mod connections;
mod definitions;
mod limits;
mod lists;
mod node;
mod parameters;
mod permissions;
mod policies;
mod queues;
mod rules_catalogue;
mod topic_permissions;
mod users;
mod vhosts;

use super::args::{Line, Switch, GLOBAL};
use super::client::{Answer, Ask, BrokerError, Client};
use super::console::Console;
use super::exit::Exit;
use super::term::Term;
use columns::Column;

/// Headings of the list of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Help,
    Users,
    AccessControl,
    Monitoring,
    Parameters,
    Policies,
    Vhosts,
    Definitions,
    Operations,
    Queues,
}

impl Group {
    pub(super) const ALL: [Group; 10] = [
        Group::Help,
        Group::Users,
        Group::AccessControl,
        Group::Monitoring,
        Group::Parameters,
        Group::Policies,
        Group::Vhosts,
        Group::Definitions,
        Group::Operations,
        Group::Queues,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Group::Help => "Help",
            Group::Users => "Users",
            Group::AccessControl => "Access Control",
            Group::Monitoring => "Monitoring, observability and health checks",
            Group::Vhosts => "Virtual hosts",
            Group::Parameters => "Parameters",
            Group::Policies => "Policies",
            Group::Definitions => "Definitions",
            Group::Operations => "Operations",
            Group::Queues => "Queues",
        }
    }
}

/// One command.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) group: Group,
    /// What follows the name in the usage line.
    pub(super) usage: &'static str,
    /// One sentence, without its full stop.
    pub(super) about: &'static str,
    /// Words and options with their explanations, for help.
    pub(super) arguments: &'static [(&'static str, &'static str)],
    /// Options beside the global ones.
    pub(super) own_switches: &'static [Switch],
    /// Least and most words; no most: any number.
    pub(super) arity: (usize, Option<usize>),
    /// Columns that may be asked for.
    pub(super) columns: Option<&'static [Column]>,
    pub(super) run: fn(&mut Context<'_, '_>) -> Result<Reply, Failure>,
}

impl Command {
    pub(super) fn switches(&self) -> Vec<Switch> {
        GLOBAL.iter().chain(self.own_switches).copied().collect()
    }
}

/// What a command that worked has to say.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// Nothing but that it worked.
    Done,
    /// A sentence.
    Said(String),
    List(List),
    /// A text, and what it means for programs.
    Report {
        text: String,
        value: serde_json::Value,
    },
}

#[derive(Debug, PartialEq)]
pub(super) struct List {
    pub(super) columns: Vec<String>,
    /// As many terms a row as there are columns.
    pub(super) rows: Vec<Vec<Term>>,
    /// rabbitmqctl gets it piece by piece, and prints nothing at all if there is no piece.
    pub(super) streamed: bool,
}

/// Why a command did not work.
#[derive(Debug)]
pub(super) enum Failure {
    /// The words of the command line; printed with the usage.
    Validation { exit: Exit, reason: String },
    /// Printed after a line `Error:`.
    Refused { exit: Exit, text: String },
    /// Printed as it is.
    Plain { exit: Exit, text: String },
    /// No answer; printed after `Error: `.
    Broker(BrokerError),
}

impl Failure {
    pub(super) fn validation(reason: impl Into<String>) -> Self {
        Failure::Validation { exit: Exit::Usage, reason: reason.into() }
    }

    fn refused(exit: Exit, text: impl Into<String>) -> Self {
        Failure::Refused { exit, text: text.into() }
    }

    /// For an answer that the command has no words of its own for.
    fn unexpected(answer: &Answer) -> Self {
        Failure::refused(Exit::Unavailable, answer.reason())
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Failure::Broker(error)
    }
}

/// One call of a command.
pub(super) struct Context<'l, 'c> {
    pub(super) line: &'l Line,
    pub(super) client: Client,
    console: &'l mut Console<'c>,
    announces: bool,
    announcement: String,
}

impl<'l, 'c> Context<'l, 'c> {
    pub(super) fn new(
        line: &'l Line,
        client: Client,
        console: &'l mut Console<'c>,
        announces: bool,
    ) -> Self {
        Context { line, client, console, announces, announcement: String::new() }
    }

    /// Says what is being done. Printed with the result, or before a question; not at all if the
    /// broker does not answer.
    fn announce(&mut self, text: &str) {
        if self.announces {
            self.announcement.push_str(text);
            self.announcement.push('\n');
        }
    }

    pub(super) fn flush_announcement(&mut self) {
        let text = std::mem::take(&mut self.announcement);
        if !text.is_empty() {
            self.console.print(&text);
        }
    }

    /// The word at that place, which the command's arity promises.
    fn word(&self, index: usize) -> &'l str {
        self.line.words.get(index).map_or("", String::as_str)
    }

    /// The password at that place, or asked for. `exit` is for when nobody answers.
    fn password(&mut self, index: usize, exit: Exit) -> Result<String, Failure> {
        if let Some(word) = self.line.words.get(index) {
            return Ok(word.clone());
        }
        self.flush_announcement();
        let text = "Password is not provided via argument or stdin";
        self.console.ask_secret("Password: ").ok_or_else(|| Failure::refused(exit, text))
    }

    fn ask(&self, ask: &Ask<'_>) -> Result<Answer, BrokerError> {
        self.client.ask(ask)
    }

    /// Asks for something that must succeed or is an error without words of its own.
    fn get(&self, segments: &[&str], query: &str) -> Result<serde_json::Value, Failure> {
        let answer = self.ask(&Ask::get(segments, query))?;
        if answer.is_success() {
            Ok(answer.body)
        } else {
            Err(Failure::unexpected(&answer))
        }
    }

    /// Whether there is such a thing.
    fn exists(&self, segments: &[&str]) -> Result<bool, Failure> {
        let answer = self.ask(&Ask::get(segments, ""))?;
        match answer.status {
            404 => Ok(false),
            _ if answer.is_success() => Ok(true),
            _ => Err(Failure::unexpected(&answer)),
        }
    }
}
