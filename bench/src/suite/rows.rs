//! The rows of the suite: what each runs and which figures it yields.

use std::time::Duration;

use super::metric::{Goal, Metric, Unit};
use crate::args::SuiteArgs;
use crate::load::plan::{ExchangeKind, LoadPlan};
use crate::uri::AmqpUri;

/// Messages published and not consumed, at most, in rows without confirms. Without a limit such a row would
/// measure how fast a queue can grow, and fill the memory of brokers that let it.
const MAX_BACKLOG: u64 = 50_000;
/// Rate of the latency row.
const LATENCY_RATE: f64 = 5_000.0;

/// How a row is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// CPU per message and messages per second of a run.
    Throughput(fn(&mut LoadPlan, &SuiteArgs)),
    /// The same per delivery.
    FanOut(fn(&mut LoadPlan, &SuiteArgs)),
    /// Confirm latency of a run.
    ConfirmLatency(fn(&mut LoadPlan, &SuiteArgs)),
    /// End-to-end latency of a run.
    EndToEnd(fn(&mut LoadPlan, &SuiteArgs)),
    /// Publish, memory, restart, drain.
    Backlog,
    /// Memory, CPU, idle CPU.
    Connections,
    /// Memory, time, restart.
    Queues,
}

/// A row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// For `--row`.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// Size of the relay run that is its floor.
    pub(crate) floor_size: Option<usize>,
    /// How it is measured.
    pub(crate) kind: Kind,
    /// What it yields, in the order in which its measurement returns the figures.
    pub(crate) metrics: &'static [Metric],
}

const fn cpu(title: &'static str, goal_us: f64) -> Metric {
    Metric { title, unit: Unit::CpuMicroseconds, goal: Goal::AtMost(goal_us) }
}

const fn metric(title: &'static str, unit: Unit, goal: Goal) -> Metric {
    Metric { title, unit, goal }
}

const CPU: &str = "broker CPU per message";
const RATE: Metric = metric("messages per second", Unit::PerSecond, Goal::None);
const RATE_MILLION: Metric = metric("messages per second", Unit::PerSecond, Goal::AtLeast(1e6));

/// All rows, in the order of the report.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "transient-16",
        title: "transient 16 B, auto-ack, 1 producer, 1 consumer",
        floor_size: Some(16),
        kind: Kind::Throughput(|plan, _| plan.sizes = vec![16]),
        metrics: &[cpu(CPU, 0.25), RATE_MILLION],
    },
    Row {
        name: "transient-1k",
        title: "transient 1 KiB, auto-ack, 1 producer, 1 consumer",
        floor_size: Some(1024),
        kind: Kind::Throughput(|_, _| ()),
        metrics: &[cpu(CPU, 1.2), RATE],
    },
    Row {
        name: "persistent-1k",
        title: "persistent 1 KiB, confirms (window 1000), acks",
        floor_size: None,
        kind: Kind::Throughput(|plan, args| persistent(plan, args, 1000)),
        metrics: &[cpu(CPU, 2.0), RATE],
    },
    Row {
        name: "publish-1k",
        title: "persistent 1 KiB, publish only, confirms (window 1000)",
        floor_size: None,
        kind: Kind::Throughput(|plan, args| {
            persistent(plan, args, 1000);
            plan.consumers = 0;
            plan.count = Some(args.publish_only);
            // The messages of a warm-up would stay in the queue.
            plan.warm_up = Duration::ZERO;
        }),
        metrics: &[cpu(CPU, 1.5), RATE],
    },
    Row {
        name: "ten-transient",
        title: "10 queues, 10 producers, 10 consumers, transient 1 KiB",
        floor_size: Some(1024),
        kind: Kind::Throughput(|plan, _| ten(plan)),
        metrics: &[cpu(CPU, 1.5), RATE],
    },
    Row {
        name: "ten-persistent",
        title:
            "10 queues, 10 producers, 10 consumers, persistent 1 KiB, confirms (window 100), acks",
        floor_size: None,
        kind: Kind::Throughput(|plan, args| {
            ten(plan);
            persistent(plan, args, 100);
        }),
        metrics: &[cpu(CPU, 2.5), RATE],
    },
    Row {
        name: "fan-out",
        title: "fan-out 1 to 5, transient 1 KiB",
        floor_size: None,
        kind: Kind::FanOut(|plan, _| {
            plan.exchange = ExchangeKind::Fanout;
            (plan.queues, plan.consumers) = (5, 5);
            plan.max_backlog = MAX_BACKLOG / 5;
        }),
        metrics: &[
            cpu("broker CPU per delivery", 0.9),
            metric("deliveries per second", Unit::PerSecond, Goal::None),
        ],
    },
    Row {
        name: "backlog",
        title: "backlog of persistent 1 KiB messages, drained with acks every 100",
        floor_size: None,
        kind: Kind::Backlog,
        metrics: &[
            cpu("broker CPU per message drained", 1.0),
            metric("messages per second drained", Unit::PerSecond, Goal::None),
            metric("broker RSS with the backlog", Unit::Octets, Goal::AtMost(100e6)),
            metric("restart with it after kill -9", Unit::Seconds, Goal::AtMost(0.5)),
        ],
    },
    Row {
        name: "confirm-latency",
        title: "persistent 1 KiB, confirms (window 1), acks",
        floor_size: None,
        kind: Kind::ConfirmLatency(|plan, args| persistent(plan, args, 1)),
        metrics: &[
            metric("confirm latency p50", Unit::Microseconds, Goal::TimesWriteAndSync(1.3)),
            metric("confirm latency p99", Unit::Microseconds, Goal::None),
        ],
    },
    Row {
        name: "latency",
        title: "transient 1 KiB, 5000 messages/s",
        floor_size: None,
        kind: Kind::EndToEnd(|plan, _| plan.rate = Some(LATENCY_RATE)),
        metrics: &[
            metric("end-to-end p50", Unit::Microseconds, Goal::AtMost(100.0)),
            metric("end-to-end p99", Unit::Microseconds, Goal::PartOfBestRival(1.0 / 3.0)),
        ],
    },
    Row {
        name: "connections",
        title: "idle connections with a channel",
        floor_size: None,
        kind: Kind::Connections,
        metrics: &[
            metric("memory per connection", Unit::Octets, Goal::AtMost(10e3)),
            cpu("broker CPU per connect and channel", 100.0),
            metric("broker CPU while all are idle", Unit::Percent, Goal::AtMost(0.1)),
        ],
    },
    Row {
        name: "queues",
        title: "empty durable queues",
        floor_size: None,
        kind: Kind::Queues,
        metrics: &[
            metric("memory per queue", Unit::Octets, Goal::AtMost(1e3)),
            metric("declaring all", Unit::Seconds, Goal::AtMost(5.0)),
            metric("restart with them after kill -9", Unit::Seconds, Goal::AtMost(1.0)),
        ],
    },
];

fn persistent(plan: &mut LoadPlan, args: &SuiteArgs, window: u32) {
    plan.persistent = true;
    plan.durable = true;
    plan.confirm_window = Some(window);
    plan.ack_every = Some(args.ack_every);
    plan.prefetch = 1000.max(args.ack_every.min(u32::from(u16::MAX))) as u16;
    plan.max_backlog = 0;
}

fn ten(plan: &mut LoadPlan) {
    (plan.producers, plan.consumers, plan.queues) = (10, 10, 10);
}

impl Row {
    /// The plan of a row that is a single run: transient 1 KiB with auto-ack, as the row changes it.
    pub(crate) fn plan(
        change: fn(&mut LoadPlan, &SuiteArgs),
        args: &SuiteArgs,
        uri: &AmqpUri,
        pid: i32,
    ) -> LoadPlan {
        let mut plan = LoadPlan {
            sizes: vec![1024],
            duration: args.duration,
            warm_up: args.warm_up,
            max_backlog: MAX_BACKLOG,
            broker_pid: Some(pid),
            verify_order: true,
            drain_timeout: Duration::from_secs(60),
            ..LoadPlan::new(uri.clone())
        };
        change(&mut plan, args);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn every_row_is_a_plan_that_can_be_carried_out() {
        let cli = Cli::parse_from(["haremq-perf", "suite", "--list"]);
        let Command::Suite(args) = cli.command else { panic!("not the suite") };
        let uri: AmqpUri = "amqp://127.0.0.1".parse().unwrap();
        for row in ROWS {
            match row.kind {
                Kind::Throughput(change)
                | Kind::FanOut(change)
                | Kind::ConfirmLatency(change)
                | Kind::EndToEnd(change) => {
                    let plan = Row::plan(change, &args, &uri, 1);
                    assert_eq!(plan.check(), Ok(()), "{}", row.name);
                }
                Kind::Backlog | Kind::Connections | Kind::Queues => {}
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
