//! Settles of many messages at once, and what the memory of settled messages is good for.

use super::world::{Held, World};
use super::{roomy, tiny};
use crate::ids::{QueueId, Seq};
use crate::log::format::PAGE_BYTES;
use crate::log::record::SETTLE_BYTES;
use crate::log::{Fetch, LogConfig, Settling};

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

fn ready(config: LogConfig) -> World {
    let mut world = World::new(config, 1);
    world.settle_down();
    world
}

impl World {
    /// Settles those messages of a queue, as an ack of several does. Some may have been settled before.
    fn settle_run(&mut self, queue: QueueId, first: Seq, count: usize) {
        let all: Vec<Settling> = (first.0..)
            .take(count)
            .filter_map(|seq| {
                let key = (queue, Seq(seq));
                let Held { address, length, reference, .. } = *self.held.get(&key)?;
                Some(Settling { queue, seq: Seq(seq), address, length, reference })
            })
            .collect();
        assert_eq!(all.len(), count, "all of them are held");
        self.log.append_settles(self.now, queue, first, count, |index| all[index]);
        let at = self.log.end();
        for Settling { queue, seq, .. } in all {
            if let Some(held) = self.held.get_mut(&(queue, seq)) {
                held.settled.get_or_insert(at);
            }
        }
    }
}

/// Octets that the log grows by.
fn grown(world: &mut World, change: impl FnOnce(&mut World)) -> u64 {
    let before = world.log.end().0;
    change(world);
    world.log.end().0 - before
}

#[test]
fn settles_of_many_take_a_record_for_each_segment_that_they_lie_in() {
    let mut world = ready(tiny());
    for _ in 0..3 {
        world.append(&[Q], 10);
        world.append(&[Q], 10);
        world.fill_segment(R);
    }
    world.append(&[Q], 10);
    world.settle_down();
    // Begins the block that takes them.
    world.append(&[R], 10);
    let octets = grown(&mut world, |world| world.settle_run(Q, Seq(1), 7));
    assert_eq!(octets, 4 * SETTLE_BYTES as u64);
    world.settle_down();
    world.crash();
    assert!(world.held.keys().all(|(queue, _)| *queue == R), "{:?}", world.held.keys());
}

#[test]
fn settles_of_many_go_on_behind_one_that_is_settled_already() {
    let mut world = ready(roomy());
    (0..12).for_each(|_| drop(world.append(&[Q], 100)));
    world.settle_down();
    let all = world.log.space().live_octets;
    for seq in [3, 4, 7] {
        world.settle((Q, Seq(seq)));
    }
    let three = all - world.log.space().live_octets;
    assert!(three > 300);
    world.settle_run(Q, Seq(1), 10);
    assert_eq!(world.unsettled(), [(Q, Seq(11)), (Q, Seq(12))]);
    let left = world.log.space().live_octets;
    // A second time says nothing and frees nothing.
    assert_eq!(grown(&mut world, |world| world.settle_run(Q, Seq(1), 10)), 0);
    assert_eq!(world.log.space().live_octets, left);
    world.settle_down();
    world.crash();
    assert_eq!(world.unsettled(), [(Q, Seq(11)), (Q, Seq(12))]);
    assert_eq!(world.log.space().live_octets, left, "as it was counted before");
}

#[test]
fn settles_that_follow_one_another_make_one_record_longer() {
    let mut world = ready(roomy());
    (0..40).for_each(|_| drop(world.append(&[Q, R], 10)));
    world.settle_down();
    world.append(&[R], 10);
    world.settle_run(Q, Seq(1), 3);
    let each = SETTLE_BYTES as u64;
    assert_eq!(grown(&mut world, |world| world.settle_run(Q, Seq(4), 6)), 0, "it follows");
    assert_eq!(grown(&mut world, |world| world.settle_run(R, Seq(1), 9)), each, "another queue");
    assert_eq!(grown(&mut world, |world| world.settle_run(Q, Seq(10), 1)), 0, "beside it");
    assert_eq!(grown(&mut world, |world| world.settle_run(Q, Seq(12), 2)), each, "a gap");
    assert_eq!(grown(&mut world, |world| world.settle_run(Q, Seq(11), 1)), each, "and back");
    world.settle_down();
    world.crash();
    let left = world.unsettled();
    assert_eq!(left.iter().filter(|(queue, _)| *queue == Q).count(), 40 - 13);
    assert_eq!(left.iter().filter(|(queue, _)| *queue == R).count(), 41 - 9);
}

/// A record that tells of a message must come behind it: recovery reads them in that order.
#[test]
fn no_settle_is_told_of_before_its_message() {
    let mut world = ready(roomy());
    let first = world.append(&[Q], 10)[0];
    world.settle(first);
    let second = world.append(&[Q], 10)[0];
    let octets = grown(&mut world, |world| world.settle(second));
    assert_eq!(octets, SETTLE_BYTES as u64, "the first record lies before the second message");
    world.settle_down();
    world.crash();
    assert!(world.held.is_empty(), "{:?}", world.held);
}

/// Whatever is settled together or one by one, in one segment or many: it stays settled, nothing else does, and
/// what is wanted is counted alike.
#[test]
fn settles_of_many_do_what_single_ones_do() {
    for seed in 0..60 {
        let mut worlds = [World::new(tiny(), seed), World::new(tiny(), seed)];
        worlds.iter_mut().for_each(World::settle_down);
        for _ in 0..80 {
            let random = &mut worlds[0].random;
            let (kind, count, bytes) = (random.below(5), random.below(20), random.below(900));
            let size = if random.one_in(12) { 20_000 } else { bytes };
            let start = random.next();
            // Both draw alike.
            worlds[1].random = worlds[0].random.clone();
            for (world, is_together) in worlds.iter_mut().zip([true, false]) {
                match kind {
                    0..=2 => drop(world.append(if count % 3 == 0 { &[Q, R] } else { &[Q] }, size)),
                    3 => {
                        let next = world.next_seq.get(&Q).copied().unwrap_or(1);
                        let first = Seq(1 + start % next);
                        let count = count.min((next - first.0) as usize);
                        match is_together {
                            true => world.settle_run(Q, first, count),
                            false => (first.0..).take(count).for_each(|seq| {
                                if world
                                    .held
                                    .get(&(Q, Seq(seq)))
                                    .is_some_and(|held| held.settled.is_none())
                                {
                                    world.settle((Q, Seq(seq)));
                                }
                            }),
                        }
                    }
                    _ => world.settle_down(),
                }
            }
            let [one, other] = &worlds;
            assert_eq!(one.unsettled(), other.unsettled(), "seed {seed}");
            assert_eq!(one.log.space().live_octets, other.log.space().live_octets, "seed {seed}");
        }
        for world in &mut worlds {
            world.settle_down();
            let (left, live) = (world.unsettled(), world.log.space().live_octets);
            world.crash();
            assert_eq!((world.unsettled(), world.log.space().live_octets), (left, live));
        }
    }
}

/// Memory in which nothing is wanted any more is used again, long before it would have been its turn; what lies
/// beside an unsettled message is not, and that one is delivered without a read.
#[test]
fn windows_of_settled_messages_leave_the_cache_and_no_others_do() {
    let mut world = ready(LogConfig { cache_bytes: 1 << 20, ..tiny() });
    // About a buffer each, as one write.
    let batch = |world: &mut World, queues: &[QueueId]| {
        let all: Vec<_> = (0..12).flat_map(|_| world.append(queues, 1000)).collect();
        world.settle_down();
        all
    };
    let batches: Vec<_> = [&[Q][..], &[Q, R], &[Q], &[R], &[Q]]
        .into_iter()
        .map(|queues| batch(&mut world, queues))
        .collect();
    let page = |world: &World, key| world.held[key].address.page();
    let pages: Vec<u64> = batches.iter().map(|keys| page(&world, &keys[0])).collect();
    let are_kept = |world: &World| -> Vec<bool> {
        pages.iter().map(|page| world.log.cache.contains(*page)).collect()
    };
    assert_eq!(are_kept(&world), [true; 5], "there is room for all");
    let bytes = world.log.cache.bytes();
    for key in batches.iter().flatten().filter(|(queue, _)| *queue == Q) {
        world.settle(*key);
    }
    // One of the fourth batch is wanted, and of the second one what the other queue has.
    for key in &batches[3][1..] {
        world.settle(*key);
    }
    let left = world.unsettled();
    for _ in 0..10 {
        for key in batch(&mut world, &[Q]) {
            world.settle(key);
        }
    }
    assert_eq!(are_kept(&world), [false, true, false, true, false]);
    assert!(world.log.cache.bytes() < bytes, "and so do those that came since");
    for key in left {
        let held = world.held[&key].clone();
        assert!(matches!(world.log.fetch(held.address, held.length), Fetch::Ready(_)), "{key:?}");
        world.fetch_and_compare(key);
    }
}

/// The parts of one lie in the segments' other batches, whose references say nothing of who wants them.
#[test]
fn windows_with_parts_of_a_message_stay_until_it_is_their_turn() {
    let mut world = ready(LogConfig { cache_bytes: 1 << 20, ..tiny() });
    let long = world.append(&[Q], 40_000)[0];
    world.settle_down();
    let from = world.held[&long].address.page() - 40_000 / PAGE_BYTES as u64;
    for _ in 0..10 {
        let all: Vec<_> = (0..12).flat_map(|_| world.append(&[R], 1000)).collect();
        world.settle_down();
        all.into_iter().for_each(|key| world.settle(key));
    }
    assert!((from..from + 9).any(|page| world.log.cache.contains(page)));
    world.under_way.clear();
    let held = world.held[&long].clone();
    assert!(matches!(world.log.fetch(held.address, held.length), Fetch::Ready(_)), "no read");
    world.fetch_and_compare(long);
}
