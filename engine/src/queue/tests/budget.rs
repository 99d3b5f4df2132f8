//! What the queues of a shard know of their messages takes no more memory than it may, however it
//! comes to be much: all of it can be paged out but an entry for each queue.

use super::paging::{scattered, Shelf};
use super::*;

const BUDGET_BYTES: usize = 1 << 20;
/// What one step may take beyond that: a bale taken apart and a few chunks unpacked.
const STEP_BYTES: usize = 64 << 10;

/// Queues of one shard, which do with the pool as it does.
struct Mix {
    pool: ChunkPool,
    queues: Vec<Queue>,
    budget_bytes: usize,
    peak: usize,
    now_ms: u64,
}

impl Mix {
    fn new(count: u32, settings: QueueSettings) -> Mix {
        Mix::within(BUDGET_BYTES, count, settings)
    }

    fn within(budget_bytes: usize, count: u32, settings: QueueSettings) -> Mix {
        let packing = Packing::within(budget_bytes);
        let mut pool = ChunkPool::new(packing, Box::<Shelf>::default());
        let settings = Arc::new(settings);
        let queue = |slot| {
            let mut queue = Queue::new(QueueId(u64::from(slot)), Arc::clone(&settings), NOW_MS);
            queue.keep_at(slot, &mut pool);
            queue
        };
        let queues = (0..count).map(queue).collect();
        Mix { pool, queues, budget_bytes, peak: 0, now_ms: NOW_MS }
    }

    /// As the shard does after each message.
    fn step_is_over(&mut self) {
        while self.pool.is_crowded() {
            let Some(at) = self.pool.next_to_condense() else { break };
            if self.queues[at as usize].condense(&mut self.pool) {
                self.pool.note_loose(at);
            }
        }
        self.peak = self.peak.max(self.pool.bytes());
    }

    fn push(&mut self, at: usize, priority: u8, due_ms: Option<u64>) -> Seq {
        let queue = &mut self.queues[at];
        let seq = queue.assign(&arrival(priority, None));
        let place = scattered(seq.0 % (1 << 40) * 1000 + at as u64);
        queue.push(&mut self.pool, seq, place, 10, due_ms, self.now_ms);
        self.step_is_over();
        seq
    }

    fn take(&mut self, at: usize) -> Option<Seq> {
        let seq = take(&mut self.queues[at], &mut self.pool, self.now_ms);
        self.step_is_over();
        seq
    }

    fn settle(&mut self, at: usize, seq: Seq, outcome: Outcome) {
        let release = self.queues[at].settle(&mut self.pool, seq, None, outcome);
        if let Release::Removed(slot) = release {
            assert_eq!(slot.place(), scattered(seq.0 % (1 << 40) * 1000 + at as u64));
        } else {
            assert!(matches!(release, Release::Requeued), "{seq:?}: {release:?}");
        }
        self.step_is_over();
    }

    /// All come in order, each queue in its turn, and nothing is left.
    fn drain(mut self, each: &[u64]) {
        in_turns(each, |at, number| {
            assert_eq!(self.take(at), Some(Seq(number)), "queue {at}");
            self.settle(at, Seq(number), Outcome::Ack);
        });
        self.finish();
    }

    fn finish(mut self) {
        let most = self.budget_bytes + STEP_BYTES;
        assert!(self.peak <= most, "{} octets: {:?}", self.peak, self.pool.paged());
        assert!(self.pool.paged().puts > 0, "{} octets in memory", self.peak);
        for queue in self.queues {
            let mut remains = queue.into_remains();
            while !remains.free(&mut self.pool, 1000, |_, _| ()) {}
        }
        let paged = self.pool.paged();
        assert_eq!((paged.pages, paged.octets, paged.store_bytes), (0, 0, 0));
        let left = self.pool.bytes();
        assert!(left <= 256 * 24 * CHUNK as usize + (64 << 10), "{left} octets are left");
    }

    /// So many messages each, in turns.
    fn fill(&mut self, each: &[u64]) {
        in_turns(each, |at, _| {
            self.push(at, 0, None);
        });
    }
}

/// Queues and numbers of their messages, of which each has so many.
fn in_turns(each: &[u64], mut turn: impl FnMut(usize, u64)) {
    let mut left: Vec<usize> = (0..each.len()).collect();
    for number in 0.. {
        left.retain(|at| each[*at] > number);
        if left.is_empty() {
            return;
        }
        left.iter().for_each(|at| turn(*at, number));
    }
}

fn memory_is_what_it_may_be(each: &[u64]) {
    let mut mix = Mix::new(each.len() as u32, QueueSettings::default());
    mix.fill(each);
    mix.drain(each);
}

#[test]
fn memory_of_many_short_queues_is_what_it_may_be() {
    memory_is_what_it_may_be(&[20; 4_000]);
}

#[test]
fn memory_of_queues_of_thousands_is_what_it_may_be() {
    memory_is_what_it_may_be(&[3_000; 100]);
}

#[test]
fn memory_of_a_long_queue_beside_many_short_ones_is_what_it_may_be() {
    let mut each = vec![50; 1_500];
    each[700] = 60_000;
    memory_is_what_it_may_be(&each);
}

/// One message goes to all of them before any has its turn.
#[test]
fn memory_of_a_message_for_many_queues_is_what_it_may_be() {
    let mut mix = Mix::new(5_000, QueueSettings::default());
    for at in 0..5_000 {
        mix.push(at, 0, None);
    }
    assert!(mix.peak <= BUDGET_BYTES + STEP_BYTES, "{} octets", mix.peak);
}

#[test]
fn memory_of_messages_of_all_priorities_is_what_it_may_be() {
    let settings = QueueSettings { max_priority: 9, ..QueueSettings::default() };
    let mut mix = Mix::new(20, settings);
    for number in 0..4_000_u64 {
        for at in 0..20 {
            mix.push(at, (number * 7 % 10) as u8, None);
        }
    }
    for at in 0..20 {
        let mut before = None;
        while let Some(seq) = mix.take(at) {
            assert!(before.is_none_or(|before| before < seq));
            before = Some(seq);
            mix.settle(at, seq, Outcome::Ack);
        }
        assert_eq!(mix.queues[at].counts(), Counts::default());
    }
    mix.finish();
}

/// Consumers hold all of it, settle most of it out of order, and give the rest back.
#[test]
fn memory_of_what_consumers_hold_and_leave_in_holes_is_what_it_may_be() {
    let mut mix = Mix::new(2, QueueSettings::default());
    let each = [50_000; 2];
    mix.fill(&each);
    for at in 0..2 {
        while mix.take(at).is_some() {}
    }
    let is_left = |number: u64| number.is_multiple_of(97) || number % 1009 < 3;
    for (at, messages) in each.into_iter().enumerate() {
        // From both ends: some are settled in order, and others are not.
        for number in (0..messages / 2).chain((messages / 2..messages).rev()) {
            if !is_left(number) {
                mix.settle(at, Seq(number), Outcome::Ack);
            }
        }
    }
    assert!(mix.peak <= BUDGET_BYTES + STEP_BYTES, "{} octets", mix.peak);
    let left: Vec<u64> = mix.queues[0].messages(&mix.pool).map(|(seq, _)| seq.0).collect();
    for at in 0..2 {
        for number in left.iter().rev() {
            mix.settle(at, Seq(*number), Outcome::Requeue);
        }
        for number in &left {
            assert_eq!(mix.take(at), Some(Seq(*number)));
        }
        // A purge leaves them where they are: consumers have them again.
        let (purged, mut remains) = mix.queues[at].purge(&mut mix.pool);
        assert_eq!((purged, remains.free(&mut mix.pool, 1, |_, _| ())), (0, true));
        for number in &left {
            mix.settle(at, Seq(*number), Outcome::Ack);
        }
    }
    mix.finish();
}

/// Two in three are settled, and the others come back one by one: each is a range of its own.
#[test]
fn memory_of_messages_that_came_back_apart_is_what_it_may_be() {
    let mut mix = Mix::new(1, QueueSettings::default());
    mix.fill(&[45_000]);
    while mix.take(0).is_some() {}
    for number in 0..45_000 {
        let is_back = number % 3 == 0;
        mix.settle(0, Seq(number), if is_back { Outcome::Requeue } else { Outcome::Ack });
    }
    let mut expected = (0..45_000).step_by(3);
    while let Some(seq) = mix.take(0) {
        assert_eq!(Some(seq.0), expected.next());
        mix.settle(0, seq, Outcome::Ack);
    }
    assert_eq!(expected.next(), None);
    mix.finish();
}

#[test]
fn memory_of_messages_that_are_held_back_is_what_it_may_be() {
    let settings = QueueSettings { role: Role::Delays, ..QueueSettings::default() };
    let mut mix = Mix::within(BUDGET_BYTES / 4, 2, settings);
    let due = |number: u64| NOW_MS + 1 + number.wrapping_mul(0x9e37_79b9) % 300_000;
    for number in 0..20_000 {
        mix.push(0, 0, Some(due(number)));
        mix.push(1, 0, Some(NOW_MS + 5_000 + number));
    }
    let mut order: Vec<(u64, u64)> = (0..20_000).map(|number| (due(number), number)).collect();
    order.sort_unstable();
    let mut gone = Vec::new();
    while let Some(at_ms) = mix.queues[0].deadline_unix_ms() {
        mix.now_ms = at_ms + 500;
        let queue = &mut mix.queues[0];
        queue.expire(&mut mix.pool, mix.now_ms, 300, &mut Vec::new(), |one| gone.push(one.seq.0));
        mix.step_is_over();
    }
    assert!(gone.iter().eq(order.iter().map(|(_, number)| number)));
    mix.finish();
}

/// While recovery reads the log back, and after.
#[test]
fn memory_of_short_backlogs_that_are_read_back_is_what_it_may_be() {
    let mut pool = ChunkPool::new(Packing::within(BUDGET_BYTES), Box::<Shelf>::default());
    let mut backlogs: Vec<Backlog> = (0..3_000).map(Backlog::new).collect();
    let mut peak = 0;
    for number in 0..40 {
        for at in 0..backlogs.len() {
            let place = scattered(number * 1000 + at as u64);
            backlogs[at].found(&mut pool, Seq(number), place, 10, None);
            while pool.is_crowded() {
                let Some(at) = pool.next_to_condense() else { break };
                if backlogs[at as usize].condense(&mut pool) {
                    pool.note_loose(at);
                }
            }
            peak = peak.max(pool.bytes());
        }
    }
    assert!(peak <= BUDGET_BYTES + STEP_BYTES, "{peak} octets");
    assert!(pool.paged().puts > 0);
    for (at, backlog) in backlogs.into_iter().enumerate() {
        let found: Vec<Place> = backlog.messages(&pool).map(|(_, slot)| slot.place()).collect();
        let expected: Vec<Place> =
            (0..40).map(|number| scattered(number * 1000 + at as u64)).collect();
        assert_eq!(found, expected);
        backlog.discard(&mut pool);
    }
    assert_eq!(pool.paged().pages, 0);
}

/// What is left of a queue that is not empty when all is paged out that can be.
#[test]
fn queue_that_is_paged_out_leaves_less_than_two_hundred_octets() {
    let packing = Packing { bytes_max: 0, ..Packing::within(0) };
    let mut pool = ChunkPool::new(packing, Box::<Shelf>::default());
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    for number in 0..60 {
        let seq = queue.assign(&arrival(0, None));
        queue.push(&mut pool, seq, scattered(number), 10, None, NOW_MS);
    }
    while pool.next_to_condense().is_some() {
        queue.condense(&mut pool);
    }
    assert_eq!(pool.paged().pages, 1);
    assert!(pool.bytes() <= 200, "{} octets", pool.bytes());
}

/// A start packs what it has read of queues that are there, finds that nothing is left to be packed,
/// and then discards what it has read of queues that are gone. The chunks of those were kept for the
/// next burst, up to 256 of them, until some queue took something again.
#[test]
fn what_a_start_discards_of_queues_that_are_gone_leaves_no_memory_beyond_the_budget() {
    let packing = Packing { bytes_max: 0, ..Packing::within(0) };
    let mut pool = ChunkPool::new(packing, Box::<Shelf>::default());
    let mut gone: Vec<Backlog> = (0..10).map(Backlog::new).collect();
    for (at, backlog) in gone.iter_mut().enumerate() {
        backlog.found(&mut pool, Seq(0), scattered(at as u64), 10, None);
    }
    pool.forget_loose();
    while pool.next_to_condense().is_some() {}
    assert!(!pool.is_crowded() && pool.bytes() > 0, "nothing is unpacked");
    gone.into_iter().for_each(|backlog| backlog.discard(&mut pool));
    assert_eq!(pool.bytes(), 0);
}
