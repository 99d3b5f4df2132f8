//! Saturated append: messages published as fast as the log takes them, until the last is confirmed.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use super::beside::{middle, Beside, Figure};
use super::floor::{Floor, PIECE};
use super::place::Place;
use super::rig::Rig;
use super::{part, thread_time, Executor};

/// Few enough that the files of one round are there for the next: recycled, as in a broker at work.
const ROUND_BYTES: u64 = 96 << 20;
/// What one record takes beside its body, nearly.
const RECORD_BYTES: u64 = 96;

/// What one of the measurements works on.
struct Bench {
    // Dropped in this order.
    rig: Rig,
    floor: Floor,
    _place: Place,
}

pub(crate) fn append(criterion: &mut Criterion, executor: &Executor) {
    let mut group = criterion.benchmark_group("append");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    for bytes in [64_usize, 1024, 16_384] {
        for queues in [1, 10, 10_000] {
            let body = vec![b'x'; bytes];
            let count = ROUND_BYTES / part() / (bytes as u64 + RECORD_BYTES);
            group.throughput(Throughput::Elements(count));
            let name = format!("append, {bytes} B, {queues} queues");
            let mut beside = Beside::new(name, Figure::Octets).without_first();
            let name = "the same, the floor from as much memory as the log goes through";
            let mut cold = Beside::new(name, Figure::Octets).without_first();
            let (mut processor, mut bench) = (Vec::new(), None);
            group.bench_function(BenchmarkId::new(format!("{bytes} B"), queues), |bencher| {
                let bench = bench.get_or_insert_with(|| executor.run(open(queues)));
                bencher.iter_custom(|rounds| {
                    let mut all = Duration::ZERO;
                    for _ in 0..rounds {
                        let busy = thread_time();
                        let (octets, time) = executor.run(round(&mut bench.rig, count, &body));
                        processor.push((thread_time() - busy).as_nanos() as f64 / count as f64);
                        beside.note(octets, time, bench.floor.write(octets, PIECE));
                        cold.note(octets, time, bench.floor.write_through_memory(octets));
                        executor.run(bench.rig.purge());
                        all += time;
                    }
                    all
                });
            });
            let Some(bench) = bench else { continue };
            processor.sort_by(f64::total_cmp);
            beside.tell(&format!("; {:.0} ns of this thread a message", middle(&processor)));
            cold.tell("");
            executor.run(bench.rig.stop());
        }
    }
    group.finish();
}

async fn open(queues: usize) -> Bench {
    let place = Place::new();
    let rig = Rig::open(place.path(), queues).await;
    let floor = Floor::new(place.path(), ROUND_BYTES / part() / 2 * 3);
    Bench { rig, floor, _place: place }
}

/// Octets written, and the time that it took.
async fn round(rig: &mut Rig, count: u64, body: &[u8]) -> (u64, Duration) {
    let written = rig.written.get();
    let began = Instant::now();
    for number in 0..count {
        let queue = rig.queues[number as usize % rig.queues.len()];
        rig.publish(queue, body).await;
    }
    rig.await_confirms().await;
    (rig.written.get() - written, began.elapsed())
}
