//! Disk space: what is used stays within twice what is wanted and a constant number of segments,
//! whatever lives beside whatever.

use std::collections::BTreeMap;

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Command, Credit, Outcome};
use haremq_engine::message::MessageRef;

use crate::client::{channel, consumer};
use crate::world::{message, World};

const SEGMENT_BYTES: u64 = 64 * 1024;
/// What may be used beyond twice what is wanted.
const SEGMENTS_BEYOND: u64 = 10;
/// Octets of a record beside the body, at most, of the messages here.
const OVERHEAD_BYTES: u64 = 200;

pub(crate) struct Disk {
    pub(crate) world: World,
    /// Numbers of the messages that are to be there, by queue, in queue order.
    pub(crate) kept: BTreeMap<QueueId, Vec<u64>>,
    sizes: BTreeMap<u64, usize>,
    next: u64,
    pub(crate) busy: QueueId,
    /// Files on disk, at most, in segments.
    most: u64,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new(1, seed);
        let busy = world.durable_queue("busy");
        let key = consumer(channel(0, 1), 1);
        world.consume_as(busy, key, Credit::Unlimited, |consume| consume.no_ack = true);
        world.settle_down();
        world.events.clear();
        let (kept, sizes) = (BTreeMap::new(), BTreeMap::new());
        Disk { world, kept, sizes, next: 1, busy, most: 0 }
    }

    pub(crate) fn queue(&mut self, name: &str) -> QueueId {
        self.world.events.clear();
        self.world.durable_queue(name)
    }

    fn body(&mut self, bytes: usize) -> Vec<u8> {
        let mut body = self.next.to_le_bytes().to_vec();
        body.resize(bytes.max(8), (self.next % 251) as u8);
        self.sizes.insert(self.next, body.len());
        self.next += 1;
        body
    }

    fn wait_for_room(&mut self) {
        if !self.world.shards[0].has_room() {
            self.world.settle_down();
            self.world.pass_ms(1, 0);
        }
    }

    /// Publishes a message that nobody takes from those queues.
    pub(crate) fn keep(&mut self, queues: &[QueueId], bytes: usize) -> u64 {
        self.wait_for_room();
        let number = self.next;
        let body = self.body(bytes);
        for queue in queues {
            self.kept.entry(*queue).or_default().push(number);
        }
        self.world.send_message(queues, message(&body, true), None);
        number
    }

    /// So many octets of messages that are gone as soon as they are delivered.
    fn traffic(&mut self, octets: usize) {
        for _ in 0..octets / 1000 {
            self.wait_for_room();
            let body = vec![7; 900];
            self.world.send_message(&[self.busy], message(&body, true), None);
            if self.world.random.one_in(10) {
                self.world.settle_down();
            }
        }
        self.rest();
    }

    pub(crate) fn rest_of_turns(&mut self) {
        for _ in 0..3 {
            self.world.settle_down();
            self.world.pass_ms(1, 0);
        }
    }

    /// All that can be done without new work is done.
    pub(crate) fn rest(&mut self) {
        self.rest_of_turns();
        self.world.events.clear();
        let space = self.world.shards[0].log_space();
        let bytes = self.world.disks[0].bytes() as u64;
        assert_eq!(space.file_octets, bytes, "files are counted wrongly");
        let bound = 2 * space.live_octets + SEGMENTS_BEYOND * SEGMENT_BYTES;
        assert!(bytes <= bound, "{bytes} octets used, and no more than {bound} may be: {space:?}");
        self.most = self.most.max(bytes / SEGMENT_BYTES);
    }

    /// What is kept, as the log should count it: no more than that, and no less than the bodies.
    fn check_live(&self) {
        let mut bodies: BTreeMap<u64, u64> = BTreeMap::new();
        for numbers in self.kept.values() {
            for number in numbers {
                bodies.insert(*number, self.sizes[number] as u64);
            }
        }
        let least: u64 = bodies.values().sum();
        let definitions = 20_000;
        let most = least + bodies.len() as u64 * OVERHEAD_BYTES + definitions;
        let live = self.world.shards[0].log_space().live_octets;
        assert!((least..=most).contains(&live), "{live} octets live, {least} to {most} should");
    }

    /// The power goes; everything that is kept is delivered, once, in order, as it was.
    fn crash_and_compare(&mut self) {
        self.check_live();
        self.crash_and_deliver();
    }

    pub(crate) fn crash_and_deliver(&mut self) {
        let live = self.world.shards[0].log_space().live_octets;
        self.world.crash();
        assert_eq!(self.world.shards[0].log_space().live_octets, live, "counted differently");
        self.compare();
    }

    fn compare(&mut self) {
        let kept = self.kept.clone();
        for (serial, (queue, numbers)) in (100..).zip(&kept) {
            assert_eq!(self.world.counts(*queue).0, numbers.len() as u64);
            let key = consumer(channel(0, 2), serial);
            self.world.consume(*queue, key, Credit::Unlimited);
            let received = self.world.deliveries();
            let seen: Vec<u64> = received.iter().map(|one| number_of(&one.body)).collect();
            assert_eq!(seen, *numbers, "queue {queue:?}");
            for one in &received {
                let number = number_of(&one.body);
                assert_eq!(one.body.len(), self.sizes[&number]);
                assert!(one.body[8..].iter().all(|octet| *octet == (number % 251) as u8));
            }
        }
    }
}

pub(crate) fn number_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().expect("eight octets"))
}

#[test]
fn unread_messages_scattered_through_heavy_traffic_hold_only_their_own_space() {
    let mut disk = Disk::new(1);
    let queue = disk.queue("kept");
    for _ in 0..120 {
        disk.keep(&[queue], 700);
        disk.traffic(50_000);
    }
    assert!(disk.most <= 16, "{} segments for 84 KiB", disk.most);
    let copied = disk.world.shards[0].log_space().copied_octets;
    assert!(copied > 0 && copied < 2 << 20, "{copied} octets copied for 6 MiB of traffic");
    disk.crash_and_compare();
}

#[test]
fn one_unacked_message_survives_being_copied_again_and_again() {
    let mut disk = Disk::new(2);
    let queue = disk.queue("kept");
    // Enough that stays to make copying worth it, and one that a consumer holds all the time.
    disk.world.send(&[queue], "held", true);
    disk.world.consume(queue, consumer(channel(0, 3), 9), Credit::Prefetch(1));
    let held = disk.world.deliveries().remove(0);
    let other = disk.queue("other");
    for round in 0..60 {
        disk.keep(&[other], 3000);
        disk.traffic(60_000);
        if round % 20 == 10 {
            assert_eq!(disk.world.counts(queue), (0, 1));
        }
    }
    disk.world.settle(&held, Outcome::Ack);
    disk.rest();
    assert_eq!(disk.world.counts(queue), (0, 0));
    disk.kept.insert(queue, Vec::new());
    disk.crash_and_compare();
}

#[test]
fn a_full_queue_beside_busy_ones_and_what_is_acked_out_of_order() {
    let mut disk = Disk::new(3);
    let queue = disk.queue("full");
    for round in 0..40 {
        for _ in 0..10 {
            let bytes = 100 + disk.world.random.below(1500);
            disk.keep(&[queue], bytes);
        }
        disk.traffic(20_000);
        if round == 20 {
            disk.crash_and_restart();
        }
    }
    // Two of three go, here and there.
    disk.world.consume(queue, consumer(channel(0, 4), 50), Credit::Unlimited);
    for one in disk.world.deliveries() {
        if one.queue == queue && !disk.world.random.one_in(3) {
            let number = number_of(&one.body);
            disk.kept.entry(queue).or_default().retain(|kept| *kept != number);
            disk.world.settle(&one, Outcome::Ack);
            if disk.world.random.one_in(8) {
                disk.rest();
            }
        }
    }
    disk.rest();
    disk.traffic(100_000);
    disk.crash_and_compare();
}

impl Disk {
    /// Without looking into the queues.
    fn crash_and_restart(&mut self) {
        self.world.crash();
        let key = consumer(channel(0, 1), 1);
        self.world.consume_as(self.busy, key, Credit::Unlimited, |consume| consume.no_ack = true);
        self.rest();
    }
}

#[test]
fn messages_shared_by_queues_are_wanted_while_one_of_them_wants_them() {
    let mut disk = Disk::new(4);
    let queues: Vec<QueueId> = (0..20).map(|number| disk.queue(&format!("q{number}"))).collect();
    for _ in 0..60 {
        let first = disk.world.random.below(17);
        let count = 1 + disk.world.random.below(3);
        let bytes = disk.world.random.below(3000);
        disk.keep(&queues[first..first + count], bytes);
        disk.traffic(30_000);
    }
    for queue in queues.iter().step_by(2) {
        let channel = channel(0, 5);
        disk.world.command(disk.world.owner(*queue), Command::Purge { queue: *queue, channel });
        disk.kept.remove(queue);
    }
    disk.traffic(200_000);
    disk.crash_and_compare();
}

#[test]
fn large_messages_in_parts_are_copied_whole() {
    let mut disk = Disk::new(5);
    let (queue, other) = (disk.queue("large"), disk.queue("other"));
    for round in 0..30 {
        let bytes = 5_000 + disk.world.random.below(90_000);
        if round % 3 == 0 {
            disk.keep(&[queue, other], bytes);
        } else {
            // Gone at once: holes between those that stay.
            let body = vec![1; bytes];
            disk.world.send_message(&[disk.busy], message(&body, true), None);
        }
        disk.traffic(40_000);
    }
    let channel = channel(0, 5);
    disk.world.command(disk.world.owner(other), Command::Purge { queue: other, channel });
    disk.kept.remove(&other);
    disk.traffic(300_000);
    disk.crash_and_compare();
}

#[test]
fn definitions_between_heavy_traffic_hold_only_their_own_space() {
    let mut disk = Disk::new(6);
    for number in 0..80 {
        disk.queue(&format!("queue-{number}"));
        disk.traffic(50_000);
    }
    assert!(disk.most <= 16, "{} segments", disk.most);
    assert!(disk.world.shards[0].log_space().copied_octets > 0);
    disk.world.crash();
    assert_eq!(disk.world.shards[0].topology().all_queues().count(), 81);
    // A definition that was copied can be removed, and stays away.
    let gone = disk.world.shards[0].topology().all_queues().nth(40).expect("a queue").id;
    let channel = channel(0, 1);
    let delete = Command::Delete { queue: gone, channel, if_unused: false, if_empty: false };
    disk.world.command(disk.world.owner(gone), delete);
    disk.rest();
    disk.world.crash();
    assert_eq!(disk.world.shards[0].topology().all_queues().count(), 80);
    assert!(disk.world.shards[0].topology().queue_by_id(gone).is_none());
}

#[test]
fn priorities_limits_of_time_and_attributes_survive_being_copied() {
    let mut disk = Disk::new(7);
    let queue = disk.world.queue_with("levels", &[("x-max-priority", 3)]);
    let mut by_level: [Vec<u64>; 4] = Default::default();
    for round in 0..60 {
        disk.wait_for_room();
        let number = disk.next;
        let body = disk.body(500);
        let priority = round % 4;
        let expiration_ms = (round % 5 == 0).then_some(600_000);
        let message = MessageRef { priority, expiration_ms, ..message(&body, true) };
        disk.world.send_message(&[queue], message, None);
        if expiration_ms.is_none() {
            by_level[usize::from(priority)].push(number);
        }
        disk.traffic(40_000);
    }
    assert!(disk.world.shards[0].log_space().copied_octets > 0);
    disk.world.crash();
    disk.world.pass_ms(700_000, 0);
    disk.world.settle_down();
    disk.kept.insert(queue, by_level.into_iter().rev().flatten().collect());
    disk.compare();
}

#[test]
fn a_deleted_backlog_gives_its_space_back_to_the_file_system() {
    let mut disk = Disk::new(8);
    let queue = disk.queue("backlog");
    for _ in 0..2500 {
        disk.keep(&[queue], 1000);
        if disk.world.random.one_in(10) {
            disk.world.settle_down();
        }
    }
    disk.rest();
    let before = disk.world.disks[0].bytes();
    assert!(before > 2_500_000);
    let channel = channel(0, 5);
    let delete = Command::Delete { queue, channel, if_unused: false, if_empty: false };
    disk.world.command(disk.world.owner(queue), delete);
    disk.kept.remove(&queue);
    disk.traffic(10_000);
    let after = disk.world.disks[0].bytes() as u64 / SEGMENT_BYTES;
    assert!(after <= SEGMENTS_BEYOND, "{after} segments are left");
    disk.crash_and_compare();
    disk.traffic(10_000);
}

impl Disk {
    /// Publishes to that queue until the log takes no more.
    fn fill(&mut self, queue: QueueId) {
        loop {
            if !self.world.shards[0].has_room() {
                self.world.settle_down();
                self.world.pass_ms(300, 0);
                self.world.settle_down();
                if !self.world.shards[0].has_room() {
                    break;
                }
            }
            self.keep(&[queue], 900);
        }
        assert!(self.world.shards[0].is_out_of_space());
        // Who has published may still acknowledge, and must be read for that.
        assert!(self.world.shards[0].lets_publishers_in(true));
        assert!(self.world.shards[0].lets_publishers_in(false));
        self.world.events.clear();
    }

    /// What has been waiting for space goes on.
    fn retry(&mut self) {
        for _ in 0..4 {
            self.world.settle_down();
            self.world.pass_ms(300, 0);
        }
    }
}

#[test]
fn on_a_full_disk_acks_and_definitions_go_on_and_make_room_for_publishers() {
    let mut disk = Disk::new(9);
    let queue = disk.queue("full");
    disk.world.disks[0].capacity = Some(14 * SEGMENT_BYTES as usize);
    disk.fill(queue);
    disk.queue("declared on a full disk");
    // Every second one goes, so that no segment becomes empty: it takes copying to make room.
    disk.world.consume(queue, consumer(channel(0, 4), 50), Credit::Unlimited);
    for (index, one) in disk.world.deliveries().iter().enumerate() {
        if index % 2 == 0 {
            let number = number_of(&one.body);
            disk.kept.entry(queue).or_default().retain(|kept| *kept != number);
            disk.world.settle(one, Outcome::Ack);
        }
    }
    disk.retry();
    assert!(!disk.world.shards[0].is_out_of_space() && disk.world.shards[0].has_room());
    assert!(disk.world.disks[0].bytes() <= 14 * SEGMENT_BYTES as usize);
    disk.keep(&[queue], 500);
    disk.retry();
    disk.crash_and_compare();
}

#[test]
fn a_purge_and_more_space_each_end_the_shortage() {
    let mut disk = Disk::new(10);
    let (queue, other) = (disk.queue("full"), disk.queue("other"));
    disk.world.disks[0].capacity = Some(12 * SEGMENT_BYTES as usize);
    disk.fill(queue);
    let owner = disk.world.owner(queue);
    disk.world.command(owner, Command::Purge { queue, channel: channel(0, 5) });
    disk.kept.remove(&queue);
    disk.retry();
    assert!(!disk.world.shards[0].is_out_of_space() && disk.world.shards[0].has_room());
    disk.fill(other);
    disk.world.disks[0].capacity = Some(20 * SEGMENT_BYTES as usize);
    disk.retry();
    assert!(!disk.world.shards[0].is_out_of_space() && disk.world.shards[0].has_room());
    disk.keep(&[other], 500);
    disk.retry();
    disk.crash_and_compare();
}
