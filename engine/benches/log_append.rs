//! What it costs to append a message, with blocks sealed, batches handed over and completed, and
//! segments recycled; into memory, so that no device is measured. One message per iteration.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use haremq_engine::ids::{QueueId, Seq, ShardId};
use haremq_engine::log::{
    Address, Log, LogCompletion, LogConfig, LogEffect, Memory, Recovery, Settling,
};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;

struct Vectors;

impl Memory for Vectors {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }
}

const NOW: Now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 };
/// Messages that are settled together, and effects that are carried out together: a turn.
const TURN: usize = 256;

fn log() -> Log<Vectors> {
    let config = LogConfig {
        shard: ShardId(0),
        segment_bytes: 64 << 20,
        buffer_bytes: 256 * 1024,
        writes_in_flight_max: 4,
        cache_bytes: 16 << 20,
        settle_delay_us: 1000,
    };
    Recovery::new(config, Vectors, Vec::new()).finish(NOW).expect("an empty log")
}

/// A device without delay.
fn turn(log: &mut Log<Vectors>) {
    while let Some(effect) = log.poll_effect(NOW) {
        let completion = match effect {
            LogEffect::Write { ticket, .. } => LogCompletion::Written { ticket },
            LogEffect::Create { ticket, .. } => LogCompletion::Created { ticket },
            LogEffect::Delete { ticket, .. } => LogCompletion::Deleted { ticket },
            LogEffect::Read { ticket, length, .. } => {
                LogCompletion::Read { ticket, buffer: vec![0; length] }
            }
        };
        log.complete(NOW, completion).expect("nothing fails");
    }
}

/// A publisher and a consumer that keeps up with it.
struct Traffic {
    log: Log<Vectors>,
    body: Vec<u8>,
    next: u64,
    unsettled: Vec<(Address, u32, u32)>,
}

impl Traffic {
    fn new(body_bytes: usize) -> Self {
        let unsettled = Vec::with_capacity(TURN);
        Traffic { log: log(), body: vec![7; body_bytes], next: 0, unsettled }
    }

    fn append(&mut self) {
        let message = MessageRef {
            exchange: b"",
            routing_key: b"orders.created",
            properties: &[0x18, 0, 2, 1],
            body: &self.body,
            persistent: true,
            priority: 0,
            expiration_ms: None,
        };
        let references = [(QueueId(1), Seq(self.next))];
        let placed = self.log.append_message(NOW, &message, None, &references);
        self.next += 1;
        self.unsettled.push((placed.address, placed.length, placed.reference));
    }

    fn is_turn(&self) -> bool {
        self.unsettled.len() == TURN
    }

    fn settle(&mut self) {
        let first = self.next - self.unsettled.len() as u64;
        for (seq, (address, length, reference)) in (first..).zip(self.unsettled.drain(..)) {
            let (queue, seq) = (QueueId(1), Seq(seq));
            self.log.append_settle(NOW, Settling { queue, seq, address, length, reference });
        }
    }

    fn fetch(&mut self) -> usize {
        let mut octets = 0;
        for (address, length, _) in &self.unsettled {
            if let haremq_engine::log::Fetch::Ready(stored) = self.log.fetch(*address, *length) {
                octets += stored.message.body.len();
            }
        }
        octets
    }
}

fn append(criterion: &mut Criterion) {
    for (name, bytes) in [("64", 64), ("1024", 1024), ("16384", 16_384)] {
        let mut group = criterion.benchmark_group("log_append");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("append/{name}"), |bencher| {
            let mut traffic = Traffic::new(bytes);
            bencher.iter(|| {
                traffic.append();
                if traffic.is_turn() {
                    // Freed without records: what is measured is the append.
                    for (address, length, reference) in traffic.unsettled.drain(..) {
                        traffic.log.release(address, length, reference);
                    }
                    turn(&mut traffic.log);
                }
            });
        });
        group.bench_function(format!("append_fetch_settle/{name}"), |bencher| {
            let mut traffic = Traffic::new(bytes);
            bencher.iter(|| {
                traffic.append();
                if traffic.is_turn() {
                    std::hint::black_box(traffic.fetch());
                    traffic.settle();
                    turn(&mut traffic.log);
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
