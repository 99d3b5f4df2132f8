//! Long queues: their middle is packed, and nobody can tell.

use proptest::prelude::*;

use super::*;

fn place(address: u64) -> Place {
    Place::Log { address: address * 96, length: 90, reference: address as u32 }
}

fn push_log(queue: &mut Queue, pool: &mut ChunkPool, now_ms: u64) -> Seq {
    let arrival = arrival(0, None);
    let expires = queue.expiry_unix_ms(&arrival, now_ms);
    let seq = queue.assign(&arrival);
    queue.push(pool, seq, place(seq.0), 10, expires, now_ms);
    seq
}

fn packed(queue: &Queue) -> usize {
    queue.lanes.iter().map(|lane| lane.chunk_count().1).sum()
}

#[test]
fn long_queue_takes_less_than_an_octet_a_message_and_gives_it_back() {
    let settings = QueueSettings { message_ttl_ms: Some(60_000), ..QueueSettings::default() };
    let (mut queue, mut pool) = queue(settings);
    let empty = pool.bytes();
    let count = 200_000;
    let mut peak = 0;
    for number in 0..count {
        push_log(&mut queue, &mut pool, NOW_MS + number / 100);
        peak = peak.max(pool.bytes());
    }
    assert!(peak - empty < count as usize, "{peak} octets for {count} messages");
    for number in 0..count {
        assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(number)));
        queue.settle(&mut pool, Seq(number), None, Outcome::Ack);
    }
    assert_eq!(chunks(&queue), 0);
    assert_eq!(queue.counts(), Counts::default());
}

/// What is kept of a message in a long queue that has the log to itself: of that order is all that a
/// hundred million take.
#[test]
fn very_long_queue_takes_less_than_a_tenth_of_an_octet_a_message() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let count = 1_000_000;
    let place = |number: u64| {
        let (block, within) = (number / 700, number % 700);
        let address = (block * 16) << 20 | (64 + within * 88);
        Place::Log { address, length: 88, reference: (number % 350_000) as u32 }
    };
    for number in 0..count {
        let seq = queue.assign(&arrival(0, None));
        queue.push(&mut pool, seq, place(number), 16, None, NOW_MS);
    }
    let open = pool.lead() + 2;
    let packed_bytes = pool.bytes() - open * size_of::<[Slot; CHUNK as usize]>();
    let chunk_bytes = chunks(&queue) * size_of::<super::super::chunk::Chunk>();
    let all = packed_bytes + chunk_bytes;
    assert!(all < count as usize / 10, "{packed_bytes} and {chunk_bytes} octets");
    for number in 0..count {
        let seq = take(&mut queue, &mut pool, NOW_MS).expect("a message");
        assert_eq!(seq, Seq(number));
        let Release::Removed(slot) = queue.settle(&mut pool, seq, None, Outcome::Ack) else {
            panic!("{seq:?} was there")
        };
        assert_eq!(slot.place(), place(number));
    }
    assert_eq!((chunks(&queue), queue.counts()), (0, Counts::default()));
}

/// Messages with times of their own in one bale, and a few that go before the others.
#[test]
fn expiries_in_a_bale_are_as_they_were() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let expires =
        |number: u64| (!number.is_multiple_of(3)).then(|| NOW_MS + 5000 + number % 1000 + number);
    for number in 0..100 * CHUNK {
        let seq = queue.assign(&arrival(0, None));
        queue.push(&mut pool, seq, place(number), 10, expires(number), NOW_MS + number);
    }
    assert!(queue.lanes[0].bale_count() > 0);
    for (seq, slot) in queue.messages() {
        assert_eq!(queue.lanes[0].expires_unix_ms(seq.0, &slot), expires(seq.0));
    }
    let (now, mut gone) = (NOW_MS + 9000, Vec::new());
    queue.expire(&mut pool, now, usize::MAX, &mut Vec::new(), |removed| gone.push(removed.seq.0));
    gone.sort_unstable();
    let due: Vec<u64> =
        (0..100 * CHUNK).filter(|number| expires(*number).is_some_and(|at| at < now)).collect();
    assert_eq!(gone, due);
}

#[test]
fn consumers_that_keep_up_never_see_a_packed_chunk() {
    let mut pool = ChunkPool::default();
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    for _ in 0..10 * CHUNK {
        push_log(&mut queue, &mut pool, NOW_MS);
    }
    for _ in 0..1000 * CHUNK {
        push_log(&mut queue, &mut pool, NOW_MS);
        let seq = take(&mut queue, &mut pool, NOW_MS).expect("a message");
        queue.settle(&mut pool, seq, None, Outcome::Ack);
        assert_eq!(packed(&queue), 0);
    }
}

/// One read of a socket holds thousands of small messages: packing what their consumer takes in the same
/// turn was once a sixth of the work.
#[test]
fn a_burst_that_is_consumed_at_once_is_never_packed() {
    let mut pool = ChunkPool::default();
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    for _ in 0..200 * CHUNK {
        push_log(&mut queue, &mut pool, NOW_MS);
    }
    assert_eq!(packed(&queue), 0);
    // Many queues share what there is, and a long one does not get more than its part.
    let mut others: Vec<Queue> = (0..64)
        .map(|number| Queue::new(QueueId(8 + number), QueueSettings::default(), NOW_MS))
        .collect();
    for other in &mut others {
        for _ in 0..200 * CHUNK {
            push_log(other, &mut pool, NOW_MS);
        }
    }
    assert!(others.iter().map(packed).sum::<usize>() > 0);
    assert!(pool.bytes() < 16 << 20, "{} octets", pool.bytes());
}

#[test]
fn chunks_that_were_needed_are_packed_again() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    let count = 1000 * CHUNK;
    for _ in 0..count {
        push_log(&mut queue, &mut pool, NOW_MS);
    }
    for number in (0..count).step_by(50) {
        assert!(queue.relocate(&mut pool, Seq(number), place(number), place(count + number)));
        assert!(!queue.relocate(&mut pool, Seq(number), place(number), place(0)), "not there now");
    }
    assert!(!queue.relocate(&mut pool, Seq(count), place(count), place(0)), "no such message");
    assert!(chunks(&queue) - packed(&queue) < 40);
    for (seq, slot) in queue.messages() {
        let moved = if seq.0 % 50 == 0 { count } else { 0 };
        assert_eq!((slot.place(), slot.body_bytes()), (place(seq.0 + moved), 10));
    }
}

#[test]
fn chunks_whose_deliveries_came_back_are_packed_by_and_by() {
    let (mut queue, mut pool) = queue(QueueSettings::default());
    for _ in 0..300 * CHUNK {
        push_log(&mut queue, &mut pool, NOW_MS);
    }
    while let Some(seq) = take(&mut queue, &mut pool, NOW_MS) {
        if seq.0 >= 200 * CHUNK {
            break;
        }
    }
    for number in 0..=200 * CHUNK {
        queue.settle(&mut pool, Seq(number), None, Outcome::Requeue);
    }
    for _ in 0..300 * CHUNK {
        push_log(&mut queue, &mut pool, NOW_MS);
    }
    assert!(chunks(&queue) - packed(&queue) < 40);
    for number in 0..600 * CHUNK {
        assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(number)));
    }
}

#[test]
fn backlog_is_packed_while_it_is_read_back() {
    let mut pool = ChunkPool::new(EAGER);
    let mut backlog = Backlog::default();
    let count = 100_000;
    for number in 0..count {
        backlog.found(&mut pool, Seq(number), place(number), 10, None);
        if number % 10 == 9 && number > 5000 {
            backlog.settled(&mut pool, Seq(number - 5000), Seq(number - 4992), |_| true);
        }
    }
    assert!(pool.bytes() < 1 << 20, "{} octets", pool.bytes());
    let queue = Queue::recovered(QueueId(7), QueueSettings::default(), backlog, NOW_MS);
    let ready = queue.messages().count() as u64;
    assert_eq!(queue.counts(), Counts { ready, ready_bytes: 10 * ready, ..Counts::default() });
    assert!(ready < count / 4);
}

/// What is done to both, the queue and the model.
#[derive(Clone, Debug)]
enum Step {
    Push { count: u64, expiration_ms: Option<u64> },
    Take { count: u64 },
    Settle { pick: u64, count: u64, outcome: Outcome },
    Relocate { pick: u64, count: u64 },
    Expire { after_ms: u64 },
    Purge,
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![Just(Outcome::Ack), Just(Outcome::Requeue), Just(Outcome::Reject)];
    let expiration_ms = prop_oneof![3 => Just(None), 1 => (0_u64..3000).prop_map(Some)];
    prop_oneof![
        6 => (1_u64..900, expiration_ms)
            .prop_map(|(count, expiration_ms)| Step::Push { count, expiration_ms }),
        3 => (1_u64..500).prop_map(|count| Step::Take { count }),
        4 => (any::<u64>(), 1_u64..300, outcome)
            .prop_map(|(pick, count, outcome)| Step::Settle { pick, count, outcome }),
        4 => (any::<u64>(), 1_u64..50).prop_map(|(pick, count)| Step::Relocate { pick, count }),
        2 => (0_u64..1000).prop_map(|after_ms| Step::Expire { after_ms }),
        1 => Just(Step::Purge),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Told {
    place: Place,
    state: State,
    redelivered: bool,
    expires_ms: Option<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packed_queue_behaves_like_a_plain_one(
        steps in prop::collection::vec(any_step(), 1..40),
        bale in 2_usize..6,
    ) {
        let (mut queue, mut pool) = queue(QueueSettings::default());
        pool.bale = bale;
        let mut model: BTreeMap<u64, Told> = BTreeMap::new();
        let mut scratch = Vec::new();
        let mut now_ms = NOW_MS;
        let mut fresh = 1 << 30;
        for step in steps {
            match step {
                Step::Push { count, expiration_ms } => for number in 0..count {
                    let expiration_ms = expiration_ms.map(|ms| ms + number % 7);
                    let expires_ms = expiration_ms.map(|ms| now_ms + ms);
                    let seq = queue.assign(&arrival(0, expiration_ms));
                    queue.push(&mut pool, seq, place(seq.0), 10, expires_ms, now_ms);
                    let state = State::Ready;
                    let told = Told { place: place(seq.0), state, redelivered: false, expires_ms };
                    prop_assert!(model.insert(seq.0, told).is_none());
                },
                Step::Take { count } => for _ in 0..count {
                    while let Due::Expired(gone) = queue.due(&mut pool, now_ms) {
                        let told = model.remove(&gone.seq.0).expect("a message of the queue");
                        prop_assert!(told.expires_ms.is_some_and(|at| at < now_ms));
                    }
                    let mut ready = model.iter_mut().filter(|(_, told)| told.state == State::Ready);
                    let first = ready.next();
                    let expected = first.map(|(number, told)| {
                        told.state = State::Unacked;
                        Seq(*number)
                    });
                    prop_assert_eq!(take(&mut queue, &mut pool, now_ms), expected);
                },
                Step::Settle { pick, count, outcome } => {
                    let held = model.iter().filter(|(_, told)| told.state == State::Unacked);
                    let held: Vec<u64> = held.map(|(number, _)| *number).collect();
                    let start = if held.is_empty() { 0 } else { pick as usize % held.len() };
                    for &number in held[start..].iter().take(count as usize) {
                        let release = queue.settle(&mut pool, Seq(number), None, outcome);
                        if outcome == Outcome::Requeue {
                            prop_assert!(matches!(release, Release::Requeued));
                            let told = model.get_mut(&number).expect("held");
                            (told.state, told.redelivered) = (State::Ready, true);
                        } else {
                            let told = model.remove(&number).expect("held");
                            let Release::Removed(slot) = release else { panic!("{release:?}") };
                            prop_assert_eq!(slot.place(), told.place);
                        }
                    }
                },
                Step::Relocate { pick, count } => for index in 0..count {
                    let last = model.keys().last().copied().unwrap_or(0);
                    let number = pick.wrapping_add(index * 37) % (last + 2);
                    fresh += 1;
                    let told = model.get_mut(&number);
                    let from = told.as_ref().map_or(place(number), |told| told.place);
                    let moved = queue.relocate(&mut pool, Seq(number), from, place(fresh));
                    prop_assert_eq!(moved, told.is_some());
                    if let Some(told) = told {
                        told.place = place(fresh);
                    }
                },
                Step::Expire { after_ms } => {
                    now_ms += after_ms;
                    queue.expire(&mut pool, now_ms, usize::MAX, &mut scratch, |_| ());
                    model.retain(|_, told| {
                        told.state == State::Unacked || told.expires_ms.is_none_or(|at| at >= now_ms)
                    });
                }
                Step::Purge => {
                    let (purged, mut remains) = queue.purge(&mut pool);
                    let mut gone = Vec::new();
                    while !remains.free(&mut pool, 300, |seq, slot| gone.push((seq.0, slot.place()))) {}
                    prop_assert_eq!(gone.len() as u64, purged);
                    for (number, place) in gone {
                        prop_assert_eq!(model[&number].place, place);
                    }
                    model.retain(|_, told| told.state == State::Unacked);
                }
            }
            let ready = model.values().filter(|told| told.state == State::Ready).count() as u64;
            let unacked = model.len() as u64 - ready;
            let (ready_bytes, unacked_bytes) = (10 * ready, 10 * unacked);
            let counts = Counts { ready, unacked, ready_bytes, unacked_bytes };
            prop_assert_eq!(queue.counts(), counts);
        }
        for (number, told) in &model {
            prop_assert_eq!(queue.state(Seq(*number)), told.state);
        }
        let all: Vec<(u64, Told)> = queue
            .messages()
            .map(|(seq, slot)| {
                let expires_ms = queue.lanes[0].expires_unix_ms(seq.0, &slot);
                let (state, redelivered) = (slot.state(), slot.redelivered());
                (seq.0, Told { place: slot.place(), state, redelivered, expires_ms })
            })
            .collect();
        prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        let mut remains = queue.into_remains();
        while !remains.free(&mut pool, 1000, |_, _| ()) {}
        prop_assert!(pool.bytes() <= 256 * 24 * CHUNK as usize, "{} octets", pool.bytes());
    }
}
