//! `cargo run -p haremq-sim --release -- --seed N` replays one schedule; `--seeds A..B` runs
//! several; `--seconds S` runs fresh ones for so long. The first failing seed is printed and the
//! exit code is 1.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use haremq_sim::failures::fail_each;
use haremq_sim::schedule::{run, Plan};
use haremq_sim::simulation::Conditions;
use haremq_sim::tally::Tally;

#[derive(Debug, Parser)]
#[command(about = "Runs the engine on simulated disks that crash, tear, fail and rot")]
struct Arguments {
    /// Replays one schedule.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs these, as `A..B`.
    #[arg(long, value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Runs fresh seeds for so long.
    #[arg(long)]
    seconds: Option<u64>,
    /// Fails every operation of a seed's run in turn, in every way; with `--seed` or `--seeds`.
    #[arg(long)]
    fail_each: bool,
    /// So many shards, whatever the seed says.
    #[arg(long, default_value_t = 0)]
    shards: u16,
    /// Steps of a schedule.
    #[arg(long, default_value_t = Plan::default().steps)]
    steps: usize,
    /// Prints everything that happens.
    #[arg(long)]
    verbose: bool,
    /// Goes on after a failing seed.
    #[arg(long)]
    keep_going: bool,
    /// Appends a line of JSON that says what was run and what was counted to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Which state of the sources this was run in.
fn commit() -> String {
    let ask = Command::new("git").args(["describe", "--always", "--abbrev=12", "--dirty"]).output();
    let answer = ask.ok().filter(|answer| answer.status.success());
    let text = answer.and_then(|answer| String::from_utf8(answer.stdout).ok());
    text.map_or_else(|| "unknown".into(), |text| text.trim().into())
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (first, end) = text.split_once("..").ok_or("a range is written A..B")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text:?}: {error}"));
    Ok((number(first)?, number(end)?))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan { steps: arguments.steps, ..Plan::default() };
    let (shards, is_verbose) = (arguments.shards, arguments.verbose);
    let conditions = Conditions { shards, is_verbose, ..Conditions::default() };
    let fresh =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_micros() as u64);
    let (first, end) = match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => (seed, seed + 1),
        (None, Some(seeds)) => seeds,
        (None, None) if arguments.seconds.is_some() => (fresh, u64::MAX),
        (None, None) => (1, 101),
    };
    let begun = Instant::now();
    if arguments.fail_each {
        return fail_all(first, end.min(first + 100), begun, arguments.json.as_deref());
    }
    let limit = arguments.seconds.map(Duration::from_secs);
    let mut total = Tally::default();
    let (mut schedules, mut failed) = (0_u64, Vec::new());
    for seed in first..end {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            break;
        }
        schedules += 1;
        match run(seed, plan, conditions) {
            Ok(outcome) => total.add(&outcome.tally),
            Err(violation) => {
                failed.push(seed.to_string());
                println!("seed {seed}: {violation}");
                let shards =
                    if shards == 0 { String::new() } else { format!(" --shards {shards}") };
                println!("  again: cargo run -p haremq-sim --release -- --seed {seed}{shards} --steps {} --verbose", plan.steps);
                if !arguments.keep_going {
                    break;
                }
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{schedules} schedules in {seconds:.1} s ({:.0} a minute), {} failed",
        schedules as f64 * 60.0 / seconds,
        failed.len()
    );
    println!("{total}");
    let fields = format!(
        "\"first_seed\":{first},\"steps\":{},\"schedules\":{schedules},\"failed_seeds\":[{}],{}",
        plan.steps,
        failed.join(","),
        total.json_fields()
    );
    if !arguments.json.is_none_or(|path| is_told(&path, "schedules", seconds, &fields)) {
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Appends a line about this run; says why if it cannot.
fn is_told(path: &Path, run: &str, seconds: f64, fields: &str) -> bool {
    let line = format!(
        "{{\"run\":\"{run}\",\"commit\":\"{}\",\"disks\":\"simulated\",\"seconds\":{seconds:.3},{fields}}}\n",
        commit()
    );
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.inspect_err(|error| eprintln!("{}: {error}", path.display())).is_ok()
}

/// The loop over the N-th operation, for some seeds.
fn fail_all(first: u64, end: u64, begun: Instant, json: Option<&Path>) -> ExitCode {
    let (mut points, mut ended) = (0, 0);
    for seed in first..end {
        match fail_each(seed) {
            Ok(more) => {
                points += more.points;
                ended += more.ended;
            }
            Err((failure, violation)) => {
                println!("seed {seed}, {failure:?}: {violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{points} failures of {} seeds, {ended} of them final: all promises kept",
        end - first
    );
    let seconds = begun.elapsed().as_secs_f64();
    let fields = format!(
        "\"first_seed\":{first},\"schedules\":{},\"points\":{points},\"ended\":{ended}",
        end - first
    );
    match json.is_none_or(|path| is_told(path, "failing operations", seconds, &fields)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
