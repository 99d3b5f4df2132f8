//! The command line.

pub(crate) mod load;
pub(crate) mod value;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use self::load::LoadArgs;
use self::value::{parse_seconds, parse_size, parse_some, PidChoice, Seconds};
use crate::suite::broker::BrokerSpec;
use crate::uri::AmqpUri;

/// haremq-perf: a load generator for AMQP 0-9-1 brokers.
///
/// It speaks the wire and works against any broker. Exit code: 0 for a clean run, 1 if it could not be
/// carried out, 2 if messages were lost, duplicated or never confirmed.
#[derive(Debug, Parser)]
#[command(name = "haremq-perf", version, about, long_about, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Messages per second and CPU per message, as fast as it goes or at a rate.
    Throughput(LoadArgs),
    /// Latency percentiles at a fixed rate (5000 messages/s unless told), coordinated omission corrected.
    Latency(LoadArgs),
    /// Publish a backlog with confirms, restart the broker if asked to, then drain it.
    Backlog(BacklogArgs),
    /// Open many connections: memory and CPU of each, and what they cost while idle.
    Connections(ConnectionsArgs),
    /// Declare many durable queues: time, memory and CPU of each.
    Queues(QueuesArgs),
    /// Open and close connections, as many a second as it goes.
    Churn(ChurnArgs),
    /// All tables against several brokers in turn, with a report.
    Suite(SuiteArgs),
    /// The floor: copy the octets of messages between two sockets and understand nothing.
    Relay(RelayArgs),
}

impl Command {
    /// Files that will be written when it is over.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let files = match self {
            Command::Throughput(args) | Command::Latency(args) => [&args.plot, &args.output.json],
            Command::Backlog(args) => [&None, &args.output.json],
            Command::Connections(args) => [&None, &args.output.json],
            Command::Queues(args) => [&None, &args.output.json],
            Command::Churn(args) => [&None, &args.output.json],
            Command::Suite(args) => [&args.markdown, &args.json],
            Command::Relay(args) => [&None, &args.json],
        };
        files.into_iter().flatten().map(PathBuf::as_path).collect()
    }
}

/// Which broker.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// amqp://user:password@host:port/vhost, or amqps:// with ?cacertfile=FILE or ?verify=verify_none at its end
    #[arg(short, long, default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    pub(crate) uri: AmqpUri,

    /// Process of the broker, for its CPU and memory: a pid, or auto to find who listens on the port
    /// [default: auto for a broker on this machine, if it can be found]
    #[arg(long, value_name = "PID|auto")]
    pub(crate) broker_pid: Option<PidChoice>,
}

impl TargetArgs {
    /// The pid, looked up if asked for or if the broker is here.
    pub(crate) fn pid(&self) -> crate::error::Result<Option<i32>> {
        match self.broker_pid {
            Some(choice) => choice.resolve(self.uri.port).map(Some),
            // Whose process it is may be hidden from this user: the run is worth having all the same.
            None if self.uri.is_loopback() => Ok(PidChoice::Auto.resolve(self.uri.port).ok()),
            None => Ok(None),
        }
    }
}

/// See [`Command::Backlog`].
#[derive(Debug, Args)]
pub(crate) struct BacklogArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Messages to publish.
    #[arg(short, long, default_value = "1M", value_parser = parse_some)]
    pub(crate) messages: u64,

    /// Octets of body.
    #[arg(short, long, default_value = "1KiB", value_parser = parse_size)]
    pub(crate) size: usize,

    /// Unconfirmed publishes.
    #[arg(short, long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) confirm: u32,

    /// Messages per acknowledgement in the drain.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ack_every: u32,

    /// Unacknowledged messages in the drain; 0 for no limit.
    #[arg(long, default_value_t = 2000)]
    pub(crate) prefetch: u16,

    /// Kill the broker (kill -9) between publishing and draining and start it again with this command.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) start: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// See [`Command::Connections`].
#[derive(Debug, Args)]
pub(crate) struct ConnectionsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Connections to open, each with a channel.
    #[arg(short = 'n', long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// How long to leave them alone.
    #[arg(long, default_value = "5s", value_parser = parse_seconds)]
    pub(crate) idle: Seconds,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// See [`Command::Queues`].
#[derive(Debug, Args)]
pub(crate) struct QueuesArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Queues to declare.
    #[arg(short = 'n', long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queues: u32,

    /// Start of the queue names.
    #[arg(long, default_value = "haremq-perf-queues")]
    pub(crate) prefix: String,

    /// Leave the queues there, for instance to restart the broker and look for them with --existing.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Do not declare, but check that all the queues of an earlier run are there.
    #[arg(long)]
    pub(crate) existing: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// See [`Command::Churn`].
#[derive(Debug, Args)]
pub(crate) struct ChurnArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How long.
    #[arg(short = 'z', long, default_value = "10s", value_parser = parse_seconds)]
    pub(crate) duration: Seconds,

    /// Channels to open in each connection.
    #[arg(long, default_value_t = 1)]
    pub(crate) channels: u16,

    /// Connections at a time, with a thread each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) parallel: u32,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// See [`Command::Suite`].
#[derive(Debug, Args)]
pub(crate) struct SuiteArgs {
    /// A broker to measure: NAME=URI[,pid=PID][,start=COMMAND]. Without pid, it is who listens on the port.
    /// With start, rows that need it kill the broker (kill -9) and start it again with the command, which
    /// may have commas in it and so comes last. Repeat for each broker; ratios are to the first one.
    #[arg(short, long = "broker", required_unless_present = "list", value_name = "SPEC")]
    pub(crate) brokers: Vec<BrokerSpec>,

    /// Rows to measure, by name; all if left out.
    #[arg(short, long = "row", value_name = "NAME", value_delimiter = ',')]
    pub(crate) rows: Vec<String>,

    /// List the rows and end.
    #[arg(long)]
    pub(crate) list: bool,

    /// Times that each row is measured with each broker; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,

    /// Length of the measured lap of each run.
    #[arg(short = 'z', long, default_value = "5s", value_parser = parse_seconds)]
    pub(crate) duration: Seconds,

    /// Length of the lap before it.
    #[arg(long, default_value = "1s", value_parser = parse_seconds)]
    pub(crate) warm_up: Seconds,

    /// Messages of the backlog rows.
    #[arg(long, default_value = "1M", value_parser = parse_some)]
    pub(crate) backlog: u64,

    /// Most messages of the row that publishes and does not consume.
    #[arg(long, default_value = "500k", value_parser = parse_some)]
    pub(crate) publish_only: u64,

    /// Connections of the connection rows.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// Queues of the queue rows.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queues: u32,

    /// Messages per acknowledgement in the rows with acks (the drain has its own: 100).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ack_every: u32,

    /// Where to measure write and sync; should be the disk that the brokers use.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) disk: PathBuf,

    /// Write the report as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Write the report, with every single run, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// See [`Command::Relay`].
#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Octets of body, one or more.
    #[arg(short, long, default_value = "16,128,1KiB,16KiB", value_parser = parse_size, value_delimiter = ',')]
    pub(crate) size: Vec<usize>,

    /// How long for each size.
    #[arg(short = 'z', long, default_value = "3s", value_parser = parse_seconds)]
    pub(crate) duration: Seconds,

    /// Octets per read and write of the relay.
    #[arg(long, default_value = "256KiB", value_parser = parse_size)]
    pub(crate) buffer: usize,

    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Where the result goes besides the terminal.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Print a line each second although standard error is no terminal.
    #[arg(long)]
    pub(crate) progress: bool,

    /// Print no such lines.
    #[arg(long, conflicts_with = "progress")]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    /// Lines are to be printed while it goes on.
    pub(crate) fn shows_progress(&self) -> bool {
        use std::io::IsTerminal;
        !self.quiet && (self.progress || std::io::stderr().is_terminal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
