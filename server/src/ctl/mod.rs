//! `haremqctl`, the operator's command line: `rabbitmqctl`'s daily commands over the management port.
//!
//! A process of its own; it touches nothing of the broker but the port and the file with the
//! operator's token. Grammar, output and exit codes are those of rabbitmqctl 3.10.8 (behaviour
//! section E1). What is printed where: results and what is being done to standard output, refusals
//! to standard error.
//!
//! The way of one call: [`args`] reads the line with the switches of the command from
//! [`command::catalogue`]; the command asks the broker through [`client`] and gives a
//! [`command::Reply`]; [`format`] makes text of it. It must not import anything of the broker but
//! `management::{token, pid}`.

mod args;
mod client;
mod command;
mod console;
mod exit;
mod format;
mod help;
mod settings;
mod suggest;
mod term;

#[cfg(test)]
mod tests;

pub use console::{read_secret, Console};
pub use exit::Exit;
pub use settings::Environment;

use self::args::Line;
use self::client::Client;
use self::command::{catalogue, Command, Context, Failure, Reply};
use self::format::Formatter;
use self::settings::Settings;

/// Carries out one call. `argv` is without the program's name.
pub fn run(argv: &[String], environment: &Environment, console: &mut Console<'_>) -> Exit {
    let Some(name) = args::command_name(argv) else {
        return without_command(argv, console);
    };
    let Some(command) = catalogue::find(&name) else {
        console.error(&help::unknown_command(&name));
        return Exit::Usage;
    };
    let line = args::read(argv, &command.switches());
    if line.flag("help") {
        console.print(&help::of_command(command));
        return Exit::Ok;
    }
    if let Err(failure) = check(command, &line) {
        return fail(failure, command, argv, console);
    }
    let formatter = match Formatter::named(line.text("formatter")) {
        Ok(formatter) => formatter,
        Err(reason) => return fail(Failure::validation(reason), command, argv, console),
    };
    let client = match Settings::of(&line, environment).and_then(|settings| Client::new(&settings))
    {
        Ok(client) => client,
        Err(reason) => return fail(Failure::validation(reason), command, argv, console),
    };
    let announces = formatter.announces() && !line.flag("quiet") && !line.flag("silent");
    let mut context = Context::new(&line, client, console, announces);
    match (command.run)(&mut context) {
        Ok(reply) => {
            context.flush_announcement();
            let node = context.client.node();
            print(&reply, formatter, &line, node.as_deref(), console);
            Exit::Ok
        }
        Err(failure) => {
            if !matches!(failure, Failure::Broker(_)) {
                context.flush_announcement();
            }
            fail(failure, command, argv, console)
        }
    }
}

/// No command at all: the list of commands, asked for or not.
fn without_command(argv: &[String], console: &mut Console<'_>) -> Exit {
    let line = args::read(argv, &args::GLOBAL);
    if line.flag("version") {
        console.print(&format!("{}\n", env!("CARGO_PKG_VERSION")));
        return Exit::Ok;
    }
    if line.flag("help") {
        console.print(&help::overview());
        return Exit::Ok;
    }
    console.error(&help::overview());
    Exit::Usage
}

/// What can be said to be wrong without asking anyone.
fn check(command: &Command, line: &Line) -> Result<(), Failure> {
    if !line.invalid.is_empty() {
        let mut reason = String::from("Invalid options for this command:");
        for (option, value) in &line.invalid {
            reason.push_str(&format!("\n{option} : {}", value.as_deref().unwrap_or("")));
        }
        return Err(Failure::validation(reason));
    }
    let (least, most) = command.arity;
    if line.words.len() < least {
        return Err(Failure::validation("not enough arguments."));
    }
    if most.is_some_and(|most| line.words.len() > most) {
        return Err(Failure::validation("too many arguments."));
    }
    Ok(())
}

fn print(
    reply: &Reply,
    formatter: Formatter,
    line: &Line,
    node: Option<&str>,
    console: &mut Console<'_>,
) {
    let headers = !line.flag("silent") && !line.flag("no-table-headers");
    console.print(&format::reply(reply, formatter, headers, node));
}

/// Says why not, and gives the exit code of that.
fn fail(failure: Failure, command: &Command, argv: &[String], console: &mut Console<'_>) -> Exit {
    match failure {
        Failure::Validation { exit, reason } => {
            console.error(&help::validation(command, argv, &reason));
            exit
        }
        Failure::Refused { exit, text } => {
            console.error(&format!("Error:\n{text}\n"));
            exit
        }
        Failure::Plain { exit, text } => {
            console.error(&format!("{text}\n"));
            exit
        }
        Failure::Broker(error) => {
            console.error(&format!("Error: {error}\n"));
            Exit::Unavailable
        }
    }
}
