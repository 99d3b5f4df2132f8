//! What one message costs in the AMQP layer: octets in to the call of a shard, and the call of a
//! shard to octets out. Nothing behind it: the broker here counts and forgets.

mod talk;

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use haremq_engine::now::Now;
use talk::{ack_all, consuming, drain, open, publish, Counter, SHARD};

const MESSAGES: usize = 1_000;

fn decode_publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode publish");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for size in [16, 1024] {
        let batch = publish(size).repeat(MESSAGES);
        let mut broker = Counter::new();
        let mut connection = open(&mut broker);
        group.bench_function(format!("{size} B"), |bencher| {
            bencher.iter(|| {
                let consumed = connection.receive(black_box(&batch), &mut broker);
                assert_eq!(consumed, batch.len());
            });
        });
        black_box(broker.octets);
    }
    group.finish();
}

fn encode_deliver(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode deliver");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (size, no_ack) in [(16, true), (16, false), (1024, true), (1024, false)] {
        let body = vec![b'x'; size];
        let mut broker = Counter::new();
        let (mut connection, delivery) = consuming(&mut broker, no_ack, &body);
        let ack = ack_all();
        let name = format!("{size} B {}", if no_ack { "auto-ack" } else { "with ack" });
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    for _ in 0..MESSAGES {
                        connection.deliver(SHARD, black_box(&delivery), Now::default());
                    }
                    drain(&mut connection, &mut broker);
                    if !no_ack {
                        connection.receive(&ack, &mut broker);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decode_publish, encode_deliver);
criterion_main!(benches);
