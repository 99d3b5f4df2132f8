//! Breaks the engine in one place after the other and looks whether the simulator sees it.
//!
//! Works on a copy of the sources below `target/mutants`, which has its own target directory.
//! Exit code 1 if a mutant survives or does not apply.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use haremq_sim::mutants::workshop::{Limits, Profile, Workshop};
use haremq_sim::mutants::{self, Mutant};

#[derive(Debug, Parser)]
#[command(about = "Runs the simulator on broken engines: each must be caught")]
struct Arguments {
    /// Only mutants whose name has this in it, or one of these.
    #[arg(long)]
    only: Vec<String>,
    /// How many schedules a mutant is looked at for.
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// After that time it is left, however few schedules there have been.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Builds as tests are built: that is sooner done, and schedules take longer.
    #[arg(long)]
    test: bool,
}

fn look_at_all(
    workshop: &Workshop,
    all: &[(usize, &Mutant)],
    limits: Limits,
) -> Result<usize, String> {
    let left_out = workshop.copy(all)?;
    workshop.build(all)?;
    let is_apart = |number: &usize| left_out.contains(number);
    let (apart, together): (Vec<_>, Vec<_>) = all.iter().partition(|(number, _)| is_apart(number));
    let mut caught = 0;
    // Those that need a build of their own come last.
    for (number, mutant) in together.into_iter().chain(apart) {
        let verdict = match is_apart(&number) {
            false => workshop.look(number, mutant, limits),
            true => workshop.look_apart(mutant, limits),
        };
        caught += usize::from(verdict.is_ok());
        match verdict {
            Ok(how) => println!("caught     {}: {how}", mutant.name),
            Err(why) => println!("NOT CAUGHT {}: {why}", mutant.name),
        }
    }
    Ok(caught)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let is_wanted = |mutant: &&Mutant| {
        let only = &arguments.only;
        only.is_empty() || only.iter().any(|only| mutant.name.contains(only.as_str()))
    };
    let all: Vec<(usize, &Mutant)> = (1..).zip(mutants::all().filter(is_wanted)).collect();
    let profile = if arguments.test { Profile::Test } else { Profile::Release };
    let limits = Limits { schedules: arguments.schedules, seconds: arguments.seconds };
    match look_at_all(&Workshop::new(&root, profile), &all, limits) {
        Ok(caught) => {
            println!("{caught} of {} mutants are caught", all.len());
            ExitCode::from(u8::from(caught < all.len()))
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
