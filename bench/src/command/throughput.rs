//! `throughput` and `latency`: one run of producers and consumers, printed and written.

use crate::args::load::LoadArgs;
use crate::command::Ending;
use crate::error::Result;
use crate::latency::Summary;
use crate::load::outcome::LoadOutcome;
use crate::load::plan::LoadPlan;
use crate::load::run;
use crate::report::{self, json, svg, text};

/// As fast as it goes, unless there is a rate.
pub(crate) fn throughput(args: &LoadArgs) -> Result<Ending> {
    let plan = args.plan(16, None)?;
    let outcome = run::run(&plan)?;
    print!("{}", text::outcome(&outcome));
    write("throughput", args, &plan, &outcome)
}

/// At a rate, with the whole table of percentiles.
pub(crate) fn latency(args: &LoadArgs) -> Result<Ending> {
    let plan = args.plan(1024, Some(5_000.0))?;
    let outcome = run::run(&plan)?;
    print!("{}", text::outcome(&outcome));
    for (name, summary) in [("End-to-end", &outcome.end_to_end), ("Confirm", &outcome.confirm)] {
        if let Some(summary) = summary {
            print_table(name, summary);
        }
    }
    write("latency", args, &plan, &outcome)
}

fn print_table(name: &str, summary: &Summary) {
    println!("\n{name} latency of {} messages", text::count(summary.count));
    for (label, us) in [
        ("min", summary.min_us),
        ("mean", summary.mean_us),
        ("p50", summary.p50_us),
        ("p90", summary.p90_us),
        ("p99", summary.p99_us),
        ("p99.9", summary.p999_us),
        ("p99.99", summary.p9999_us),
        ("max", summary.max_us),
    ] {
        println!("{label:>8}  {:>10}", text::duration_us(us));
    }
}

fn write(command: &str, args: &LoadArgs, plan: &LoadPlan, outcome: &LoadOutcome) -> Result<Ending> {
    if let Some(path) = &args.output.json {
        json::write(path, command, plan, outcome)?;
    }
    if let Some(path) = &args.plot {
        let title = format!("{}: {command}", outcome.identity);
        report::save(path, &svg::plot(outcome, &title))?;
    }
    Ok(if outcome.faults.is_empty() { Ending::Clean } else { Ending::Faulty })
}
