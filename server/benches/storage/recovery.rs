//! A start with a backlog, after a clean stop and after an end without warning.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};

use super::beside::{Beside, Figure};
use super::floor::read_some;
use super::place::Place;
use super::rig::Rig;
use super::{part, Executor};

const MESSAGES: u64 = 500_000;

pub(crate) fn recovery(criterion: &mut Criterion, executor: &Executor) {
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    let count = MESSAGES / part();
    for (is_clean, how) in [(true, "a clean stop"), (false, "an end without warning")] {
        group.throughput(Throughput::Elements(count));
        let name = format!("recovery of {count} x 1024 B after {how}");
        let mut beside = Beside::new(name, Figure::Time);
        let (mut place, mut read) = (None, 0);
        group.bench_function(format!("after {how}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let place = place.get_or_insert_with(|| {
                    let place = Place::new();
                    executor.run(async {
                        let mut rig = Rig::open(place.path(), 2).await;
                        rig.fill(count, 1024).await;
                        end(rig, is_clean).await;
                    });
                    place
                });
                let mut all = Duration::ZERO;
                for _ in 0..rounds {
                    let rig = executor.run(Rig::open(place.path(), 2));
                    let (octets, time) = rig.recovery;
                    beside.note(octets, time, read_some(place.path(), octets));
                    executor.run(end(rig, is_clean));
                    (read, all) = (octets, all + time);
                }
                all
            });
        });
        beside.tell(&format!("; {:.1} MB read", read as f64 / 1e6));
    }
    group.finish();
}

async fn end(rig: Rig, is_clean: bool) {
    match is_clean {
        true => rig.stop().await,
        false => rig.abandon().await,
    }
}
