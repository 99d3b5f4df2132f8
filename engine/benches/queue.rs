//! What one message costs a shard: published, handed out, settled, without network or device.
//!
//! `transient` and `auto-ack` never touch the log; `persistent` appends to it and settles in it,
//! with a device that is a vector, so that the shard's own work is measured and two copies.

mod traffic;

use criterion::{criterion_group, criterion_main, BatchSize, BenchmarkId, Criterion, Throughput};
use haremq_engine::mail::{Credit, Publish};
use haremq_engine::message::MessageRef;
use traffic::{Bench, BODY, NOW, TURN};

fn through(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("through");
    group.throughput(Throughput::Elements(TURN));
    for queues in [1, 10] {
        let mut bench = Bench::new(queues, true, Credit::Unlimited);
        group.bench_function(BenchmarkId::new("transient auto-ack", queues), |b| {
            b.iter(|| bench.turn(false));
        });
        let mut bench = Bench::new(queues, false, Credit::Prefetch(500));
        group.bench_function(BenchmarkId::new("transient acked", queues), |b| {
            b.iter(|| bench.turn(false));
        });
        let mut bench = Bench::new(queues, false, Credit::Prefetch(500));
        group.bench_function(BenchmarkId::new("persistent confirmed acked", queues), |b| {
            b.iter(|| bench.turn(true));
        });
    }
    group.finish();
}

fn backlog(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("backlog");
    group.sample_size(10);
    let count = 100_000;
    group.throughput(Throughput::Elements(count));
    let fill = || {
        let mut bench = Bench::new(1, true, Credit::Unlimited);
        let queue = bench.queues[0];
        let message = MessageRef {
            exchange: b"",
            routing_key: b"q",
            properties: &[0x10, 0, 1],
            body: &BODY,
            persistent: false,
            priority: 0,
            expiration_ms: None,
        };
        for _ in 0..count {
            bench.shard.publish(NOW, &Publish { message, queues: &[queue], confirm: None });
        }
        bench
    };
    group.bench_function("drain", |b| {
        let drain = |mut bench: Bench| {
            while bench.shard.dispatch(NOW, &mut bench.taker) {}
            bench
        };
        b.iter_batched(fill, drain, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, through, backlog);
criterion_main!(benches);
