//! What the log promises about space: what is done with comes back, and nothing else does.

use super::tiny;
use super::world::World;
use crate::ids::QueueId;

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

fn ready() -> World {
    let mut world = World::new(tiny(), 1);
    world.settle_down();
    world
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
