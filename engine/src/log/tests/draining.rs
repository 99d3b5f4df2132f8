//! What is read back of a long backlog: how much, how often, and how much of it lies in memory.

use std::collections::VecDeque;

use super::body::compare;
use super::disk::Effect;
use super::world::{Held, World};
use super::{roomy, tiny};
use crate::ids::{QueueId, Seq};
use crate::log::readback::WINDOW_BYTES_MAX;
use crate::log::{Fetch, LogConfig, LogEffect};

const MIB: usize = 1 << 20;
/// Messages that a queue takes before the next one has its turn, as in the shard.
const TURN: usize = 64;

/// Queues that take what is theirs, each in order and all in turns.
struct Drain {
    world: World,
    left: VecDeque<VecDeque<(QueueId, Seq)>>,
    /// Octets that have been asked for.
    asked: u64,
    /// Octets of the log.
    octets: u64,
    /// Reads under way after each one that was waited for had come, until all have been asked for.
    under_way: Vec<usize>,
    /// Octets of memory for what has been read and is being read, at most.
    memory: usize,
    /// Any of the reads under way comes next, not the first one.
    is_out_of_order: bool,
}

impl Drain {
    /// So many octets of messages of that many queues, message by message in turn, on disk only.
    fn of(config: LogConfig, octets: usize, queues: usize, bytes: impl FnMut() -> usize) -> Self {
        Drain::in_stretches(config, octets, queues, 1, bytes)
    }

    /// As `of`, so many messages of a queue at a time.
    fn in_stretches(
        config: LogConfig,
        octets: usize,
        queues: usize,
        stretch: usize,
        mut bytes: impl FnMut() -> usize,
    ) -> Self {
        let mut world = World::new(config, 7);
        world.reads_in_full = false;
        let mut left = vec![VecDeque::new(); queues];
        let mut appended = 0;
        let turns = (0..queues).cycle().flat_map(|number| (0..stretch).map(move |_| number));
        for number in turns {
            if appended >= octets {
                break;
            }
            let bytes = bytes();
            appended += bytes;
            left[number].extend(world.append(&[QueueId(1 + number as u64)], bytes));
            if world.log.end().0 - world.log.durable().0 > MIB as u64 {
                world.settle_down();
            }
        }
        world.settle_down();
        world.recover().expect("nothing is lost");
        let octets = world.log.end().0;
        let (under_way, left) = (Vec::new(), left.into());
        Drain { world, left, asked: 0, octets, under_way, memory: 0, is_out_of_order: false }
    }

    /// Takes the next message of the queue, or gives false: it is being read.
    fn take(&mut self, queue: &mut VecDeque<(QueueId, Seq)>) -> bool {
        let Some(key) = queue.front() else { return true };
        let held = self.world.held[key].clone();
        match self.world.log.fetch(held.address, held.length) {
            Fetch::Ready(stored) => compare(held.body, &stored),
            Fetch::Pending => return false,
        }
        queue.pop_front();
        true
    }

    fn note(&mut self) {
        let before = self.world.under_way.len();
        self.world.poll();
        for effect in self.world.under_way.iter().skip(before) {
            if let LogEffect::Read { length, .. } = effect {
                self.asked += *length as u64;
            }
        }
        let log = &self.world.log;
        self.memory = self.memory.max(log.cache.bytes() + log.readback.bytes());
    }

    /// All queues have their turns until all of them wait for a read; then one comes.
    fn run(&mut self) {
        while !self.left.is_empty() {
            let mut waiting = VecDeque::new();
            while let Some(mut queue) = self.left.pop_front() {
                let is_there = (0..TURN).all(|_| self.take(&mut queue));
                self.note();
                match is_there {
                    true if queue.is_empty() => {}
                    true => self.left.push_back(queue),
                    false => waiting.push_back(queue),
                }
            }
            self.left = waiting;
            if !self.left.is_empty() {
                self.await_read();
            }
        }
    }

    fn await_read(&mut self) {
        let reads = self.world.under_way.len();
        assert!(reads > 0, "who waits waits for a read");
        let at = if self.is_out_of_order { self.world.random.below(reads) } else { 0 };
        let read = self.world.under_way.remove(at).expect("within the queue");
        let completion = self.world.disk.carry_out(&read);
        self.world.complete(completion).expect("a sound disk");
        self.note();
        if self.asked < self.octets / 10 * 9 {
            self.under_way.push(self.world.under_way.len());
        }
    }
}

fn with_room_to_read_ahead() -> LogConfig {
    LogConfig { cache_bytes: 8 * MIB, ..roomy() }
}

/// A device that has nothing to do while somebody consumes what it has brought is a device half as fast.
#[test]
fn the_device_has_the_next_read_while_a_backlog_is_taken() {
    for queues in [1, 16] {
        let mut drain = Drain::of(with_room_to_read_ahead(), 24 * MIB, queues, || 1000);
        drain.run();
        let begun = drain.under_way.iter().skip(4);
        assert!(begun.clone().count() > 10, "{:?}", drain.under_way);
        assert!(begun.clone().all(|reads| *reads > 0), "{:?}", drain.under_way);
    }
}

#[test]
fn each_octet_is_read_once_however_many_queues_interleave() {
    for queues in [1, 16, 2000] {
        let mut drain = Drain::of(with_room_to_read_ahead(), 24 * MIB, queues, || 1000);
        drain.run();
        let (asked, octets) = (drain.asked, drain.octets);
        assert!(asked <= octets / 100 * 102, "{asked} of {octets} octets, {queues} queues");
        assert!(asked >= octets / 100 * 95, "{asked} of {octets} octets, {queues} queues");
    }
}

/// Queues that lie far apart in the log are read ahead for at the same time. All of that has its place in memory until
/// somebody has looked at it, or it would be read again.
#[test]
fn what_is_read_ahead_of_several_backlogs_is_looked_at_before_it_leaves() {
    for queues in [6, 12] {
        let config = LogConfig { cache_bytes: 4 * MIB, ..roomy() };
        let each = 4_000;
        let mut drain = Drain::in_stretches(config, queues * 4 * MIB, queues, each, || 1000);
        drain.run();
        let (asked, octets) = (drain.asked, drain.octets);
        assert!(asked <= octets / 100 * 125, "{asked} of {octets} octets, {queues} queues");
    }
}

/// Nobody wants what the read brings any more, and the file holds a later segment by then.
#[test]
fn what_is_read_of_a_segment_that_has_been_given_back_meanwhile_is_no_damage() {
    let mut world = World::new(tiny(), 7);
    world.reads_in_full = false;
    world.settle_down();
    let gone = world.fill_segment(QueueId(1));
    world.settle_down();
    world.recover().expect("nothing is lost");
    let Held { address, length, .. } = world.held[&gone[1]];
    assert!(matches!(world.log.fetch(address, length), Fetch::Pending));
    world.poll();
    let is_read = |effect: &Effect| matches!(effect, LogEffect::Read { .. });
    let at = world.under_way.iter().position(is_read).expect("it is read");
    let read = world.under_way.remove(at).expect("within the queue");
    let LogEffect::Read { file, .. } = read else { panic!("it was one") };
    let holds = |world: &World| {
        world.log.segments.iter().find(|segment| segment.file == file).map(|held| held.number)
    };
    let before = holds(&world);
    for message in gone {
        world.settle(message);
    }
    for _ in 0..20 {
        if holds(&world) != before && holds(&world).is_some() {
            break;
        }
        for message in world.fill_segment(QueueId(2)) {
            world.settle(message);
        }
        world.settle_down();
    }
    assert!(holds(&world) > before, "the file has another segment");
    let completion = world.disk.carry_out(&read);
    world.complete(completion).expect("nothing is wrong with the disk");
    world.crash();
}

#[test]
fn what_is_read_ahead_keeps_to_its_memory() {
    for cache_bytes in [MIB, 2 * MIB, 8 * MIB] {
        for queues in [1, 300] {
            let config = LogConfig { cache_bytes, ..roomy() };
            let mut drain = Drain::of(config, 12 * MIB, queues, || 1000);
            // Some are far ahead of others.
            drain.left.iter_mut().step_by(7).for_each(|queue| drop(queue.drain(..queue.len() / 2)));
            drain.run();
            // One read is under way whatever there is.
            let most = cache_bytes + (cache_bytes / 2).max(WINDOW_BYTES_MAX as usize);
            assert!(drain.memory <= most, "{} of {cache_bytes}", drain.memory);
        }
    }
}

/// Blocks are cut in two where one read ends and the next begins.
#[test]
fn what_is_read_piece_by_piece_is_what_was_written_in_whatever_order_the_pieces_come() {
    for (config, octets, longest) in [
        (tiny(), MIB, 9_000),
        (roomy(), 16 * MIB, 400_000),
        (with_room_to_read_ahead(), 24 * MIB, 60_000),
    ] {
        for queues in [1, 5] {
            let mut random = super::random::Random::new(queues as u64);
            let mut drain = Drain::of(config.clone(), octets, queues, || random.below(longest));
            drain.is_out_of_order = true;
            drain.run();
        }
    }
}

/// Of a log that others are in as well, somebody who wants a message here and there does not have all of it read.
#[test]
fn who_wants_little_has_little_read() {
    let mut drain = Drain::of(with_room_to_read_ahead(), 24 * MIB, 6000, || 1000);
    drain.left.truncate(1);
    let wanted = drain.left[0].len() as u64;
    drain.run();
    assert!(drain.asked <= wanted * (320 << 10), "{} octets for {wanted} messages", drain.asked);
}
