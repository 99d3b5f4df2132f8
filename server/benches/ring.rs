//! What one message costs on its way from one shard to another: packed into a batch, pushed,
//! popped, read, and the batch given back. On one thread, so that the work is measured and not the
//! distance between two cores; and between two threads, distance and wake-ups included.

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use haremq::ring::{mesh, Mail, Port};
use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::Publish;
use haremq_engine::message::MessageRef;

const PEER: ShardId = ShardId(1);
/// Messages of a turn.
const TURNS: [u64; 3] = [1, 64, 1024];
const BODIES: [usize; 2] = [64, 1024];

fn send(port: &mut Port, body: &[u8], count: u64) {
    let message = MessageRef {
        exchange: b"",
        routing_key: b"bench",
        properties: b"\x10\0\x01",
        body,
        persistent: false,
        priority: 0,
        expiration_ms: None,
    };
    let publish = Publish { message, queues: &[QueueId(1)], confirm: None };
    for _ in 0..count {
        port.batch(PEER).publish(1, &publish);
    }
    port.flush();
}

/// Messages that were there.
fn receive(port: &mut Port) -> u64 {
    let mut messages = 0;
    while let Some((from, mut batch)) = port.receive() {
        batch.drain(|mail| {
            if let Mail::Publish(publish) = mail {
                black_box(publish.message.body);
                messages += 1;
            }
        });
        port.give_back(from, batch);
    }
    messages
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring, one thread");
    for body in BODIES.map(|octets| vec![b'x'; octets]) {
        for turn in TURNS {
            let mut ports = mesh(2).into_iter();
            let (mut here, mut there) = (ports.next().expect("a port"), ports.next().expect("two"));
            group.throughput(Throughput::Elements(turn));
            group.bench_function(format!("{} B in batches of {turn}", body.len()), |bencher| {
                bencher.iter(|| {
                    send(&mut here, &body, turn);
                    assert_eq!(receive(&mut there), turn);
                });
            });
        }
    }
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring, two threads");
    for turn in TURNS {
        let body = [b'x'; 64];
        group.throughput(Throughput::Elements(turn));
        group.bench_function(format!("64 B in batches of {turn}"), |bencher| {
            bencher.iter_custom(|turns| {
                let mut ports = mesh(2).into_iter();
                let (mut here, mut there) =
                    (ports.next().expect("a port"), ports.next().expect("two"));
                let began = std::time::Instant::now();
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        let mut left = turns * turn;
                        while left > 0 {
                            match receive(&mut there) {
                                0 => std::thread::yield_now(),
                                messages => left -= messages,
                            }
                        }
                    });
                    for _ in 0..turns {
                        while here.is_congested() {
                            std::thread::yield_now();
                            here.flush();
                        }
                        send(&mut here, &body, turn);
                    }
                    while !here.is_flushed() {
                        std::thread::yield_now();
                        here.flush();
                    }
                });
                began.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_thread, two_threads);
criterion_main!(benches);
