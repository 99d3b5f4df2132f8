//! Heartbeats, blocking, and all the ways to part.

use haremq_engine::topology::TopologyRequest;

use super::wire::{args, method, publish, Args};
use super::world::{consume, declare_queue, get, World};

fn close_args() -> Args {
    args().u16(200).short("bye").u16(0).u16(0)
}

#[test]
fn a_silent_client_with_one_second_hears_five_heartbeats_and_is_reset_after_three_seconds() {
    let mut world = World::new();
    let client = world.log_in("guest", "guest", &[], (2047, 131_072, 1), "/");
    let heartbeat = "frame type=8 ch=0 len=0".to_owned();
    let mut expected: Vec<_> =
        [500, 1000, 1500, 2000, 2500].map(|ms| (ms, heartbeat.clone())).into();
    expected.push((3000, "end".to_owned()));
    assert_eq!(world.wait(client, 8_000), expected);
    assert!(world.clients[client].connection.should_reset());
}

#[test]
fn a_client_that_beats_lives() {
    let mut world = World::new();
    let client = world.log_in("guest", "guest", &[], (2047, 131_072, 1), "/");
    for _ in 0..20 {
        world.send(client, &[8, 0, 0, 0, 0, 0, 0, 0xce]);
        assert!(!world.wait(client, 900).iter().any(|(_, event)| event == "end"));
    }
}

#[test]
fn a_clients_close_is_answered_and_the_socket_is_left_to_the_client() {
    let mut world = World::new();
    let client = world.open();
    assert_eq!(world.show(client, &method(0, 10, 50, close_args())), ["method(10,51) ch=0"]);
    assert!(!world.clients[client].connection.is_finished());
    assert_eq!(world.wait(client, 40_000), [(30_000, "end".to_owned())]);
    assert!(!world.clients[client].connection.should_reset());
}

#[test]
fn our_close_is_answered_and_all_else_is_dropped() {
    let mut world = World::new();
    let client = world.open();
    world.send(client, &method(1, 20, 10, args().short("")));
    let mut dropped = method(1, 50, 10, declare_queue("q", 0, &[]));
    dropped.extend(method(0, 10, 40, args().short("/").short("").u8(0)));
    assert_eq!(world.send(client, &dropped), []);
    world.send(client, &method(0, 10, 51, args()));
    assert!(world.clients[client].connection.is_finished());
    assert!(world.broker.topology.queue("/", "q").is_none());
}

#[test]
fn a_close_of_ours_waits_thirty_seconds_at_most() {
    let mut world = World::new();
    let client = world.open();
    world.send(client, &method(1, 20, 10, args().short("")));
    assert_eq!(world.wait(client, 40_000), [(30_000, "end".to_owned())]);
}

#[test]
fn an_operator_closes_with_his_reason() {
    let mut world = World::new();
    let client = world.open();
    world.clients[client].connection.shutdown("because", &mut world.broker);
    world.turn();
    let said: Vec<_> = world.heard(client).iter().map(ToString::to_string).collect();
    assert_eq!(said, ["conn.close 320 CONNECTION_FORCED - because failing=(0,0)"]);
}

#[test]
fn a_connection_ends_with_its_vhost() {
    let mut world = World::new();
    let client = world.open();
    world.broker.decide(&TopologyRequest::DeleteVhost { name: "/".into() }).expect("deleted");
    world.turn();
    let said: Vec<_> = world.heard(client).iter().map(ToString::to_string).collect();
    assert_eq!(said, ["conn.close 320 CONNECTION_FORCED - vhost '/' is deleted failing=(0,0)"]);
}

#[test]
fn exclusive_queues_are_gone_when_close_is_answered() {
    let mut world = World::new();
    let client = world.open();
    world.ask(client, 50, 10, declare_queue("mine", 4, &[]));
    let second = world.open();
    world.send(client, &method(0, 10, 50, close_args()));
    assert!(world.broker.topology.queue("/", "mine").is_none());
    world.declare(second, "mine");
}

#[test]
fn a_lost_socket_gives_everything_back() {
    let mut world = World::new();
    let client = world.open();
    world.ask(client, 50, 10, declare_queue("mine", 4, &[]));
    world.declare(client, "q");
    for text in ["a", "b", "c"] {
        world.send(client, &publish(1, "", "q", text.as_bytes()));
    }
    world.send(client, &method(1, 60, 70, get("q", false)));
    world.send(client, &method(1, 60, 20, consume("q", "", 0)));
    assert_eq!(world.broker.queue_named("q").unacked.len(), 3);
    world.hang_up(client);
    let queue = world.broker.queue_named("q");
    assert_eq!((queue.ready.len(), queue.unacked.len()), (3, 0));
    assert!(queue.ready.values().all(|message| message.redelivered));
    assert!(world.broker.topology.queue("/", "mine").is_none());
    assert_eq!(world.broker.forgotten.len(), 1);
    world.hang_up(client);
    assert_eq!(world.broker.forgotten.len(), 1, "released once");
}

#[test]
fn publishers_are_held_while_memory_is_short_and_told_so() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.broker.blocked = Some("low on memory");
    // Who does not publish hears nothing and may go on.
    let said = world.show(client, &method(1, 50, 10, declare_queue("q", 1, &[])));
    assert_eq!(said, ["method(50,11) ch=1"]);
    let said = world.send(client, &publish(1, "", "q", b"x")).remove(0);
    assert_eq!((said.id(), said.args()), ((10, 60), &b"\x0dlow on memory"[..]));
    assert_eq!(world.clients[client].connection.report().state, "blocked");
    assert_eq!(world.wait(client, 1_000), []);
    assert_eq!(world.broker.queue_named("q").ready.len(), 0);
    world.broker.blocked = None;
    let events = world.wait(client, 1_000);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].1, "method(10,61) ch=0");
    assert_eq!(world.broker.queue_named("q").ready.len(), 1);
}

#[test]
fn a_client_that_knows_nothing_of_blocking_is_held_and_not_told() {
    let mut world = World::new();
    let client = world.log_in("guest", "guest", &[], (2047, 131_072, 0), "/");
    world.open_channel(client, 1);
    world.declare(client, "q");
    world.broker.blocked = Some("low on disk");
    assert!(world.send(client, &publish(1, "", "q", b"x")).is_empty());
    assert_eq!(world.clients[client].connection.report().state, "blocked");
    world.broker.blocked = None;
    assert_eq!(world.wait(client, 1_000), []);
    assert_eq!(world.broker.queue_named("q").ready.len(), 1);
}

#[test]
fn update_secret_is_answered() {
    let mut world = World::new();
    let client = world.connect();
    let said = world.show(client, &method(0, 10, 70, args().long(b"new").short("renewed")));
    assert_eq!(said, ["method(10,71) ch=0"]);
}

#[test]
fn a_client_that_does_not_listen_is_not_listened_to() {
    let mut world = World::new();
    world.settings.output_high_water_bytes = 1000;
    let client = world.open();
    world.write_size = 0;
    let declare = method(1, 50, 10, declare_queue("q", 0, &[]));
    for _ in 0..100 {
        world.send(client, &declare);
    }
    let connection = &world.clients[client].connection;
    assert!(!connection.wants_input());
    assert!(connection.output().len() < 1_100);
    world.write_size = usize::MAX;
    world.turn();
    assert_eq!(world.heard(client).len(), 100);
}
