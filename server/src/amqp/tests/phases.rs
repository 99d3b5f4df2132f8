//! Every method in every phase: the right answer, never a panic.

use super::wire::{args, header, method, publish, Args};
use super::world::{
    ack, bind_queue, consume, declare_exchange, declare_queue, get, nack, qos, start_ok, World,
};

/// Every method that a client may send, with arguments that decode; then those of the broker.
pub(super) fn methods() -> Vec<((u16, u16), Args)> {
    let close = || args().u16(200).short("").u16(0).u16(0);
    let bind = || args().u16(0).short("amq.fanout").short("amq.topic").short("").u8(0).table(&[]);
    let mut all = vec![
        ((10, 11), args().table(&[]).short("PLAIN").long(b"\0guest\0guest").short("en_US")),
        ((10, 21), args().long(b"")),
        ((10, 31), args().u16(2047).u32(131_072).u16(0)),
        ((10, 40), args().short("/").short("").u8(0)),
        ((10, 50), close()),
        ((10, 51), args()),
        ((10, 70), args().long(b"").short("")),
        ((20, 10), args().short("")),
        ((20, 20), args().u8(1)),
        ((20, 21), args().u8(1)),
        ((20, 40), close()),
        ((20, 41), args()),
        ((30, 10), args().short("/data").u8(0)),
        ((40, 10), declare_exchange("x", "direct", 0, &[])),
        ((40, 20), args().u16(0).short("x").u8(0)),
        ((40, 30), bind()),
        ((40, 40), bind()),
        ((50, 10), declare_queue("q", 0, &[])),
        ((50, 20), bind_queue("q", "amq.fanout", "")),
        ((50, 30), args().u16(0).short("q").u8(0)),
        ((50, 40), args().u16(0).short("missing").u8(0)),
        ((50, 50), args().u16(0).short("q").short("amq.fanout").short("").table(&[])),
        ((60, 10), qos(1, false)),
        ((60, 20), consume("q", "", 0)),
        ((60, 30), args().short("t").u8(0)),
        ((60, 31), args().short("t")),
        ((60, 40), args().u16(0).short("").short("q").u8(0)),
        ((60, 70), get("q", true)),
        ((60, 80), ack(0, true)),
        ((60, 90), args().u64(1).u8(0)),
        ((60, 100), args().u8(1)),
        ((60, 110), args().u8(1)),
        ((60, 120), nack(0, 1)),
        ((85, 10), args().u8(0)),
        ((90, 10), args()),
        ((90, 20), args()),
        ((90, 30), args()),
    ];
    for id in FROM_BROKER {
        all.push((id, args()));
    }
    all
}

const FROM_BROKER: [(u16, u16); 29] = [
    (10, 10),
    (10, 20),
    (10, 30),
    (10, 41),
    (10, 60),
    (10, 61),
    (10, 71),
    (20, 11),
    (30, 11),
    (40, 11),
    (40, 21),
    (40, 31),
    (40, 51),
    (50, 11),
    (50, 21),
    (50, 31),
    (50, 41),
    (50, 51),
    (60, 11),
    (60, 21),
    (60, 50),
    (60, 60),
    (60, 71),
    (60, 72),
    (60, 111),
    (85, 11),
    (90, 11),
    (90, 21),
    (90, 31),
];

/// What a method is answered with: frames in words, `silence`, or `reset`.
fn answer(world: &mut World, client: usize, octets: &[u8]) -> String {
    let said = world.show(client, octets);
    let connection = &world.clients[client].connection;
    match (said.is_empty(), connection.is_finished() && connection.should_reset()) {
        (true, true) => "reset".to_owned(),
        (true, false) => "silence".to_owned(),
        _ => said.join(" | "),
    }
}

#[test]
fn the_table_has_every_method_there_is_once() {
    let mut ids: Vec<(u16, u16)> = methods().into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    let before = ids.len();
    ids.dedup();
    assert_eq!((before, ids.len()), (66, 66));
    // Whatever number is none of them is unknown.
    for class in 0..=100 {
        for id in 0..=130 {
            let known = ids.binary_search(&(class, id)).is_ok();
            let mut world = World::new();
            if known || (class % 5 != 0 && id % 10 != 0) {
                continue;
            }
            let client = world.open();
            assert_eq!(answer(&mut world, client, &method(1, class, id, args())), "reset");
        }
    }
}

#[test]
fn before_start_ok_and_tune_ok_only_those_are_understood() {
    for (id, arguments) in methods() {
        for channel in [0, 1] {
            let octets = method(channel, id.0, id.1, arguments.clone());
            let mut world = World::new();
            let client = world.accept();
            world.send(client, b"AMQP\0\0\x09\x01");
            let expected =
                if (channel, id) == (0, (10, 11)) { "method(10,30) ch=0" } else { "silence" };
            assert_eq!(answer(&mut world, client, &octets), expected, "starting: {id:?}");
            let ends = world.clients[client].connection.reason().is_some();
            assert_eq!(ends, expected == "silence", "starting: {id:?}");

            let mut world = World::new();
            let client = world.accept();
            world.send(client, b"AMQP\0\0\x09\x01");
            world.send(client, &start_ok("PLAIN", b"\0guest\0guest", &[]));
            assert_eq!(answer(&mut world, client, &octets), "silence", "tuning: {id:?}");
            let ends = world.clients[client].connection.reason().is_some();
            assert_eq!(ends, (channel, id) != (0, (10, 31)), "tuning: {id:?}");
        }
    }
}

#[test]
fn between_tune_ok_and_open_only_open_and_close_are_understood() {
    for (id, arguments) in methods() {
        let mut world = World::new();
        let client = world.accept();
        world.send(client, b"AMQP\0\0\x09\x01");
        world.send(client, &start_ok("PLAIN", b"\0guest\0guest", &[]));
        world.send(client, &method(0, 10, 31, args().u16(2047).u32(131_072).u16(0)));
        let said = answer(&mut world, client, &method(0, id.0, id.1, arguments));
        let expected = match id {
            (10, 40) => "method(10,41) ch=0".to_owned(),
            (10, 50) => "method(10,51) ch=0".to_owned(),
            (class, method) => format!(
                "conn.close 504 CHANNEL_ERROR - unexpected method in connection state opening \
                 failing=({class},{method})"
            ),
        };
        assert_eq!(said, expected, "{id:?}");
    }
}

#[test]
fn channel_zero_of_an_open_connection_knows_class_connection_only() {
    for (id, arguments) in methods() {
        let mut world = World::new();
        let client = world.connect();
        let said = answer(&mut world, client, &method(0, id.0, id.1, arguments));
        let expected = match id {
            (10, 50) => "method(10,51) ch=0".to_owned(),
            (10, 70) => "method(10,71) ch=0".to_owned(),
            (class, method) => format!(
                "conn.close 504 CHANNEL_ERROR - unexpected method in connection state running \
                 failing=({class},{method})"
            ),
        };
        assert_eq!(said, expected, "{id:?}");
    }
}

#[test]
fn a_channel_that_is_not_open_knows_open_only() {
    for ((class, id), arguments) in methods() {
        let mut world = World::new();
        let client = world.connect();
        let said = answer(&mut world, client, &method(1, class, id, arguments));
        let expected = match (class, id) {
            (20, 10) => "method(20,11) ch=1".to_owned(),
            _ => format!(
                "conn.close 504 CHANNEL_ERROR - expected 'channel.open' failing=({class},{id})"
            ),
        };
        assert_eq!(said, expected, "({class}, {id})");
    }
}

#[test]
fn an_open_channel_answers_each_method_by_its_own() {
    for ((class, id), arguments) in methods() {
        let mut world = World::new();
        let client = world.open();
        world.declare(client, "q");
        let said = answer(&mut world, client, &method(1, class, id, arguments));
        let foreign = class == 10
            || FROM_BROKER.contains(&(class, id))
            || matches!((class, id), (20, 21 | 41));
        let expected = match (class, id) {
            _ if foreign => format!(
                "conn.close 503 COMMAND_INVALID - unimplemented method failing=({class},{id})"
            ),
            (20, 10) => {
                "conn.close 504 CHANNEL_ERROR - second 'channel.open' seen failing=(20,10)".into()
            }
            (60, 90) => "chan.close 406 PRECONDITION_FAILED - unknown delivery tag 1 \
                         failing=(60,90)"
                .into(),
            (90, 20 | 30) => format!(
                "chan.close 406 PRECONDITION_FAILED - channel is not transactional \
                 failing=(90,{id})"
            ),
            // Basic.get of an empty queue; settles and publishes are not answered.
            (60, 70) => "method(60,72) ch=1".into(),
            (60, 31 | 40 | 80 | 100 | 120) => "silence".into(),
            _ => format!(
                "method({class},{}) ch=1",
                id + if (class, id) == (40, 40) { 11 } else { 1 }
            ),
        };
        assert_eq!(said, expected, "({class}, {id})");
    }
}

#[test]
fn a_closing_channel_drops_everything_but_the_end() {
    for ((class, id), arguments) in methods() {
        let mut world = World::new();
        let client = world.open();
        world.send(client, &method(1, 60, 80, ack(9, false)));
        let said = answer(&mut world, client, &method(1, class, id, arguments));
        let expected = match (class, id) {
            (20, 40) => "method(20,41) ch=1",
            // Which would wait for ever for its answer.
            (20, 10) => "conn.close 504 CHANNEL_ERROR - second 'channel.open' seen failing=(20,10)",
            _ => "silence",
        };
        assert_eq!(said, expected, "({class}, {id})");
        if (class, id) == (20, 10) {
            continue;
        }
        // Whatever it was, the connection lives.
        if (class, id) != (20, 41) {
            world.send(client, &method(1, 20, 41, args()));
        }
        world.open_channel(client, 1);
    }
}

#[test]
fn a_closing_connection_drops_everything_but_the_end() {
    for ((class, id), arguments) in methods() {
        for channel in [0, 1] {
            let mut world = World::new();
            let client = world.open();
            world.send(client, &method(1, 20, 10, args().short("")));
            let octets = method(channel, class, id, arguments.clone());
            let said = answer(&mut world, client, &octets);
            let expected =
                if (channel, class, id) == (0, 10, 50) { "method(10,51) ch=0" } else { "silence" };
            assert_eq!(said, expected, "({class}, {id})");
            let finished = world.clients[client].connection.is_finished();
            assert_eq!(finished, (channel, class, id) == (0, 10, 51), "({class}, {id})");
        }
    }
}

#[test]
fn where_content_is_due_every_method_is_unexpected() {
    for ((class, id), arguments) in methods() {
        let mut world = World::new();
        let client = world.open();
        world.send(client, &method(1, 60, 40, args().u16(0).short("").short("q").u8(0)));
        let said = answer(&mut world, client, &method(1, class, id, arguments));
        assert_eq!(
            said,
            "conn.close 505 UNEXPECTED_FRAME - expected content header for class 60, got non \
             content header frame instead failing=(60,40)",
            "({class}, {id})"
        );
    }
}

#[test]
fn where_a_body_is_due_every_method_is_unexpected() {
    for ((class, id), arguments) in methods() {
        let mut world = World::new();
        let client = world.open();
        world.send(client, &method(1, 60, 40, args().u16(0).short("").short("q").u8(0)));
        world.send(client, &header(1, 10, &[0, 0]));
        let said = answer(&mut world, client, &method(1, class, id, arguments));
        assert_eq!(
            said,
            "conn.close 505 UNEXPECTED_FRAME - expected content body, got non content body frame \
             instead failing=(60,40)",
            "({class}, {id})"
        );
    }
}

/// The channel has been switched to confirms, or to transactions: all but switching to the other
/// mode goes on as before, and commits and rollbacks are there in the second one.
#[test]
fn a_channel_of_either_mode_answers_each_method_by_its_own() {
    for (mode, selected, other) in [("confirm", (85, 10), (90, 10)), ("tx", (90, 10), (85, 10))] {
        for ((class, id), arguments) in methods() {
            let mut plain = World::new();
            let client = plain.open();
            plain.declare(client, "q");
            let expected = answer(&mut plain, client, &method(1, class, id, arguments.clone()));

            let mut world = World::new();
            let client = world.open();
            world.declare(client, "q");
            let select = if mode == "tx" { args() } else { args().u8(0) };
            world.send(client, &method(1, selected.0, selected.1, select));
            let said = answer(&mut world, client, &method(1, class, id, arguments));
            let expected = match (class, id) {
                _ if (class, id) == other => format!(
                    "chan.close 406 PRECONDITION_FAILED - cannot switch from {mode} to {} mode \
                     failing=({class},{id})",
                    if mode == "tx" { "confirm" } else { "tx" }
                ),
                (90, 20 | 30) if mode == "tx" => format!("method(90,{}) ch=1", id + 1),
                _ => expected,
            };
            assert_eq!(said, expected, "({class}, {id}) in mode {mode}");
        }
    }
}

#[test]
fn nothing_is_read_while_an_answer_is_awaited() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    let mut octets = method(1, 50, 10, declare_queue("r", 0, &[]));
    let first = octets.len();
    octets.extend(publish(1, "", "r", b"x"));
    let connection = &mut world.clients[client].connection;
    // The stand-in answers when the world turns, not before.
    assert_eq!(connection.receive(&octets, &mut world.broker), first);
    assert!(connection.is_waiting());
    assert_eq!(connection.receive(&octets[first..], &mut world.broker), 0);
    world.turn();
    let said = world.send(client, &octets[first..]);
    assert_eq!(said[0].id(), (50, 11));
    assert_eq!(world.broker.queue_named("r").ready.len(), 1);
}
