//! What a commit settles on other shards: whether it is there after a crash is settled before the commit is decided.
//!
//! Shard 1 has been given a message by a transaction or a move, and has delivered it, and its log does not have it
//! yet. A commit that shard 0 decides acks it. Had the power gone then, the message was put again under another
//! number, which the ack did not name.

use std::sync::Arc;

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::{Command, Notice, Outcome};

use crate::client::{bodies, channel, declare};
use crate::dead_letters::mortal_on;
use crate::transactions::{commit, take_all, Deeds};
use crate::world::{Received, World};

const HOME: usize = 0;
const AWAY: usize = 1;

/// Until its disk has nothing left to do.
fn write(world: &mut World, shard: usize) {
    world.pass_ms(5, 0);
    world.poll(shard);
    while world.complete(shard, 0) {
        world.poll(shard);
    }
}

fn carry(world: &mut World, from: usize, to: usize) {
    world.poll(from);
    while world.carry(from, to) {}
}

/// A queue of each shard, and one more of the first.
fn queues(world: &mut World) -> [QueueId; 3] {
    let [near, beside] =
        ["near", "beside"].map(|name| world.declare_on(0, declare(name, true, Arc::default())));
    let far = world.declare_on(1, declare("far", true, Arc::default()));
    let owners = [near, beside, far].map(|queue| usize::from(world.owner(queue).0));
    let mut all = [near, beside, far];
    // Where they are declared is not where they have to be.
    all.sort_by_key(|queue| world.owner(*queue));
    assert_eq!(owners.iter().sum::<usize>(), 1, "one of three on shard 1");
    all
}

/// A client of shard 0 gets what there is in a queue of shard 1, whose disk does nothing.
fn get(world: &mut World, queue: QueueId) -> Received {
    let get = Command::Get { queue, channel: channel(0, 1), no_ack: false };
    world.command(ShardId(1), get);
    world.dispatch(AWAY);
    let mut got = world.take_deliveries();
    assert_eq!(got.len(), 1, "{got:?}");
    got.remove(0)
}

/// A message that a commit of shard 0 has put into a queue of shard 1, and that is not durable there.
fn put_far(world: &mut World, far: QueueId, beside: QueueId) -> Received {
    let mut deeds = Deeds::default();
    deeds.publish(world, &[far], "first");
    deeds.publish(world, &[beside], "first");
    commit(world, 0, 7, &deeds);
    write(world, HOME);
    carry(world, HOME, AWAY);
    get(world, far)
}

/// A commit of shard 0 acks it, and puts another one.
fn ack_and_put(world: &mut World, received: &Received, queue: QueueId) {
    let mut deeds = Deeds::default();
    deeds.settle(received, Outcome::Ack);
    deeds.publish(world, &[queue], "second");
    commit(world, 0, 8, &deeds);
}

fn is_answered(world: &mut World, connection: u64) -> bool {
    let answers = world.take_notices();
    answers.iter().any(|notice| {
        matches!(notice, Notice::Committed { channel: to, refused: false } if *to == channel(0, connection))
    })
}

/// All that shard 0 writes arrives, and of shard 1 nothing; then the power goes.
fn lose_what_is_away(world: &mut World) {
    for _ in 0..3 {
        write(world, HOME);
        carry(world, HOME, AWAY);
        carry(world, AWAY, HOME);
    }
    world.crash();
    world.settle_down();
    assert!(world.is_resolved());
}

#[test]
fn a_commit_that_acks_what_another_has_just_put_on_another_shard_is_whole_after_a_crash() {
    let mut world = World::new(2, 1);
    let [near, beside, far] = queues(&mut world);
    let first = put_far(&mut world, far, beside);
    ack_and_put(&mut world, &first, near);
    lose_what_is_away(&mut world);
    let acked = bodies(&take_all(&mut world, far)).is_empty();
    let put = bodies(&take_all(&mut world, near)) == ["second"];
    assert_eq!(acked, put, "half of a commit");
}

/// The same with a move within shard 1, which is undone with the power: what has died is in its old queue again.
#[test]
fn a_commit_that_acks_what_has_just_been_dead_lettered_on_another_shard_is_whole_after_a_crash() {
    let mut world = World::new(2, 1);
    let [near, _, grave] = queues(&mut world);
    let mortal = mortal_on(&mut world, 1, "mortal", "far", &[]);
    assert_eq!(world.owner(mortal), world.owner(grave));
    world.send(&[mortal], "first", true);
    world.settle_down();
    let dying = get(&mut world, mortal);
    world.settle(&dying, Outcome::Reject);
    world.dispatch(AWAY);
    let first = get(&mut world, grave);
    ack_and_put(&mut world, &first, near);
    lose_what_is_away(&mut world);
    let left = world.counts(mortal).0 + world.counts(grave).0;
    let put = bodies(&take_all(&mut world, near)) == ["second"];
    assert_eq!(left == 0, put, "half of a commit");
}

/// As soon as the put is durable, the commit goes on by itself.
#[test]
fn a_commit_that_acks_what_is_not_durable_yet_is_answered_when_it_is() {
    let mut world = World::new(2, 1);
    let [near, beside, far] = queues(&mut world);
    let first = put_far(&mut world, far, beside);
    ack_and_put(&mut world, &first, near);
    carry(&mut world, HOME, AWAY);
    carry(&mut world, AWAY, HOME);
    assert!(world.shards[HOME].is_undecided(channel(0, 8)));
    assert!(!world.shards[HOME].is_quiet() && !world.shards[AWAY].is_quiet());
    write(&mut world, AWAY);
    carry(&mut world, AWAY, HOME);
    assert!(!world.shards[HOME].is_undecided(channel(0, 8)));
    world.settle_down();
    assert!(is_answered(&mut world, 8));
    world.crash();
    world.settle_down();
    assert_eq!(bodies(&take_all(&mut world, near)), ["second"]);
    assert_eq!(world.counts(far), (0, 0));
}

/// What is durable, and what was merely published, is vouched for without a write.
#[test]
fn a_commit_waits_for_no_write_of_another_shard_that_needs_none() {
    for is_durable in [true, false] {
        let mut world = World::new(2, 1);
        let [near, beside, far] = queues(&mut world);
        let settled = match is_durable {
            true => {
                let first = put_far(&mut world, far, beside);
                world.settle_down();
                first
            }
            false => {
                world.send(&[far], "first", true);
                get(&mut world, far)
            }
        };
        ack_and_put(&mut world, &settled, near);
        carry(&mut world, HOME, AWAY);
        carry(&mut world, AWAY, HOME);
        assert!(!world.shards[HOME].is_undecided(channel(0, 8)), "durable: {is_durable}");
    }
}
