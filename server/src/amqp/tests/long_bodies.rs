//! Bodies that are handed on part by part while they come.

use haremq_engine::mail::BODY_PART_BYTES;

use super::wire::{args, body, frame, header, method, publish};
use super::world::{bind_queue, World};

const FRAME: usize = 131_064;

fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 253) as u8).collect()
}

/// basic.publish to the default exchange, and the header of a body of that length.
fn begin(key: &str, bits: u8, length: u64) -> Vec<u8> {
    let mut octets = method(1, 60, 40, args().u16(0).short("").short(key).u8(bits));
    octets.extend(header(1, length, &[0x10, 0, 2]));
    octets
}

fn stored(world: &World, queue: &str) -> Vec<Vec<u8>> {
    world.broker.queue_named(queue).ready.values().map(|message| message.body.clone()).collect()
}

#[test]
fn a_long_body_is_never_gathered_and_comes_out_as_it_went_in() {
    for length in
        [BODY_PART_BYTES + 1, 2 * BODY_PART_BYTES, 1_000_000, 3 * FRAME, 3 * BODY_PART_BYTES - 1]
    {
        let mut world = World::new();
        let client = world.open();
        world.declare(client, "q");
        let whole = octets(length);
        world.send(client, &begin("q", 0, length as u64));
        let mut most = 0;
        for piece in whole.chunks(FRAME) {
            world.send(client, &body(1, piece));
            most = most.max(world.broker.gathered);
        }
        assert!(most <= BODY_PART_BYTES, "{most} octets gathered of {length}");
        assert!(stored(&world, "q") == [whole], "{length} octets");
        assert!(world.broker.bodies.is_empty());
        assert_eq!(world.broker.gathered, 0);
        // The channel goes on.
        world.send(client, &publish(1, "", "q", b"short"));
        assert_eq!(stored(&world, "q").len(), 2);
    }
}

#[test]
fn frames_of_a_few_octets_make_no_small_parts() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    let whole = octets(BODY_PART_BYTES + 5_000);
    world.send(client, &begin("q", 0, whole.len() as u64));
    for piece in whole[..BODY_PART_BYTES + 4_000].chunks(1_000) {
        world.send(client, &body(1, piece));
    }
    let parts: Vec<usize> = world.broker.bodies.values().flatten().map(Vec::len).collect();
    assert_eq!(parts, [BODY_PART_BYTES]);
    world.send(client, &body(1, &whole[BODY_PART_BYTES + 4_000..]));
    assert!(stored(&world, "q") == [whole]);
}

#[test]
fn what_is_wrong_with_a_long_message_is_said_at_its_header() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    let mut octets = method(1, 60, 40, args().u16(0).short("nowhere").short("q").u8(0));
    octets.extend(header(1, 1 << 20, &[0, 0]));
    let said = world.send(client, &octets);
    assert_eq!(said[0].id(), (20, 40), "the channel is closed: there is no such exchange");
    assert!(world.broker.bodies.is_empty());
    // What is still on its way is nothing, and the connection goes on.
    world.send(client, &body(1, &[0; 1000]));
    world.open_channel(client, 2);
    world.send(client, &publish(2, "", "q", b"short"));
    assert_eq!(stored(&world, "q").len(), 1);
}

#[test]
fn a_message_longer_than_may_be_is_refused_at_its_header() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    let said = world.send(client, &begin("q", 0, (128 << 20) + 1));
    assert_eq!(said[0].id(), (20, 40));
    let text = format!("{}", said[0]);
    assert!(text.contains("406") || text.contains("20,40"), "{text}");
    assert!(world.broker.bodies.is_empty() && world.broker.gathered == 0);
}

#[test]
fn a_body_longer_than_its_header_says_leaves_nothing() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    let length = BODY_PART_BYTES + 10;
    world.send(client, &begin("q", 0, length as u64));
    world.send(client, &body(1, &octets(FRAME)));
    let said = world.send(client, &body(1, &octets(FRAME)));
    assert!(!said.is_empty(), "the client is told");
    assert!(world.broker.bodies.is_empty());
}

#[test]
fn a_channel_or_connection_that_ends_in_a_long_body_gives_it_up() {
    for hangs_up in [true, false] {
        let mut world = World::new();
        let client = world.open();
        world.declare(client, "q");
        world.send(client, &begin("q", 0, 2 << 20));
        for piece in octets(4 * FRAME).chunks(FRAME) {
            world.send(client, &body(1, piece));
        }
        assert_eq!(world.broker.bodies.len(), 1);
        if hangs_up {
            world.hang_up(client);
        } else {
            // A method where content is due ends the connection.
            world.send(client, &frame(1, 1, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
        }
        world.turn();
        assert!(world.broker.bodies.is_empty());
        assert_eq!(world.broker.gathered, 0);
        assert!(stored(&world, "q").is_empty());
    }
}

#[test]
fn a_long_message_that_goes_nowhere_comes_back_whole_if_it_is_mandatory() {
    let mut world = World::new();
    let client = world.open();
    let whole = octets(BODY_PART_BYTES * 2);
    world.send(client, &begin("nobody", 1, whole.len() as u64));
    let mut said = Vec::new();
    for piece in whole.chunks(FRAME) {
        said.extend(world.send(client, &body(1, piece)));
    }
    assert_eq!(said[0].id(), (60, 50));
    // Else it is kept nowhere.
    let client = world.open();
    world.send(client, &begin("nobody", 0, whole.len() as u64));
    for piece in whole.chunks(FRAME) {
        assert!(world.send(client, &body(1, piece)).is_empty());
        assert!(world.broker.gathered <= BODY_PART_BYTES);
    }
}

/// It is routed when its header is there.
#[test]
fn a_queue_bound_while_a_long_body_comes_does_not_get_it() {
    let mut world = World::new();
    let client = world.open();
    for queue in ["q", "late"] {
        world.declare(client, queue);
    }
    world.send(client, &method(1, 50, 20, bind_queue("q", "amq.fanout", "")));
    let whole = octets(BODY_PART_BYTES * 2);
    let mut begun = method(1, 60, 40, args().u16(0).short("amq.fanout").short("").u8(0));
    begun.extend(header(1, whole.len() as u64, &[0, 0]));
    world.send(client, &begun);
    let mut pieces = whole.chunks(FRAME);
    world.send(client, &body(1, pieces.next().expect("a piece")));
    world.open_channel(client, 2);
    world.send(client, &method(2, 50, 20, bind_queue("late", "amq.fanout", "")));
    for piece in pieces {
        world.send(client, &body(1, piece));
    }
    assert!(stored(&world, "q") == [whole]);
    assert!(stored(&world, "late").is_empty());
}

#[test]
fn a_long_body_in_a_transaction_waits_for_its_commit() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &method(1, 90, 10, args()));
    let whole = octets(BODY_PART_BYTES * 2);
    world.send(client, &begin("q", 0, whole.len() as u64));
    for piece in whole.chunks(FRAME) {
        world.send(client, &body(1, piece));
    }
    assert!(stored(&world, "q").is_empty() && world.broker.bodies.is_empty());
}

/// Otherwise bodies that are not whole could keep one another from becoming so.
#[test]
fn a_long_body_goes_on_while_memory_is_short_but_not_while_the_disk_is_full() {
    for (reason, goes_on) in [("low on memory", true), ("low on disk", false)] {
        let mut world = World::new();
        let client = world.open();
        world.declare(client, "q");
        let whole = octets(BODY_PART_BYTES * 2);
        world.send(client, &begin("q", 0, whole.len() as u64));
        world.broker.blocked = Some(reason);
        world.broker.is_disk_short = !goes_on;
        for piece in whole.chunks(FRAME) {
            world.send(client, &body(1, piece));
        }
        assert_eq!(stored(&world, "q").len(), usize::from(goes_on), "{reason}");
        world.broker.blocked = None;
        world.wait(client, 1_000);
        assert!(stored(&world, "q") == [whole], "{reason}");
    }
}

#[test]
fn a_long_body_in_a_transaction_is_not_gathered_and_shows_with_the_commit() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &method(1, 90, 10, args()));
    let (first, second) = (octets(BODY_PART_BYTES + 1), octets(3 * BODY_PART_BYTES));
    let mut most = 0;
    for whole in [&first, &second] {
        world.send(client, &begin("q", 0, whole.len() as u64));
        for piece in whole.chunks(FRAME) {
            world.send(client, &body(1, piece));
            most = most.max(world.broker.gathered);
        }
        world.send(client, &publish(1, "", "q", b"between"));
    }
    // One that leads nowhere is taken and goes nowhere.
    world.send(client, &begin("nowhere", 0, first.len() as u64));
    first.chunks(FRAME).for_each(|piece| drop(world.send(client, &body(1, piece))));
    assert!(most <= BODY_PART_BYTES + 1_000, "{most} octets gathered");
    assert!(stored(&world, "q").is_empty());
    assert!(!world.clients[client].connection.is_portable(), "its shard has something of it");
    assert_eq!(world.show(client, &method(1, 90, 20, args())), ["method(90,21) ch=1"]);
    let between = b"between".to_vec();
    assert!(stored(&world, "q") == [first, between.clone(), second, between]);
    assert!(world.broker.held_bodies.is_empty() && world.broker.gathered == 0);
    assert!(world.clients[client].connection.is_portable());
}

#[test]
fn a_transaction_that_is_given_up_gives_its_long_bodies_up() {
    for how in ["rollback", "close", "hang up", "hang up in the middle"] {
        let mut world = World::new();
        let client = world.open();
        world.declare(client, "q");
        world.send(client, &method(1, 90, 10, args()));
        let whole = octets(2 * BODY_PART_BYTES);
        let sent = if how == "hang up in the middle" { whole.len() - 1 } else { whole.len() };
        world.send(client, &begin("q", 0, whole.len() as u64));
        whole[..sent].chunks(FRAME).for_each(|piece| drop(world.send(client, &body(1, piece))));
        assert_eq!(world.broker.held_bodies.len(), 1);
        match how {
            "rollback" => drop(world.send(client, &method(1, 90, 30, args()))),
            "close" => {
                let close = args().u16(200).short("bye").u16(0).u16(0);
                world.send(client, &method(1, 20, 40, close));
            }
            _ => world.hang_up(client),
        }
        assert!(world.broker.held_bodies.is_empty(), "{how}");
        assert!(stored(&world, "q").is_empty());
    }
}

/// Only what is not mandatory is sure not to go back to who published it.
#[test]
fn a_long_mandatory_message_in_a_transaction_comes_back_if_it_leads_nowhere() {
    let mut world = World::new();
    let client = world.open();
    world.send(client, &method(1, 90, 10, args()));
    let whole = octets(BODY_PART_BYTES + 1);
    world.send(client, &begin("nowhere", 1, whole.len() as u64));
    whole.chunks(FRAME).for_each(|piece| drop(world.send(client, &body(1, piece))));
    assert!(world.broker.held_bodies.is_empty());
    let said = world.send(client, &method(1, 90, 20, args()));
    assert_eq!(said[0].id(), (60, 50), "basic.return");
}
