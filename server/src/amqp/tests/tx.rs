//! Transactions.

use super::wire::{args, method, publish};
use super::world::{ack, get, World};

fn transactional() -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &publish(1, "", "q", b"before"));
    assert_eq!(world.ask(client, 90, 10, args()).id(), (90, 11));
    (world, client)
}

fn counts(world: &World) -> (usize, usize) {
    let queue = world.broker.queue_named("q");
    (queue.ready.len(), queue.unacked.len())
}

#[test]
fn selecting_twice_is_answered_twice() {
    let (mut world, client) = transactional();
    assert_eq!(world.ask(client, 90, 10, args()).id(), (90, 11));
}

#[test]
fn publishes_and_acks_are_invisible_until_the_commit() {
    let (mut world, client) = transactional();
    world.send(client, &method(1, 60, 70, get("q", false)));
    let mut octets = publish(1, "", "q", b"one");
    octets.extend(publish(1, "", "q", b"two"));
    octets.extend(method(1, 60, 80, ack(1, false)));
    assert_eq!(world.send(client, &octets), []);
    assert_eq!(counts(&world), (0, 1));
    let report = &world.clients[client].connection.channel_reports()[0];
    assert_eq!((report.messages_uncommitted, report.acks_uncommitted), (2, 1));
    assert_eq!(world.show(client, &method(1, 90, 20, args())), ["method(90,21) ch=1"]);
    assert_eq!(counts(&world), (2, 0));
}

#[test]
fn a_commit_is_answered_when_all_is_safe_and_nothing_is_read_meanwhile() {
    let (mut world, client) = transactional();
    world.broker.hold_confirms = true;
    let mut octets = publish(1, "", "q", b"x");
    octets.extend(method(1, 90, 20, args()));
    octets.extend(method(1, 85, 10, args().u8(0)));
    assert_eq!(world.send(client, &octets), []);
    assert!(world.clients[client].connection.is_waiting());
    world.broker.release_confirms();
    assert_eq!(
        world.show(client, b""),
        [
            "method(90,21) ch=1",
            "chan.close 406 PRECONDITION_FAILED - cannot switch from tx to confirm mode \
             failing=(85,10)"
        ]
    );
}

#[test]
fn a_rollback_drops_publishes_and_leaves_deliveries_unacked() {
    let (mut world, client) = transactional();
    world.send(client, &method(1, 60, 70, get("q", false)));
    world.send(client, &publish(1, "", "q", b"x"));
    world.send(client, &method(1, 60, 80, ack(1, false)));
    assert_eq!(world.show(client, &method(1, 90, 30, args())), ["method(90,31) ch=1"]);
    assert_eq!(counts(&world), (0, 1));
    world.send(client, &method(1, 60, 80, ack(1, false)));
    world.send(client, &method(1, 90, 20, args()));
    assert_eq!(counts(&world), (0, 0));
}

#[test]
fn an_ack_is_held_once() {
    let (mut world, client) = transactional();
    world.send(client, &method(1, 60, 70, get("q", false)));
    world.send(client, &method(1, 60, 80, ack(1, false)));
    assert_eq!(
        world.show(client, &method(1, 60, 80, ack(1, false))),
        ["chan.close 406 PRECONDITION_FAILED - unknown delivery tag 1 failing=(60,80)"]
    );
    // What was held goes back with the rest.
    assert_eq!(counts(&world), (1, 0));
}

#[test]
fn a_refused_publish_fails_the_commit() {
    let (mut world, client) = transactional();
    let id = world.broker.topology.queue("/", "q").expect("q").id;
    world.broker.refusing.push(id);
    world.send(client, &publish(1, "", "q", b"x"));
    assert_eq!(
        world.show(client, &method(1, 90, 20, args())),
        ["chan.close 406 PRECONDITION_FAILED - partial tx completion failing=(90,20)"]
    );
}

#[test]
fn modes_do_not_mix_and_there_is_nothing_to_commit_without_one() {
    for (before, octets, expected) in [
        (
            method(1, 85, 10, args().u8(1)),
            method(1, 90, 10, args()),
            "cannot switch from confirm to tx mode failing=(90,10)",
        ),
        (Vec::new(), method(1, 90, 20, args()), "channel is not transactional failing=(90,20)"),
        (Vec::new(), method(1, 90, 30, args()), "channel is not transactional failing=(90,30)"),
    ] {
        let mut world = World::new();
        let client = world.open();
        world.send(client, &before);
        assert_eq!(
            world.show(client, &octets),
            [format!("chan.close 406 PRECONDITION_FAILED - {expected}")]
        );
    }
}

#[test]
fn a_transaction_holds_so_much_and_no_more() {
    let mut world = World::new();
    world.settings.max_transaction_size = 100;
    let client = world.open();
    world.send(client, &method(1, 90, 10, args()));
    assert_eq!(world.send(client, &publish(1, "", "q", &[0; 90])), []);
    assert_eq!(
        world.show(client, &publish(1, "", "q", &[0; 90])),
        ["conn.close 506 RESOURCE_ERROR - transaction holds more than 100 octets failing=(60,40)"]
    );
}

#[test]
fn errors_of_publishes_are_told_when_they_come() {
    let (mut world, client) = transactional();
    assert_eq!(
        world.show(client, &publish(1, "nope", "q", b"x")),
        ["chan.close 404 NOT_FOUND - no exchange 'nope' in vhost '/' failing=(60,40)"]
    );
}
