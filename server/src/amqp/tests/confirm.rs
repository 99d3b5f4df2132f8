//! Publisher confirms.

use super::wire::{args, method, publish, publish_with, Said, PLAIN};
use super::world::{bind_queue, World};

fn confirming() -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    assert_eq!(world.ask(client, 85, 10, args().u8(0)).id(), (85, 11));
    (world, client)
}

/// `ack 3 multiple`
fn show(said: &Said) -> String {
    let kind = match said.id() {
        (60, 80) => "ack",
        (60, 120) => "nack",
        _ => return said.to_string(),
    };
    let args = said.args();
    let tag = args[..8].iter().fold(0u64, |tag, octet| tag << 8 | u64::from(*octet));
    let multiple = if args[8] & 1 == 1 { " multiple" } else { "" };
    format!("{kind} {tag}{multiple}")
}

fn send(world: &mut World, client: usize, octets: &[u8]) -> Vec<String> {
    world.send(client, octets).iter().map(show).collect()
}

#[test]
fn selecting_twice_is_answered_twice() {
    let (mut world, client) = confirming();
    assert_eq!(world.ask(client, 85, 10, args().u8(0)).id(), (85, 11));
}

#[test]
fn a_batch_is_confirmed_by_one_frame() {
    let (mut world, client) = confirming();
    let mut octets = Vec::new();
    (0..5).for_each(|_| octets.extend(publish(1, "", "q", b"x")));
    assert_eq!(send(&mut world, client, &octets), ["ack 5 multiple"]);
    assert_eq!(send(&mut world, client, &publish(1, "", "q", b"x")), ["ack 6"]);
}

#[test]
fn nothing_is_confirmed_before_its_shard_says_so() {
    let (mut world, client) = confirming();
    world.broker.hold_confirms = true;
    assert_eq!(send(&mut world, client, &publish(1, "", "q", b"x")), [""; 0]);
    // Unroutable, but behind one that is not safe yet.
    assert_eq!(send(&mut world, client, &publish(1, "", "nowhere", b"x")), [""; 0]);
    let report = &world.clients[client].connection.channel_reports()[0];
    assert_eq!((report.confirm, report.messages_unconfirmed), (true, 2));
    world.broker.release_confirms();
    assert_eq!(send(&mut world, client, b""), ["ack 2 multiple"]);
}

#[test]
fn a_publish_to_two_shards_is_confirmed_when_both_have_it() {
    let (mut world, client) = confirming();
    world.declare(client, "r");
    for name in ["q", "r"] {
        world.ask(client, 50, 20, bind_queue(name, "amq.fanout", ""));
    }
    world.broker.hold_confirms = true;
    assert_eq!(send(&mut world, client, &publish(1, "amq.fanout", "", b"x")), [""; 0]);
    assert_eq!(world.broker.held_confirms.len(), 2);
    let first = world.broker.held_confirms.remove(0);
    world.broker.notify(first);
    assert_eq!(send(&mut world, client, b""), [""; 0]);
    world.broker.release_confirms();
    assert_eq!(send(&mut world, client, b""), ["ack 1"]);
}

#[test]
fn a_return_precedes_the_confirm_of_the_same_publish() {
    let (mut world, client) = confirming();
    let octets = publish_with(1, "", "nowhere", 1, PLAIN, b"x");
    let said = send(&mut world, client, &octets);
    assert_eq!(said[0], "method(60,50) ch=1");
    assert_eq!(said.last().map(String::as_str), Some("ack 1"));
}

#[test]
fn a_refusing_queue_makes_a_nack() {
    let (mut world, client) = confirming();
    let id = world.broker.topology.queue("/", "q").expect("q").id;
    world.broker.refusing.push(id);
    world.declare(client, "r");
    let mut octets = publish(1, "", "r", b"x");
    octets.extend(publish(1, "", "q", b"x"));
    octets.extend(publish(1, "", "q", b"x"));
    octets.extend(publish(1, "", "r", b"x"));
    assert_eq!(send(&mut world, client, &octets), ["ack 1", "nack 3 multiple", "ack 4"]);
}

#[test]
fn channels_count_for_themselves_and_confirms_of_a_closed_one_are_dropped() {
    let (mut world, client) = confirming();
    world.broker.hold_confirms = true;
    send(&mut world, client, &publish(1, "", "q", b"x"));
    let close = args().u16(200).short("").u16(0).u16(0);
    assert_eq!(world.show(client, &method(1, 20, 40, close)), ["method(20,41) ch=1"]);
    world.open_channel(client, 1);
    world.ask(client, 85, 10, args().u8(0));
    send(&mut world, client, &publish(1, "", "q", b"x"));
    let stale = world.broker.held_confirms.remove(0);
    world.broker.notify(stale);
    assert_eq!(send(&mut world, client, b""), [""; 0]);
    world.broker.release_confirms();
    assert_eq!(send(&mut world, client, b""), ["ack 1"]);
}

#[test]
fn what_is_safe_is_said_before_the_channel_is_closed() {
    let (mut world, client) = confirming();
    let mut octets = publish(1, "", "nowhere", b"x");
    octets.extend(publish(1, "no exchange", "", b"x"));
    assert_eq!(
        send(&mut world, client, &octets),
        [
            "ack 1",
            "chan.close 404 NOT_FOUND - no exchange 'no exchange' in vhost '/' failing=(60,40)"
        ]
    );
}
