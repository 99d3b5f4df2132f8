//! Bodies that come in parts, with other records between these, and messages of several records.

use super::body::{Body, Texts};
use super::tiny;
use super::world::World;
use crate::ids::{QueueId, Seq};
use crate::log::{Group, OpenBody, Settling};

/// A body that is under way.
pub(super) struct Coming {
    body: Body,
    open: OpenBody,
    /// Octets that have come.
    bytes: usize,
}

impl World {
    pub(super) fn begin(&mut self, bytes: usize) -> Coming {
        Coming { body: self.body(bytes, false), open: self.log.begin_body(), bytes: 0 }
    }

    /// The next octets of a body, so many at most. True: it is whole.
    pub(super) fn go_on(&mut self, coming: &mut Coming, bytes: usize) -> bool {
        let octets = coming.body.octets();
        let end = octets.len().min(coming.bytes.saturating_add(bytes));
        self.log.append_body(self.now, &coming.open, &octets[coming.bytes..end]);
        coming.bytes = end;
        end == octets.len()
    }

    /// The body is whole: a record for each group of queues, and `from` is settled.
    pub(super) fn end(
        &mut self,
        mut coming: Coming,
        queues: &[&[QueueId]],
        from: Option<(QueueId, Seq)>,
    ) -> Vec<(QueueId, Seq)> {
        self.go_on(&mut coming, usize::MAX);
        // A move to queues that keep nothing is a spilled message and a settle of its own.
        coming.body.is_spilled &= from.is_none();
        let Coming { body, open, .. } = coming;
        let references = self.number(&queues.concat());
        let groups: Vec<Group> = (1..)
            .zip(queues)
            .map(|(limit, queues)| Group { expires_unix_ms: Some(limit), references: queues.len() })
            .collect();
        let settling = from.map(|key| self.settling(key));
        let texts = Texts::of(body);
        let message = body.message(&[], &texts);
        let placed = match body.is_spilled {
            true => {
                self.log.append_spilled_with_body(self.now, &message, open, &references, &groups)
            }
            false => {
                self.log.append_with_body(self.now, &message, open, &references, &groups, settling)
            }
        };
        let mut rest = references.as_slice();
        for (placed, queues) in placed.iter().zip(queues) {
            let these;
            (these, rest) = rest.split_at(queues.len());
            self.hold(these, placed, body);
        }
        let (first, last) = (placed[0].end, placed[placed.len() - 1].end);
        self.moves.push((first, last));
        if let Some(key) = from {
            let settled = self.log.end();
            self.held.get_mut(&key).expect("a message that is held").settled = Some(settled);
            self.moves.push((first, settled));
        }
        references
    }

    pub(super) fn give_up(&mut self, coming: Coming) {
        self.log.drop_body(coming.open);
    }

    fn settling(&self, (queue, seq): (QueueId, Seq)) -> Settling {
        let held = &self.held[&(queue, seq)];
        let (address, length, reference) = (held.address, held.length, held.reference);
        Settling { queue, seq, address, length, reference }
    }
}

const GROUPS: [&[QueueId]; 3] = [&[QueueId(1)], &[QueueId(2), QueueId(3)], &[QueueId(4)]];

/// Each record may be the first one too many for its block.
#[test]
fn records_for_different_limits_of_time_are_all_there_or_none_wherever_the_power_goes() {
    let mut there = [0, 0];
    for seed in 0..1500 {
        let mut world = World::new(tiny(), seed);
        let from = world.append(&[QueueId(5)], 100)[0];
        world.settle_down();
        let bytes = 1 + world.random.below(40_000);
        let mut coming = world.begin(bytes);
        let piece = 500 + world.random.below(9_000);
        while !world.go_on(&mut coming, piece) {
            if world.random.one_in(3) {
                let small = world.random.below(500);
                world.append(&[QueueId(6)], small);
            }
            if world.random.one_in(8) {
                world.step();
            }
        }
        let less = 100 + world.random.below(700);
        let fill = world.log.batch.room().saturating_sub(less);
        world.append(&[QueueId(6)], fill);
        let is_move = seed % 2 == 0;
        let to = world.end(coming, &GROUPS, is_move.then_some(from));
        for _ in 0..world.random.below(4) {
            world.step();
        }
        world.crash();
        let found: Vec<bool> = to.iter().map(|key| world.held.contains_key(key)).collect();
        assert!(found.iter().all(|is_there| *is_there == found[0]), "seed {seed}: {found:?}");
        let is_gone = !world.held.contains_key(&from);
        assert_eq!(is_gone, is_move && found[0], "seed {seed}: lost or doubled");
        there[usize::from(found[0])] += 1;
    }
    assert!(there[0] > 100 && there[1] > 100, "{there:?}");
}

/// A publisher that stopped in the middle of a body kept every segment that a part of it lay in.
#[test]
fn a_body_under_way_keeps_no_sparse_segments() {
    let mut world = World::new(tiny(), 1);
    let mut coming = world.begin(400_000);
    for _ in 0..40 {
        world.go_on(&mut coming, 4_000);
        let filled = world.fill_segment(QueueId(1));
        for key in filled {
            world.settle(key);
        }
        world.settle_down();
    }
    let segments = world.log.space().segments;
    assert!(segments > 35, "the parts lie in {segments} segments");
    for _ in 0..400 {
        world.copy_forward();
        world.settle_down();
    }
    let space = world.log.space();
    assert!(space.segments <= 16, "{space:?}");
    // It goes on from there.
    let key = world.end(coming, &[&[QueueId(2)]], None)[0];
    world.fetch_and_compare(key);
    world.settle_down();
    world.crash();
    world.fetch_and_compare(key);
    world.settle(key);
    world.settle_down();
    world.crash();
    assert!(world.held.is_empty());
}

#[test]
fn a_body_that_is_given_up_leaves_nothing() {
    let mut world = World::new(tiny(), 1);
    let before = world.log.space().live_octets;
    let mut coming = world.begin(300_000);
    for _ in 0..10 {
        world.go_on(&mut coming, 20_000);
        world.settle_down();
    }
    assert!(world.log.space().live_octets > before + 200_000);
    world.give_up(coming);
    assert_eq!(world.log.space().live_octets, before);
    world.append(&[QueueId(1)], 100);
    world.settle_down();
    assert!(world.log.space().segments <= 2, "{:?}", world.log.space());
    world.crash();
}
