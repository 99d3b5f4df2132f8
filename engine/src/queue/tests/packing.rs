//! Long queues: their middle is packed, and nobody can tell.

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
    for (seq, slot) in queue.messages(&pool) {
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
    for (seq, slot) in queue.messages(&pool) {
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
    let mut pool = ChunkPool::new(EAGER, Box::new(NoPages));
    let mut backlog = Backlog::default();
    let count = 100_000;
    for number in 0..count {
        backlog.found(&mut pool, Seq(number), place(number), 10, None);
        if number % 10 == 9 && number > 5000 {
            backlog.settled(&mut pool, Seq(number - 5000), Seq(number - 4992), |_| true);
        }
    }
    assert!(pool.bytes() < 1 << 20, "{} octets", pool.bytes());
    let queue = Queue::recovered(QueueId(7), QueueSettings::default(), &mut pool, backlog, NOW_MS);
    let ready = queue.messages(&pool).count() as u64;
    assert_eq!(queue.counts(), Counts { ready, ready_bytes: 10 * ready, ..Counts::default() });
    assert!(ready < count / 4);
}
