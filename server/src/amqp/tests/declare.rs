//! Exchanges, queues and bindings: declaring, comparing, deleting.

use haremq_engine::table::Value;

use super::wire::{args, method, publish, split_short, Said};
use super::world::{bind_queue, consume, declare_exchange, declare_queue, get, World};

/// Name, messages and consumers of a declare-ok.
fn declared(said: &Said) -> (String, u32, u32) {
    assert_eq!(said.id(), (50, 11), "{said}");
    let (name, rest) = split_short(said.args());
    let count =
        |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
    (name, count(0), count(4))
}

/// The one answer to one method on a fresh channel, after `before`.
fn refusal(before: &[Vec<u8>], octets: &[u8]) -> String {
    let mut world = World::new();
    let client = world.open();
    before.iter().for_each(|octets| {
        world.send(client, octets);
    });
    let said = world.show(client, octets);
    assert_eq!(said.len(), 1, "{said:?}");
    said.into_iter().next().expect("one answer")
}

fn queue(name: &str, bits: u8, arguments: &[(&str, Value)]) -> Vec<u8> {
    method(1, 50, 10, declare_queue(name, bits, arguments))
}

fn exchange(name: &str, kind: &str, bits: u8) -> Vec<u8> {
    method(1, 40, 10, declare_exchange(name, kind, bits, &[]))
}

#[test]
fn declare_ok_counts_ready_messages_and_consumers() {
    let mut world = World::new();
    let client = world.open();
    assert_eq!(declared(&world.ask(client, 50, 10, declare_queue("q", 0, &[]))).1, 0);
    for _ in 0..3 {
        world.send(client, &publish(1, "", "q", b"x"));
    }
    world.send(client, &method(1, 60, 70, get("q", false)));
    let said = world.ask(client, 50, 10, declare_queue("q", 1, &[]));
    assert_eq!(declared(&said), ("q".to_owned(), 2, 0));
    let said = world.ask(client, 50, 10, declare_queue("q", 0, &[]));
    assert_eq!(declared(&said), ("q".to_owned(), 2, 0));
}

#[test]
fn a_redeclaration_must_be_equal() {
    assert_eq!(
        refusal(&[queue("q", 0, &[])], &queue("q", 2, &[])),
        "chan.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost \
         '/': received 'true' but current is 'false' failing=(50,10)"
    );
    assert_eq!(
        refusal(&[queue("q", 0, &[("x-message-ttl", Value::I32(1000))])], &queue("q", 0, &[])),
        "chan.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in \
         vhost '/': received none but current is the value '1000' of type 'signedint' \
         failing=(50,10)"
    );
    assert_eq!(
        refusal(&[exchange("x", "direct", 0)], &exchange("x", "fanout", 0)),
        "chan.close 406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost \
         '/': received 'fanout' but current is 'direct' failing=(40,10)"
    );
}

#[test]
fn an_exclusive_queue_is_locked_for_others_and_for_other_declarations() {
    let locked = |name: &str, failing| {
        format!(
            "chan.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue \
             '{name}' in vhost '/'. It could be originally declared on another connection or the \
             exclusive property value does not match that of the original declaration. \
             failing={failing}"
        )
    };
    assert_eq!(refusal(&[queue("q", 4, &[])], &queue("q", 0, &[])), locked("q", "(50,10)"));
    assert_eq!(refusal(&[queue("q", 0, &[])], &queue("q", 4, &[])), locked("q", "(50,10)"));
    for (octets, failing) in [
        (queue("q", 4, &[]), "(50,10)"),
        (queue("q", 1, &[]), "(50,10)"),
        (method(1, 60, 20, consume("q", "", 0)), "(60,20)"),
        (method(1, 60, 70, get("q", true)), "(60,70)"),
        (method(1, 50, 20, bind_queue("q", "amq.direct", "a")), "(50,20)"),
        (method(1, 50, 30, args().u16(0).short("q").u8(0)), "(50,30)"),
        (method(1, 50, 40, args().u16(0).short("q").u8(0)), "(50,40)"),
    ] {
        let mut world = World::new();
        let owner = world.open();
        world.send(owner, &queue("q", 4, &[]));
        let other = world.open();
        assert_eq!(world.show(other, &octets), [locked("q", failing)]);
    }
}

#[test]
fn names_that_are_not_there_or_reserved() {
    for (octets, expected) in [
        (queue("q", 1, &[]), "404 NOT_FOUND - no queue 'q' in vhost '/' failing=(50,10)"),
        (
            queue("amq.foo", 0, &[]),
            "403 ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*' \
             failing=(50,10)",
        ),
        (
            queue("amq.foo", 1, &[]),
            "404 NOT_FOUND - no queue 'amq.foo' in vhost '/' failing=(50,10)",
        ),
        (
            exchange("amq.new", "direct", 0),
            "403 ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*' \
             failing=(40,10)",
        ),
        (
            exchange("", "direct", 2),
            "403 ACCESS_REFUSED - operation not permitted on the default exchange \
             failing=(40,10)",
        ),
        (
            exchange("", "direct", 1),
            "403 ACCESS_REFUSED - operation not permitted on the default exchange \
             failing=(40,10)",
        ),
        (
            exchange("x", "direct", 1),
            "404 NOT_FOUND - no exchange 'x' in vhost '/' failing=(40,10)",
        ),
        (
            method(1, 40, 20, args().u16(0).short("amq.direct").u8(0)),
            "403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not \
             allowed failing=(40,20)",
        ),
        (
            method(1, 50, 20, bind_queue("q", "amq.direct", "a")),
            "404 NOT_FOUND - no queue 'q' in vhost '/' failing=(50,20)",
        ),
        (
            method(1, 50, 20, bind_queue("q", "", "a")),
            "403 ACCESS_REFUSED - operation not permitted on the default exchange \
             failing=(50,20)",
        ),
        (
            method(1, 50, 20, bind_queue("", "amq.direct", "a")),
            "404 NOT_FOUND - no previously declared queue failing=(50,20)",
        ),
        (
            method(1, 60, 20, consume("", "", 0)),
            "404 NOT_FOUND - no previously declared queue failing=(60,20)",
        ),
        (
            method(1, 50, 30, args().u16(0).short("q").u8(0)),
            "404 NOT_FOUND - no queue 'q' in vhost '/' failing=(50,30)",
        ),
        (
            queue("q", 0, &[("x-message-ttl", Value::I32(-1))]),
            "406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'q' in vhost '/': \
             {value_negative,-1} failing=(50,10)",
        ),
    ] {
        assert_eq!(refusal(&[], &octets), format!("chan.close {expected}"));
    }
}

#[test]
fn an_unknown_exchange_type_closes_the_connection() {
    assert_eq!(
        refusal(&[], &exchange("x", "bogus", 0)),
        "conn.close 503 COMMAND_INVALID - unknown exchange type 'bogus' failing=(40,10)"
    );
}

#[test]
fn what_exists_may_be_declared_again_and_what_is_missing_deleted() {
    for (octets, answer) in [
        (exchange("amq.direct", "direct", 2), "method(40,11) ch=1"),
        (method(1, 40, 20, args().u16(0).short("x").u8(0)), "method(40,21) ch=1"),
        (method(1, 50, 40, args().u16(0).short("q").u8(0)), "method(50,41) ch=1"),
        (
            method(1, 50, 50, args().u16(0).short("q").short("nope").short("k").table(&[])),
            "method(50,51) ch=1",
        ),
    ] {
        assert_eq!(refusal(&[], &octets), answer);
    }
    // Passive exchange declare compares nothing.
    assert_eq!(
        refusal(&[exchange("x", "direct", 0)], &exchange("x", "fanout", 1)),
        "method(40,11) ch=1"
    );
}

#[test]
fn server_named_queues_have_names_nobody_guesses() {
    let mut world = World::new();
    let client = world.open();
    let (name, ..) = declared(&world.ask(client, 50, 10, declare_queue("", 4, &[])));
    assert!(name.starts_with("amq.gen-") && name.len() == 30, "{name}");
    let (other, ..) = declared(&world.ask(client, 50, 10, declare_queue("", 4, &[])));
    assert_ne!(name, other);
}

#[test]
fn an_empty_name_is_the_last_declared_queue() {
    let mut world = World::new();
    let client = world.open();
    let (name, ..) = declared(&world.ask(client, 50, 10, declare_queue("", 4, &[])));
    assert_eq!(world.ask(client, 50, 20, bind_queue("", "amq.direct", "")).id(), (50, 21));
    // Queue and key were both empty: the key is the queue's name.
    world.send(client, &publish(1, "amq.direct", &name, b"x"));
    assert_eq!(world.send(client, &method(1, 60, 70, get("", true)))[0].id(), (60, 71));
}

#[test]
fn names_lose_line_ends() {
    let mut world = World::new();
    let client = world.open();
    let said = world.ask(client, 50, 10, declare_queue("a\r\nb", 0, &[]));
    assert_eq!(declared(&said).0, "ab");
}

#[test]
fn nowait_suppresses_answers_and_not_errors() {
    let mut world = World::new();
    let client = world.open();
    for octets in [
        queue("q", 16, &[]),
        queue("q", 16, &[]),
        exchange("x", "fanout", 16),
        method(1, 50, 20, args().u16(0).short("q").short("x").short("").u8(1).table(&[])),
        method(1, 50, 30, args().u16(0).short("q").u8(1)),
        method(1, 60, 20, consume("q", "t", 8)),
        method(1, 60, 30, args().short("t").u8(1)),
        method(1, 50, 40, args().u16(0).short("q").u8(4)),
        method(1, 40, 20, args().u16(0).short("x").u8(2)),
        method(1, 85, 10, args().u8(1)),
    ] {
        assert_eq!(world.send(client, &octets), []);
    }
    assert!(world.broker.topology.queue("/", "q").is_none());
    assert_eq!(
        world.show(client, &queue("q", 17, &[])),
        ["chan.close 404 NOT_FOUND - no queue 'q' in vhost '/' failing=(50,10)"]
    );
}

#[test]
fn deleting_counts_and_checks() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &publish(1, "", "q", b"x"));
    world.open_channel(client, 2);
    // if-empty is bit 2, if-unused bit 1.
    let delete = |channel, bits| method(channel, 50, 40, args().u16(0).short("q").u8(bits));
    assert_eq!(
        world.show(client, &delete(2, 2)),
        ["chan.close 406 PRECONDITION_FAILED - queue 'q' in vhost '/' not empty failing=(50,40)"]
    );
    let said = world.send(client, &delete(1, 0)).remove(0);
    assert_eq!((said.id(), said.args()), ((50, 41), &[0, 0, 0, 1][..]));
    world.declare(client, "q");
    world.send(client, &method(1, 60, 20, consume("q", "", 0)));
    assert_eq!(
        world.show(client, &delete(1, 1)),
        ["chan.close 406 PRECONDITION_FAILED - queue 'q' in vhost '/' in use failing=(50,40)"]
    );
}

#[test]
fn purging_counts_ready_messages() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    for _ in 0..3 {
        world.send(client, &publish(1, "", "q", b"x"));
    }
    world.send(client, &method(1, 60, 70, get("q", false)));
    let said = world.ask(client, 50, 30, args().u16(0).short("q").u8(0));
    assert_eq!((said.id(), said.args()), ((50, 31), &[0, 0, 0, 2][..]));
}

#[test]
fn exchanges_are_bound_to_exchanges() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &exchange("x", "fanout", 0));
    let bind = args().u16(0).short("x").short("amq.direct").short("k").u8(0).table(&[]);
    assert_eq!(world.ask(client, 40, 30, bind.clone()).id(), (40, 31));
    assert_eq!(world.ask(client, 50, 20, bind_queue("q", "x", "")).id(), (50, 21));
    world.send(client, &publish(1, "amq.direct", "k", b"x"));
    assert_eq!(world.broker.queue_named("q").ready.len(), 1);
    assert_eq!(world.ask(client, 40, 40, bind).id(), (40, 51));
    world.send(client, &publish(1, "amq.direct", "k", b"x"));
    assert_eq!(world.broker.queue_named("q").ready.len(), 1);
}

#[test]
fn a_passive_exchange_declare_looks_at_the_name_alone() {
    let mut world = World::new();
    let client = world.open();
    world.send(client, &exchange("x", "direct", 2));
    let other = declare_exchange("x", "fanout", 1, &[]);
    assert_eq!(world.ask(client, 40, 10, other).id(), (40, 11));
    let no_such_type = declare_exchange("x", "bogus", 1, &[]);
    assert_eq!(world.ask(client, 40, 10, no_such_type).id(), (40, 11));
}

#[test]
fn deleting_and_unbinding_what_is_missing_succeeds_and_purging_it_does_not() {
    let mut world = World::new();
    let client = world.open();
    let delete_queue = args().u16(0).short("nope").u8(0);
    assert_eq!(world.ask(client, 50, 40, delete_queue).id(), (50, 41));
    let delete_exchange = args().u16(0).short("nope").u8(0);
    assert_eq!(world.ask(client, 40, 20, delete_exchange).id(), (40, 21));
    let unbind = args().u16(0).short("nope").short("amq.direct").short("k").table(&[]);
    assert_eq!(world.ask(client, 50, 50, unbind).id(), (50, 51));
    let purge = method(1, 50, 30, args().u16(0).short("nope").u8(0));
    let said = world.show(client, &purge);
    assert!(said[0].starts_with("chan.close 404 NOT_FOUND - no queue 'nope'"), "{said:?}");
}
