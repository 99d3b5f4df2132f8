//! The engine alone on the real disk, each figure beside its floor: what the device does with as many octets, measured
//! in the same round. Rounds alternate; medians are shown.
//!
//!     cargo bench -p haremq --bench storage -- [append|commit|drain|recovery|reclaim]...
//!
//! `append/1024/10/` is one of the measurements alone: octets and queues.
//! The directory is made below that of temporary files; `HAREMQ_BENCH_DIR` names another place.
//! `HAREMQ_BENCH_PART=8` makes everything an eighth as large.

mod floor;
mod rig;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use floor::{read_all, Floor};
use glommio::LocalExecutorBuilder;
use rig::Rig;

const ROUNDS: usize = 5;

/// As in the broker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A directory for one measurement.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        let above =
            std::env::var_os("HAREMQ_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = above.join(format!("haremq-bench-storage-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("room for a directory");
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn part() -> u64 {
    std::env::var("HAREMQ_BENCH_PART").map_or(1, |text| text.parse().expect("a number"))
}

fn median<T: PartialOrd + Copy>(values: &mut [T]) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).expect("numbers"));
    values[values.len() / 2]
}

/// Processor time that this thread has taken; zero where the kernel does not count it.
fn thread_time() -> Duration {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = counts.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

fn mb_per_s(octets: u64, time: Duration) -> f64 {
    octets as f64 / 1e6 / time.as_secs_f64()
}

/// Saturated append: messages published as fast as the log takes them, until the last is confirmed.
async fn append(place: &Path, bytes: usize, queues: usize) {
    let body = vec![b'x'; bytes];
    // Few enough that the files of one round are there for the next: recycled, as in a broker at work.
    let count = ((96 << 20) / part()) / (bytes as u64 + 96);
    let mut rig = Rig::open(place, queues).await;
    let (mut ours, mut raw, mut rate) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cold, mut processor) = (Vec::new(), Vec::new());
    let mut floor = Floor::new(place, 128 << 20);
    for round in 0..=ROUNDS {
        let written = rig.written.get();
        let (began, busy) = (Instant::now(), thread_time());
        for number in 0..count {
            let queue = rig.queues[number as usize % queues];
            rig.publish(queue, &body).await;
        }
        rig.await_confirms().await;
        let (time, busy) = (began.elapsed(), thread_time() - busy);
        let octets = rig.written.get() - written;
        let raw_time = floor.write(octets, 1 << 20);
        let cold_time = floor.write_through_memory(octets);
        // The first round makes the files.
        if round > 0 {
            ours.push(mb_per_s(octets, time));
            raw.push(mb_per_s(octets, raw_time));
            cold.push(mb_per_s(octets, cold_time));
            rate.push(count as f64 / time.as_secs_f64());
            processor.push(busy.as_secs_f64() * 1e9 / count as f64);
        }
        rig.purge().await;
    }
    let (ours, raw, rate) = (median(&mut ours), median(&mut raw), median(&mut rate));
    let (cold, processor) = (median(&mut cold), median(&mut processor));
    println!(
        "append {bytes:>6} B, {queues:>5} queues: {ours:>5.0} MB/s, {rate:>8.0}/s, {processor:.0} ns of this thread each; \
         floor {raw:>5.0} MB/s: {:.2} of it; from {} MiB of memory {cold:>5.0} MB/s: {:.2}",
        ours / raw,
        floor::MEMORY >> 20,
        ours / cold
    );
}

/// One message at a time, each confirmed before the next.
async fn commit(place: &Path, bytes: usize) {
    let body = vec![b'x'; bytes];
    let mut rig = Rig::open(place, 1).await;
    rig.is_waited_for = true;
    let mut floor = Floor::new(place, 32 << 20);
    let queue = rig.queues[0];
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 0..20 {
        for _ in 0..200 / part().min(20) {
            let began = Instant::now();
            rig.publish(queue, &body).await;
            rig.await_confirms().await;
            let time = began.elapsed().as_secs_f64() * 1e6;
            if round > 0 {
                ours.push(time);
            }
        }
        let octets = (rig.written.get() / rig.confirmed.max(1)).next_multiple_of(4096) as usize;
        for _ in 0..200 / part().min(20) {
            let time = floor.write(octets as u64, octets).as_secs_f64() * 1e6;
            if round > 0 {
                raw.push(time);
            }
        }
    }
    let (ours, raw) = (median(&mut ours), median(&mut raw));
    println!(
        "commit {bytes:>6} B, one at a time: {ours:.0} us (p50); floor {raw:.0} us; {:.2} times",
        ours / raw
    );
}

/// Publishes so many messages that stay.
async fn fill(rig: &mut Rig, count: u64, bytes: usize) {
    let body = vec![b'x'; bytes];
    for number in 0..count {
        let queue = rig.queues[number as usize % rig.queues.len()];
        rig.publish(queue, &body).await;
    }
    rig.await_confirms().await;
}

/// A backlog on disk is handed out in order and settled.
async fn drain(place: &Path, bytes: usize, queues: usize) {
    let count = ((512 << 20) / part()) / (bytes as u64 + 96);
    let mut rig = Rig::open(place, queues).await;
    fill(&mut rig, count, bytes).await;
    rig.stop().await;
    let mut rig = Rig::open(place, queues).await;
    let (octets, raw_time) = read_all(place);
    let began = Instant::now();
    rig.consume(true);
    while rig.delivered() < count {
        rig.deliver(0).await;
    }
    let time = began.elapsed();
    let (ours, raw) = (mb_per_s(count * (bytes as u64 + 96), time), mb_per_s(octets, raw_time));
    let rate = count as f64 / time.as_secs_f64();
    println!(
        "drain  {bytes:>6} B, {queues:>5} queues: {ours:>7.0} MB/s, {rate:>9.0}/s; floor (sequential reads) {raw:>7.0} MB/s; {:.2} of it",
        ours / raw
    );
    rig.stop().await;
}

/// A start with a backlog, after a clean stop and after an end without warning.
async fn recovery(place: &Path) {
    let count = 1_000_000 / part();
    for clean in [true, false] {
        let mut rig = Rig::open(place, 2).await;
        fill(&mut rig, count, 1024).await;
        if clean {
            rig.stop().await;
        } else {
            rig.abandon().await;
        }
        let rig = Rig::open(place, 2).await;
        let (octets, time) = rig.recovery;
        let mut floor_octets = octets;
        // Reads of as many octets, from the start of the same files.
        let (all, raw_time) = read_all(place);
        floor_octets = floor_octets.min(all);
        let raw = raw_time.as_secs_f64() * floor_octets as f64 / all as f64;
        println!(
            "recovery of {count} x 1024 B after {}: {:.0} ms, {:.1} MB read; floor (as many octets read) {:.0} ms; all octets read {:.0} ms",
            if clean { "a clean stop" } else { "an end without warning" },
            time.as_secs_f64() * 1e3,
            octets as f64 / 1e6,
            raw * 1e3,
            raw_time.as_secs_f64() * 1e3
        );
        let mut rig = rig;
        rig.purge().await;
        rig.stop().await;
    }
}

/// Messages come and go; of every ten one stays, so that segments are sparse and are copied together. Beside it the same
/// without any that stays.
async fn reclaim(place: &Path) {
    let count = 300_000 / part();
    let body = vec![b'x'; 1024];
    let mut results = Vec::new();
    for keep in [0, 10] {
        let mut rig = Rig::open(place, 1).await;
        rig.consume(false);
        let queue = rig.queues[0];
        let mut waits: Vec<f64> = Vec::new();
        // The first part makes the files.
        for measured in [false, true] {
            let (written, began) = (rig.written.get(), Instant::now());
            for number in 0..count {
                rig.publish(queue, &body).await;
                if number % 64 == 0 {
                    rig.deliver_now(keep);
                }
                if number % 1024 == 0 {
                    let began = Instant::now();
                    rig.await_confirms().await;
                    waits.push(began.elapsed().as_secs_f64() * 1e3);
                }
            }
            rig.await_confirms().await;
            let time = began.elapsed();
            if measured {
                waits.sort_by(f64::total_cmp);
                let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
                let written = rig.written.get() - written;
                println!(
                    "reclaim, one of {keep} stays: {:.0}/s, {:.0} MB/s written, {:.1} MB copied, a commit takes {:.1} ms (p50), {:.1} ms (p99), {:.1} ms at most",
                    count as f64 / time.as_secs_f64(),
                    mb_per_s(written, time),
                    rig.copied_octets() as f64 / 1e6,
                    at(0.5), at(0.99), at(1.0)
                );
                results.push(count as f64 / time.as_secs_f64());
            }
            waits.clear();
        }
        rig.purge().await;
        rig.stop().await;
    }
    println!("reclaim: {:.2} of the speed without", results[1] / results[0]);
}

async fn measure(wanted: Vec<String>) {
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|one| name.starts_with(one));
    for bytes in [64, 1024, 16_384] {
        for queues in [1, 10, 10_000] {
            if wants(&format!("append/{bytes}/{queues}/")) {
                append(&Place::new().0, bytes, queues).await;
            }
        }
    }
    for bytes in [64, 1024, 16_384] {
        if wants(&format!("commit/{bytes}/")) {
            commit(&Place::new().0, bytes).await;
        }
    }
    if wants("drain") {
        for queues in [1, 10] {
            drain(&Place::new().0, 1024, queues).await;
        }
    }
    if wants("recovery") {
        recovery(&Place::new().0).await;
    }
    if wants("reclaim") {
        reclaim(&Place::new().0).await;
    }
}

fn main() {
    // Cargo says --bench.
    let wanted = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    glommio::early_init();
    LocalExecutorBuilder::default()
        .preempt_timer(Duration::from_millis(100))
        .spawn(move || measure(wanted))
        .expect("io_uring")
        .join()
        .expect("the executor ends");
}
