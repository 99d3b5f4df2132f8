//! Damage takes something of a transaction that is decided and not yet carried out everywhere: what is gone is listed,
//! the rest happens, and later starts know nothing of it any more.

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::log::LostMessage;
use haremq_engine::mail::Outcome;

use crate::client::channel;
use crate::footprint::Footprint;
use crate::long_transfers::{bodies_of, commit, to_commit};
use crate::world::World;

/// The first body is in nothing but the coordinator's log, where a part of it rots before the other shard has been
/// asked to carry out anything.
#[test]
fn what_damage_takes_of_a_decided_transaction_is_listed_and_the_rest_of_it_happens() {
    let (mut world, queues, old, bodies) = to_commit(3);
    let (here, there) = (queues[0], queues[1]);
    let before = Footprint::of(&world);
    commit(&mut world, channel(0, 7), &bodies, &queues, &old);
    world.poll(0);
    while world.complete(0, 0) {
        world.poll(0);
    }
    // Its mail does not arrive.
    world.crash();
    world.disks[0].rot(&bodies[0][40_000..40_100]);
    let lost: Vec<LostMessage> =
        world.quarantine().into_iter().flat_map(|mended| mended.lost).collect();
    let is_listed = |is_it: &dyn Fn(QueueId) -> bool| lost.iter().any(|lost| is_it(lost.queue));
    assert!(is_listed(&|queue| queue == here), "the coordinator's own copy: {lost:?}");
    assert!(is_listed(&|queue| queue == QueueId::TRANSACTION_BODIES), "the others': {lost:?}");
    let is_mark = |queue| queue == QueueId::carried_out_for(ShardId(0));
    assert!(is_listed(&is_mark) && lost.len() == 3, "and that it has its own: {lost:?}");
    world.settle_down();
    assert!(world.is_resolved(), "clients are served");
    let rest = || bodies[1..].to_vec();
    let expect = |world: &mut World, told: &str| {
        for queue in [here, there] {
            let received = world.hold(queue, 4);
            assert!(bodies_of(&received) == rest(), "{told}: queue {queue:?}");
        }
    };
    expect(&mut world, "the start that quarantines");
    world.crash();
    world.settle_down();
    expect(&mut world, "the next one");
    world.restart_cleanly();
    world.settle_down();
    // A transaction of the same number as the one that has lost something is another one.
    let received = world.hold(here, 4);
    commit(&mut world, channel(0, 8), &bodies, &queues, &received[0]);
    world.settle_down();
    received[1..].iter().for_each(|one| world.settle(one, Outcome::Ack));
    for (queue, behind) in [(here, 0), (there, 2)] {
        let received = world.hold(queue, 5);
        assert!(bodies_of(&received[behind..]) == bodies, "queue {queue:?}");
        received.iter().for_each(|one| world.settle(one, Outcome::Ack));
    }
    before.expect_after_restart(&mut world);
}

/// The record that decides it rots: nobody has been told that it happened, and nothing of it does. What had been
/// written for it is of no use to anybody.
#[test]
fn a_transaction_whose_decision_damage_takes_is_listed_and_does_not_happen_elsewhere() {
    let (mut world, queues, old, bodies) = to_commit(3);
    let before = Footprint::of(&world);
    let short = b"short of a decision that is going to rot".to_vec();
    let bodies = vec![bodies[0].clone(), short.clone()];
    commit(&mut world, channel(0, 7), &bodies, &queues, &old);
    world.poll(0);
    while world.complete(0, 0) {
        world.poll(0);
    }
    // Another block says that all this is durable: it is not an end that is torn.
    world.send(&queues[..1], "later", true);
    world.poll(0);
    while world.complete(0, 0) {
        world.poll(0);
    }
    world.crash();
    // The journal record comes before what it decides, and has the short body as well.
    world.disks[0].rot(&short);
    let lost: Vec<LostMessage> =
        world.quarantine().into_iter().flat_map(|mended| mended.lost).collect();
    assert!(lost.iter().any(|lost| lost.queue == QueueId::TRANSACTIONS), "{lost:?}");
    world.settle_down();
    assert!(world.is_resolved(), "clients are served");
    assert_eq!(world.counts(queues[1]), (0, 0), "nothing has been asked of the other shard");
    for _ in 0..2 {
        world.restart_cleanly();
        world.settle_down();
    }
    for held in world.hold(queues[0], 6) {
        world.settle(&held, Outcome::Ack);
    }
    before.expect_after_restart(&mut world);
}
