//! One run of one row with one broker.

use super::broker::Broker;
use super::rows::{Kind, Row};
use crate::args::SuiteArgs;
use crate::command::backlog::{self, BacklogPlan};
use crate::command::connections::{self, ConnectionsPlan};
use crate::command::queues::QueuesPlan;
use crate::error::Result;
use crate::load::outcome::{BrokerUse, Fault, LoadOutcome};
use crate::load::plan::LoadPlan;
use crate::load::run;

/// What a run yields: a figure for each metric of the row, none where it could not be measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// In the order of the row's metrics.
    pub(crate) values: Vec<Option<f64>>,
    /// What must not happen, and did.
    pub(crate) faults: Vec<Fault>,
    /// CPU microseconds of this program per message.
    pub(crate) own_cpu_us: Option<f64>,
}

/// Measures.
pub(crate) fn measure(row: &Row, broker: &mut Broker, args: &SuiteArgs) -> Result<Figures> {
    type Change = fn(&mut LoadPlan, &SuiteArgs);
    let load = |change: Change| run::run(&Row::plan(change, args, &broker.uri, broker.pid));
    match row.kind {
        Kind::Throughput(change) => load(change).map(|outcome| {
            let rate = outcome.consumed_per_s.max(outcome.confirmed_per_s);
            let rate = if outcome.consumed > 0 { outcome.consumed_per_s } else { rate };
            figures(&outcome, vec![cpu(&outcome, |used| used.cpu_us_per_message), Some(rate)])
        }),
        Kind::FanOut(change) => load(change).map(|outcome| {
            let per_delivery = outcome.broker.as_ref().and_then(|used| used.cpu_us_per_delivery);
            figures(&outcome, vec![per_delivery, Some(outcome.consumed_per_s)])
        }),
        Kind::ConfirmLatency(change) => load(change).map(|outcome| {
            let latency = outcome.confirm.as_ref();
            let values = vec![latency.map(|all| all.p50_us), latency.map(|all| all.p99_us)];
            figures(&outcome, values)
        }),
        Kind::EndToEnd(change) => load(change).map(|outcome| {
            let latency = outcome.end_to_end.as_ref();
            let values = vec![latency.map(|all| all.p50_us), latency.map(|all| all.p99_us)];
            figures(&outcome, values)
        }),
        Kind::Backlog => backlog_row(broker, args),
        Kind::Connections => connections_row(broker, args),
        Kind::Queues => queues_row(broker, args),
    }
}

fn cpu(outcome: &LoadOutcome, read: fn(&BrokerUse) -> f64) -> Option<f64> {
    outcome.broker.as_ref().map(read)
}

fn figures(outcome: &LoadOutcome, values: Vec<Option<f64>>) -> Figures {
    let own_cpu_us = Some(outcome.generator.cpu_us_per_message);
    Figures { values, faults: outcome.faults.clone(), own_cpu_us }
}

fn backlog_row(broker: &mut Broker, args: &SuiteArgs) -> Result<Figures> {
    let plan = BacklogPlan {
        uri: broker.uri.clone(),
        broker_pid: Some(broker.pid),
        messages: args.backlog,
        size: 1024,
        confirm: 1000,
        ack_every: 100,
        prefetch: 2000,
        progress: false,
    };
    let outcome = backlog::measure(&plan, Some(broker))?;
    let rss = outcome.publish.broker.as_ref().map(|used| used.rss_end_octets as f64);
    let mut figures = figures(
        &outcome.drain,
        vec![
            cpu(&outcome.drain, |used| used.cpu_us_per_message),
            Some(outcome.drain.consumed_per_s),
            rss,
            outcome.restart_s,
        ],
    );
    figures.faults.extend(outcome.publish.faults);
    Ok(figures)
}

/// Memory that earlier rows gave back to the allocator, but not to the system, would be used again and not be
/// seen: such rows want a process that has done nothing yet, where it can be had.
fn refresh(broker: &mut Broker) -> Result<()> {
    broker.restart(|_| Ok(true)).map(|_| ())
}

fn connections_row(broker: &mut Broker, args: &SuiteArgs) -> Result<Figures> {
    refresh(broker)?;
    let plan = ConnectionsPlan {
        uri: broker.uri.clone(),
        broker_pid: Some(broker.pid),
        connections: args.connections,
        idle: args.duration,
        progress: false,
    };
    let used = connections::measure(&plan)?.broker;
    let values = match used {
        Some(used) => vec![
            used.memory_octets_per_connection,
            Some(used.cpu_us_per_connect),
            Some(used.idle_cpu_percent),
        ],
        None => vec![None; 3],
    };
    Ok(Figures { values, ..Figures::default() })
}

fn queues_row(broker: &mut Broker, args: &SuiteArgs) -> Result<Figures> {
    refresh(broker)?;
    let plan = QueuesPlan {
        uri: broker.uri.clone(),
        broker_pid: Some(broker.pid),
        queues: args.queues,
        prefix: format!("haremq-perf-{}-queues", std::process::id()),
        progress: false,
    };
    let measured = declare_and_restart(&plan, broker);
    let deleted = plan.delete();
    let (declared, restart_s) = measured?;
    deleted?;
    let values = vec![declared.memory_octets_per_queue, Some(declared.declare_s), restart_s];
    Ok(Figures { values, ..Figures::default() })
}

fn declare_and_restart(
    plan: &QueuesPlan,
    broker: &mut Broker,
) -> Result<(crate::command::queues::QueuesOutcome, Option<f64>)> {
    let declared = plan.declare()?;
    let last = plan.name(plan.queues.saturating_sub(1));
    // One queue in the timed part, so that asking for all does not count as the restart; all of them after.
    let restart_s = broker.restart(|session| session.inspect_queue(&last).map(|_| true))?;
    if restart_s.is_some() {
        let mut session = crate::session::Session::with_channel(&plan.uri, "haremq-perf")?;
        plan.check(&mut session)?;
        session.close()?;
    }
    Ok((declared, restart_s))
}
