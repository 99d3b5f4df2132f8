//! What it costs to make a batch of messages durable, beside its floor: the same octets written
//! from a buffer that was there already, with O_DIRECT and fdatasync both.
//!
//! The directory is that of temporary files; `HAREMQ_BENCH_DIR` names another.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use haremq_engine::ids::{QueueId, Seq, ShardId};
use haremq_engine::log::{Log, LogCompletion, LogConfig, LogEffect, Memory, Recovery};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;

const NOW: Now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 };
const SEGMENT_BYTES: u64 = 8 << 20;
const PAGE: usize = 4096;

/// Memory from which a device can write.
struct Aligned {
    octets: Vec<u8>,
    skip: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Aligned {
        let octets = vec![0; length + PAGE];
        let skip = octets.as_ptr().align_offset(PAGE);
        Aligned { octets, skip, length }
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.octets[self.skip..self.skip + self.length]
    }
}

impl AsMut<[u8]> for Aligned {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.octets[self.skip..self.skip + self.length]
    }
}

struct Allocator;

impl Memory for Allocator {
    type Buffer = Aligned;
    fn allocate(&mut self, bytes: usize) -> Aligned {
        Aligned::new(bytes)
    }
}

/// One file for all segments, overwritten again and again as recycled segments are.
struct Device {
    path: PathBuf,
    file: File,
}

impl Device {
    fn new() -> Device {
        let dir =
            std::env::var_os("HAREMQ_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = dir.join(format!("haremq-bench-commit-{}", std::process::id()));
        let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let file = options.custom_flags(direct).open(&path).expect("a file system with O_DIRECT");
        let zeros = Aligned::new(1 << 20);
        for offset in (0..SEGMENT_BYTES).step_by(1 << 20) {
            file.write_all_at(zeros.as_ref(), offset).expect("room on the device");
        }
        file.sync_all().expect("a sync");
        Device { path, file }
    }

    fn write(&self, octets: &[u8], offset: u64) {
        self.file.write_all_at(octets, offset % SEGMENT_BYTES).expect("a write");
        self.file.sync_data().expect("a sync");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn log() -> Log<Allocator> {
    let config = LogConfig {
        shard: ShardId(0),
        segment_bytes: SEGMENT_BYTES,
        buffer_bytes: 256 << 10,
        writes_in_flight_max: 4,
        cache_bytes: 4 << 20,
        settle_delay_us: 1000,
    };
    Recovery::new(config, Allocator, Vec::new()).finish(NOW).expect("an empty log")
}

/// Appends messages and makes them durable. Gives the octets written.
fn commit(
    log: &mut Log<Allocator>,
    device: &Device,
    seq: &mut u64,
    body: &[u8],
    count: u64,
) -> u64 {
    let message = MessageRef {
        exchange: b"",
        routing_key: b"bench",
        properties: b"\x10\0\x02",
        body,
        persistent: true,
        priority: 0,
        expiration_ms: None,
    };
    for _ in 0..count {
        *seq += 1;
        let placed = log.append_message(NOW, &message, None, &[(QueueId(1), Seq(*seq))]);
        log.release(placed.address, placed.length, placed.reference);
    }
    let mut octets = 0;
    while let Some(effect) = log.poll_effect(NOW) {
        let completion = match effect {
            LogEffect::Write { ticket, offset, buffer, length, .. } => {
                octets += length as u64;
                device.write(&(*buffer).as_ref()[..length], offset);
                LogCompletion::Written { ticket }
            }
            LogEffect::Create { ticket, .. } => LogCompletion::Created { ticket },
            LogEffect::Read { ticket, length, .. } => {
                LogCompletion::Read { ticket, buffer: Aligned::new(length) }
            }
        };
        log.complete(NOW, completion).expect("nothing fails");
    }
    octets
}

fn commits(criterion: &mut Criterion) {
    let device = Device::new();
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.warm_up_time(Duration::from_millis(500));
    for (bytes, count) in [(64, 1), (64, 1000), (1024, 100)] {
        let body = vec![b'x'; bytes];
        let (mut log, mut seq) = (log(), 0);
        // What a batch of so many takes: the second one, for the first finds no segment.
        commit(&mut log, &device, &mut seq, &body, count);
        let octets = commit(&mut log, &device, &mut seq, &body, count);
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} x {bytes} B"), |bencher| {
            bencher.iter(|| commit(&mut log, &device, &mut seq, &body, count));
        });
        let buffer = Aligned::new(octets as usize);
        let mut offset = 0;
        group.bench_function(format!("floor of {count} x {bytes} B: {octets} octets"), |bencher| {
            bencher.iter(|| {
                device.write(buffer.as_ref(), offset);
                offset = (offset + octets) % (SEGMENT_BYTES - octets) / 4096 * 4096;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
