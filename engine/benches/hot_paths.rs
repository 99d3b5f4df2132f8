//! Paths of a message through a shard, to be run so many times and counted from outside:
//! `hot_paths NAME TURNS`, a turn being 64 messages of 64 octets, of 1024 where they are only appended: what comes in
//! stays. Says how long it took. See `bench/instructions.sh`.

mod traffic;

use std::time::Instant;

use haremq_engine::mail::Credit;
use traffic::{Bench, TURN};

const NAMES: [&str; 7] = [
    "transient_auto_ack",
    "transient_acked",
    "persistent_confirmed_acked",
    "ten_queues_acked",
    "append_1024",
    "append_1024_ten_queues",
    "append_1024_ten_thousand_queues",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (name, turns) = (arguments.next(), arguments.next());
    let turns: u32 = turns.and_then(|text| text.parse().ok()).unwrap_or(1);
    let consumed = |queues, no_ack, credit, persistent| {
        let mut bench = Bench::new(queues, no_ack, credit);
        timed(turns, || bench.turn(persistent));
    };
    let appended = |queues| {
        let (mut bench, body) = (Bench::without_consumers(queues), [b'.'; 1024]);
        timed(turns, || bench.take_in(true, &body));
    };
    match name.as_deref() {
        Some("transient_auto_ack") => consumed(1, true, Credit::Unlimited, false),
        Some("transient_acked") => consumed(1, false, Credit::Prefetch(500), false),
        Some("persistent_confirmed_acked") => consumed(1, false, Credit::Prefetch(500), true),
        Some("ten_queues_acked") => consumed(10, false, Credit::Prefetch(500), true),
        Some("append_1024") => appended(1),
        Some("append_1024_ten_queues") => appended(10),
        Some("append_1024_ten_thousand_queues") => appended(10_000),
        _ => println!("{}", NAMES.join(" ")),
    }
}

fn timed(turns: u32, mut turn: impl FnMut()) {
    let began = Instant::now();
    (0..turns).for_each(|_| turn());
    let messages = f64::from(turns) * TURN as f64;
    eprintln!("{:.0} ns a message", began.elapsed().as_nanos() as f64 / messages);
}
