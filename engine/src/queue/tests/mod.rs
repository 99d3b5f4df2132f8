mod budget;
mod packing;
mod paging;
mod runs;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::chunk::Chunk;
use super::index::Index;
use super::pages::NoPages;
use super::pool::CHUNK;
use super::*;
use crate::mail::Outcome;
use crate::message::EXPIRY_MAX_MS;

const NOW_MS: u64 = 1_700_000_000_000;
/// At every occasion.
const EAGER: Packing = Packing { open_freely: 0, bale: 32, bytes_max: 2 << 20 };

fn arrival(priority: u8, expiration_ms: Option<u64>) -> Arrival {
    Arrival { priority, body_bytes: 10, expiration_ms }
}

fn queue(settings: QueueSettings) -> (Queue, ChunkPool) {
    (Queue::new(QueueId(7), settings, NOW_MS), ChunkPool::new(EAGER, Box::new(NoPages)))
}

fn push_at(queue: &mut Queue, pool: &mut ChunkPool, arrival: Arrival, now_ms: u64) -> Seq {
    let expires = queue.expiry_unix_ms(&arrival, now_ms);
    let seq = queue.assign(&arrival);
    let place = Place::Arena { address: seq.0 };
    queue.push(pool, seq, place, arrival.body_bytes, expires, now_ms);
    seq
}

fn push(queue: &mut Queue, pool: &mut ChunkPool) -> Seq {
    push_at(queue, pool, arrival(0, None), NOW_MS)
}

/// Hands the message that is due to somebody who asked by basic.get.
fn take(queue: &mut Queue, pool: &mut ChunkPool, now_ms: u64) -> Option<Seq> {
    let connection = ConnectionId::new(crate::ids::ShardId(0), 1);
    let channel = ChannelKey { connection, channel: 1, incarnation: 0 };
    let Due::Message { seq, .. } = queue.due(pool, now_ms) else { return None };
    queue.get(PendingGet { channel, no_ack: false }, now_ms);
    queue.answer_get(pool, seq);
    Some(seq)
}

fn chunks(queue: &Queue) -> usize {
    queue.lanes.iter().map(|lane| lane.chunk_count().0).sum()
}

#[test]
fn queue_that_is_empty_again_costs_less_than_three_hundred_octets() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    for _ in 0..1000 {
        let seq = push(&mut queue, &mut pool);
        assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(seq));
        queue.settle(&mut pool, seq, None, Outcome::Ack);
    }
    assert_eq!(chunks(&queue), 0);
    assert!(queue.gets.is_none() && queue.consumers.is_none());
    assert!(size_of::<Queue>() <= 288);
}

/// A message whose place is taken before it is known where it lies is one like any other, also where the place is in
/// a bale.
#[test]
fn a_place_that_is_taken_first_makes_the_queue_that_a_push_makes() {
    let ((mut one, mut its_pool), (mut other, mut pool)) =
        (queue(QueueSettings::default()), queue(QueueSettings::default()));
    let mut pushed = 0;
    for number in 0..20 * CHUNK {
        let arrival = Arrival { body_bytes: number % 7, ..arrival(0, None) };
        let seq = push_at(&mut one, &mut its_pool, arrival, NOW_MS);
        let place = Place::Arena { address: seq.0 };
        let (taken, slot) = other.take_place(&mut pool, &arrival);
        assert_eq!(taken, seq);
        match slot {
            Some(slot) => *slot = Slot::ready(place, arrival.body_bytes, false),
            None => {
                pushed += 1;
                other.push(&mut pool, taken, place, arrival.body_bytes, None, NOW_MS);
            }
        }
        if number % 300 == 299 {
            one.condense(&mut its_pool);
            other.condense(&mut pool);
        }
        if number % 3 == 0 {
            assert_eq!(take(&mut one, &mut its_pool, NOW_MS), take(&mut other, &mut pool, NOW_MS));
        }
        assert_eq!((one.counts(), one.traffic()), (other.counts(), other.traffic()));
    }
    assert!(pushed < 20 * CHUNK / 2, "{pushed}");
    while let Some(seq) = take(&mut one, &mut its_pool, NOW_MS) {
        assert_eq!(take(&mut other, &mut pool, NOW_MS), Some(seq));
    }
    assert_eq!(other.counts().ready, 0);
}

#[test]
fn index_shrinks_wherever_the_queue_shrinks() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let count = 100 * CHUNK;
    let seqs: Vec<Seq> = (0..count).map(|_| push(&mut queue, &mut pool)).collect();
    while take(&mut queue, &mut pool, NOW_MS).is_some() {}
    for seq in seqs.iter().filter(|seq| seq.0 != 5 && seq.0 != count - 1) {
        queue.settle(&mut pool, *seq, None, Outcome::Ack);
    }
    assert_eq!(chunks(&queue), 2);
    assert_eq!(queue.counts().unacked, 2);
    assert!(matches!(queue.settle(&mut pool, Seq(5), None, Outcome::Requeue), Release::Requeued));
    assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(5)));
}

#[test]
fn message_whose_expiry_is_weeks_after_that_of_its_neighbours_expires_in_time() {
    // The longest limit, and a message that has been in the chunk for a month already: 32 bits of
    // milliseconds are too few for either, and once that meant never.
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let day_ms = 24 * 3_600_000;
    let longest = EXPIRY_MAX_MS;
    let later = NOW_MS + 30 * day_ms;
    let expiries = [
        (NOW_MS, longest),
        (NOW_MS, 10),
        (later, longest),
        (later, 30 * day_ms),
        (NOW_MS - day_ms, 1),
    ];
    let push = |&(at_ms, after_ms): &(u64, u64)| {
        let seq = push_at(&mut queue, &mut pool, arrival(0, Some(after_ms)), at_ms);
        (at_ms + after_ms, seq)
    };
    let mut due: Vec<(u64, Seq)> = expiries.iter().map(push).collect();
    due.sort_unstable();
    let mut scratch = Vec::new();
    for (expires_ms, seq) in due {
        let mut gone = Vec::new();
        queue.expire(&mut pool, expires_ms, usize::MAX, &mut scratch, |one| gone.push(one.seq));
        assert_eq!(gone, [], "too early");
        assert_eq!(queue.next_expiry_unix_ms, Some(expires_ms));
        queue.expire(&mut pool, expires_ms + 1, usize::MAX, &mut scratch, |one| gone.push(one.seq));
        assert_eq!(gone, [seq]);
    }
    assert_eq!(queue.deadline_unix_ms(), None);
}

/// Recovery finds the first message of a chunk, and those behind it may expire before it. Each of
/// them once took an entry in a table, and so did each one of a queue with the longest limit.
#[test]
fn expiries_of_neighbours_need_no_table_if_they_are_within_weeks() {
    let mut pool = ChunkPool::default();
    let day_ms = 24 * 3_600_000;
    let mut told = |first_ms, base_ms, others: [u64; 3]| {
        let mut chunk = Chunk::new(0, 0, &mut pool);
        for expires_ms in [first_ms].into_iter().chain(others) {
            let mut slot = Slot::ready(Place::Arena { address: 1 }, 1, false);
            slot.set_expiry(chunk.expiry_of(expires_ms, base_ms));
            assert_eq!(chunk.expires_unix_ms(&slot), Some(expires_ms));
        }
    };
    let days = [1, 19, 39].map(|days| NOW_MS + days * day_ms);
    told(NOW_MS + 20 * day_ms, 0, days);
    let longest = NOW_MS + u64::from(u32::MAX);
    told(longest, NOW_MS, [1, 2, 1_000_000].map(|later| longest + later));
}

#[test]
fn expiries_of_one_chunk_are_told_in_whatever_order_they_are_found() {
    let mut pool = ChunkPool::default();
    let mut backlog = Backlog::default();
    let times = [4_000_000_000, 10, 2_000_000_000, 1, 4_294_967_000];
    for (number, after_ms) in (0_u64..).zip(times) {
        let place = Place::Arena { address: number };
        backlog.found(&mut pool, Seq(number), place, 1, Some(NOW_MS + after_ms));
    }
    let mut queue =
        Queue::recovered(QueueId(7), QueueSettings::default(), &mut pool, backlog, NOW_MS);
    let mut scratch = Vec::new();
    for (left, after_ms) in [(4, 1), (3, 10), (2, 2_000_000_000), (1, 4_000_000_000)] {
        queue.expire(&mut pool, NOW_MS + after_ms, usize::MAX, &mut scratch, |_| ());
        assert_eq!(queue.counts().ready, left + 1);
        queue.expire(&mut pool, NOW_MS + after_ms + 1, usize::MAX, &mut scratch, |_| ());
        assert_eq!(queue.counts().ready, left);
    }
}

#[test]
fn dismantling_frees_every_message_once_whatever_its_state() {
    let settings = QueueSettings { max_priority: 3, ..QueueSettings::default() };
    let (mut queue, mut pool) = queue(settings);
    for number in 0..1000_u64 {
        push_at(&mut queue, &mut pool, arrival((number % 5) as u8, None), NOW_MS);
    }
    let held: Vec<Seq> = (0..300).filter_map(|_| take(&mut queue, &mut pool, NOW_MS)).collect();
    for seq in held.iter().step_by(3) {
        queue.settle(&mut pool, *seq, None, Outcome::Requeue);
    }
    for seq in held.iter().skip(1).step_by(3) {
        queue.settle(&mut pool, *seq, None, Outcome::Ack);
    }
    let mut freed = Vec::new();
    let mut steps = 0;
    let mut remains = queue.into_remains();
    while !remains.free(&mut pool, 64, |_, slot| freed.push(slot.place())) {
        steps += 1;
    }
    assert_eq!(freed.len(), 900);
    assert!(steps >= 7, "{steps}");
    let place = |place: &Place| match place {
        Place::Arena { address } | Place::Log { address, .. } | Place::Spilled { address, .. } => {
            *address
        }
    };
    freed.sort_by_key(place);
    freed.dedup();
    assert_eq!(freed.len(), 900);
}

#[test]
fn recovered_backlog_is_what_was_found_and_not_settled() {
    let mut pool = ChunkPool::default();
    let mut backlog = Backlog::default();
    let place = |address| Place::Log { address, length: 50, reference: 0 };
    for number in [4, 9, 1000, 70_000, 70_001] {
        backlog.found(&mut pool, Seq(number), place(number), 10, None);
    }
    backlog.settled(&mut pool, Seq(5), Seq(1000), |_| true);
    // Copied elsewhere since it was found first.
    backlog.found(&mut pool, Seq(70_000), place(5), 10, None);
    // Nothing is left of these but their settles.
    backlog.settled(&mut pool, Seq(80_000), Seq(80_010), |_| true);
    let mut queue =
        Queue::recovered(QueueId(7), QueueSettings::default(), &mut pool, backlog, NOW_MS);
    assert_eq!(queue.counts(), Counts { ready: 3, ready_bytes: 30, ..Counts::default() });
    let held: Vec<(Seq, Place)> =
        queue.messages(&pool).map(|(seq, slot)| (seq, slot.place())).collect();
    assert_eq!(held, [(Seq(4), place(4)), (Seq(70_000), place(5)), (Seq(70_001), place(70_001))]);
    assert_eq!(push(&mut queue, &mut pool), Seq(80_011), "a number was given twice");
    for expected in [4, 70_000, 70_001, 80_011] {
        assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(expected)));
    }
}

proptest! {
    #[test]
    fn index_behaves_like_a_sorted_map(
        steps in prop::collection::vec((0_u8..3, 0_u64..1500, any::<bool>()), 0..400),
    ) {
        let mut index = Index::default();
        let mut pool = ChunkPool::new(EAGER, Box::new(NoPages));
        let mut model = BTreeMap::new();
        for (kind, number, far) in steps {
            let number = if far { number * 1_000_003 } else { number };
            match kind {
                0 => {
                    if let std::collections::btree_map::Entry::Vacant(place) = model.entry(number) {
                        let slot = Slot::ready(Place::Arena { address: number }, 1, false);
                        index.insert(&mut pool, number, slot, None, 0);
                        place.insert(slot);
                    }
                }
                1 => prop_assert_eq!(
                    index.kill(&mut pool, number, State::Ready),
                    model.remove(&number)
                ),
                _ => {
                    let next = model.range(number..).next().map(|(key, slot)| (*key, *slot));
                    prop_assert_eq!(index.next_live(&mut pool, number), next);
                }
            }
            let live = index.get(&mut pool, number).filter(|slot| slot.state() != State::Dead);
            prop_assert_eq!(live, model.get(&number).copied());
        }
        let all: Vec<(u64, Slot)> = index.iter(&pool).collect();
        prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn queue_behaves_like_a_sorted_list(
        max_priority in 0_u8..4,
        steps in prop::collection::vec((0_u8..10, any::<u8>(), 0_u64..400), 0..300),
    ) {
        let (mut queue, mut pool) = queue(QueueSettings { max_priority, ..QueueSettings::default() });
        // By level (highest first) and order of arrival: expiry, and whether it is held.
        let mut model: BTreeMap<(u8, u64), (Seq, Option<u64>, bool)> = BTreeMap::new();
        let mut scratch = Vec::new();
        let mut now_ms = NOW_MS;
        for (step, (kind, byte, number)) in (0_u64..).zip(steps) {
            let held = |model: &BTreeMap<(u8, u64), (Seq, Option<u64>, bool)>| {
                let held: Vec<(u8, u64)> =
                    model.iter().filter(|(_, value)| value.2).map(|(key, _)| *key).collect();
                (!held.is_empty()).then(|| held[number as usize % held.len()])
            };
            match kind {
                0..=3 => {
                    let expiration_ms = (byte % 3 == 0).then_some(number);
                    let seq = push_at(&mut queue, &mut pool, arrival(byte, expiration_ms), now_ms);
                    let level = max_priority - byte.min(max_priority);
                    let expires = expiration_ms.map(|ms| now_ms + ms);
                    model.insert((level, step), (seq, expires, false));
                }
                4..=6 => {
                    while let Due::Expired(gone) = queue.due(&mut pool, now_ms) {
                        let key = model.iter().find(|(_, value)| value.0 == gone.seq);
                        let key = *key.expect("a message of the queue").0;
                        let (_, expires, held) = model[&key];
                        prop_assert!(!held && expires.is_some_and(|at| at < now_ms));
                        model.remove(&key);
                    }
                    let first = model.values_mut().find(|value| !value.2);
                    let expected = first.map(|value| {
                        value.2 = true;
                        value.0
                    });
                    prop_assert_eq!(take(&mut queue, &mut pool, now_ms), expected);
                }
                7 => if let Some(key) = held(&model) {
                    let outcome = if byte % 2 == 0 { Outcome::Ack } else { Outcome::Requeue };
                    queue.settle(&mut pool, model[&key].0, None, outcome);
                    match outcome {
                        Outcome::Requeue => model.get_mut(&key).expect("held").2 = false,
                        _ => {
                            model.remove(&key);
                        }
                    }
                },
                8 => {
                    now_ms += u64::from(byte);
                    queue.expire(&mut pool, now_ms, usize::MAX, &mut scratch, |_| ());
                    model.retain(|_, (_, expires, held)| {
                        *held || expires.is_none_or(|at| at >= now_ms)
                    });
                }
                _ => if byte % 8 == 0 {
                    let ready = model.values().filter(|value| !value.2).count() as u64;
                    let (purged, mut remains) = queue.purge(&mut pool);
                    prop_assert_eq!(purged, ready);
                    let mut freed = 0;
                    while !remains.free(&mut pool, 7, |_, _| freed += 1) {}
                    prop_assert_eq!(freed, ready);
                    model.retain(|_, value| value.2);
                },
            }
            let ready = model.values().filter(|value| !value.2).count() as u64;
            let unacked = model.len() as u64 - ready;
            let counts =
                Counts { ready, unacked, ready_bytes: ready * 10, unacked_bytes: unacked * 10 };
            prop_assert_eq!(queue.counts(), counts);
        }
        let order: Vec<Seq> = queue.messages(&pool).map(|(seq, _)| seq).collect();
        let expected: Vec<Seq> = model.values().map(|value| value.0).collect();
        prop_assert_eq!(order, expected);
    }
}
