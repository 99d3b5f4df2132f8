//! Consumers: starting, being served, being cancelled.

use haremq_engine::table::Value;

use super::wire::{args, method, publish, split_short, Said};
use super::world::{consume, declare_queue, get, World};

fn with_messages(count: u8) -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    for number in 0..count {
        world.send(client, &publish(1, "", "q", &[number]));
    }
    (world, client)
}

/// Consumer tag, delivery tag, redelivered, exchange, key.
fn delivered(said: &Said) -> (String, u64, bool, String, String) {
    assert_eq!(said.id(), (60, 60), "{said}");
    let (consumer, rest) = split_short(said.args());
    let tag = rest[..8].iter().fold(0u64, |tag, octet| tag << 8 | u64::from(*octet));
    let (exchange, more) = split_short(&rest[9..]);
    let (key, _) = split_short(more);
    (consumer, tag, rest[8] == 1, exchange, key)
}

#[test]
fn consume_ok_precedes_deliveries() {
    let (mut world, client) = with_messages(2);
    let said = world.send(client, &method(1, 60, 20, consume("q", "t", 0)));
    assert_eq!(said[0].id(), (60, 21));
    assert_eq!(said[0].args(), b"\x01t");
    let expected = |tag| ("t".to_owned(), tag, false, String::new(), "q".to_owned());
    assert_eq!(delivered(&said[1]), expected(1));
    assert_eq!(said[3].payload, [0]);
    assert_eq!(delivered(&said[4]), expected(2));
    assert_eq!(said[6].payload, [1]);
}

#[test]
fn tags_are_made_up_and_may_not_be_used_twice() {
    let (mut world, client) = with_messages(0);
    let said = world.ask(client, 60, 20, consume("q", "", 0));
    let (tag, _) = split_short(said.args());
    assert!(tag.starts_with("amq.ctag-") && tag.len() == 31, "{tag}");
    world.ask(client, 60, 20, consume("q", "t", 0));
    assert_eq!(
        world.show(client, &method(1, 60, 20, consume("q", "t", 0))),
        ["conn.close 530 NOT_ALLOWED - attempt to reuse consumer tag 't' failing=(60,20)"]
    );
}

#[test]
fn consumers_that_are_refused() {
    let with_argument = |name: &str, value: Value| {
        method(1, 60, 20, args().u16(0).short("q").short("").u8(0).table(&[(name, value)]))
    };
    for (before, octets, expected) in [
        (
            Vec::new(),
            method(1, 60, 20, consume("nope", "", 0)),
            "404 NOT_FOUND - no queue 'nope' in vhost '/'",
        ),
        (
            method(1, 60, 20, consume("q", "", 4)),
            method(1, 60, 20, consume("q", "", 0)),
            "403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
        ),
        (
            method(1, 60, 20, consume("q", "", 0)),
            method(1, 60, 20, consume("q", "", 4)),
            "403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
        ),
        (
            Vec::new(),
            with_argument("x-priority", Value::text("hi")),
            "406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \
             \"expected integer, got longstr\"",
        ),
        (
            Vec::new(),
            with_argument("x-stream-offset", Value::text("first")),
            "406 PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of \
             queue type rabbit_classic_queue",
        ),
    ] {
        let (mut world, client) = with_messages(0);
        world.send(client, &before);
        assert_eq!(world.show(client, &octets), [format!("chan.close {expected} failing=(60,20)")]);
        // A refused consumer leaves nothing behind.
        assert_eq!(world.clients[client].connection.channel_reports()[0].consumer_count, 0);
    }
}

#[test]
fn a_refused_consumer_may_try_again_under_its_tag() {
    let (mut world, client) = with_messages(0);
    let other = world.open();
    world.ask(other, 60, 20, consume("q", "t", 4));
    world.send(client, &method(1, 60, 20, consume("q", "t", 0)));
    world.hang_up(other);
    world.send(client, &method(1, 20, 41, args()));
    world.open_channel(client, 1);
    assert_eq!(world.ask(client, 60, 20, consume("q", "t", 0)).id(), (60, 21));
}

#[test]
fn a_cancelled_consumer_gets_nothing_more_and_its_unacked_stay_with_the_channel() {
    let (mut world, client) = with_messages(1);
    world.send(client, &method(1, 60, 20, consume("q", "t", 0)));
    let said = world.ask(client, 60, 30, args().short("t").u8(0));
    assert_eq!((said.id(), said.args()), ((60, 31), &b"\x01t"[..]));
    world.send(client, &publish(1, "", "q", b"x"));
    assert_eq!(world.heard(client), []);
    assert_eq!(world.broker.queue_named("q").unacked.len(), 1);
    assert_eq!(world.send(client, &method(1, 60, 80, super::world::ack(1, false))), []);
    assert_eq!(world.broker.queue_named("q").unacked.len(), 0);
}

#[test]
fn cancelling_the_unknown_is_answered() {
    let (mut world, client) = with_messages(0);
    let said = world.ask(client, 60, 30, args().short("zzz").u8(0));
    assert_eq!((said.id(), said.args()), ((60, 31), &b"\x03zzz"[..]));
}

#[test]
fn capable_clients_hear_that_their_queue_has_gone() {
    let (mut world, client) = with_messages(0);
    world.ask(client, 60, 20, consume("q", "t", 0));
    let simple = world.log_in("guest", "guest", &[], (2047, 131_072, 0), "/");
    world.open_channel(simple, 1);
    world.ask(simple, 60, 20, consume("q", "u", 0));
    let other = world.open();
    world.ask(other, 50, 40, args().u16(0).short("q").u8(0));
    let said = world.heard(client);
    assert_eq!((said[0].id(), said[0].args()), ((60, 30), &b"\x01t\x01"[..]));
    assert_eq!(world.heard(simple), []);
    // The tag is free again.
    world.declare(client, "q");
    assert_eq!(world.ask(client, 60, 20, consume("q", "t", 0)).id(), (60, 21));
}

#[test]
fn a_delivery_that_comes_too_late_goes_back_and_frees_its_window() {
    use super::stand_in::Mail;
    let (mut world, client) = with_messages(1);
    // The delivery is under way when the channel is closed.
    world.send(client, &method(1, 60, 20, consume("q", "t", 0)));
    let late = {
        world.send(client, &publish(1, "", "q", b"late"));
        world.heard(client);
        world.send(client, &publish(1, "", "q", b"later"));
        world.heard(client);
        world.broker.queue_named("q").unacked.len()
    };
    assert_eq!(late, 3);
    let close = args().u16(200).short("").u16(0).u16(0);
    world.send(client, &method(1, 20, 40, close));
    assert_eq!(world.broker.queue_named("q").ready.len(), 3);
    world.open_channel(client, 1);
    world.send(client, &method(1, 60, 20, consume("q", "t", 0)));
    let close = args().u16(200).short("").u16(0).u16(0);
    // Caught between dispatch and hand-over.
    world.send(client, &publish(1, "", "q", b"caught"));
    let settles = world.broker.settles.len();
    world.broker.publish_directly("q", b"straggler");
    world.broker.dispatch();
    let straggler = world.broker.mail.pop_back().expect("a delivery");
    assert!(matches!(straggler, Mail::Delivery(_)));
    world.send(client, &method(1, 20, 40, close));
    world.broker.mail.push_back(straggler);
    world.turn();
    assert_eq!(world.broker.queue_named("q").ready.len(), 5);
    assert!(world.broker.settles.len() > settles);
    assert!(world.broker.windows.values().all(|octets| *octets == 0), "{:?}", world.broker.windows);
    assert!(world.broker.queue_named("q").ready.values().all(|message| message.redelivered));
}

#[test]
fn windows_come_back_as_octets_leave() {
    let (mut world, client) = with_messages(50);
    world.write_size = 0;
    world.send(client, &method(1, 60, 20, consume("q", "t", 2)));
    let under_way: i64 = world.broker.windows.values().sum();
    assert_eq!(under_way, 50 * (64 + 1 + 2 + 1));
    world.write_size = 100;
    world.turn();
    assert!(world.broker.windows.values().all(|octets| *octets == 0));
}

#[test]
fn get_tells_what_is_left() {
    let (mut world, client) = with_messages(3);
    let said = world.send(client, &method(1, 60, 70, get("q", false)));
    assert_eq!(said[0].id(), (60, 71));
    assert_eq!(said[0].args(), b"\0\0\0\0\0\0\0\x01\0\0\x01q\0\0\0\x02");
    assert_eq!(said[2].payload, [0]);
    world.send(client, &method(1, 60, 70, get("q", true)));
    world.send(client, &method(1, 60, 70, get("q", true)));
    let said = world.ask(client, 60, 70, get("q", true));
    assert_eq!((said.id(), said.args()), ((60, 72), &[0][..]));
    assert_eq!(
        world.show(client, &method(1, 60, 70, get("nope", true))),
        ["chan.close 404 NOT_FOUND - no queue 'nope' in vhost '/' failing=(60,70)"]
    );
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let mut world = World::new();
    let client = world.open();
    world.ask(client, 50, 10, declare_queue("q", 8, &[]));
    world.ask(client, 60, 20, consume("q", "t", 0));
    world.send(client, &method(1, 60, 30, args().short("t").u8(0)));
    assert!(world.broker.topology.queue("/", "q").is_none());
}

#[test]
fn closing_a_channel_requeues_in_order() {
    let (mut world, client) = with_messages(3);
    world.open_channel(client, 2);
    for _ in 0..2 {
        world.send(client, &method(2, 60, 70, get("q", false)));
    }
    let close = args().u16(200).short("").u16(0).u16(0);
    assert_eq!(world.show(client, &method(2, 20, 40, close)), ["method(20,41) ch=2"]);
    let ready = &world.broker.queue_named("q").ready;
    let messages: Vec<_> = ready.values().map(|m| (m.body[0], m.redelivered)).collect();
    assert_eq!(messages, [(0, true), (1, true), (2, false)]);
}
