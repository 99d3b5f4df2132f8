//! Options of `throughput` and `latency`, and the plan they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::value::{
    parse_count, parse_plot, parse_rate, parse_seconds, parse_size, Seconds, ValueError,
};
use super::{OutputArgs, TargetArgs};
use crate::error::Result;
use crate::load::plan::{ExchangeKind, LoadPlan};
use crate::wire::table::{Table, Value};

/// Options of a run.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Producers, one connection each.
    #[arg(short = 'x', long, default_value_t = 1)]
    pub(crate) producers: u32,

    /// Consumers, one connection each; 0 leaves the messages in the queues.
    #[arg(short = 'y', long, default_value_t = 1)]
    pub(crate) consumers: u32,

    /// Queues; producers and consumers are dealt out over them in turn.
    #[arg(short, long, default_value_t = 1)]
    pub(crate) queues: u32,

    /// Octets of body; several are taken in turn. From 16 on, each message is stamped: latency is measured
    /// and loss and duplication are found [default: 16, latency: 1KiB]
    #[arg(short, long, value_parser = parse_size, value_delimiter = ',')]
    pub(crate) size: Vec<usize>,

    /// Persistent messages (delivery_mode 2) and durable queues.
    #[arg(short, long)]
    pub(crate) persistent: bool,

    /// Durable queues, also without --persistent.
    #[arg(long)]
    pub(crate) durable: bool,

    /// Publisher confirms, with at most so many publishes unconfirmed per producer.
    #[arg(short, long, value_name = "WINDOW")]
    pub(crate) confirm: Option<u32>,

    /// Manual acks, one for so many messages (multiple from 2 on) [default: auto-ack]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ack_every: Option<u32>,

    /// The broker need not wait for acks. This is the default.
    #[arg(long, conflicts_with = "ack_every")]
    pub(crate) auto_ack: bool,

    /// Unacknowledged messages per consumer; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    pub(crate) prefetch: u16,

    /// Messages per second, all producers together, on a schedule: latency counts from when a message was due
    /// [default: as fast as it goes, latency: 5000]
    #[arg(short, long, value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// With --rate: microseconds before a message is due from which on its thread watches the clock instead of
    /// sleeping, because the kernel's timers are some 25 us late; 0 to sleep all the time
    /// [default: 50, but never more than a quarter of the time between messages]
    #[arg(long, value_name = "US")]
    pub(crate) busy_wait: Option<u32>,

    /// Ask for unroutable messages back.
    #[arg(long)]
    pub(crate) mandatory: bool,

    /// Publish through an exchange of this type.
    #[arg(short, long, value_enum, default_value_t = ExchangeKind::Default)]
    pub(crate) exchange: ExchangeKind,

    /// Queues that each message reaches through a direct, topic or headers exchange (fanout: all of them).
    #[arg(long, default_value_t = 1)]
    pub(crate) fan_out: u32,

    /// Bindings per queue that match no message, to give the router something to do.
    #[arg(long, default_value_t = 0)]
    pub(crate) extra_bindings: u32,

    /// An argument of queue.declare, such as x-max-length=1000; repeat for more.
    #[arg(long = "queue-argument", value_name = "NAME=VALUE", value_parser = parse_argument)]
    pub(crate) queue_arguments: Vec<(String, Value)>,

    /// Length of the measured lap.
    #[arg(short = 'z', long, default_value = "10s", value_parser = parse_seconds)]
    pub(crate) duration: Seconds,

    /// End the measured lap after so many messages, if --duration does not end it before.
    #[arg(short = 'n', long, value_parser = parse_count)]
    pub(crate) count: Option<u64>,

    /// Length of the lap before it, whose figures are thrown away.
    #[arg(short, long, default_value = "1s", value_parser = parse_seconds)]
    pub(crate) warm_up: Seconds,

    /// Threads for producers.
    #[arg(long, default_value_t = 1)]
    pub(crate) producer_threads: u32,

    /// Threads for consumers.
    #[arg(long, default_value_t = 1)]
    pub(crate) consumer_threads: u32,

    /// Publish no further while so many messages are published and not consumed; 0 for no limit.
    #[arg(long, default_value = "0", value_parser = parse_count)]
    pub(crate) max_backlog: u64,

    /// Octets that a producer writes at once.
    #[arg(long, default_value = "128KiB", value_parser = parse_size)]
    pub(crate) batch: usize,

    /// How long to wait for messages that are owed.
    #[arg(long, default_value = "10s", value_parser = parse_seconds)]
    pub(crate) drain_timeout: Seconds,

    /// Do not fail on lost messages, for queues that may drop some (length limits, TTL).
    #[arg(long)]
    pub(crate) no_verify: bool,

    /// Fail also if a consumer gets a producer's messages out of order.
    #[arg(long)]
    pub(crate) verify_order: bool,

    /// Leave queues and exchange behind.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Start of the names of queues and exchange [default: haremq-perf-PID]
    #[arg(long)]
    pub(crate) prefix: Option<String>,

    /// Write latency by percentile and throughput over time as SVG.
    #[arg(long, value_name = "FILE.svg", value_parser = parse_plot)]
    pub(crate) plot: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl LoadArgs {
    /// The plan; `size` and `rate` are the defaults of the command.
    pub(crate) fn plan(&self, size: usize, rate: Option<f64>) -> Result<LoadPlan> {
        let base = LoadPlan::new(self.target.uri.clone());
        let plan = LoadPlan {
            producers: self.producers,
            consumers: self.consumers,
            queues: self.queues,
            sizes: if self.size.is_empty() { vec![size] } else { self.size.clone() },
            persistent: self.persistent,
            durable: self.durable || self.persistent,
            mandatory: self.mandatory,
            confirm_window: self.confirm,
            ack_every: self.ack_every,
            prefetch: self.prefetch,
            rate: self.rate.or(rate),
            busy_wait: self.busy_wait.map(|us| Duration::from_micros(us.into())),
            exchange: self.exchange,
            fan_out: self.fan_out,
            extra_bindings: self.extra_bindings,
            queue_arguments: Table(self.queue_arguments.clone()),
            duration: self.duration,
            count: self.count,
            warm_up: self.warm_up,
            producer_threads: self.producer_threads,
            consumer_threads: self.consumer_threads,
            max_backlog: self.max_backlog,
            drain_timeout: self.drain_timeout,
            verify: !self.no_verify,
            verify_order: self.verify_order,
            keep: self.keep,
            prefix: self.prefix.clone().unwrap_or(base.prefix),
            batch_octets: self.batch,
            broker_pid: self.target.pid()?,
            progress: self.output.shows_progress(),
            uri: base.uri,
            preloaded: None,
        };
        plan.check()?;
        Ok(plan)
    }
}

fn parse_argument(text: &str) -> Result<(String, Value), ValueError> {
    Table::parse_entry(text).ok_or_else(|| ValueError::Argument(text.to_owned()))
}
