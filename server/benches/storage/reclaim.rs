//! Messages come and go; of every ten one stays for a while, so that segments are sparse and are copied together. Beside
//! it, in the same round, the same without any that stays, and what the device does alone.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use hdrhistogram::Histogram;

use super::beside::{Beside, Figure};
use super::floor::{Floor, PIECE};
use super::place::Place;
use super::rig::{histogram, Rig};
use super::{part, Executor};

const MESSAGES: u64 = 200_000;
const BODY_BYTES: usize = 1024;
/// One of so many stays.
const KEEP: u64 = 10;
/// Of one message of so many it is measured how long its confirm takes.
const WATCHED: u64 = 64;

/// One of the two logs.
struct Side {
    rig: Rig,
    keep: u64,
    _place: Place,
}

impl Side {
    async fn open(keep: u64) -> Side {
        let place = Place::new();
        let mut rig = Rig::open(place.path(), 1).await;
        rig.consume(false);
        Side { rig, keep, _place: place }
    }

    /// Octets written, and the time that it took.
    async fn round(&mut self, count: u64, body: &[u8]) -> (u64, Duration) {
        let rig = &mut self.rig;
        let (written, began) = (rig.written.get(), Instant::now());
        let queue = rig.queues[0];
        for number in 0..count {
            rig.publish(queue, body).await;
            if number % WATCHED == 0 {
                rig.deliver_now(self.keep);
                rig.watch();
            }
        }
        rig.await_confirms().await;
        let time = began.elapsed();
        let octets = rig.written.get() - written;
        rig.settle_all().await;
        (octets, time)
    }

    fn tell(&self, what: &str) {
        tell_times(&format!("confirm under load, {what}"), &self.rig.confirms_us);
        tell_times(&format!("publisher without room, {what}"), &self.rig.held_back_us);
    }

    fn reset(&mut self) {
        self.rig.confirms_us.reset();
        self.rig.held_back_us.reset();
    }
}

pub(crate) fn reclaim(criterion: &mut Criterion, executor: &Executor) {
    let mut group = criterion.benchmark_group("reclaim");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    let (count, body) = (MESSAGES / part(), vec![b'x'; BODY_BYTES]);
    group.throughput(Throughput::Elements(count));
    let mut beside =
        Beside::new("reclaim under load, one of ten stays", Figure::Octets).without_first();
    let mut against =
        Beside::new("the same, with the log of which none stays as its floor", Figure::Time)
            .without_first();
    let mut writes_us = histogram();
    let (mut bench, mut copied) = (None, 0);
    group.bench_function(format!("one of {KEEP} stays"), |bencher| {
        let (sparse, empty, floor) = bench.get_or_insert_with(|| {
            let (sparse, empty) =
                executor.run(async { (Side::open(KEEP).await, Side::open(0).await) });
            let floor = Floor::new(sparse._place.path(), 256 << 20);
            (sparse, empty, floor)
        });
        bencher.iter_custom(|rounds| {
            let mut all = Duration::ZERO;
            for _ in 0..rounds {
                let before = sparse.rig.copied_octets();
                let (octets, time) = executor.run(sparse.round(count, &body));
                copied = sparse.rig.copied_octets() - before;
                let (_, without) = executor.run(empty.round(count, &body));
                let mut left = octets;
                let mut alone = Duration::ZERO;
                while left > 0 {
                    let length = left.min(PIECE as u64);
                    let one = floor.write(length, PIECE);
                    writes_us.saturating_record(one.as_micros() as u64);
                    (left, alone) = (left - length, alone + one);
                }
                against.note(octets, time, without);
                if !beside.note(octets, time, alone) {
                    sparse.reset();
                    empty.reset();
                    writes_us.reset();
                }
                all += time;
            }
            all
        });
    });
    if let Some((sparse, empty, floor)) = bench {
        beside.tell(&format!("; {:.1} MB copied in a round", copied as f64 / 1e6));
        against.tell("");
        sparse.tell("one of ten stays");
        empty.tell("none stays");
        tell_times("write and sync of 1 MiB, one at a time", &writes_us);
        drop(floor);
        executor.run(sparse.rig.stop());
        executor.run(empty.rig.stop());
    }
    group.finish();
}

fn tell_times(what: &str, times_us: &Histogram<u64>) {
    let at = |quantile| times_us.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "    {what}: {:.2} ms (p50), {:.2} (p90), {:.2} (p99), {:.2} (p99.9), {:.2} at most, of {}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        times_us.max() as f64 / 1e3,
        times_us.len(),
    );
}
