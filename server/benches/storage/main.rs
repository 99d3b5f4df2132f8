//! The engine alone on the real disk. Beside each figure its floor: what the device does with as many octets by a loop of
//! writes with O_DIRECT and fdatasync, or of reads with O_DIRECT, measured in the same round.
//!
//!     cargo bench -p haremq --bench storage -- [append|commit|drain|recovery|reclaim]
//!
//! Criterion says what the log does; the line below says it again with the floor's figure and the ratio. Its filter is a
//! pattern: `append/1024 B/10$` is one of the measurements alone: octets and queues. All of them take two to three
//! minutes. The directory is made below that of temporary files; `HAREMQ_BENCH_DIR` names another place.
//! `HAREMQ_BENCH_PART=8` makes everything but commits an eighth as large.

mod append;
mod beside;
mod commit;
mod drain;
mod floor;
mod place;
mod reclaim;
mod recovery;
mod rig;
mod taker;

use std::time::Duration;

use criterion::Criterion;
use glommio::{LocalExecutor, LocalExecutorBuilder};

/// As in the broker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs one stretch of work after the other on this thread; between them nothing happens.
pub(crate) type Executor = LocalExecutor;

pub(crate) fn part() -> u64 {
    std::env::var("HAREMQ_BENCH_PART").map_or(1, |text| text.parse().expect("a number"))
}

/// Processor time that this thread has taken; zero where the kernel does not count it.
pub(crate) fn thread_time() -> Duration {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = counts.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

fn main() {
    glommio::early_init();
    let executor = LocalExecutorBuilder::default()
        .preempt_timer(Duration::from_millis(100))
        .make()
        .expect("io_uring");
    let mut criterion = Criterion::default().configure_from_args();
    append::append(&mut criterion, &executor);
    commit::commit(&mut criterion, &executor);
    drain::drain(&mut criterion, &executor);
    recovery::recovery(&mut criterion, &executor);
    reclaim::reclaim(&mut criterion, &executor);
    criterion.final_summary();
}
