//! Indexes that are mostly paged out: nobody can tell, and no page is forgotten.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

/// What is left of an index that has been emptied: spare chunks, and numbers of bales.
const LEFT_MAX_BYTES: usize = 256 * 24 * CHUNK as usize + 64 * 1024;

/// A store that forgets nothing and gives out nothing twice.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pages: BTreeMap<u32, Vec<u8>>,
    next: u32,
    /// Every so manieth page is refused; 0: none.
    refuses_every: u32,
}

impl PageStore for Shelf {
    fn put(&mut self, octets: &[u8]) -> Option<Page> {
        self.next += 1;
        if self.refuses_every > 0 && self.next.is_multiple_of(self.refuses_every) {
            return None;
        }
        let page = Page::new(self.next, octets);
        self.pages.insert(self.next, octets.to_vec());
        Some(page)
    }

    fn read(&self, page: &Page) -> Vec<u8> {
        let octets = self.pages.get(&page.place()).expect("a page that was put and not freed");
        assert!(page.is(octets));
        octets.clone()
    }

    fn free(&mut self, page: Page) {
        assert!(self.pages.remove(&page.place()).is_some(), "{page:?} is freed twice");
    }

    fn bytes(&self) -> u64 {
        self.pages.values().map(|octets| octets.len() as u64).sum()
    }
}

/// So little memory that all is paged out that can be.
fn tiny(bale: usize, refuses_every: u32) -> ChunkPool {
    let packing = Packing { open_freely: 0, bale, bytes_max: 0 };
    ChunkPool::new(packing, Box::new(Shelf { refuses_every, ..Shelf::default() }))
}

/// Records of all lengths beside those of others, so that each takes a few octets.
pub(super) fn scattered(address: u64) -> Place {
    let mixed = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let length = 40 + (mixed % 1000) as u32;
    Place::Log { address: address * 2048 + (mixed % 64) * 8, length, reference: address as u32 }
}

/// What is done to both, the queue and the model.
#[derive(Clone, Debug)]
enum Step {
    Push {
        count: u64,
        expiration_ms: Option<u64>,
    },
    Take {
        count: u64,
    },
    Settle {
        pick: u64,
        count: u64,
        outcome: Outcome,
    },
    Relocate {
        pick: u64,
        count: u64,
    },
    /// Looks for messages, wherever they are.
    Look {
        pick: u64,
        count: u64,
    },
    /// Takes messages out from among the others.
    Withdraw {
        pick: u64,
        count: u64,
    },
    Expire {
        after_ms: u64,
    },
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
        2 => (any::<u64>(), 1_u64..50).prop_map(|(pick, count)| Step::Look { pick, count }),
        2 => (any::<u64>(), 1_u64..400).prop_map(|(pick, count)| Step::Withdraw { pick, count }),
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

/// Does the same to both, and compares them.
fn behaves_like_a_plain_one(
    steps: Vec<Step>,
    mut pool: ChunkPool,
    condenses: bool,
) -> Result<(), TestCaseError> {
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    let mut model: BTreeMap<u64, Told> = BTreeMap::new();
    let mut scratch = Vec::new();
    let mut now_ms = NOW_MS;
    let mut fresh = 1 << 30;
    for step in steps {
        match step {
            Step::Push { count, expiration_ms } => {
                for number in 0..count {
                    let expiration_ms = expiration_ms.map(|ms| ms + number % 7);
                    let expires_ms = expiration_ms.map(|ms| now_ms + ms);
                    let seq = queue.assign(&arrival(0, expiration_ms));
                    queue.push(&mut pool, seq, scattered(seq.0), 10, expires_ms, now_ms);
                    let state = State::Ready;
                    let told =
                        Told { place: scattered(seq.0), state, redelivered: false, expires_ms };
                    prop_assert!(model.insert(seq.0, told).is_none());
                }
            }
            Step::Take { count } => {
                for _ in 0..count {
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
                }
            }
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
            }
            Step::Relocate { pick, count } => {
                for index in 0..count {
                    let last = model.keys().last().copied().unwrap_or(0);
                    let number = pick.wrapping_add(index * 37) % (last + 2);
                    fresh += 1;
                    let told = model.get_mut(&number);
                    let from = told.as_ref().map_or(scattered(number), |told| told.place);
                    let moved = queue.relocate(&mut pool, Seq(number), from, scattered(fresh));
                    prop_assert_eq!(moved, told.is_some());
                    if let Some(told) = told {
                        told.place = scattered(fresh);
                    }
                }
            }
            Step::Look { pick, count } => {
                for index in 0..count {
                    let last = model.keys().last().copied().unwrap_or(0);
                    let number = pick.wrapping_add(index * 37) % (last + 2);
                    let found = queue.live(&mut pool, Seq(number)).map(|slot| slot.place());
                    prop_assert_eq!(found, model.get(&number).map(|told| told.place));
                }
            }
            Step::Withdraw { pick, count } => {
                let last = model.keys().last().copied().unwrap_or(0);
                // In order, and then not.
                let apart = if pick % 2 == 0 { 1 } else { 37 };
                for index in 0..count {
                    let number = pick.wrapping_add(index * apart) % (last + 2);
                    let is_ready = |told: &Told| told.state == State::Ready;
                    let expected = match model.get(&number).is_some_and(is_ready) {
                        true => model.remove(&number).map(|told| told.place),
                        false => None,
                    };
                    let gone = queue.withdraw(&mut pool, Seq(number));
                    prop_assert_eq!(gone.map(|gone| gone.slot.place()), expected);
                }
            }
            Step::Expire { after_ms } => {
                now_ms += after_ms;
                // A sweep looks into a few bales and asks for another one.
                for _ in 0..100 {
                    queue.expire(&mut pool, now_ms, usize::MAX, &mut scratch, |_| ());
                }
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
        while condenses && pool.next_to_condense().is_some() {
            while queue.condense(&mut pool) {}
        }
        let ready = model.values().filter(|told| told.state == State::Ready).count() as u64;
        let unacked = model.len() as u64 - ready;
        let (ready_bytes, unacked_bytes) = (10 * ready, 10 * unacked);
        let counts = Counts { ready, unacked, ready_bytes, unacked_bytes };
        prop_assert_eq!(queue.counts(), counts);
    }
    for (number, told) in &model {
        prop_assert_eq!(queue.state(&mut pool, Seq(*number)), told.state);
    }
    let all: Vec<(u64, Told)> = queue
        .messages(&pool)
        .map(|(seq, slot)| {
            let expires_ms = queue.lanes[0].expires_unix_ms(seq.0, &slot);
            let (state, redelivered) = (slot.state(), slot.redelivered());
            (seq.0, Told { place: slot.place(), state, redelivered, expires_ms })
        })
        .collect();
    prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
    let mut remains = queue.into_remains();
    while !remains.free(&mut pool, 1000, |_, _| ()) {}
    prop_assert_eq!(pool.paged(), Paged { pages: 0, octets: 0, store_bytes: 0, ..pool.paged() });
    prop_assert!(pool.bytes() <= LEFT_MAX_BYTES, "{} octets", pool.bytes());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packed_queue_behaves_like_a_plain_one(
        steps in prop::collection::vec(any_step(), 1..40),
        bale in 2_usize..6,
    ) {
        let packing = Packing { open_freely: 0, bale, bytes_max: usize::MAX };
        behaves_like_a_plain_one(steps, ChunkPool::new(packing, Box::new(NoPages)), false)?;
    }

    #[test]
    fn paged_queue_behaves_like_a_plain_one(
        steps in prop::collection::vec(any_step(), 1..40),
        bale in 2_usize..6,
        refuses_every in prop_oneof![Just(0_u32), 2_u32..6],
    ) {
        behaves_like_a_plain_one(steps, tiny(bale, refuses_every), false)?;
    }

    #[test]
    fn condensed_queue_behaves_like_a_plain_one(
        steps in prop::collection::vec(any_step(), 1..40),
        bale in 2_usize..6,
        refuses_every in prop_oneof![Just(0_u32), 2_u32..6],
    ) {
        behaves_like_a_plain_one(steps, tiny(bale, refuses_every), true)?;
    }

    /// Recovery finds messages in the order of the log, and their settles among them.
    #[test]
    fn backlog_that_is_paged_while_it_is_read_back_is_what_was_found(
        steps in prop::collection::vec((0_u8..4, 0_u64..6000, 1_u64..700), 1..60),
        bale in 2_usize..5,
    ) {
        let mut pool = tiny(bale, 0);
        let (mut backlog, mut model) = (Backlog::default(), BTreeMap::new());
        let (mut next, mut copies) = (0, 1 << 20);
        for (kind, from, count) in steps {
            match kind {
                0 | 1 => {
                    for number in next..next + count {
                        backlog.found(&mut pool, Seq(number), scattered(number), 10, None);
                        model.insert(number, scattered(number));
                    }
                    next += count;
                }
                // Copied forward: found again at another place, whether it was settled or not.
                2 => for number in (from..next).step_by(7).take(count as usize) {
                    copies += 1;
                    backlog.found(&mut pool, Seq(number), scattered(copies), 10, None);
                    model.insert(number, scattered(copies));
                },
                _ => {
                    let is_even = |place: &Place| matches!(place, Place::Log { length, .. } if length % 2 == 0);
                    let last = from + count;
                    backlog.settled(&mut pool, Seq(from), Seq(last), |slot| is_even(&slot.place()));
                    model.retain(|number, place| {
                        !(from..=last).contains(number) || !is_even(place)
                    });
                    next = next.max(last + 1);
                }
            }
        }
        let found: Vec<(u64, Place)> =
            backlog.messages(&pool).map(|(seq, slot)| (seq.0, slot.place())).collect();
        prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        backlog.discard(&mut pool);
        let paged = pool.paged();
        prop_assert_eq!((paged.pages, paged.octets, paged.store_bytes), (0, 0, 0));
    }
}

/// The memory of a queue of any length: what does not fit is paged out, and comes back in order.
#[test]
fn memory_of_a_long_queue_is_what_it_may_be() {
    let packing = Packing::within(1 << 20);
    let mut pool = ChunkPool::new(packing, Box::<Shelf>::default());
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    let count = 1_000_000;
    let mut peak = 0;
    for number in 0..count {
        let seq = queue.assign(&arrival(0, None));
        queue.push(&mut pool, seq, scattered(number), 10, None, NOW_MS);
        peak = peak.max(pool.bytes());
    }
    assert!(pool.paged().octets > 3 * count, "{:?}", pool.paged());
    for number in 0..count {
        let seq = take(&mut queue, &mut pool, NOW_MS).expect("a message");
        assert_eq!(seq, Seq(number));
        let Release::Removed(slot) = queue.settle(&mut pool, seq, None, Outcome::Ack) else {
            panic!("{seq:?} was there")
        };
        assert_eq!(slot.place(), scattered(number));
        peak = peak.max(pool.bytes());
    }
    assert!(peak <= (1 << 20) + (1 << 16), "{peak} octets");
    let paged = pool.paged();
    assert_eq!((paged.pages, paged.octets), (0, 0));
    assert!(paged.reads <= paged.puts, "each is read once: {paged:?}");
}

/// Messages that are moved, looked for and dropped all over a long queue: each costs a read of one
/// page at most, and no memory.
#[test]
fn a_look_into_a_paged_queue_reads_one_page_and_takes_no_memory() {
    let packing = Packing::within(1 << 20);
    let mut pool = ChunkPool::new(packing, Box::<Shelf>::default());
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    let count = 300_000;
    for number in 0..count {
        let seq = queue.assign(&arrival(0, None));
        queue.push(&mut pool, seq, scattered(number), 10, None, NOW_MS);
    }
    let before = pool.bytes();
    for step in 0..1000 {
        let number = 100_000 + step * 7919 % 150_000;
        let reads = pool.paged().reads;
        if step % 3 == 0 {
            assert!(queue.withdraw(&mut pool, Seq(number)).is_some());
        } else {
            let (from, to) = (scattered(number), scattered(count + number));
            assert!(queue.relocate(&mut pool, Seq(number), from, to));
            assert_eq!(queue.place(&mut pool, Seq(number)), Some(to));
        }
        assert!(pool.paged().reads <= reads + 1);
        assert!(pool.bytes() <= before + (1 << 18), "{} and {before} octets", pool.bytes());
    }
}

/// A disk that is full keeps nothing from being queued.
#[test]
fn what_the_store_refuses_stays_in_memory_and_is_counted() {
    let mut pool = tiny(8, 1);
    let mut queue = Queue::new(QueueId(7), QueueSettings::default(), NOW_MS);
    for number in 0..20_000 {
        let seq = queue.assign(&arrival(0, None));
        queue.push(&mut pool, seq, scattered(number), 10, None, NOW_MS);
    }
    let paged = pool.paged();
    assert_eq!((paged.pages, paged.puts), (0, 0));
    assert!(paged.refusals > 10);
    for number in 0..20_000 {
        assert_eq!(take(&mut queue, &mut pool, NOW_MS), Some(Seq(number)));
    }
}
