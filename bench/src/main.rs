//! haremq-perf: a load generator for AMQP 0-9-1 brokers.
//!
//! It speaks the wire and shares no code with the broker it is made for. Few threads, each with an epoll and
//! any number of connections; pre-encoded publishes; deliveries walked where they were read: it has to be
//! cheap, since it runs on the cores that it measures.

mod args;
mod clock;
mod command;
mod consumer;
mod disk;
mod error;
mod interrupt;
mod latency;
mod ledger;
mod link;
mod load;
mod machine;
mod pace;
mod procstat;
mod producer;
mod report;
mod session;
mod stream;
mod suite;
mod uri;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::command::Ending;

fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::install();
    let writable = cli.command.files().into_iter().try_for_each(report::check_writable);
    let ending = writable.and_then(|()| match cli.command {
        Command::Throughput(args) => command::throughput::throughput(&args),
        Command::Latency(args) => command::throughput::latency(&args),
        Command::Backlog(args) => command::backlog::backlog(&args),
        Command::Connections(args) => command::connections::connections(&args),
        Command::Queues(args) => command::queues::queues(&args),
        Command::Churn(args) => command::churn::churn(&args),
        Command::Suite(args) => suite::suite(&args),
        Command::Relay(args) => command::relay::relay(&args),
    });
    match ending {
        Ok(Ending::Clean) => ExitCode::SUCCESS,
        Ok(Ending::Faulty) => ExitCode::from(2),
        Err(error) => {
            eprintln!("haremq-perf: {error}");
            ExitCode::FAILURE
        }
    }
}
