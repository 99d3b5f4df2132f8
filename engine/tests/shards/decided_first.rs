//! What an earlier run had decided is carried out before anything dies by itself: what makes room, or expires, may be
//! what a decided transaction of another shard settles.

use std::sync::Arc;

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::Outcome;
use haremq_engine::table::{Table, Value};

use crate::client::{arguments, bodies, declare};
use crate::dead_letters::mortal_on;
use crate::random::Random;
use crate::transactions::{commit, take_all, Deeds};
use crate::world::World;

/// Shards of a world of two: transactions are decided on the first, their queues are on the second.
const DECIDES: u16 = 0;
const AWAY: u16 = 1;

/// What each of the two has for the other comes there.
fn exchange_mail(world: &mut World) {
    let (shard, away) = (usize::from(DECIDES), usize::from(AWAY));
    for (from, to) in [(shard, away), (away, shard)] {
        world.poll(from);
        while world.carry(from, to) {}
    }
}

/// Decides a transaction of which the other shard does not hear: its part is left to the next start.
fn decide_and_crash(world: &mut World, all: &[Deeds]) {
    for (number, deeds) in (7..).zip(all) {
        commit(world, DECIDES, number, deeds);
    }
    // The other one vouches for what is settled there, and hears no more.
    let shard = usize::from(DECIDES);
    exchange_mail(world);
    world.poll(shard);
    while world.complete(shard, 0) {
        world.poll(shard);
    }
    world.crash();
}

/// A queue on the other shard whose dead messages go to another one there.
fn mortal_and_grave(world: &mut World, limits: &[(&str, i64)]) -> (QueueId, QueueId) {
    let grave = world.declare_on(AWAY, declare("grave", true, Arc::default()));
    let mortal = mortal_on(world, AWAY, "mortal", "grave", limits);
    let owners = [grave, mortal].map(|queue| world.owner(queue));
    assert_eq!(owners, [ShardId(AWAY); 2], "both are away from where it is decided");
    (mortal, grave)
}

/// What had been handed out is back after the crash and makes the queue full. What the start puts
/// again must not have it die there: it is acked by the same transaction.
#[test]
fn what_a_decided_transaction_acks_does_not_make_room_for_what_it_puts() {
    let mut world = World::new(2, 3);
    let (mortal, grave) = mortal_and_grave(&mut world, &[("x-max-length", 2)]);
    world.send(&[mortal], "acked", true);
    let held = world.hold(mortal, 1).remove(0);
    world.send(&[mortal], "old", true);
    world.settle_down();
    let mut deeds = Deeds::default();
    deeds.publish(&world, &[mortal], "new");
    deeds.settle(&held, Outcome::Ack);
    decide_and_crash(&mut world, &[deeds]);
    world.settle_down();
    assert!(world.is_resolved());
    assert_eq!(bodies(&take_all(&mut world, mortal)), ["old", "new"]);
    assert_eq!(bodies(&take_all(&mut world, grave)), [""; 0], "an acked message is no dead letter");
}

/// The same where nobody inherits: one more than the limit wants is not dropped.
#[test]
fn a_queue_drops_no_more_than_its_limit_wants_when_a_start_carries_out_what_was_decided() {
    let mut world = World::new(2, 3);
    let queue = world.declare_on(AWAY, declare("q", true, arguments(&[("x-max-length", 2)])));
    assert_eq!(world.owner(queue), ShardId(AWAY));
    let held = ["first", "second", "acked"].map(|body| {
        world.send(&[queue], body, true);
        world.hold(queue, 1).remove(0)
    });
    let mut all = [Deeds::default(), Deeds::default()];
    let beside = world.declare_on(DECIDES, declare("beside", true, Arc::default()));
    all[0].publish(&world, &[queue, beside], "new");
    all[1].settle(&held[2], Outcome::Ack);
    all[1].publish(&world, &[beside], "report");
    decide_and_crash(&mut world, &all);
    world.settle_down();
    assert!(world.is_resolved());
    // The first one came back to a queue that was full.
    assert_eq!(bodies(&take_all(&mut world, queue)), ["second", "new"]);
    assert_eq!(bodies(&take_all(&mut world, beside)), ["new", "report"]);
}

/// A transient message was acked and went with the power, so that what the start puts got its number. Power goes again
/// before all is done: the next start acks that number once more, and it is still not that of what was put.
#[test]
fn what_a_broken_off_start_has_put_is_not_acked_by_the_next_one() {
    let mut world = World::new(2, 3);
    let queue = world.declare_on(AWAY, declare("q", true, Arc::default()));
    let beside = world.declare_on(DECIDES, declare("beside", true, Arc::default()));
    world.send(&[queue], "transient", false);
    let held = world.hold(queue, 1).remove(0);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &[queue], "new");
    deeds.publish(&world, &[beside], "report");
    deeds.settle(&held, Outcome::Ack);
    decide_and_crash(&mut world, &[deeds]);
    let (shard, away) = (usize::from(DECIDES), usize::from(AWAY));
    for _ in 0..3 {
        // The shard that has decided does not get to writing that it is over.
        for _ in 0..20 {
            world.pass_ms(5, 0);
            exchange_mail(&mut world);
            world.complete_reads(shard);
            while world.complete(away, 0) {
                world.poll(away);
            }
        }
        assert_eq!(world.counts(queue).0, 1, "it has been put");
        assert!(!world.is_resolved());
        world.crash();
    }
    world.settle_down();
    assert!(world.is_resolved());
    assert_eq!(bodies(&take_all(&mut world, queue)), ["new"]);
    assert_eq!(bodies(&take_all(&mut world, beside)), ["report"]);
}

/// Its time is over when the power comes back, and the other shard has not said yet that it is acked.
#[test]
fn what_a_decided_transaction_acks_does_not_expire_before_that_is_carried_out() {
    let mut world = World::new(2, 3);
    let (mortal, grave) = mortal_and_grave(&mut world, &[("x-message-ttl", 1000)]);
    let beside = world.declare_on(DECIDES, declare("beside", true, Arc::default()));
    for body in ["acked", "expired"] {
        world.send(&[mortal], body, true);
    }
    let held = world.hold(mortal, 1).remove(0);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &[beside], "report");
    deeds.settle(&held, Outcome::Ack);
    decide_and_crash(&mut world, &[deeds]);
    for _ in 0..5 {
        // Before anything has come from the shard that has decided.
        world.pass_ms(1, 0);
        world.dispatch(usize::from(AWAY));
        world.poll(usize::from(AWAY));
    }
    assert_eq!(world.counts(mortal).0, 2, "nothing has died");
    world.settle_down();
    assert!(world.is_resolved());
    world.pass_ms(10, 0);
    world.settle_down();
    assert_eq!(bodies(&take_all(&mut world, beside)), ["report"]);
    assert_eq!(world.counts(mortal), (0, 0));
    assert_eq!(bodies(&take_all(&mut world, grave)), ["expired"]);
}

/// A letter from another shard has died once more, since its queue was full, and power goes before
/// the shard that sent it knows that it has arrived. It is not put there again, whenever that is.
#[test]
fn a_letter_that_a_full_queue_of_another_shard_has_let_go_does_not_come_there_again() {
    let mut evicted = 0;
    for seed in 0..300 {
        let mut world = World::new(2, 3);
        let (heir, grave) = mortal_and_grave(&mut world, &[("x-max-length", 1)]);
        let first = mortal_on(&mut world, DECIDES, "first", "mortal", &[]);
        assert_eq!(world.owner(first), ShardId(DECIDES));
        world.random = Random::new(seed);
        for body in ["one", "two"] {
            world.send(&[first], body, true);
        }
        world.settle_down();
        for held in take_all(&mut world, first) {
            world.settle(&held, Outcome::Reject);
        }
        for _ in 0..seed {
            world.step();
        }
        // Once or more, also while what was begun is being completed.
        for _ in 0..1 + seed % 3 {
            world.crash();
            for _ in 0..seed % 40 {
                world.step();
            }
        }
        world.settle_down();
        assert!(world.is_resolved());
        // What was not decided is where it was.
        for held in take_all(&mut world, first) {
            world.settle(&held, Outcome::Reject);
        }
        world.settle_down();
        let all = [heir, grave].map(|queue| bodies(&take_all(&mut world, queue)));
        // A crash may undo that the first one has made room: it does so for the next one that comes.
        let [heirs, dead] = all.each_ref().map(|all| all.iter().map(String::as_str).collect());
        let found: (Vec<&str>, Vec<&str>) = (heirs, dead);
        let is_undone = found == (vec!["one", "two"], vec![]);
        assert!(is_undone || found == (vec!["two"], vec!["one"]), "seed {seed}: {found:?}");
        evicted += u32::from(!is_undone);
    }
    assert!(evicted > 250, "{evicted}");
}

/// What filled the queue has gone with the power: the next start finds room there, and must not put
/// what was refused and dropped.
#[test]
fn a_letter_that_a_full_queue_of_another_shard_has_refused_is_not_put_there_by_the_next_start() {
    let mut world = World::new(2, 3);
    let refusing = Table(vec![
        ("x-max-length".into(), Value::I64(1)),
        ("x-overflow".into(), Value::text("reject-publish")),
    ]);
    let heir = world.declare_on(AWAY, declare("heir", true, Arc::new(refusing)));
    let first = mortal_on(&mut world, DECIDES, "first", "heir", &[]);
    assert_eq!((world.owner(heir), world.owner(first)), (ShardId(AWAY), ShardId(DECIDES)));
    world.send(&[heir], "passing", false);
    world.send(&[first], "refused", true);
    world.settle_down();
    let held = world.hold(first, 1).remove(0);
    world.settle(&held, Outcome::Reject);
    let (from, to) = (usize::from(DECIDES), usize::from(AWAY));
    world.dispatch(from);
    for shard in [from, to] {
        world.pass_ms(5, 0);
        world.poll(shard);
        while world.complete(shard, 0) {
            world.poll(shard);
        }
        while world.carry(from, to) {}
    }
    world.poll(to);
    while world.complete(to, 0) {
        world.poll(to);
    }
    // The shard that has sent it is not told any more.
    world.crash();
    world.settle_down();
    assert!(world.is_resolved());
    assert_eq!(world.counts(first), (0, 0), "it has left its queue");
    assert_eq!(world.counts(heir), (0, 0), "it was refused");
}
