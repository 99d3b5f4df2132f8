//! Every mutant still applies to the engine as it is, and those of the sample are caught. That each is caught is shown by
//! `cargo run -p haremq-sim --release --bin mutants`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread;

use haremq_sim::mutants::workshop::{Limits, Profile, Workshop};
use haremq_sim::mutants::{all, apply, Mutant, SAMPLE};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_mutant_applies() {
    let sources = root().join("engine/src");
    let mut failed = Vec::new();
    for mutant in all() {
        let text = std::fs::read_to_string(sources.join(mutant.file)).unwrap_or_default();
        failed.extend(apply(mutant, &text).err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(all().count() >= 15);
}

/// One build is all of them. Who runs this sees which oracle has seen each, and after how many schedules.
#[test]
fn broken_engines_are_caught() {
    let is_sampled = |(_, mutant): &(usize, &Mutant)| SAMPLE.contains(&mutant.name);
    let sample: Vec<(usize, &Mutant)> = (1..).zip(all()).filter(is_sampled).collect();
    assert_eq!(sample.len(), SAMPLE.len(), "all of the sample are in the table");
    let workshop = Workshop::new(&root(), Profile::Test);
    let apart = workshop.copy(&sample).expect("copies of the sources");
    assert!(apart.is_empty(), "{apart:?} would need builds of their own");
    workshop.build(&sample).expect("engines that are broken and build");
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let look = || {
        while let Some((number, mutant)) = sample.get(next.fetch_add(1, Ordering::Relaxed)) {
            match workshop.look(*number, mutant, Limits { schedules: 300, seconds: 300 }) {
                Ok(how) => println!("{}: {how}", mutant.name),
                Err(why) => survivors.lock().expect("no panic").push((mutant.name, why)),
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(look))));
    let survivors = survivors.into_inner().expect("no panic");
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
