//! Messages on their way in.

use haremq_engine::table::Value;

use super::wire::{
    args, body, frame, header, headers, method, property, publish, publish_with, split_short, Said,
    EXPIRATION, PLAIN, USER_ID,
};
use super::world::{declare_exchange, get, World};

const MANDATORY: u8 = 1;

fn with_queue() -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    (world, client)
}

fn bodies(world: &World, queue: &str) -> Vec<Vec<u8>> {
    world.broker.queue_named(queue).ready.values().map(|message| message.body.clone()).collect()
}

/// The close that a publish is answered with.
fn refusal(octets: &[u8]) -> String {
    let (mut world, client) = with_queue();
    let said = world.show(client, octets);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(bodies(&world, "q"), [b""; 0]);
    said.into_iter().next().expect("one answer")
}

#[test]
fn a_message_in_single_octets_is_the_same_as_in_one_piece() {
    let mut octets = Vec::new();
    for size in [0usize, 1, 4088, 4089, 8176, 8177, 100_000] {
        let content = vec![size as u8; size];
        octets.extend(method(1, 60, 40, args().u16(0).short("").short("q").u8(0)));
        octets.extend(header(1, size as u64, &property(1 << 7, "id")));
        content.chunks(4088).for_each(|piece| octets.extend(body(1, piece)));
    }
    let (mut whole, client) = with_queue();
    assert_eq!(whole.send(client, &octets), []);
    let (mut sliced, client) = with_queue();
    for octet in &octets {
        assert_eq!(sliced.send(client, &[*octet]), []);
    }
    let messages = |world: &World| -> Vec<_> {
        let queue = world.broker.queue_named("q");
        queue.ready.values().map(|m| (m.body.clone(), m.properties.clone())).collect()
    };
    assert_eq!(messages(&whole).len(), 7);
    assert!(messages(&whole) == messages(&sliced));
    assert!(messages(&whole).iter().all(|(_, p)| *p == property(1 << 7, "id")));
}

#[test]
fn contents_of_channels_may_be_interleaved() {
    let (mut world, client) = with_queue();
    world.open_channel(client, 2);
    let start = |channel| method(channel, 60, 40, args().u16(0).short("").short("q").u8(0));
    let mut octets = start(1);
    octets.extend(start(2));
    octets.extend(header(2, 2, PLAIN));
    octets.extend(header(1, 4, PLAIN));
    octets.extend(body(1, b"on"));
    octets.extend(body(2, b"22"));
    octets.extend(frame(8, 0, b""));
    octets.extend(body(1, b"e1"));
    assert_eq!(world.send(client, &octets), []);
    assert_eq!(bodies(&world, "q"), [b"22".to_vec(), b"one1".to_vec()]);
}

#[test]
fn what_a_message_says_of_itself_is_told_to_its_queue() {
    let (mut world, client) = with_queue();
    let mut properties = (1u16 << 12 | 1 << 11 | EXPIRATION).to_be_bytes().to_vec();
    properties.extend([2, 7, 4]);
    properties.extend(b"1500");
    world.send(client, &publish_with(1, "", "q", 0, &properties, b"x"));
    world.send(client, &publish(1, "", "q", b"y"));
    let ready = &world.broker.queue_named("q").ready;
    let told: Vec<_> =
        ready.values().map(|m| (m.persistent, m.priority, m.expiration_ms)).collect();
    assert_eq!(told, [(true, 7, Some(1500)), (false, 0, None)]);
    assert!(ready.values().next().is_some_and(|message| message.properties == properties));
}

#[test]
fn a_publish_goes_once_to_each_shard_with_all_of_its_queues() {
    let mut world = World::new();
    let client = world.open();
    for name in ["a", "b", "c", "d"] {
        world.declare(client, name);
        let bind = super::world::bind_queue(name, "amq.fanout", "");
        assert_eq!(world.ask(client, 50, 20, bind).id(), (50, 21));
    }
    world.send(client, &publish(1, "amq.fanout", "", b"x"));
    world.send(client, &publish(1, "amq.fanout", "", b"y"));
    let mut published = world.broker.published.clone();
    published.sort_unstable_by_key(|(shard, _)| *shard);
    let counts: Vec<_> = published.iter().map(|(shard, queues)| (shard.0, *queues)).collect();
    assert_eq!(counts, [(0, 2), (0, 2), (1, 2), (1, 2)]);
}

#[test]
fn a_cached_route_does_not_outlive_the_topology_it_was_made_for() {
    let (mut world, client) = with_queue();
    world.send(client, &publish(1, "", "q", b"1"));
    world.send(client, &publish(1, "", "q", b"2"));
    let said = world.ask(client, 50, 40, args().u16(0).short("q").u8(0));
    assert_eq!(said.args(), [0, 0, 0, 2]);
    assert_eq!(world.send(client, &publish(1, "", "q", b"lost")), []);
    world.declare(client, "q");
    world.send(client, &publish(1, "", "q", b"3"));
    assert_eq!(bodies(&world, "q"), [b"3"]);
}

#[test]
fn headers_decide_anew_for_each_message() {
    let (mut world, client) = with_queue();
    let bind = args().u16(0).short("q").short("amq.headers").short("").u8(0);
    world.ask(client, 50, 20, bind.table(&[("n", Value::I32(1))]));
    for n in [1, 2, 1] {
        let properties = headers(&[("n", Value::I32(n))]);
        world.send(client, &publish_with(1, "amq.headers", "", 0, &properties, &[n as u8]));
    }
    world.send(client, &publish(1, "amq.headers", "", b"none"));
    assert_eq!(bodies(&world, "q"), [[1], [1]]);
}

fn returned(said: &Said) -> (u16, String, String, String) {
    assert_eq!(said.id(), (60, 50), "{said}");
    let code = u16::from_be_bytes([said.args()[0], said.args()[1]]);
    let (text, rest) = split_short(&said.args()[2..]);
    let (exchange, rest) = split_short(rest);
    let (key, _) = split_short(rest);
    (code, text, exchange, key)
}

#[test]
fn an_unroutable_mandatory_message_comes_back_whole() {
    let (mut world, client) = with_queue();
    let octets = publish_with(1, "amq.direct", "nowhere", MANDATORY, PLAIN, b"content");
    let said = world.send(client, &octets);
    assert_eq!(
        returned(&said[0]),
        (312, "NO_ROUTE".to_owned(), "amq.direct".to_owned(), "nowhere".to_owned())
    );
    assert_eq!(said[1].payload, [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], PLAIN].concat());
    assert_eq!(said[2].payload, b"content");
    // Routable, or not mandatory: nothing.
    assert_eq!(world.send(client, &publish_with(1, "", "q", MANDATORY, PLAIN, b"x")), []);
    assert_eq!(world.send(client, &publish(1, "", "nowhere", b"x")), []);
}

#[test]
fn publishes_that_are_refused() {
    let with = |properties: &[u8]| publish_with(1, "", "q", 0, properties, b"x");
    for (octets, expected) in [
        (publish(1, "nope", "k", b"x"), "404 NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (
            publish(1, "amq.rabbitmq.trace", "k", b"x"),
            "403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in \
             vhost '/'",
        ),
        (
            with(&property(EXPIRATION, "abc")),
            "406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer",
        ),
        (
            with(&property(EXPIRATION, "-1")),
            "406 PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
        ),
        (
            with(&property(USER_ID, "bob")),
            "406 PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was \
             'guest'",
        ),
        (
            with(&headers(&[("CC", Value::text("notalist"))])),
            "406 PRECONDITION_FAILED - invalid message: \
             {unacceptable_type_in_header,\"CC\",longstr}",
        ),
    ] {
        assert_eq!(refusal(&octets), format!("chan.close {expected} failing=(60,40)"));
    }
    assert_eq!(
        refusal(&publish_with(1, "", "q", 2, PLAIN, b"x")),
        "conn.close 540 NOT_IMPLEMENTED - immediate=true failing=(60,40)"
    );
    assert_eq!(
        refusal(&publish_with(1, "", "q", 0, &[0x80, 0], b"x")),
        "conn.close 501 FRAME_ERROR - cannot decode <<128,0>> failing=(60,40)"
    );
}

#[test]
fn a_user_may_say_who_he_is() {
    let (mut world, client) = with_queue();
    let octets = publish_with(1, "", "q", 0, &property(USER_ID, "guest"), b"x");
    assert_eq!(world.send(client, &octets), []);
    assert_eq!(bodies(&world, "q").len(), 1);
}

#[test]
fn a_message_beyond_the_limit_is_refused_by_its_header_and_its_body_skipped() {
    let mut world = World::new();
    world.settings.max_message_size = 10;
    let client = world.open();
    world.declare(client, "q");
    let mut octets = method(1, 60, 40, args().u16(0).short("").short("q").u8(0));
    octets.extend(header(1, 11, PLAIN));
    octets.extend(body(1, b"01234567890"));
    assert_eq!(
        world.show(client, &octets),
        ["chan.close 406 PRECONDITION_FAILED - message size 11 is larger than configured max size \
          10 failing=(60,40)"]
    );
    world.send(client, &method(1, 20, 41, args()));
    world.open_channel(client, 1);
    world.send(client, &publish(1, "", "q", b"0123456789"));
    assert_eq!(bodies(&world, "q"), [b"0123456789"]);
}

#[test]
fn a_large_whole_message_is_refused_too() {
    let mut world = World::new();
    world.settings.max_message_size = 10;
    let client = world.open();
    world.declare(client, "q");
    let said = world.show(client, &publish(1, "", "q", b"01234567890"));
    assert!(said[0].starts_with("chan.close 406 PRECONDITION_FAILED - message size 11"));
}

#[test]
fn cc_and_bcc_are_further_keys_and_bcc_is_not_shown() {
    let mut world = World::new();
    let client = world.open();
    for name in ["a", "b", "c"] {
        world.declare(client, name);
    }
    let list = |names: &[&str]| Value::Array(names.iter().map(|n| Value::text(n)).collect());
    let properties = headers(&[("CC", list(&["b", "a"])), ("BCC", list(&["c"]))]);
    world.send(client, &publish_with(1, "", "a", 0, &properties, b"x"));
    for name in ["a", "b", "c"] {
        let ready = &world.broker.queue_named(name).ready;
        let shown: Vec<_> = ready.values().map(|message| message.properties.clone()).collect();
        assert_eq!(shown, [headers(&[("CC", list(&["b", "a"]))])], "{name}");
    }
}

#[test]
fn an_internal_exchange_is_reached_through_another_one() {
    let (mut world, client) = with_queue();
    world.ask(client, 40, 10, declare_exchange("in", "fanout", 8, &[]));
    let bind = args().u16(0).short("in").short("amq.fanout").short("").u8(0).table(&[]);
    world.ask(client, 40, 30, bind);
    world.ask(client, 50, 20, super::world::bind_queue("q", "in", ""));
    world.send(client, &publish(1, "amq.fanout", "", b"x"));
    assert_eq!(world.send(client, &method(1, 60, 70, get("q", true)))[0].id(), (60, 71));
}
