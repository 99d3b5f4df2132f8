//! Random schedules: append, settle, complete, crash, recover, for many seeds.

use super::bodies::Coming;
use super::tiny;
use super::world::World;
use crate::ids::QueueId;

const QUEUES: usize = 6;

fn size(world: &mut World) -> usize {
    match world.random.below(40) {
        0 => 16_000 + world.random.below(120_000),
        1..=4 => world.random.below(12_000),
        _ => world.random.below(300),
    }
}

fn append(world: &mut World) {
    if !world.log.has_room() {
        return world.step();
    }
    let count = 1 + world.random.below(3);
    let mut queues: Vec<QueueId> =
        (0..count).map(|_| QueueId(1 + world.random.below(QUEUES) as u64)).collect();
    queues.sort_unstable();
    queues.dedup();
    queues.retain(|queue| !world.gone.contains(queue));
    let bytes = size(world);
    world.append(&queues, bytes);
}

/// `keeps`: messages of the first queue stay, so that segments become sparse.
fn settle(world: &mut World, keeps: bool) {
    let mut unsettled = world.unsettled();
    if keeps {
        unsettled.retain(|(queue, _)| *queue != QueueId(1));
    }
    if unsettled.is_empty() {
        return;
    }
    // Mostly in order, as consumers do; sometimes any, sometimes a run.
    let first = if world.random.one_in(3) { world.random.below(unsettled.len()) } else { 0 };
    let count = if world.random.one_in(4) { 20 } else { 1 };
    for key in unsettled.iter().skip(first).take(count) {
        world.settle(*key);
    }
}

/// Moves a message to a queue or two.
fn move_on(world: &mut World) {
    let unsettled = world.unsettled();
    let keys: Vec<_> =
        unsettled.into_iter().filter(|(queue, _)| *queue != QueueId::DEFINITIONS).collect();
    if keys.is_empty() {
        return;
    }
    let key = keys[world.random.below(keys.len())];
    let first = 1 + world.random.below(QUEUES) as u64;
    let mut queues = vec![QueueId(first), QueueId(first % QUEUES as u64 + 1)];
    queues.retain(|queue| !world.gone.contains(queue));
    let bytes = size(world);
    world.append_move(key, &queues, bytes);
}

/// Something happens to one of the bodies that are under way.
fn long_body(world: &mut World, coming: &mut Vec<Coming>) {
    if !world.log.has_room() {
        return world.step();
    }
    if coming.len() < 3 && world.random.one_in(3) {
        let bytes = 1 + world.random.below(90_000);
        coming.push(world.begin(bytes));
    }
    if coming.is_empty() {
        return;
    }
    let which = world.random.below(coming.len());
    let bytes = world.random.below(9_000);
    let is_whole = world.go_on(&mut coming[which], bytes);
    if !is_whole && !world.random.one_in(40) {
        return;
    }
    let body = coming.swap_remove(which);
    if !is_whole {
        return world.give_up(body);
    }
    let mut groups: Vec<Vec<QueueId>> = vec![vec![], vec![]];
    for queue in (1..=QUEUES as u64).map(QueueId).filter(|queue| !world.gone.contains(queue)) {
        if world.random.one_in(2) {
            groups[world.random.below(2)].push(queue);
        }
    }
    groups.retain(|group| !group.is_empty());
    let groups: Vec<&[QueueId]> = groups.iter().map(Vec::as_slice).collect();
    let unsettled = world.unsettled();
    let from = unsettled.first().copied().filter(|(queue, _)| *queue != QueueId::DEFINITIONS);
    match groups.is_empty() {
        true => world.give_up(body),
        false => {
            let from = from.filter(|_| world.random.one_in(3));
            world.end(body, &groups, from);
        }
    }
}

/// Gives the octets copied forward.
fn run(seed: u64, steps: usize) -> u64 {
    let keeps = seed.is_multiple_of(2);
    let mut world = World::new(tiny(), seed);
    world.spills = true;
    // Some seeds pile up, some keep nearly empty.
    let appends = 20 + world.random.below(40);
    let mut coming = Vec::new();
    for _ in 0..steps {
        if world.random.one_in(12) {
            long_body(&mut world, &mut coming);
        }
        match world.random.below(100) {
            n if n < appends => append(&mut world),
            n if n < 75 && world.random.one_in(4) => move_on(&mut world),
            n if n < 75 => settle(&mut world, keeps),
            n if n < 86 => world.step(),
            n if n < 92 => {
                world.copy_forward();
            }
            92 => world.now.monotonic_us += 700,
            93 => world.log.flush(),
            94 => {
                let bytes = world.random.below(3000);
                world.define(bytes);
            }
            95 | 96 => {
                let unsettled = world.unsettled();
                if !unsettled.is_empty() {
                    let key = unsettled[world.random.below(unsettled.len())];
                    if key.0 != QueueId::DEFINITIONS {
                        world.fetch_and_compare(key);
                    }
                }
            }
            97 => world.settle_down(),
            98 if world.random.one_in(8) && world.gone.len() < 2 => {
                let queue = QueueId(1 + world.random.below(QUEUES) as u64);
                world.delete(queue);
            }
            _ if world.random.one_in(3) => {
                coming.clear();
                world.crash();
            }
            _ => {}
        }
    }
    world.crash();
    for key in world.unsettled() {
        world.settle(key);
    }
    world.settle_down();
    world.crash();
    assert!(world.held.is_empty());
    world.copied_octets
}

#[test]
fn whatever_was_durable_is_back_after_any_crash() {
    let copied: u64 = (0..60).map(|seed| run(seed, 1500)).sum();
    assert!(copied > 1 << 19, "only {copied} octets were copied forward");
}
