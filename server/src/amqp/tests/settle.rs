//! Acknowledgements.

use haremq_engine::mail::Outcome;

use super::wire::{args, method, publish};
use super::world::{ack, consume, get, nack, World};

/// A client that holds deliveries 1 to `count` of queue q.
fn holding(count: u8) -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    for number in 0..count {
        world.send(client, &publish(1, "", "q", &[number]));
    }
    world.send(client, &method(1, 60, 20, consume("q", "t", 0)));
    (world, client)
}

fn outcomes(world: &mut World) -> Vec<(u64, Outcome)> {
    let settles = std::mem::take(&mut world.broker.settles);
    settles.into_iter().map(|(seq, _, outcome)| (seq.0, outcome)).collect()
}

#[test]
fn acks_name_one_or_all_up_to_a_tag_or_all() {
    let (mut world, client) = holding(6);
    assert_eq!(world.send(client, &method(1, 60, 80, ack(2, false))), []);
    assert_eq!(outcomes(&mut world), [(2, Outcome::Ack)]);
    world.send(client, &method(1, 60, 80, ack(4, true)));
    assert_eq!(outcomes(&mut world), [1, 3, 4].map(|seq| (seq, Outcome::Ack)));
    world.send(client, &method(1, 60, 80, ack(0, true)));
    assert_eq!(outcomes(&mut world), [5, 6].map(|seq| (seq, Outcome::Ack)));
    assert_eq!(world.send(client, &method(1, 60, 80, ack(0, true))), []);
}

#[test]
fn unknown_tags_close_the_channel() {
    let unknown = |tag: u64, id| {
        format!("chan.close 406 PRECONDITION_FAILED - unknown delivery tag {tag} failing=(60,{id})")
    };
    for (octets, expected) in [
        (method(1, 60, 80, ack(99, false)), unknown(99, 80)),
        (method(1, 60, 80, ack(0, false)), unknown(0, 80)),
        (method(1, 60, 80, ack(7, true)), unknown(7, 80)),
        (method(1, 60, 90, args().u64(5).u8(0)), unknown(5, 90)),
        (method(1, 60, 120, nack(5, 2)), unknown(5, 120)),
    ] {
        let (mut world, client) = holding(2);
        assert_eq!(world.show(client, &octets), [expected]);
    }
    let (mut world, client) = holding(1);
    world.send(client, &method(1, 60, 80, ack(1, false)));
    assert_eq!(world.show(client, &method(1, 60, 80, ack(1, false))), [unknown(1, 80)]);
}

#[test]
fn tags_of_auto_ack_deliveries_and_of_other_channels_are_unknown() {
    let (mut world, client) = holding(0);
    world.open_channel(client, 2);
    world.send(client, &method(2, 60, 20, consume("q", "n", 2)));
    world.send(client, &publish(1, "", "q", b"a"));
    world.send(client, &publish(1, "", "q", b"b"));
    assert_eq!(world.broker.queue_named("q").unacked.len(), 1, "one for each consumer");
    let unknown = "406 PRECONDITION_FAILED - unknown delivery tag 1 failing=(60,80)";
    assert_eq!(
        world.show(client, &method(2, 60, 80, ack(1, false))),
        [format!("chan.close {unknown}")]
    );
    world.open_channel(client, 3);
    assert_eq!(
        world.show(client, &method(3, 60, 80, ack(1, false))),
        [format!("chan.close {unknown}")]
    );
}

#[test]
fn refusals_requeue_or_drop() {
    let (mut world, client) = holding(4);
    world.send(client, &method(1, 60, 30, args().short("t").u8(0)));
    world.send(client, &method(1, 60, 90, args().u64(1).u8(0)));
    world.send(client, &method(1, 60, 90, args().u64(2).u8(1)));
    // nack: multiple is bit 1, requeue bit 2.
    world.send(client, &method(1, 60, 120, nack(3, 2)));
    world.send(client, &method(1, 60, 120, nack(4, 1)));
    assert_eq!(
        outcomes(&mut world),
        [(1, Outcome::Reject), (2, Outcome::Requeue), (3, Outcome::Requeue), (4, Outcome::Reject)]
    );
}

#[test]
fn what_was_requeued_is_redelivered() {
    let (mut world, client) = holding(1);
    let said = world.send(client, &method(1, 60, 120, nack(1, 2)));
    assert_eq!(said[0].id(), (60, 60));
    assert_eq!(said[0].args()[2 + 8], 1, "redelivered");
    assert_eq!(said[0].args()[2 + 7], 2, "under a new tag");
}

#[test]
fn recover_requeues_everything() {
    let (mut world, client) = holding(2);
    let said = world.send(client, &method(1, 60, 110, args().u8(1)));
    assert_eq!(said[0].id(), (60, 111));
    assert_eq!(said.iter().filter(|said| said.id() == (60, 60)).count(), 2);
    // recover-async does the same without an answer.
    let said = world.send(client, &method(1, 60, 100, args().u8(1)));
    assert!(said.iter().all(|said| said.id() != (60, 111)));
    assert_eq!(said.iter().filter(|said| said.id() == (60, 60)).count(), 2);
    for id in [100, 110] {
        let (mut world, client) = holding(1);
        assert_eq!(
            world.show(client, &method(1, 60, id, args().u8(0))),
            [format!("conn.close 540 NOT_IMPLEMENTED - requeue=false failing=(60,{id})")]
        );
    }
}

#[test]
fn gets_are_settled_without_a_consumer() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &publish(1, "", "q", b"x"));
    world.send(client, &method(1, 60, 70, get("q", false)));
    world.send(client, &method(1, 60, 80, ack(1, false)));
    assert!(matches!(world.broker.settles[..], [(_, None, Outcome::Ack)]));
}
