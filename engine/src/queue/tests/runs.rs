//! Runs: messages that go out and are acked together leave the queue as if each had gone by itself.

use super::*;
use crate::mail::{Consume, Credit};
use crate::table::Table;

/// Takes what it is given, so much of it.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    most: Option<usize>,
    given: Vec<(Seq, bool)>,
    freed: Vec<(Seq, Place)>,
}

impl RunTaker for Taken {
    fn give(&mut self, seq: Seq, slot: &Slot) -> bool {
        if self.most.is_some_and(|most| self.given.len() >= most) {
            return false;
        }
        self.given.push((seq, slot.redelivered()));
        true
    }
    fn free(&mut self, first: Seq, slots: &[Slot]) {
        self.freed.extend((first.0..).map(Seq).zip(slots.iter().map(Slot::place)));
    }
}

fn consumer_key() -> ConsumerKey {
    let connection = ConnectionId::new(crate::ids::ShardId(0), 1);
    ConsumerKey { connection, channel: 1, serial: 1 }
}

fn consume(queue: &mut Queue, serial: u32, credit: Credit, no_ack: bool) -> ConsumerKey {
    let consumer = ConsumerKey { serial, ..consumer_key() };
    let connection = consumer.connection;
    let consume = Consume {
        queue: queue.id(),
        consumer,
        channel: ChannelKey { connection, channel: 1, incarnation: 0 },
        tag: "tag".into(),
        user: "guest".into(),
        no_ack,
        exclusive: false,
        priority: 0,
        credit,
        prefetch: 0,
        arguments: Table::default(),
    };
    queue.consume(Box::new(consume), 0, NOW_MS).expect("a consumer more");
    consumer
}

/// One run, of as many as the consumer may take.
fn run(queue: &mut Queue, pool: &mut ChunkPool, most: usize, taker: &mut Taken) -> (Seq, usize) {
    let Some((slot, consumer)) = queue.sole_consumer() else { return (Seq(0), 0) };
    let limit = consumer.credit().min(most as u64) as usize;
    queue.serve_run(pool, slot, limit, taker)
}

fn push_many(queue: &mut Queue, pool: &mut ChunkPool, count: u64) {
    for _ in 0..count {
        push(queue, pool);
    }
}

fn seqs(from: u64, count: usize) -> Vec<Seq> {
    (from..).take(count).map(Seq).collect()
}

fn given(taken: &Taken) -> Vec<Seq> {
    taken.given.iter().map(|(seq, _)| *seq).collect()
}

/// All that a run has is found by one look: it ends with the chunk.
#[test]
fn a_run_ends_where_its_chunk_does_and_the_next_one_goes_on_there() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let count = 3 * CHUNK as usize;
    push_many(&mut queue, &mut pool, count as u64);
    consume(&mut queue, 1, Credit::Unlimited, false);
    let mut taken = Taken::default();
    let (mut from, mut runs) = (0, 0);
    while from < count as u64 {
        // One by one where there is no run: what is packed.
        let (first, got) = run(&mut queue, &mut pool, usize::MAX, &mut taken);
        if got == 0 {
            let Due::Message { seq, .. } = queue.due(&mut pool, NOW_MS) else {
                panic!("no message")
            };
            let (slot, _) = queue.sole_consumer().expect("a consumer");
            queue.serve(&mut pool, slot, seq);
            taken.given.push((seq, false));
            from += 1;
            continue;
        }
        assert_eq!(first, Seq(from));
        assert!(from / CHUNK == (from + got as u64 - 1) / CHUNK, "{got} from {from} on");
        (from, runs) = (from + got as u64, runs + 1);
    }
    assert_eq!(given(&taken), seqs(0, count));
    assert!((3..20).contains(&runs), "{runs} runs");
    assert!(taken.freed.is_empty(), "they are held");
    let all =
        Counts { unacked: count as u64, unacked_bytes: 10 * count as u64, ..Counts::default() };
    assert_eq!(queue.counts(), all);
    assert_eq!(queue.traffic().deliveries, count as u64);
}

/// It takes no more than it has credit for, and leaves the ring with the last one.
#[test]
fn a_run_takes_no_more_than_there_is_credit_for() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    push_many(&mut queue, &mut pool, 20);
    let key = consume(&mut queue, 1, Credit::Prefetch(7), false);
    let mut taken = Taken::default();
    assert_eq!(run(&mut queue, &mut pool, 4, &mut taken), (Seq(0), 4));
    assert_eq!(run(&mut queue, &mut pool, 20, &mut taken), (Seq(4), 3));
    assert!(queue.sole_consumer().is_none() && !queue.has_work(), "it has no credit left");
    let mut freed = Vec::new();
    let acked = queue.ack_run(&mut pool, Seq(0), 5, |slots| freed.extend_from_slice(slots));
    queue.note_settled(Some(key), acked as u32);
    assert_eq!((acked, freed.len()), (5, 5));
    assert_eq!(run(&mut queue, &mut pool, 20, &mut taken), (Seq(7), 5));
    assert_eq!(given(&taken), seqs(0, 12));
    assert_eq!((queue.counts().ready, queue.counts().unacked), (8, 7));
    assert_eq!((queue.traffic().deliveries, queue.traffic().acks), (12, 5));
}

/// What whoever takes does not want, for the window of its connection or because it has to be read first, stays
/// ready, and so does what is behind it.
#[test]
fn what_is_not_taken_of_a_run_stays_where_it_is() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    push_many(&mut queue, &mut pool, 10);
    for no_ack in [false, true] {
        let key = consume(&mut queue, 1, Credit::Unlimited, no_ack);
        let before = queue.counts().ready;
        let mut nothing = Taken { most: Some(0), ..Taken::default() };
        assert_eq!(run(&mut queue, &mut pool, 9, &mut nothing).1, 0);
        assert_eq!(queue.counts().ready, before);
        let mut three = Taken { most: Some(3), ..Taken::default() };
        assert_eq!(run(&mut queue, &mut pool, 9, &mut three), (Seq(10 - before), 3));
        assert_eq!(queue.counts().ready, before - 3);
        assert_eq!(three.freed.len(), if no_ack { 3 } else { 0 });
        queue.cancel(key, NOW_MS);
    }
    assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(6)));
}

/// Nobody settles them: they are gone, each is freed once, and what they took is given back.
#[test]
fn a_run_that_nobody_settles_leaves_nothing() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let before = pool.bytes();
    consume(&mut queue, 1, Credit::Unlimited, true);
    let mut taken = Taken::default();
    let mut next = 0;
    for burst in [1, 5, 100, CHUNK as usize, 300] {
        let pushed: Vec<Seq> = (0..burst).map(|_| push(&mut queue, &mut pool)).collect();
        while queue.counts().ready > 0 {
            if run(&mut queue, &mut pool, 50, &mut taken).1 == 0 {
                let Due::Message { seq, slot } = queue.due(&mut pool, NOW_MS) else {
                    panic!("no message")
                };
                let (consumer, _) = queue.sole_consumer().expect("a consumer");
                assert!(queue.serve(&mut pool, consumer, seq));
                taken.given.push((seq, false));
                taken.freed.push((seq, slot.place()));
            }
        }
        assert_eq!(pushed, seqs(next, burst));
        next += burst as u64;
    }
    assert_eq!(given(&taken), seqs(0, next as usize));
    let place = |seq: Seq| (seq, Place::Arena { address: seq.0 });
    assert_eq!(taken.freed, seqs(0, next as usize).into_iter().map(place).collect::<Vec<_>>());
    assert_eq!((queue.counts(), chunks(&queue)), (Counts::default(), 0));
    assert_eq!(queue.messages(&pool).count(), 0);
    assert!(pool.bytes() >= before, "spare chunks may be kept");
}

/// What comes back is delivered first, flagged, and one by one: no run goes past it.
#[test]
fn no_run_goes_past_a_message_that_has_come_back() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    push_many(&mut queue, &mut pool, 10);
    let key = consume(&mut queue, 1, Credit::Unlimited, false);
    let mut taken = Taken::default();
    assert_eq!(run(&mut queue, &mut pool, 4, &mut taken), (Seq(0), 4));
    queue.settle(&mut pool, Seq(2), Some(key), Outcome::Requeue);
    assert_eq!(run(&mut queue, &mut pool, 9, &mut taken).1, 0, "it stands before the others");
    let Due::Message { seq, slot } = queue.due(&mut pool, NOW_MS) else { panic!("no message") };
    assert!(seq == Seq(2) && slot.redelivered());
    let (consumer, _) = queue.sole_consumer().expect("a consumer");
    queue.serve(&mut pool, consumer, seq);
    assert_eq!(run(&mut queue, &mut pool, 9, &mut taken), (Seq(4), 6));
    assert!(taken.given.iter().all(|(_, redelivered)| !redelivered));
}

/// Flags are those of each message, and a run goes over both kinds.
#[test]
fn a_run_of_a_recovered_queue_says_of_each_message_whether_it_may_have_been_seen() {
    let mut pool = ChunkPool::default();
    let mut backlog = Backlog::default();
    for number in 0..4 {
        let place = Place::Log { address: number * 96, length: 90, reference: number as u32 };
        backlog.found(&mut pool, Seq(number), place, 10, None);
    }
    let mut queue =
        Queue::recovered(QueueId(7), QueueSettings::default(), &mut pool, backlog, NOW_MS);
    (4..8).for_each(|number| assert_eq!(push(&mut queue, &mut pool), Seq(number)));
    consume(&mut queue, 1, Credit::Unlimited, false);
    let mut taken = Taken::default();
    while run(&mut queue, &mut pool, 100, &mut taken).1 > 0 {}
    let expected: Vec<(Seq, bool)> = (0..8).map(|number| (Seq(number), number < 4)).collect();
    assert_eq!(taken.given, expected);
}

/// Times have to be looked at, and so have higher priorities that come in between.
#[test]
fn a_run_ends_before_what_expires_and_what_is_more_urgent_comes_first() {
    let settings = QueueSettings { max_priority: 1, ..QueueSettings::default() };
    let (mut queue, mut pool) = queue(settings);
    let low = |queue: &mut Queue, pool: &mut ChunkPool, expiration_ms| {
        push_at(queue, pool, arrival(0, expiration_ms), NOW_MS)
    };
    let first = [low(&mut queue, &mut pool, None), low(&mut queue, &mut pool, None)];
    let mortal = low(&mut queue, &mut pool, Some(50));
    let last = low(&mut queue, &mut pool, None);
    let key = consume(&mut queue, 1, Credit::Unlimited, false);
    // The first look at the queue finds the level that it goes on with.
    assert!(matches!(queue.due(&mut pool, NOW_MS), Due::Message { seq, .. } if seq == first[0]));
    let mut taken = Taken::default();
    assert_eq!(run(&mut queue, &mut pool, 9, &mut taken), (first[0], 2), "the third one expires");
    let urgent = push_at(&mut queue, &mut pool, arrival(1, None), NOW_MS);
    assert_eq!(run(&mut queue, &mut pool, 9, &mut taken), (urgent, 1));
    let late_ms = NOW_MS + 51;
    let gone = queue.due(&mut pool, late_ms);
    assert!(matches!(gone, Due::Expired(one) if one.seq == mortal), "{gone:?}");
    assert!(matches!(queue.due(&mut pool, late_ms), Due::Message { seq, .. } if seq == last));
    assert_eq!(run(&mut queue, &mut pool, 9, &mut taken), (last, 1));
    assert_eq!(given(&taken), [first[0], first[1], urgent, last]);
    for seq in given(&taken) {
        let release = queue.settle(&mut pool, seq, Some(key), Outcome::Ack);
        assert!(matches!(release, Release::Removed(_)), "{seq:?}: {release:?}");
    }
    assert_eq!(queue.counts(), Counts::default());
}

/// Each of these has to be asked message by message.
#[test]
fn there_are_no_runs_where_deliveries_are_not_all_alike() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    push(&mut queue, &mut pool);
    consume(&mut queue, 1, Credit::Unlimited, false);
    assert!(queue.sole_consumer().is_some());
    let second = consume(&mut queue, 2, Credit::Unlimited, false);
    assert!(queue.sole_consumer().is_none(), "two take turns");
    queue.cancel(second, NOW_MS);
    assert!(queue.sole_consumer().is_some());
    let channel = ChannelKey { connection: consumer_key().connection, channel: 1, incarnation: 0 };
    queue.get(PendingGet { channel, no_ack: false }, NOW_MS);
    assert!(queue.sole_consumer().is_none(), "somebody has asked by basic.get");
    queue.get_answered();
    assert!(queue.sole_consumer().is_some());
    let counting = QueueSettings { delivery_limit: Some(3), ..QueueSettings::default() };
    queue.change_settings(Arc::new(counting), NOW_MS);
    assert!(queue.sole_consumer().is_none(), "each delivery says how often it came back");
}

/// An ack of many goes as far as they are held one behind the other; the rest is asked for again.
#[test]
fn an_ack_of_many_splits_where_one_is_not_held_any_more() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    push_many(&mut queue, &mut pool, 10);
    let key = consume(&mut queue, 1, Credit::Unlimited, false);
    while run(&mut queue, &mut pool, 8, &mut Taken::default()).1 > 0 && queue.counts().ready > 2 {}
    queue.settle(&mut pool, Seq(3), Some(key), Outcome::Ack);
    queue.settle(&mut pool, Seq(5), Some(key), Outcome::Requeue);
    let mut freed = Vec::new();
    let mut ack = |queue: &mut Queue, pool: &mut ChunkPool, first, limit| {
        let take = |slots: &[Slot]| freed.extend(slots.iter().map(Slot::place));
        queue.ack_run(pool, Seq(first), limit, take)
    };
    assert_eq!(ack(&mut queue, &mut pool, 0, 8), 3, "3 has been acked");
    assert_eq!(ack(&mut queue, &mut pool, 3, 5), 0);
    assert_eq!(ack(&mut queue, &mut pool, 4, 4), 1, "5 has come back");
    assert_eq!(ack(&mut queue, &mut pool, 5, 3), 0);
    assert_eq!(ack(&mut queue, &mut pool, 6, 1), 1, "no more than was asked for");
    assert_eq!(ack(&mut queue, &mut pool, 7, 9), 1, "8 has never been out");
    assert_eq!(ack(&mut queue, &mut pool, 0, 20), 0, "and none of them twice");
    let expected = [0, 1, 2, 4, 6, 7].map(|address| Place::Arena { address });
    assert_eq!(freed, expected);
    let left = Counts { ready: 3, ready_bytes: 30, ..Counts::default() };
    assert_eq!(queue.counts(), left);
    assert_eq!(queue.traffic().acks, 7);
    for expected in [5, 8, 9] {
        assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(expected)));
    }
}

/// Beyond the chunk, and where it is packed, an ack of many goes on one by one; memory comes back chunk by chunk.
#[test]
fn an_ack_of_many_gives_back_what_each_chunk_took() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let count = 6 * CHUNK;
    push_many(&mut queue, &mut pool, count);
    while take(&mut queue, &mut pool, NOW_MS).is_some() {}
    let all = pool.bytes();
    let (mut next, mut freed, mut runs) = (0, Vec::new(), 0);
    while next < count {
        let limit = (count - next) as usize;
        let got =
            queue.ack_run(&mut pool, Seq(next), limit, |slots| freed.extend_from_slice(slots));
        assert!(got as u64 <= CHUNK - next % CHUNK, "{got} from {next} on");
        runs += usize::from(got > 0);
        if got == 0 {
            freed.extend(queue.ack(&mut pool, Seq(next)));
        }
        next += got.max(1) as u64;
    }
    assert_eq!(freed.len() as u64, count);
    for (slot, number) in freed.iter().zip(0..) {
        assert_eq!(slot.place(), Place::Arena { address: number });
    }
    assert!(runs >= 2, "{runs} runs");
    assert_eq!((queue.counts(), chunks(&queue)), (Counts::default(), 0));
    assert!(pool.bytes() <= all);
    assert_eq!(queue.traffic().acks, count);
}

proptest! {
    /// The same messages, consumers and settles: one queue is served and acked by runs where it can be, the other one
    /// by one. Nobody can tell them apart.
    #[test]
    fn runs_do_what_single_deliveries_and_acks_do(
        no_ack in any::<bool>(),
        prefetch in prop_oneof![Just(0_u32), 1_u32..40],
        max_priority in 0_u8..3,
        steps in prop::collection::vec((0_u8..9, any::<u8>(), 0_u64..300), 1..200),
    ) {
        let settings = QueueSettings { max_priority, ..QueueSettings::default() };
        let ((mut one, mut its_pool), (mut other, mut pool)) =
            (queue(settings.clone()), queue(settings));
        let credit = match prefetch {
            0 => Credit::Unlimited,
            prefetch => Credit::Prefetch(prefetch),
        };
        let key = consume(&mut one, 1, credit, no_ack);
        consume(&mut other, 1, credit, no_ack);
        let (mut held, mut now_ms) = (Vec::<Seq>::new(), NOW_MS);
        for (kind, byte, number) in steps {
            match kind {
                0..=2 => for _ in 0..number {
                    let arrival = arrival(byte, byte.is_multiple_of(7).then_some(number));
                    push_at(&mut one, &mut its_pool, arrival, now_ms);
                    push_at(&mut other, &mut pool, arrival, now_ms);
                },
                3..=5 => {
                    let (by_runs, by_one) = (
                        serve(&mut one, &mut its_pool, number as usize, now_ms, true),
                        serve(&mut other, &mut pool, number as usize, now_ms, false),
                    );
                    prop_assert_eq!(&by_runs, &by_one);
                    if !no_ack {
                        held.extend(by_runs.given.iter().map(|(seq, _)| *seq));
                    }
                }
                6 if !held.is_empty() => {
                    let first = held[number as usize % held.len()];
                    let acked = ack_together(&mut one, &mut its_pool, first, u64::from(byte));
                    let singly: Vec<Place> = (first.0..first.0 + u64::from(byte))
                        .filter_map(|seq| other.ack(&mut pool, Seq(seq)))
                        .map(|slot| slot.place())
                        .collect();
                    prop_assert_eq!(&acked, &singly);
                    one.note_settled(Some(key), acked.len() as u32);
                    other.note_settled(Some(key), acked.len() as u32);
                    held.retain(|seq| one.state(&mut its_pool, *seq) == State::Unacked);
                }
                7 if !held.is_empty() => {
                    let seq = held.swap_remove(number as usize % held.len());
                    one.settle(&mut its_pool, seq, Some(key), Outcome::Requeue);
                    other.settle(&mut pool, seq, Some(key), Outcome::Requeue);
                }
                _ => now_ms += number,
            }
            if byte % 16 == 3 {
                one.condense(&mut its_pool);
                other.condense(&mut pool);
            }
            prop_assert_eq!((one.counts(), one.traffic()), (other.counts(), other.traffic()));
            prop_assert_eq!(one.has_work(), other.has_work());
        }
        let all = |queue: &Queue, pool: &ChunkPool| -> Vec<(Seq, Place, State)> {
            queue.messages(pool).map(|(seq, slot)| (seq, slot.place(), slot.state())).collect()
        };
        prop_assert_eq!(all(&one, &its_pool), all(&other, &pool));
        prop_assert_eq!(chunks(&one), chunks(&other));
    }
}

/// What a consumer gets, as far as it has credit, and what has left the queue by that.
fn serve(
    queue: &mut Queue,
    pool: &mut ChunkPool,
    limit: usize,
    now_ms: u64,
    by_runs: bool,
) -> Taken {
    let mut taken = Taken::default();
    while taken.given.len() < limit {
        let left = limit - taken.given.len();
        if by_runs && run(queue, pool, left, &mut taken).1 > 0 {
            continue;
        }
        let Some((slot, _)) = queue.sole_consumer().filter(|(_, consumer)| consumer.can_take())
        else {
            break;
        };
        match queue.due(pool, now_ms) {
            Due::Nothing => break,
            Due::Expired(_) => {}
            Due::Message { seq, slot: of } => {
                taken.given.push((seq, of.redelivered()));
                if queue.serve(pool, slot, seq) {
                    taken.freed.push((seq, of.place()));
                }
            }
        }
    }
    taken
}

/// As the shard does with an ack of so many.
fn ack_together(queue: &mut Queue, pool: &mut ChunkPool, first: Seq, count: u64) -> Vec<Place> {
    let (mut next, mut freed) = (first.0, Vec::new());
    while next < first.0 + count {
        let limit = (first.0 + count - next) as usize;
        let take = |slots: &[Slot]| freed.extend(slots.iter().map(Slot::place));
        let got = queue.ack_run(pool, Seq(next), limit, take);
        if got == 0 {
            freed.extend(queue.ack(pool, Seq(next)).map(|slot| slot.place()));
        }
        next += got.max(1) as u64;
    }
    freed
}
