//! A backlog on disk is handed out in order, from a log that has just been opened: nothing of it is in memory, and reads
//! go by no cache of the kernel, here as in the floor. There are two floors: reads alone, before and after, and reads
//! of files of which as many are deleted meanwhile as the log has deleted. On a file system that discards what is
//! freed the device spends as much time with that.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use super::beside::{middle, Beside, Figure};
use super::floor::{read_and_delete, read_some};
use super::place::Place;
use super::rig::{Rig, INDEX_BYTES};
use super::{part, thread_time, Executor};

const BACKLOG_BYTES: u64 = 384 << 20;
const BODY_BYTES: usize = 1024;
/// Of these there are so many that their index has no room in the memory below: half of it is paged out.
const SMALL_BODY_BYTES: usize = 256;
const SCANT_INDEX_BYTES: usize = 2 << 20;

pub(crate) fn drain(criterion: &mut Criterion, executor: &Executor) {
    let mut group = criterion.benchmark_group("drain");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    let kinds = [
        (BODY_BYTES, 1, INDEX_BYTES, ""),
        (BODY_BYTES, 16, INDEX_BYTES, ""),
        (BODY_BYTES, 1000, INDEX_BYTES, ""),
        (SMALL_BODY_BYTES, 4, INDEX_BYTES, ""),
        (SMALL_BODY_BYTES, 4, SCANT_INDEX_BYTES, ", index paged out"),
    ];
    for (bytes, queues, index_bytes, how) in kinds {
        let count = BACKLOG_BYTES / part() / (bytes as u64 + 96);
        group.throughput(Throughput::Elements(count));
        let name = format!("drain of {bytes} B, {queues} queues interleaved{how}");
        let mut beside = Beside::new(name, Figure::Octets);
        let mut deleting = Beside::new("the same beside as many deletions", Figure::Octets);
        let (mut processor, mut paged, mut times_read) = (Vec::new(), 0, 0.0);
        group.bench_function(BenchmarkId::new(format!("{bytes} B{how}"), queues), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut all = Duration::ZERO;
                for _ in 0..rounds {
                    let place = Place::new();
                    let (octets, mut rig) = executor.run(async {
                        let mut rig = Rig::open(place.path(), queues).await;
                        let written = rig.written.get();
                        rig.fill(count, bytes).await;
                        let octets = rig.written.get() - written;
                        rig.stop().await;
                        (octets, Rig::open_within(place.path(), queues, index_bytes).await)
                    });
                    paged = rig.paged_octets();
                    // Not all of the files, of which some are empty.
                    let before = read_some(place.path(), octets);
                    let busy = thread_time();
                    let time = executor.run(hand_out(&mut rig, count));
                    processor.push((thread_time() - busy).as_nanos() as f64 / count as f64);
                    times_read = rig.read.get() as f64 / octets as f64;
                    executor.run(rig.rest());
                    let deleted = rig.deleted.get();
                    executor.run(rig.stop());
                    let (left, after) = read_and_delete(place.path(), octets, 0);
                    let after = after.mul_f64(octets as f64 / left as f64);
                    beside.note(octets, time, (before + after) / 2);
                    let deleted = (deleted * left).div_ceil(octets);
                    let (left, floor) = read_and_delete(place.path(), octets, deleted);
                    deleting.note(octets, time, floor.mul_f64(octets as f64 / left as f64));
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
            "; {:.0} ns of this thread a message, {paged} octets of index paged out, each octet read {times_read:.2} times",
            middle(&processor)
        ));
        deleting.tell("");
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
