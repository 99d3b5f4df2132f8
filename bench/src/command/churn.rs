//! `churn`: clients that connect, open channels, and go.

use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::args::ChurnArgs;
use crate::clock::{now_ns, process_cpu_ns};
use crate::command::Ending;
use crate::error::Result;
use crate::interrupt;
use crate::latency::{Recorder, Summary};
use crate::procstat::ProcessReading;
use crate::report::{json, text};
use crate::session::Session;
use crate::uri::AmqpUri;

/// What to do again and again.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChurnPlan {
    /// Broker and vhost.
    pub(crate) uri: AmqpUri,
    /// Process of the broker.
    pub(crate) broker_pid: Option<i32>,
    /// How long.
    pub(crate) duration: Duration,
    /// Channels in each connection.
    pub(crate) channels: u16,
    /// Connections at a time.
    pub(crate) parallel: u32,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChurnOutcome {
    /// Connections opened and closed.
    pub(crate) connections: u64,
    /// Seconds.
    pub(crate) seconds: f64,
    /// Connections per second.
    pub(crate) per_s: f64,
    /// CPU microseconds of the broker per connection.
    pub(crate) broker_cpu_us: Option<f64>,
    /// CPU microseconds of this program per connection.
    pub(crate) own_cpu_us: f64,
    /// From connect to close-ok.
    pub(crate) latency: Summary,
}

/// Connects and goes until the time is over.
pub(crate) fn measure(plan: &ChurnPlan) -> Result<ChurnOutcome> {
    let read = || plan.broker_pid.map(ProcessReading::take).transpose();
    let before = read()?;
    let own_before_ns = process_cpu_ns();
    let start_ns = now_ns();
    let end_ns = start_ns + plan.duration.as_nanos() as u64;
    let recorders: Vec<Result<Recorder>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..plan.parallel).map(|_| scope.spawn(|| come_and_go(plan, end_ns))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    let seconds = (now_ns() - start_ns) as f64 / 1e9;
    let after = read()?;
    let own_cpu_us = (process_cpu_ns() - own_before_ns) as f64 / 1e3;
    let mut all = Recorder::default();
    for recorder in recorders {
        all.merge(recorder?);
    }
    let latency = all.summary();
    let each = |total: f64| total / latency.count.max(1) as f64;
    Ok(ChurnOutcome {
        connections: latency.count,
        seconds,
        per_s: latency.count as f64 / seconds.max(1e-9),
        broker_cpu_us: before
            .zip(after)
            .map(|(before, after)| each((after.cpu_us - before.cpu_us) as f64)),
        own_cpu_us: each(own_cpu_us),
        latency,
    })
}

fn come_and_go(plan: &ChurnPlan, end_ns: u64) -> Result<Recorder> {
    let mut recorder = Recorder::default();
    loop {
        let start_ns = now_ns();
        if start_ns >= end_ns || interrupt::requested() {
            return Ok(recorder);
        }
        let mut session = Session::connect(&plan.uri, "haremq-perf churn")?;
        for channel in 1..=plan.channels {
            session.open_channel(channel)?;
        }
        for channel in 1..=plan.channels {
            session.close_channel(channel)?;
        }
        session.close()?;
        recorder.record(now_ns() - start_ns, 1);
    }
}

/// The subcommand.
pub(crate) fn churn(args: &ChurnArgs) -> Result<Ending> {
    let plan = ChurnPlan {
        uri: args.target.uri.clone(),
        broker_pid: args.target.pid()?,
        duration: args.duration,
        channels: args.channels,
        parallel: args.parallel.max(1),
    };
    let outcome = measure(&plan)?;
    println!(
        "churn       {} connections in {:.2} s = {:.0}/s",
        text::count(outcome.connections),
        outcome.seconds,
        outcome.per_s
    );
    println!("latency     {}", text::percentiles(&outcome.latency));
    if let Some(cpu_us) = outcome.broker_cpu_us {
        println!("broker CPU  {} per connection", text::duration_us(cpu_us));
    }
    println!("own CPU     {} per connection", text::duration_us(outcome.own_cpu_us));
    if let Some(path) = &args.output.json {
        json::write(path, "churn", &plan, &outcome)?;
    }
    Ok(Ending::Clean)
}
