//! `cargo run -p haremq-sim --release -- --seed N` replays one schedule; `--seeds A..B` runs
//! several; `--seconds S` runs fresh ones for so long. The first failing seed is printed and the
//! exit code is 1.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use haremq_sim::failures::fail_each;
use haremq_sim::schedule::{run, Plan};
use haremq_sim::simulation::{Conditions, Tally};

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
        return fail_all(first, end.min(first + 100));
    }
    let limit = arguments.seconds.map(Duration::from_secs);
    let mut total = Tally::default();
    let (mut schedules, mut failed) = (0_u64, 0_u64);
    for seed in first..end {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            break;
        }
        schedules += 1;
        match run(seed, plan, conditions) {
            Ok(outcome) => total.add(&outcome.tally),
            Err(violation) => {
                failed += 1;
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
        "{schedules} schedules in {seconds:.1} s ({:.0} a minute), {failed} failed",
        schedules as f64 * 60.0 / seconds
    );
    println!("{total}");
    ExitCode::from(u8::from(failed > 0))
}

/// The loop over the N-th operation, for some seeds.
fn fail_all(first: u64, end: u64) -> ExitCode {
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
    ExitCode::SUCCESS
}
