//! One message at a time, each confirmed before the next.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode};

use super::beside::{Beside, Figure};
use super::floor::{Floor, PAGE};
use super::place::Place;
use super::rig::Rig;
use super::Executor;

/// Messages, and then as many writes of the floor.
const TURN: u64 = 50;

pub(crate) fn commit(criterion: &mut Criterion, executor: &Executor) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(2500));
    for bytes in [64_usize, 1024, 16_384] {
        let body = vec![b'x'; bytes];
        let mut beside =
            Beside::new(format!("commit of one message of {bytes} B (p50)"), Figure::Time);
        let mut bench = None;
        group.bench_function(BenchmarkId::new("alone", format!("{bytes} B")), |bencher| {
            let (rig, floor, _) = bench.get_or_insert_with(|| {
                let place = Place::new();
                let mut rig = executor.run(Rig::open(place.path(), 1));
                rig.is_waited_for = true;
                (rig, Floor::new(place.path(), 32 << 20), place)
            });
            bencher.iter_custom(|messages| {
                let (mut all, mut left) = (Duration::ZERO, messages);
                while left > 0 {
                    let turn = left.min(TURN);
                    let (octets, times) = executor.run(one_by_one(rig, turn, &body));
                    let octets = (octets / turn).next_multiple_of(PAGE as u64);
                    let alone = (0..turn).map(|_| floor.write(octets, octets as usize)).collect();
                    all += times.iter().sum::<Duration>();
                    beside.note(octets, middle_time(times), middle_time(alone));
                    left -= turn;
                }
                all
            });
        });
        let Some((rig, floor, place)) = bench else { continue };
        beside.tell("");
        executor.run(rig.stop());
        drop((floor, place));
    }
    group.finish();
}

fn middle_time(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Octets written, and how long each message took.
async fn one_by_one(rig: &mut Rig, count: u64, body: &[u8]) -> (u64, Vec<Duration>) {
    let written = rig.written.get();
    let mut times = Vec::with_capacity(count as usize);
    let queue = rig.queues[0];
    for _ in 0..count {
        let began = Instant::now();
        rig.publish(queue, body).await;
        rig.await_confirms().await;
        times.push(began.elapsed());
    }
    (rig.written.get() - written, times)
}
