//! A backlog on disk is handed out in order, from a log that has just been opened: nothing of it is in memory, and reads
//! go by no cache of the kernel, here as in the floor.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use super::beside::{middle, Beside, Figure};
use super::floor::read_all;
use super::place::Place;
use super::rig::{Rig, INDEX_BYTES};
use super::{part, thread_time, Executor};

const BACKLOG_BYTES: u64 = 256 << 20;
const BODY_BYTES: usize = 1024;
/// Memory in which an index has no room: nearly all of it is paged out.
const SCANT_INDEX_BYTES: usize = 64 << 10;

pub(crate) fn drain(criterion: &mut Criterion, executor: &Executor) {
    let mut group = criterion.benchmark_group("drain");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    let count = BACKLOG_BYTES / part() / (BODY_BYTES as u64 + 96);
    let kinds = [
        (1, INDEX_BYTES, ""),
        (16, INDEX_BYTES, ""),
        (1000, INDEX_BYTES, ""),
        (16, SCANT_INDEX_BYTES, ", indexes paged out"),
    ];
    for (queues, index_bytes, how) in kinds {
        group.throughput(Throughput::Elements(count));
        let name = format!("drain of {BODY_BYTES} B, {queues} queues interleaved{how}");
        let mut beside = Beside::new(name, Figure::Octets);
        let (mut processor, mut paged) = (Vec::new(), 0);
        group.bench_function(BenchmarkId::new(format!("{BODY_BYTES} B{how}"), queues), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut all = Duration::ZERO;
                for _ in 0..rounds {
                    let place = Place::new();
                    let mut rig = executor.run(async {
                        let mut rig = Rig::open(place.path(), queues).await;
                        rig.fill(count, BODY_BYTES).await;
                        rig.stop().await;
                        Rig::open_within(place.path(), queues, index_bytes).await
                    });
                    paged = rig.paged_octets();
                    let (octets, floor) = read_all(place.path());
                    let busy = thread_time();
                    let time = executor.run(hand_out(&mut rig, count));
                    processor.push((thread_time() - busy).as_nanos() as f64 / count as f64);
                    beside.note(octets, time, floor);
                    executor.run(rig.stop());
                    all += time;
                }
                all
            });
        });
        if processor.is_empty() {
            continue;
        }
        processor.sort_by(f64::total_cmp);
        beside.tell(&format!(
            "; {:.0} ns of this thread a message, {paged} octets of index paged out",
            middle(&processor)
        ));
    }
    group.finish();
}

async fn hand_out(rig: &mut Rig, count: u64) -> Duration {
    let began = Instant::now();
    rig.consume(true);
    while rig.delivered() < count {
        rig.deliver(0).await;
    }
    began.elapsed()
}
