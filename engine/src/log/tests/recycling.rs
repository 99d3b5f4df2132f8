//! What the log promises about space: what is done with comes back, and nothing else does.

use super::body::{Body, Texts};
use super::tiny;
use super::world::World;
use crate::ids::QueueId;
use crate::log::format::PAGE_BYTES;
use crate::log::record::{content_bytes, MESSAGE_HEAD_BYTES, SETTLE_BYTES};

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

fn ready() -> World {
    let mut world = World::new(tiny(), 1);
    world.settle_down();
    world
}

impl World {
    /// Octets of the record of the message appended next, for one queue, beside those of its body.
    fn next_record_bytes(&self) -> usize {
        let seed = self.random.clone().next() >> 20;
        let body = Body { seed, bytes: 0, is_definition: false, is_spilled: false };
        MESSAGE_HEAD_BYTES + content_bytes(&body.message(&[], &Texts::of(body)), 1)
    }

    /// Segments take more than copying leaves, if it has what it needs.
    fn is_too_large(&self) -> bool {
        let (space, segment_bytes) = (self.log.space(), self.config.segment_bytes);
        space.segments * segment_bytes > 2 * space.live_octets + 4 * segment_bytes
    }

    /// Segments in each of which so many messages of 3000 octets are wanted, and nothing else.
    fn fill_sparse_segments(&mut self, segments: usize, wanted: usize) {
        for _ in 0..segments {
            for _ in 0..wanted {
                self.append(&[Q], 3_000);
            }
            for message in self.fill_segment(R) {
                self.settle(message);
            }
        }
        self.settle_down();
    }
}

#[test]
fn a_settled_message_stays_settled_when_the_settles_segment_is_recycled() {
    let mut world = ready();
    let kept = world.append(&[Q], 10)[0];
    let settled = world.append(&[Q], 10)[0];
    world.fill_segment(R);
    world.settle(settled);
    // Everything else goes, so that the segment with the settle is recycled and written over.
    for _ in 0..6 {
        for message in world.unsettled() {
            if message != kept {
                world.settle(message);
            }
        }
        world.fill_segment(R);
    }
    assert!(world.log.segments.iter().next().is_some_and(|first| first.number == 0));
    assert!(world.log.segments.get(1).is_none(), "the segment that held the settle is gone");
    world.crash();
    assert!(world.held.contains_key(&kept) && !world.held.contains_key(&settled));
}

#[test]
fn one_unsettled_message_does_not_make_the_disk_grow() {
    let mut world = ready();
    world.append(&[Q], 10);
    for round in 0..60 {
        for message in world.fill_segment(R) {
            world.settle(message);
        }
        world.settle_down();
        if round % 7 == 0 {
            world.crash();
        }
    }
    assert!(world.disk.files.len() <= 6, "{} files", world.disk.files.len());
}

/// The record that gives a segment back is the first one for which there is no room: the segment is sealed first, and its
/// index has to tell of what is settled in the other one, which is live as long as the record is not durable. Two crashes
/// take it: the first one leaves the index and nothing behind it, the second one the beginning of another segment.
#[test]
fn what_was_settled_stays_settled_when_the_record_that_gives_its_segment_back_is_lost_twice() {
    let mut world = ready();
    let mut settled = world.fill_segment(Q);
    // It lies in the next one.
    let last = settled.pop();
    let sealed = world.log.segments.iter().next().expect("the first").number;
    let tail = world.log.segments.tail().number;
    // Another page, and so on, until the last one.
    let room = |world: &World| {
        world.log.room(world.log.batch.start() + world.log.batch.used() as u64) as usize
    };
    while room(&world) > PAGE_BYTES {
        world.append(&[R], 100);
        world.settle_down();
    }
    assert!(world.log.batch.is_empty() && world.log.segments.tail().number == tail);
    let beside = world.next_record_bytes() + SETTLE_BYTES;
    world.append(&[R], world.log.batch.room() - beside);
    for message in &settled {
        world.settle(*message);
    }
    assert_eq!(world.log.batch.room(), 0, "a settle of all of them fills the page");
    let writes = world.poll_writes();
    assert!(world.log.segments.get(sealed).is_none(), "it is given back");
    assert_eq!(world.log.segments.tail().number, tail + 1, "by a record in another segment");
    for write in writes {
        let completion = world.disk.carry_out(&write);
        world.complete(completion).expect("a sound disk");
    }
    assert!(world.log.durable() < world.log.end(), "nothing of what is behind that is written");
    world.recover().expect("a crash is no damage");
    let kept = |world: &World| world.unsettled().into_iter().find(|(queue, _)| *queue == Q);
    assert_eq!(kept(&world), last);
    for _ in 0..2 {
        world.append(&[R], 15_000);
    }
    let writes = world.poll_writes();
    assert_eq!(world.log.segments.tail().number, tail + 1);
    let first = world.disk.carry_out(&writes[0]);
    world.complete(first).expect("a sound disk");
    world.recover().expect("a crash is no damage");
    assert_eq!(kept(&world), last, "the others were settled, durably, before the first crash");
}

/// Many old segments, each with a bitmap of hundreds of octets, all settled in one new segment:
/// giving that one back would write more than it frees, into the next one, and so on for ever.
#[test]
fn recycling_does_not_feed_itself() {
    let mut world = ready();
    let queues: Vec<QueueId> = (10..210).map(QueueId).collect();
    let mut old = Vec::new();
    while world.log.segments.len() < 110 {
        old.push(world.append(&queues, 10));
        world.settle_down();
    }
    for references in &old {
        for reference in references[..8].iter().step_by(2) {
            world.settle(*reference);
        }
    }
    for message in world.fill_segment(R) {
        world.settle(message);
    }
    // One more of each, all in the same segment.
    let holder = world.log.segments.tail().number;
    for references in &old {
        world.settle(references[10]);
    }
    assert_eq!(world.log.segments.tail().number, holder);
    for message in world.fill_segment(R) {
        world.settle(message);
    }
    let before = world.log.end().0;
    assert!(world.log.segments.get(holder).is_some_and(|segment| segment.is_done()));
    world.now.monotonic_us += world.config.settle_delay_us;
    for _ in 0..200 {
        world.step();
        world.now.monotonic_us += world.config.settle_delay_us;
    }
    let written = world.log.end().0 - before;
    assert!(written < world.config.segment_bytes / 2, "{written} octets without an append");
    let stay = old.iter().flatten().filter(|key| world.held[*key].settled.is_none()).count();
    let fillers = world.unsettled().len() - stay;
    world.crash();
    assert_eq!(world.held.len(), stay + fillers);
}

#[test]
fn a_deleted_queues_messages_are_given_back_without_settles() {
    let mut world = ready();
    for _ in 0..4 {
        world.fill_segment(Q);
    }
    let end = world.log.end();
    world.delete(Q);
    assert_eq!(world.log.end(), end, "not one record");
    world.settle_down();
    assert!(world.log.segments.len() <= 2);
    world.crash();
    assert!(world.held.is_empty());
}

/// With references that die in any order, parts, definitions and moves.
#[test]
fn octets_that_are_wanted_are_counted_alike_before_and_after_a_restart() {
    let mut world = ready();
    let queues = [Q, R, QueueId(3)];
    for round in 0..300 {
        let count = 1 + world.random.below(3);
        let bytes = if round % 50 == 7 { 90_000 } else { world.random.below(2000) };
        world.append(&queues[..count], bytes);
        if round % 9 == 0 {
            world.define(100);
        }
        for _ in 0..world.random.below(3) {
            let unsettled = world.unsettled();
            if !unsettled.is_empty() {
                let key = unsettled[world.random.below(unsettled.len())];
                world.settle(key);
            }
        }
        if round % 40 == 39 {
            world.settle_down();
            let before = world.log.space();
            world.crash();
            assert_eq!(world.log.space().live_octets, before.live_octets);
        }
    }
    for key in world.unsettled() {
        world.settle(key);
    }
    assert_eq!(world.log.space().live_octets, 0);
}

/// A copy that has been settled is left out of the index of its segment, and its settle names that
/// segment. The old record must not come back by that: the old segment is still there, for the sake
/// of a message that could not be moved.
#[test]
fn a_copy_that_is_settled_does_not_come_back_where_it_lay_before() {
    settle_a_copy(true);
}

/// The same, while nobody has read the log back: that the segment with the copies holds the old one
/// is known from the copying alone.
#[test]
fn a_segment_with_copies_is_not_given_back_before_what_they_were_made_of_is_known_to_be_dead() {
    settle_a_copy(false);
}

fn settle_a_copy(starts_between: bool) {
    let mut world = ready();
    let (stays, moves) = (world.append(&[Q], 10)[0], world.append(&[Q], 10)[0]);
    for _ in 0..14 {
        for message in world.fill_segment(R) {
            world.settle(message);
        }
        world.append(&[Q], 11_000);
    }
    world.settle_down();
    // On its way elsewhere, as far as the queue is concerned.
    let held = world.held.remove(&stays).expect("it is held");
    let old = world.log.segments.iter().next().expect("the first").number;
    for _ in 0..100 {
        world.copy_forward();
        world.settle_down();
    }
    assert!(world.log.segments.get(old).is_some(), "one that could not be moved is in it");
    let copies = world.log.geometry.segment_of_address(world.held[&moves].address);
    assert!(copies > old);
    world.held.insert(stays, held);
    world.settle(moves);
    for message in world.fill_segment(R) {
        world.settle(message);
    }
    world.settle_down();
    if starts_between {
        world.crash();
        assert!(world.held.contains_key(&stays) && !world.held.contains_key(&moves));
    }
    // Nor when the segment with the copies has been given back.
    for _ in 0..6 {
        for message in world.unsettled().into_iter().filter(|message| *message != stays) {
            world.settle(message);
        }
        world.fill_segment(R);
    }
    assert!(world.log.segments.get(copies).is_none() && world.log.segments.get(old).is_some());
    world.crash();
    assert!(world.held.contains_key(&stays) && !world.held.contains_key(&moves));
}

/// Copies as long as there is something to copy, which must come to an end.
fn copy_until_rest(world: &mut World) {
    let before = world.log.space();
    for _ in 0..2_000 {
        let goes_on = world.copy_forward();
        world.poll();
        if !goes_on && world.under_way.is_empty() && world.log.durable() >= world.log.end() {
            return;
        }
        world.settle_down();
    }
    panic!("no rest: {:?}, before {before:?}", world.log.space());
}

/// Of records that leave half of each segment to padding no copy takes less room than what it was
/// made of. All segments are too sparse then, those that copying makes as well, and it went round
/// and round without a client doing anything; a clean stop never came to its end.
#[test]
fn copying_that_gives_nothing_back_comes_to_rest() {
    let mut world = ready();
    for number in 0.. {
        // Of three pages with a block's header.
        let message = world.append(&[Q], 8_070)[0];
        world.settle_down();
        if number % 40 == 0 {
            world.settle(message);
        }
        if world.is_too_large() {
            break;
        }
        assert!(number < 1_000, "{:?}", world.log.space());
    }
    let space = world.log.space();
    world.log.stop();
    copy_until_rest(&mut world);
    assert!(world.log.space().segments <= space.segments + 1);
    world.crash();
}

/// What others have written since copying last did is not copying's own, however much it is and however seldom anybody
/// has looked. It stood still until others had written as much again.
#[test]
fn copying_does_not_pay_for_what_others_have_written() {
    let mut world = ready();
    for _ in 0..4 {
        for _ in 0..20 {
            world.append(&[Q], 2_000);
            for message in world.fill_segment(R) {
                world.settle(message);
            }
        }
        world.settle_down();
        let before = world.log.space();
        copy_until_rest(&mut world);
        let space = world.log.space();
        assert!(!world.is_too_large(), "{space:?}, before {before:?}");
        assert!(space.copied_octets > before.copied_octets, "{space:?}, before {before:?}");
    }
}

/// Each turn had to pay for two pages beside what it copied, and the next one for what there was of them once more. Where
/// a turn copies a page, that is three for one: copying stopped when four segments were spent, far beyond the bound.
#[test]
fn copying_page_by_page_pays_for_these_pages_alone() {
    let mut world = ready();
    world.copied_per_turn = 1;
    world.fill_sparse_segments(70, 6);
    copy_until_rest(&mut world);
    assert!(!world.is_too_large(), "{:?}", world.log.space());
}

/// Less than a segment is left of what copying may write, and what is wanted of the sparsest one takes a tenth of that.
#[test]
fn copying_goes_on_with_what_its_allowance_pays_for() {
    let mut world = ready();
    world.fill_sparse_segments(30, 1);
    assert!(world.is_too_large(), "{:?}", world.log.space());
    let activity = world.log.space.activity();
    world.log.copying.allowance.spend(world.config.segment_bytes * 7 / 2, activity);
    copy_until_rest(&mut world);
    assert!(!world.is_too_large(), "{:?}", world.log.space());
}

/// Where each settle is written alone, a segment of them empties by itself every few messages, and what is said of it when
/// it is given back takes a page. Copying paid for these pages and had nothing of the segment, until it was so far behind
/// what it may write that it had to leave a log of eleven segments in which one and a half were wanted.
#[test]
fn what_empties_by_itself_costs_copying_nothing() {
    let mut world = ready();
    let held: Vec<_> = (0..600).flat_map(|_| world.append(&[Q], 100)).collect();
    world.fill_segment(R).into_iter().for_each(|message| world.settle(message));
    world.settle_down();
    let activity = world.log.space.activity();
    while world.log.copying.allowance.is_enough(0) {
        world.log.copying.allowance.spend(1_000, activity);
    }
    let before = world.log.segments.tail().number;
    for message in held {
        world.settle(message);
        world.settle_down();
    }
    let written = world.log.segments.tail().number - before;
    assert!(written > 20, "{written} segments of settles");
    let space = world.log.space();
    assert_eq!(space.copied_octets, 0);
    assert!(space.segments < 6, "{space:?}");
    assert!(
        world.log.copying.allowance.is_enough(world.config.segment_bytes),
        "{:?}",
        world.log.copying.allowance
    );
}

/// A message whose record lies in the segment that is written to, and the first of its parts in a
/// sparse one before that. It is copied for the sake of the part, into the segment where its record
/// lies already. A settle of the old record, which named that segment, was taken for one of the copy
/// as well by a restart: a confirmed message was lost.
#[test]
fn a_copy_is_not_settled_together_with_what_it_was_made_of() {
    let mut world = ready();
    for _ in 0..14 {
        for _ in 0..2 {
            world.append(&[Q], 11_000);
        }
        for message in world.fill_segment(R) {
            world.settle(message);
        }
    }
    let mut fillers = Vec::new();
    let room =
        |world: &World| world.log.room(world.log.batch.start() + world.log.batch.used() as u64);
    while room(&world) > 20_000 {
        fillers.extend(world.append(&[R], 1000));
        world.settle_down();
    }
    let before = world.log.segments.tail().number;
    let large = world.append(&[Q], 30_000)[0];
    let of_record = world.log.segments.tail().number;
    assert_eq!(of_record, before + 1, "the parts lie in two segments");
    for filler in fillers {
        world.settle(filler);
    }
    world.settle_down();
    for _ in 0..100 {
        world.copy_forward();
        world.settle_down();
    }
    assert!(world.log.space().copied_octets > 0 && world.log.segments.get(of_record).is_some());
    world.crash();
    assert!(world.held.contains_key(&large));
    // Once that segment is sealed, the part goes like all others.
    for message in world.fill_segment(R) {
        world.settle(message);
    }
    for _ in 0..100 {
        world.copy_forward();
        world.settle_down();
    }
    world.crash();
    assert!(world.held.contains_key(&large));
}
