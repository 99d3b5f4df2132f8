//! Paths of a message through a shard, to be run so many times and counted from outside:
//! `hot_paths NAME TURNS`, a turn being 64 messages of 64 octets. See `bench/instructions.sh`.

mod traffic;

use haremq_engine::mail::Credit;
use traffic::Bench;

const NAMES: [&str; 4] =
    ["transient_auto_ack", "transient_acked", "persistent_confirmed_acked", "ten_queues_acked"];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (name, turns) = (arguments.next(), arguments.next());
    let turns: u32 = turns.and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut bench, persistent) = match name.as_deref() {
        Some("transient_auto_ack") => (Bench::new(1, true, Credit::Unlimited), false),
        Some("transient_acked") => (Bench::new(1, false, Credit::Prefetch(500)), false),
        Some("persistent_confirmed_acked") => (Bench::new(1, false, Credit::Prefetch(500)), true),
        Some("ten_queues_acked") => (Bench::new(10, false, Credit::Prefetch(500)), true),
        _ => return println!("{}", NAMES.join(" ")),
    };
    (0..turns).for_each(|_| bench.turn(persistent));
}
