//! Long messages on their way to other shards: they go part by part, hold up nobody whose order they are not
//! part of, and are in one place whenever the power goes.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId, ShardId, Target};
use haremq_engine::mail::{Command, Notice, Outcome};
use haremq_engine::table::{Table, Value};
use haremq_engine::transaction::{Transaction, TransactionSettle};

use crate::client::{channel, declare};
use crate::dead_letters::{mortal_on, on_two_shards};
use crate::footprint::Footprint;
use crate::long_bodies::body;
use crate::random::Random;
use crate::world::{message, Received, World};

/// What a record holds at most.
const RECORD_MAX: usize = 16_384;
const LONG: usize = 200_000;

fn send(world: &mut World, queue: QueueId, octets: &[u8], persistent: bool) {
    world.send_message(&[queue], message(octets, persistent), None);
}

#[test]
fn a_large_dead_letter_goes_to_another_shard_part_by_part_and_leaves_nothing() {
    for (seed, persistent) in [(0, true), (0, false), (1, true), (1, false)] {
        let (mut world, queue, heir) = on_two_shards(seed);
        let before = Footprint::of(&world);
        let octets = body(seed, LONG);
        send(&mut world, queue, &octets, persistent);
        let held = world.hold(queue, 1);
        world.settle(&held[0], Outcome::Reject);
        world.settle_down();
        let in_log = persistent || seed == 0;
        assert_eq!(world.parts_carried > 0, in_log);
        assert!(!in_log || world.largest_mail <= RECORD_MAX, "{} at once", world.largest_mail);
        assert_eq!((world.counts(queue), world.counts(heir)), ((0, 0), (1, 0)));
        if persistent {
            world.restart_cleanly();
            world.settle_down();
        }
        let received = world.hold(heir, 1);
        assert!(received[0].body == octets, "it is not as it was");
        world.settle(&received[0], Outcome::Ack);
        world.restart_cleanly();
        world.settle_down();
        assert_eq!((world.counts(queue), world.counts(heir)), ((0, 0), (0, 0)));
        before.expect(&world);
    }
}

/// Before the decision, between the parts, before and behind the last one, while the next start repeats it: each time the
/// message is in one of both queues, as it was, and nothing else of it anywhere.
#[test]
fn wherever_the_power_goes_a_large_dead_letter_is_in_one_of_both_queues() {
    let mut found = [0, 0];
    for seed in 0..400 {
        let (mut world, queue, heir) = on_two_shards(seed);
        let before = Footprint::of(&world);
        world.random = Random::new(seed);
        let octets = body(seed, 60_000 + 500 * seed as usize);
        send(&mut world, queue, &octets, true);
        let held = world.hold(queue, 1);
        world.settle(&held[0], Outcome::Reject);
        for _ in 0..seed {
            world.step();
        }
        for _ in 0..1 + seed % 3 {
            world.crash();
            for _ in 0..seed % 90 {
                world.step();
            }
        }
        world.settle_down();
        assert!(world.is_resolved());
        let (first, second) = (world.counts(queue).0, world.counts(heir).0);
        assert_eq!(first + second, 1, "seed {seed}: {first} and {second}");
        found[second as usize] += 1;
        world.restart_cleanly();
        world.settle_down();
        assert_eq!((world.counts(queue).0, world.counts(heir).0), (first, second), "for good");
        let kept = before.growth(&world);
        assert!(kept < octets.len() as u64 + 3_000, "seed {seed}: {kept} octets are kept");
        let owner = if first > 0 { queue } else { heir };
        let received = world.hold(owner, 1);
        assert!(received[0].body == octets, "seed {seed}: it is not as it was");
    }
    assert!(found[0] > 10 && found[1] > 50, "{found:?}");
}

/// One shard's log is slow to take the parts: what goes to other queues of it does not wait for them.
#[test]
fn a_large_letter_keeps_its_place_in_its_queue_and_holds_up_no_other() {
    let (mut world, queue, heir) = on_two_shards(1);
    let aside = world.durable_queue("aside");
    let other = mortal_on(&mut world, 1, "other", "aside", &[]);
    let (here, there) = (usize::from(world.owner(queue).0), usize::from(world.owner(heir).0));
    assert_eq!(usize::from(world.owner(aside).0), there);
    send(&mut world, queue, &body(1, LONG), true);
    for (of, octets) in [(queue, "behind it"), (other, "elsewhere")] {
        send(&mut world, of, octets.as_bytes(), true);
    }
    for held in [world.hold(queue, 2), world.hold(other, 1)].concat() {
        world.settle(&held, Outcome::Reject);
    }
    for _ in 0..20 {
        world.dispatch(here);
        world.poll(here);
        while world.complete(here, 0) {}
        // Nothing comes back from there.
        while world.carry(here, there) {}
    }
    assert_eq!((world.counts(heir).0, world.counts(aside).0), (0, 1));
    assert!((1..=4).contains(&world.parts_carried), "{} parts are under way", world.parts_carried);
    world.settle_down();
    let received = world.hold(heir, 2);
    let lengths: Vec<usize> = received.iter().map(|one| one.body.len()).collect();
    assert_eq!(lengths, [LONG, "behind it".len()]);
}

/// Its parts are there and nobody wants them.
#[test]
fn a_large_letter_whose_queue_has_gone_or_refuses_it_leaves_nothing() {
    for goes in [true, false] {
        let mut world = World::new(2, 1);
        let fields = Table(vec![
            ("x-max-length".into(), Value::I64(1)),
            ("x-overflow".into(), Value::text("reject-publish")),
        ]);
        let heir = world.declare_on(0, declare("heir", true, Arc::new(fields)));
        let queue = mortal_on(&mut world, 1, "q", "heir", &[]);
        if !goes {
            world.send(&[heir], "full", true);
        }
        world.settle_down();
        let before = Footprint::of(&world);
        send(&mut world, queue, &body(1, LONG), true);
        let held = world.hold(queue, 1);
        world.settle(&held[0], Outcome::Reject);
        let (here, there) = (usize::from(world.owner(queue).0), usize::from(world.owner(heir).0));
        world.dispatch(here);
        for _ in 0..3 {
            world.poll(here);
            while world.complete(here, 0) {}
            while world.carry(here, there) {}
        }
        assert!(world.parts_carried > 0, "it is on its way");
        if goes {
            let (if_unused, if_empty) = (false, false);
            let delete =
                Command::Delete { queue: heir, channel: channel(0, 3), if_unused, if_empty };
            world.command(world.owner(heir), delete);
        }
        world.settle_down();
        assert_eq!(world.counts(queue), (0, 0));
        assert!(goes || world.counts(heir) == (1, 0));
        world.restart_cleanly();
        world.settle_down();
        assert!(goes || world.counts(heir) == (1, 0), "what was refused stays refused");
        before.expect(&world);
    }
}

/// Hands a body over to a shard, in parts, for a transaction of that channel.
fn hold(world: &mut World, from: ChannelKey, octets: &[u8]) {
    let shard = usize::from(from.connection.shard().0);
    let now = world.now;
    let mut left = octets.chunks(9_000).peekable();
    while let Some(part) = left.next() {
        let ends = left.peek().is_none();
        world.shards[shard].hold_body(now, from, part, ends);
    }
}

/// Publishes each body to all of these queues and acks that delivery, by one tx.commit of that channel.
pub(crate) fn commit(
    world: &mut World,
    from: ChannelKey,
    bodies: &[Vec<u8>],
    queues: &[QueueId],
    acked: &Received,
) {
    let mut transaction = Transaction::new();
    for octets in bodies {
        let to = |queue: &QueueId| Target { queue: *queue, shard: world.owner(*queue) };
        let targets: Vec<Target> = queues.iter().map(to).collect();
        match octets.len() < 1_000 {
            true => transaction.publish(&message(octets, true), targets.into_iter()),
            false => {
                let bytes = octets.len() as u64;
                transaction.publish_long(&message(b"", true), bytes, targets.into_iter());
                hold(world, from, octets);
            }
        }
    }
    let Received { queue, seq, from: shard, .. } = *acked;
    let (consumer, outcome) = (None, Outcome::Ack);
    transaction.settle(TransactionSettle { shard, queue, seq, consumer, outcome });
    let transaction = Arc::new(transaction);
    world.command(from.connection.shard(), Command::Commit { channel: from, transaction });
}

/// Queues of two shards, and something to be acked in the first one.
pub(crate) fn to_commit(seed: u64) -> (World, Vec<QueueId>, Received, Vec<Vec<u8>>) {
    let mut world = World::new(2, seed);
    let queues: Vec<QueueId> = [(0, "zero"), (1, "one")]
        .map(|(shard, name)| world.declare_on(shard, declare(name, true, Arc::default())))
        .into();
    assert_ne!(world.owner(queues[0]), world.owner(queues[1]));
    world.send(&queues[..1], "old", true);
    let old = world.hold(queues[0], 1).remove(0);
    let bodies = vec![body(seed, 90_000), b"short".to_vec(), body(seed + 1, 30_000)];
    (world, queues, old, bodies)
}

pub(crate) fn bodies_of(received: &[Received]) -> Vec<Vec<u8>> {
    received.iter().map(|one| one.body.clone()).collect()
}

#[test]
fn a_commit_of_large_bodies_goes_part_by_part_and_leaves_nothing() {
    let (mut world, queues, old, bodies) = to_commit(1);
    let before = Footprint::of(&world);
    let from = channel(1, 7);
    commit(&mut world, from, &bodies, &queues, &old);
    let answers = world.notices();
    assert!(
        matches!(answers.as_slice(), [Notice::Committed { channel, refused: false }] if *channel == from),
        "{answers:?}"
    );
    assert!(world.parts_carried > 0 && world.largest_mail <= RECORD_MAX);
    world.restart_cleanly();
    world.settle_down();
    for queue in &queues {
        let received = world.hold(*queue, 4);
        assert!(bodies_of(&received) == bodies, "they are not as they were");
        received.iter().for_each(|one| world.settle(one, Outcome::Ack));
    }
    before.expect_after_restart(&mut world);
}

/// Before the commit, before its decision, between the parts, and while the next start repeats it.
#[test]
fn wherever_the_power_goes_a_commit_of_large_bodies_is_whole_or_not_there() {
    let mut found = [0, 0];
    for seed in 0..300 {
        let (mut world, queues, old, bodies) = to_commit(seed);
        world.random = Random::new(seed);
        commit(&mut world, channel((seed % 2) as u16, 7), &bodies, &queues, &old);
        for _ in 0..seed {
            world.step();
        }
        let is_answered = !world.take_notices().is_empty();
        for _ in 0..1 + seed % 3 {
            world.crash();
            for _ in 0..seed % 90 {
                world.step();
            }
        }
        world.settle_down();
        world.restart_cleanly();
        world.settle_down();
        let received: Vec<_> =
            queues.iter().map(|queue| bodies_of(&world.hold(*queue, 5))).collect();
        let has_happened = received[1] == bodies;
        let expected = match has_happened {
            true => [bodies.clone(), bodies],
            false => [vec![b"old".to_vec()], Vec::new()],
        };
        assert!(received == expected, "seed {seed}: some of it has happened");
        assert!(has_happened || !is_answered, "seed {seed}: what was answered is lost");
        found[usize::from(has_happened)] += 1;
    }
    assert!(found[0] > 10 && found[1] > 50, "{found:?}");
}

#[test]
fn bodies_of_a_transaction_that_is_never_committed_leave_nothing() {
    for how in 0..3 {
        let (mut world, _, _, _) = to_commit(1);
        let before = Footprint::of(&world);
        let from = channel(0, 7);
        hold(&mut world, from, &body(1, LONG));
        hold(&mut world, from, &body(2, LONG));
        let now = world.now;
        world.shards[0].hold_body(now, from, &body(3, 10_000), false);
        world.settle_down();
        assert!(before.growth(&world) > 2 * LONG as u64);
        match how {
            0 => world.command(ShardId(0), Command::DropBody { channel: from }),
            1 => world.command(ShardId(0), Command::Forget { connection: from.connection }),
            _ => world.crash(),
        }
        world.settle_down();
        before.expect(&world);
        world.restart_cleanly();
        assert!(world.shards[0].log_space().segments <= 3);
    }
}
