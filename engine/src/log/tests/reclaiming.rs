//! What the log promises to those who wait for a confirm while it gives segments back: between a
//! publish and its confirm there is at most one write with anything of that, beside the message's
//! own. Seen from the device: from the octets that it is given.

use std::collections::{BTreeSet, VecDeque};

use zerocopy::FromBytes;

use super::disk::{Completion, Effect};
use super::world::World;
use super::{roomy, tiny};
use crate::ids::{QueueId, Seq};
use crate::log::block::Block;
use crate::log::format::{BlockHeader, BLOCK_MAGIC, PAGE_BYTES};
use crate::log::record::{Payload, Record};
use crate::log::{LogConfig, LogEffect};

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

/// Octets of reclaiming's records that one write holds, but for its last one.
const OCTETS_PER_WRITE: u64 = 256 * 1024;

/// What there is of giving segments back in a write.
#[derive(Clone, Copy, Debug)]
struct Write {
    /// Position behind its last block.
    end: u64,
    /// Octets of Liveness, Recycled and Copied records, and of messages that had been written before.
    reclaiming: u64,
    longest: u64,
}

/// A log on a device that has a few writes at a time and is in no hurry with them.
struct Device {
    world: World,
    under_way: VecDeque<Completion>,
    writes: Vec<Write>,
    written: BTreeSet<(QueueId, Seq)>,
    /// What was durable when a message was published, and the end of that.
    published: Vec<(u64, u64)>,
}

impl Device {
    fn new(config: LogConfig) -> Self {
        let mut world = World::new(config, 1);
        world.settle_down();
        let (under_way, writes, written) = Default::default();
        Device { world, under_way, writes, written, published: Vec::new() }
    }

    fn publish(&mut self, queues: &[QueueId], bytes: usize) -> Vec<(QueueId, Seq)> {
        let durable = self.world.log.durable().0;
        let all = self.world.append(queues, bytes);
        self.published.push((durable, self.world.held[&all[0]].end.0));
        all
    }

    /// Takes what the log wants done: all but writes is done at once.
    fn take(&mut self) {
        loop {
            self.world.poll();
            if self.world.under_way.is_empty() {
                return;
            }
            for effect in std::mem::take(&mut self.world.under_way) {
                let completion = self.world.disk.carry_out(&effect);
                if matches!(effect, LogEffect::Write { .. }) {
                    self.look(&effect);
                    self.under_way.push_back(completion);
                } else {
                    self.world.complete(completion).expect("a sound disk");
                }
            }
        }
    }

    /// The write that has waited longest is done.
    fn write(&mut self) {
        if let Some(completion) = self.under_way.pop_front() {
            self.world.complete(completion).expect("a sound disk");
            self.take();
        }
    }

    fn rest(&mut self) {
        loop {
            self.take();
            if !self.under_way.is_empty() {
                self.write();
            } else if let Some(due) = self.world.log.deadline_us() {
                self.world.now.monotonic_us = due;
            } else {
                return;
            }
        }
    }

    fn look(&mut self, effect: &Effect) {
        let LogEffect::Write { buffer, length, .. } = effect else { return };
        let mut octets = &buffer[..*length];
        if octets[..4] != BLOCK_MAGIC {
            // The header of the file.
            octets = &octets[PAGE_BYTES..];
        }
        let mut write = Write { end: 0, reclaiming: 0, longest: 0 };
        while !octets.is_empty() {
            let (header, _) = BlockHeader::ref_from_prefix(octets).expect("a page");
            let position = header.position.get();
            let block = Block::open(octets, position, None).expect("a whole block");
            for record in block.records() {
                let (_, length, record) = record.expect("a whole record");
                let is_of_reclaiming = match record {
                    Record::Liveness(_) | Record::Recycled(_) | Record::Copied(_) => true,
                    Record::Message(message) => {
                        let Payload::Inline(content) = message.payload else { continue };
                        let references = message.references_in(content).expect("references");
                        let keys: Vec<_> = references.iter().map(|entry| entry.get()).collect();
                        !keys.into_iter().fold(false, |any, key| any | self.written.insert(key))
                    }
                    _ => false,
                };
                if is_of_reclaiming {
                    write.reclaiming += u64::from(length);
                    write.longest = write.longest.max(u64::from(length));
                }
            }
            write.end = position + block.length() as u64;
            octets = &octets[block.length()..];
        }
        self.writes.push(write);
    }

    /// Of every message: the writes between it and its confirm. Gives how many hold something of
    /// reclaiming.
    fn judge(&mut self) -> usize {
        self.rest();
        for (durable, end) in &self.published {
            let first = self.writes.partition_point(|write| write.end <= *durable);
            let own = self.writes.partition_point(|write| write.end < *end);
            let before = self.writes[first..own].iter().filter(|write| write.reclaiming > 0);
            assert!(before.clone().count() <= 1, "{:?} of {:?}", before.collect::<Vec<_>>(), end);
            for write in &self.writes[first..=own] {
                assert!(write.reclaiming <= OCTETS_PER_WRITE + write.longest, "{write:?}");
            }
        }
        self.writes.iter().filter(|write| write.reclaiming > 0).count()
    }
}

/// Segments of messages of which every fourth stays.
fn sparse(device: &mut Device, segments: u32, bytes: usize) {
    let begun = device.world.log.segments.tail().number;
    for number in 0.. {
        let message = device.publish(&[if number % 4 == 0 { Q } else { R }], bytes)[0];
        if number % 4 != 0 {
            device.world.settle(message);
        }
        if number % 40 == 0 {
            device.rest();
        }
        if device.world.log.segments.tail().number == begun + segments {
            break;
        }
    }
    device.rest();
}

#[test]
fn between_publish_and_confirm_is_at_most_one_write_of_copies() {
    for (config, bytes) in [(roomy(), 3_000), (tiny(), 500)] {
        let mut device = Device::new(config);
        sparse(&mut device, 16, bytes);
        let before = device.world.log.space();
        device.published.clear();
        for round in 0..400 {
            // By and by, in bursts, and as much as there may be.
            let burst = [1, 1, 30, 1_000][round / 10 % 4];
            for _ in 0..burst {
                if device.world.log.has_room() {
                    let message = device.publish(&[R], bytes)[0];
                    device.world.settle(message);
                }
            }
            device.take();
            for _ in 0..8 {
                device.world.copy_forward();
                device.take();
            }
            device.write();
        }
        let writes = device.judge();
        let space = device.world.log.space();
        assert!(space.copied_octets > before.live_octets / 2, "{space:?}, before {before:?}");
        assert!(writes > 16, "{writes}");
    }
}

#[test]
fn between_publish_and_confirm_is_at_most_one_write_of_liveness_records() {
    let mut device = Device::new(tiny());
    let queues: Vec<QueueId> = (10..210).map(QueueId).collect();
    let mut old = Vec::new();
    for _ in 0..40 {
        let begun = device.world.log.segments.tail().number;
        while device.world.log.segments.tail().number == begun {
            old.extend(device.publish(&queues, 10));
            device.rest();
        }
    }
    device.published.clear();
    // Every other reference of all of them, so that nothing shorter than a bitmap tells of them.
    let mut doomed: VecDeque<_> = old.into_iter().step_by(2).collect();
    for _ in 0..4_000 {
        for _ in 0..20 {
            if let Some(key) = doomed.pop_front() {
                device.world.settle(key);
            }
        }
        let message = device.publish(&[R], 100)[0];
        device.take();
        device.world.settle(message);
        device.write();
    }
    let writes = device.judge();
    assert!(writes > 16, "{writes}");
}

#[test]
fn publishers_go_on_while_a_segment_is_copied_and_write_no_more_than_it_gives_back() {
    let mut device = Device::new(roomy());
    sparse(&mut device, 24, 3_000);
    let segments = device.world.log.segments.len();
    assert!(device.world.log.is_far_behind(), "{:?}", device.world.log.space());
    device.world.copy_forward();
    let (mut published, mut turns) = (0, 0);
    while device.world.log.segments.len() >= segments {
        assert!(device.world.log.segments.len() <= segments + 1, "it becomes worse");
        while device.world.log.has_room() {
            let message = device.publish(&[R], 3_000)[0];
            device.world.settle(message);
            published += 3_000;
        }
        device.take();
        device.write();
        device.world.copy_forward();
        device.take();
        turns += 1;
        assert!(turns < 10_000, "nothing is given back");
    }
    let segment_bytes = device.world.log.geometry.segment_bytes;
    assert!(
        published > segment_bytes / 4,
        "{published} octets beside a segment of {segment_bytes}"
    );
    assert!(device.world.log.space().copied_octets > 0);
}
