//! `connections`: open many, each with a channel, and leave them alone for a while.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use serde::Serialize;

use crate::args::ConnectionsArgs;
use crate::clock::process_cpu_ns;
use crate::command::Ending;
use crate::error::{PerfError, Result};
use crate::interrupt;
use crate::procstat::{memory_of_each, ProcessReading};
use crate::report::{json, text};
use crate::session::{Identity, Session};
use crate::uri::AmqpUri;

/// Given to the broker to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// What to open.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConnectionsPlan {
    /// Broker and vhost.
    pub(crate) uri: AmqpUri,
    /// Process of the broker.
    pub(crate) broker_pid: Option<i32>,
    /// Connections.
    pub(crate) connections: u32,
    /// How long to leave them alone.
    pub(crate) idle: Duration,
    /// Print a line each thousand.
    pub(crate) progress: bool,
}

/// What the broker used for them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConnectionsUse {
    /// CPU microseconds per connection and channel opened.
    pub(crate) cpu_us_per_connect: f64,
    /// Resident octets per connection, without pages of files, of the second half of them. `None`: the process
    /// gave more back meanwhile.
    pub(crate) memory_octets_per_connection: Option<f64>,
    /// CPU of one processor while all are idle, in percent.
    pub(crate) idle_cpu_percent: f64,
    /// Resident octets before, without pages of files.
    pub(crate) memory_start_octets: u64,
    /// The same with all open.
    pub(crate) memory_open_octets: u64,
    /// The same after all were closed.
    pub(crate) memory_closed_octets: u64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConnectionsOutcome {
    /// What the broker says that it is.
    pub(crate) identity: Identity,
    /// Opened.
    pub(crate) connections: u64,
    /// Seconds that opening took, one after another.
    pub(crate) open_s: f64,
    /// Seconds that closing took.
    pub(crate) close_s: f64,
    /// The broker's process.
    pub(crate) broker: Option<ConnectionsUse>,
    /// CPU microseconds of this program per connection opened.
    pub(crate) own_cpu_us_per_connect: f64,
}

/// Opens, waits, closes.
pub(crate) fn measure(plan: &ConnectionsPlan) -> Result<ConnectionsOutcome> {
    raise_descriptor_limit(u64::from(plan.connections) + 64);
    let read = || plan.broker_pid.map(ProcessReading::take).transpose();
    // The first connection makes the broker load and allocate what it needs once.
    let first = Session::with_channel(&plan.uri, "haremq-perf")?;
    let identity = first.identity().clone();
    thread::sleep(SETTLE);
    let before = read()?;
    let own_before_ns = process_cpu_ns();
    let (begun, mut paused, mut halfway) = (Instant::now(), Duration::ZERO, None);
    let mut sessions = Vec::new();
    for number in 1..=plan.connections {
        if number == plan.connections / 2 + 1 {
            let pause = Instant::now();
            thread::sleep(SETTLE);
            halfway = read()?.map(|reading| (reading, sessions.len() as u64));
            paused = pause.elapsed();
        }
        sessions.push(Session::with_channel(&plan.uri, "haremq-perf")?);
        if plan.progress && number % 1000 == 0 {
            eprintln!("{number} connections in {:.1} s", begun.elapsed().as_secs_f64());
        }
        if interrupt::requested() {
            break;
        }
    }
    let open_s = (begun.elapsed() - paused).as_secs_f64();
    let own_cpu_us = (process_cpu_ns() - own_before_ns) as f64 / 1e3;
    let opened = read()?;
    thread::sleep(SETTLE);
    let settled = read()?;
    thread::sleep(plan.idle);
    let idle = read()?;
    let connections = sessions.len() as u64;
    let begun = Instant::now();
    for session in sessions {
        session.close()?;
    }
    let close_s = begun.elapsed().as_secs_f64();
    thread::sleep(SETTLE);
    let closed = read()?;
    first.close()?;
    let broker = match [before, opened, settled, idle, closed] {
        [Some(before), Some(opened), Some(settled), Some(idle), Some(closed)] => {
            let second_half = |(reading, of_first): (ProcessReading, u64)| {
                memory_of_each(&reading, &idle, connections - of_first)
            };
            let each = |total: f64| total / connections.max(1) as f64;
            let idle_us = (idle.cpu_us - settled.cpu_us) as f64;
            Some(ConnectionsUse {
                cpu_us_per_connect: each((opened.cpu_us - before.cpu_us) as f64),
                memory_octets_per_connection: halfway.and_then(second_half),
                idle_cpu_percent: idle_us / plan.idle.as_secs_f64().max(0.001) / 1e4,
                memory_start_octets: before.anonymous_octets,
                memory_open_octets: idle.anonymous_octets,
                memory_closed_octets: closed.anonymous_octets,
            })
        }
        _ => None,
    };
    Ok(ConnectionsOutcome {
        identity,
        connections,
        open_s,
        close_s,
        broker,
        own_cpu_us_per_connect: own_cpu_us / connections.max(1) as f64,
    })
}

/// As far as the hard limit lets it; a connection too many then fails with the system's words.
fn raise_descriptor_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(Some(wanted), |maximum| Some(maximum.min(wanted)));
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    }
}

/// The subcommand.
pub(crate) fn connections(args: &ConnectionsArgs) -> Result<Ending> {
    let plan = ConnectionsPlan {
        uri: args.target.uri.clone(),
        broker_pid: args.target.pid()?,
        connections: args.connections,
        idle: args.idle,
        progress: args.output.shows_progress(),
    };
    let outcome = measure(&plan)?;
    let per_s = outcome.connections as f64 / outcome.open_s.max(1e-9);
    println!("broker      {}", outcome.identity);
    println!(
        "opened      {} connections with a channel in {:.2} s = {per_s:.0}/s, closed in {:.2} s",
        text::count(outcome.connections),
        outcome.open_s,
        outcome.close_s
    );
    if let Some(broker) = &outcome.broker {
        println!(
            "broker CPU  {} per connect and channel, {:.2} % while idle",
            text::duration_us(broker.cpu_us_per_connect),
            broker.idle_cpu_percent
        );
        println!(
            "memory      {} per connection ({} before, {} open, {} closed)",
            text::memory_of_each(broker.memory_octets_per_connection),
            text::octets(broker.memory_start_octets as f64),
            text::octets(broker.memory_open_octets as f64),
            text::octets(broker.memory_closed_octets as f64)
        );
    }
    println!("own CPU     {} per connect", text::duration_us(outcome.own_cpu_us_per_connect));
    if let Some(path) = &args.output.json {
        json::write(path, "connections", &plan, &outcome)?;
    }
    if outcome.connections < u64::from(plan.connections) && !interrupt::requested() {
        return Err(PerfError::Disconnected("connections were opened"));
    }
    Ok(Ending::Clean)
}
