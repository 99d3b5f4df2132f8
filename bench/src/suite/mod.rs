//! `suite`: all tables against several brokers in turn, A B A B, so that what changes on the machine meanwhile
//! meets them all; medians, ratios, and a report that says where it was made.

pub(crate) mod broker;
pub(crate) mod measure;
pub(crate) mod metric;
pub(crate) mod rows;

use std::thread;
use std::time::Duration;

use serde::Serialize;

use self::broker::Broker;
use self::measure::Figures;
use self::metric::{median, Bound, Metric};
use self::rows::{Row, ROWS};
use crate::args::SuiteArgs;
use crate::command::relay::{self, RelayFigures};
use crate::command::Ending;
use crate::disk::{self, SyncFigures};
use crate::error::{PlanError, Result};
use crate::interrupt;
use crate::machine::Machine;
use crate::report::{json, markdown};
use crate::session::Identity;

/// Between runs, so that the work of one is not counted to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// A report of the suite.
#[derive(Debug, Serialize)]
pub(crate) struct SuiteReport {
    /// Where it was made.
    pub(crate) machine: Machine,
    /// With whom.
    pub(crate) brokers: Vec<BrokerLabel>,
    /// How.
    pub(crate) settings: Settings,
    /// One write and sync on the disk.
    pub(crate) sync: Vec<SyncFigures>,
    /// The byte relay.
    pub(crate) floor: Vec<RelayFigures>,
    /// The figures.
    pub(crate) lines: Vec<Line>,
    /// What went wrong.
    pub(crate) failures: Vec<Failure>,
}

/// A broker in the report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BrokerLabel {
    /// As the command line called it.
    pub(crate) name: String,
    /// What it says that it is.
    pub(crate) identity: Identity,
}

/// How the suite was run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    /// Runs per row and broker.
    pub(crate) repeat: u32,
    /// Seconds of the measured lap.
    pub(crate) duration_s: f64,
    /// Seconds of the lap before it.
    pub(crate) warm_up_s: f64,
    /// Messages of the backlog.
    pub(crate) backlog: u64,
    /// Most messages of the publish-only row.
    pub(crate) publish_only: u64,
    /// Connections.
    pub(crate) connections: u32,
    /// Queues.
    pub(crate) queues: u32,
    /// Messages per ack in rows with acks.
    pub(crate) ack_every: u32,
}

/// One metric of one row, with all brokers' figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    /// Name of the row.
    pub(crate) row: &'static str,
    /// Title of the row.
    pub(crate) title: &'static str,
    /// What was measured.
    pub(crate) metric: Metric,
    /// Every run, by broker.
    pub(crate) runs: Vec<Vec<f64>>,
    /// Median by broker.
    pub(crate) medians: Vec<Option<f64>>,
    /// CPU microseconds of the byte relay per message.
    pub(crate) floor_us: Option<f64>,
    /// Microseconds of one write and sync: median of those measured before each run, for a goal that refers to it.
    pub(crate) write_and_sync_us: Option<f64>,
    /// CPU microseconds of this program per message, median by broker.
    pub(crate) own_cpu_us: Vec<Option<f64>>,
}

impl Line {
    /// The goal as a number.
    pub(crate) fn bound(&self) -> Option<Bound> {
        let rivals: Vec<f64> = self.medians.iter().skip(1).filter_map(|value| *value).collect();
        self.metric.goal.bound(self.write_and_sync_us, &rivals)
    }
}

/// A run that did not go well.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    /// Row.
    pub(crate) row: &'static str,
    /// Broker.
    pub(crate) broker: String,
    /// What happened.
    pub(crate) what: String,
}

/// The subcommand.
pub(crate) fn suite(args: &SuiteArgs) -> Result<Ending> {
    if args.list {
        ROWS.iter().for_each(|row| println!("{:<16} {}", row.name, row.title));
        return Ok(Ending::Clean);
    }
    let rows = choose(&args.rows)?;
    let mut brokers = args.brokers.iter().map(Broker::new).collect::<Result<Vec<_>>>()?;
    eprintln!("measuring write and sync, and the byte relay");
    let sync = disk::measure(&args.disk)?;
    let floor = floor(&rows)?;
    let mut report = SuiteReport {
        machine: Machine::read(),
        brokers: brokers
            .iter()
            .map(|broker| BrokerLabel {
                name: broker.name.clone(),
                identity: broker.identity.clone(),
            })
            .collect(),
        settings: settings(args),
        sync,
        floor,
        lines: Vec::new(),
        failures: Vec::new(),
    };
    for row in rows {
        if interrupt::requested() {
            break;
        }
        let lines = run_row(row, &mut brokers, args, &report.floor, &mut report.failures);
        report.lines.extend(lines);
    }
    let text = markdown::report(&report);
    println!("{text}");
    if let Some(path) = &args.markdown {
        crate::report::save(path, &text)?;
    }
    if let Some(path) = &args.json {
        json::write(path, "suite", &report.settings, &report)?;
    }
    Ok(if report.failures.is_empty() { Ending::Clean } else { Ending::Faulty })
}

fn settings(args: &SuiteArgs) -> Settings {
    Settings {
        repeat: args.repeat,
        duration_s: args.duration.as_secs_f64(),
        warm_up_s: args.warm_up.as_secs_f64(),
        backlog: args.backlog,
        publish_only: args.publish_only,
        connections: args.connections,
        queues: args.queues,
        ack_every: args.ack_every,
    }
}

fn choose(names: &[String]) -> Result<Vec<&'static Row>, PlanError> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| {
        let row = ROWS.iter().find(|row| row.name == name);
        row.ok_or_else(|| PlanError::UnknownRow(name.clone()))
    };
    names.iter().map(find).collect()
}

/// The byte relay, for the sizes that the rows need.
fn floor(rows: &[&Row]) -> Result<Vec<RelayFigures>> {
    let mut sizes: Vec<usize> = rows.iter().filter_map(|row| row.floor_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let duration = Duration::from_secs(2);
    sizes.into_iter().map(|size| relay::measure(size, duration, 256 * 1024)).collect()
}

/// Runs a row with each broker in turn, as often as asked for.
fn run_row(
    row: &'static Row,
    brokers: &mut [Broker],
    args: &SuiteArgs,
    floor: &[RelayFigures],
    failures: &mut Vec<Failure>,
) -> Vec<Line> {
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); brokers.len()];
    let is_held_against_disk = row.metrics.iter().any(|metric| metric.goal.refers_to_disk());
    let mut syncs_us = Vec::new();
    for turn in 1..=args.repeat {
        for (broker, runs) in brokers.iter_mut().zip(&mut runs) {
            if interrupt::requested() {
                break;
            }
            thread::sleep(PAUSE);
            if is_held_against_disk {
                // What the disk takes changes from minute to minute: the one at the head of the report may be another's.
                match disk::glance(&args.disk) {
                    Ok(sync_us) => syncs_us.extend(sync_us),
                    Err(error) => eprintln!("write and sync: {error}"),
                }
            }
            let result = measure::measure(row, broker, args);
            let mut fail = |what: String| {
                failures.push(Failure { row: row.name, broker: broker.name.clone(), what });
            };
            let head = format!("{} {turn}/{} {}", row.name, args.repeat, broker.name);
            match result {
                Ok(figures) => {
                    eprintln!("{head}: {}", show(row, &figures));
                    figures.faults.iter().for_each(|fault| fail(fault.to_string()));
                    runs.push(figures);
                }
                Err(error) => {
                    eprintln!("{head}: {error}");
                    fail(error.to_string());
                }
            }
        }
    }
    let floor_us = row
        .floor_size
        .and_then(|size| floor.iter().find(|figures| figures.size == size))
        .map(|figures| figures.relay_us);
    lines(row, &runs, floor_us, median(&syncs_us))
}

fn lines(
    row: &'static Row,
    runs: &[Vec<Figures>],
    floor_us: Option<f64>,
    write_and_sync_us: Option<f64>,
) -> Vec<Line> {
    let own: Vec<Option<f64>> = runs
        .iter()
        .map(|runs| median(&runs.iter().filter_map(|run| run.own_cpu_us).collect::<Vec<_>>()))
        .collect();
    let line = |(index, metric): (usize, &Metric)| {
        let value = |run: &Figures| run.values.get(index).copied().flatten();
        let runs: Vec<Vec<f64>> =
            runs.iter().map(|runs| runs.iter().filter_map(value).collect()).collect();
        let is_cpu = index == 0;
        Line {
            row: row.name,
            title: row.title,
            metric: *metric,
            medians: runs.iter().map(|runs| median(runs)).collect(),
            runs,
            floor_us: floor_us.filter(|_| is_cpu),
            write_and_sync_us: write_and_sync_us.filter(|_| metric.goal.refers_to_disk()),
            own_cpu_us: if is_cpu { own.clone() } else { Vec::new() },
        }
    };
    row.metrics.iter().enumerate().map(line).collect()
}

fn show(row: &Row, figures: &Figures) -> String {
    let shown = row.metrics.iter().zip(&figures.values).map(|(metric, value)| match value {
        Some(value) => metric.unit.show(*value),
        None => "not measured".to_owned(),
    });
    shown.collect::<Vec<_>>().join(", ")
}
