//! Usage, help and the words for a command line that makes no sense.

use super::command::catalogue;
use super::command::{Command, Group};
use super::suggest;

const USAGE: &str = "\x1b[1mUsage\x1b[0m";

/// Options that every command takes.
const GENERAL_OPTIONS: &str = "\
\x1b[1mGeneral Options\x1b[0m

The following options are accepted by all commands, anywhere on the line.

short            | long             | description
-----------------|------------------|--------------------------------
-? -h            | --help           | displays command help
-q               | --quiet          | suppress informational messages
-s               | --silent         | suppress informational messages
                 |                  | and table header row
-p <vhost>       | --vhost <vhost>  | for commands that are scoped to a virtual host,
                 |                  | virtual host to use
-t <seconds>     | --timeout <n>    | how long to wait for the broker (default 60)
                 | --formatter <f>  | json, csv, table or pretty_table
                 | --url <url>      | management port of the broker
                 |                  | (HAREMQ_URL, default http://127.0.0.1:15672)
                 | --data-dir <dir> | data directory of a broker on this machine, for the
                 |                  | operator's token (HAREMQ_DATA_DIR, default ./haremq-data)
                 | --user <name>    | log in as this user instead (HAREMQ_USER)
                 | --password <pw>  | with this password (HAREMQ_PASSWORD)
-n <node>        | --node <node>    | accepted for rabbitmqctl's sake and ignored
";

/// The list of commands.
pub(super) fn overview() -> String {
    let mut text = format!(
        "\n{USAGE}\n\nharemqctl [--url <url>] [--timeout <timeout>] [--quiet] <command> \
         [<command options>]\n\nAvailable commands:\n"
    );
    for group in Group::ALL {
        text.push_str(&format!("\n\x1b[1m{}\x1b[0m:\n\n", group.title()));
        for command in catalogue::all().filter(|command| command.group == group) {
            text.push_str(&format!("   {:<23} {}\n", command.name, command.about));
        }
    }
    text.push_str("\nUse 'haremqctl help <command>' to learn more about a specific command\n");
    text
}

/// One line: how the command is called.
fn usage_line(command: &Command) -> String {
    let usage = if command.usage.is_empty() {
        command.name.to_owned()
    } else {
        format!("{} {}", command.name, command.usage)
    };
    format!("haremqctl [--url <url>] [--quiet] {usage}")
}

/// Help on one command.
pub(super) fn of_command(command: &Command) -> String {
    let mut text = format!("\n{USAGE}\n\n{}\n\n{}.\n\n", usage_line(command), command.about);
    let columns = command.columns.map(|columns| {
        let mut names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        ("<column>", format!("must be one of {}", names.join(", ")))
    });
    let arguments = command.arguments.iter().map(|(name, about)| (*name, (*about).to_owned()));
    let arguments: Vec<(&str, String)> = columns.into_iter().chain(arguments).collect();
    if !arguments.is_empty() {
        text.push_str("\n\x1b[1mArguments and Options\x1b[0m\n\n");
        for (name, about) in arguments {
            text.push_str(&format!("{name}\n\t{about}\n\n"));
        }
    }
    text.push('\n');
    text.push_str(GENERAL_OPTIONS);
    text
}

/// A command that there is not: the one that was meant, or all there are.
pub(super) fn unknown_command(name: &str) -> String {
    let names = catalogue::all().map(|command| command.name);
    match suggest::nearest(name, names) {
        Some(meant) => format!("\nCommand '{name}' not found. \nDid you mean '{meant}'? \n\n"),
        None => format!("\nCommand '{name}' not found. \n{}", overview()),
    }
}

/// Arguments that the command cannot work with.
pub(super) fn validation(command: &Command, argv: &[String], reason: &str) -> String {
    format!(
        "Error (argument validation): {reason}\nArguments given:\n\t{}\n\n{USAGE}\n\n{}\n",
        argv.join(" "),
        usage_line(command)
    )
}

/// `help <command>`
pub(super) fn on(name: &str) -> Option<String> {
    catalogue::find(name).map(of_command)
}
