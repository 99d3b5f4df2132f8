//! Schedules against the oracle: a fixed set, fresh ones, failing operations, and worlds that
//! break their word, which the oracle must see.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use haremq_sim::disk::Lie;
use haremq_sim::failures::fail_each;
use haremq_sim::schedule::{run, Plan};
use haremq_sim::simulation::Conditions;
use haremq_sim::tally::Tally;
use haremq_sim::violation::Kind;

/// Half a transaction, of one message for queues with different limits of time; a message that a start
/// had put, settled for another one by the next start; the first page of the newest segment cleared after a clean stop,
/// when nothing else in it told that it had been begun; a settled message that came back, because the index of a segment had
/// left out what was settled in one that was given back in the next segment only, of which two crashes left nothing; a message
/// that was acked by a commit before it was durable where another one had put it; a commit that was taken for a later one
/// which settled the same message; what others had written, counted as written by copying, which then stood still and
/// left more files than there may be.
const FOUND: [u64; 9] = [
    219_088,
    238_847,
    243_925,
    236_959,
    1_795_880_241_628_060,
    1_795_880_241_674_681,
    1_795_887_394_076_251,
    1_795_888_465_526_795,
    1_795_900_704_669_318,
];

fn run_or_say(seed: u64) -> Tally {
    match run(seed, Plan::default(), Conditions::default()) {
        Ok(outcome) => outcome.tally,
        Err(violation) => panic!(
            "{violation}\nagain: cargo run -p haremq-sim --release -- --seed {seed} --verbose"
        ),
    }
}

#[test]
fn nothing_confirmed_is_lost_doubled_or_out_of_order_whenever_the_power_goes() {
    let mut total = Tally::default();
    for seed in 1..=150 {
        total.add(&run_or_say(seed));
    }
    println!("{total}");
    assert!(total.crashes > 500 && total.confirmed > 5_000 && total.delivered > 5_000);
    assert!(total.clean_stops > 100 && total.damages_found > 2 && total.refused > 100);
    assert!(total.committed > 500 && total.interrupted_commits > 100 && total.packed > 500);
}

#[test]
fn fresh_schedules_keep_the_promises_too() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let (first, begun) = (now.as_micros() as u64, Instant::now());
    let mut schedules = 0;
    while begun.elapsed() < Duration::from_secs(8) || schedules == 0 {
        run_or_say(first + schedules);
        schedules += 1;
    }
    println!("{schedules} fresh schedules from seed {first} on");
}

#[test]
fn what_seeds_have_found_is_not_there_any_more() {
    for seed in FOUND {
        run_or_say(seed);
    }
}

#[test]
fn a_seed_replays_the_same_schedule() {
    for seed in 1..=10 {
        let outcomes = [(); 2].map(|()| run(seed, Plan::default(), Conditions::default()));
        assert_eq!(outcomes[0], outcomes[1], "seed {seed}");
    }
}

#[test]
fn no_failing_operation_breaks_a_promise() {
    let (mut points, mut ended) = (0, 0);
    for seed in 1..=10 {
        let more = fail_each(seed).unwrap_or_else(|failed| panic!("seed {seed}: {failed:?}"));
        points += more.points;
        ended += more.ended;
    }
    println!("{points} failures, {ended} of them final");
    assert!(points > 200 && ended > 150, "{points} failures, {ended} of them final");
}

/// What the oracle says of devices that lie, and how soon.
fn caught(lie: Lie) -> Option<Kind> {
    let conditions = Conditions { lie, ..Conditions::default() };
    let plan = Plan { damages: false, ..Plan::default() };
    (1..200).find_map(|seed| run(seed, plan, conditions).err()).map(|violation| violation.kind)
}

#[test]
fn a_device_that_says_synced_and_is_not_is_seen() {
    assert!(caught(Lie::NotSynced).is_some());
}

#[test]
fn a_confirm_before_the_device_has_the_message_is_seen() {
    assert!(caught(Lie::Early).is_some());
}

#[test]
fn a_directory_entry_that_is_not_synced_is_seen() {
    assert!(caught(Lie::EntryNotSynced).is_some());
}
