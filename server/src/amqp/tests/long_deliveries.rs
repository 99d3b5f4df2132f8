//! Messages whose bodies come in pieces: what is said around them, and what ends them.

use haremq_engine::ids::{ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{BodyPiece, Delivery, DeliveryTo, LongDelivery};
use haremq_engine::message::MessageRef;

use super::wire::{args, method, Said};
use super::world::{consume, World};

const FROM: ShardId = ShardId(0);

/// A client that consumes on channel 1, with another one open.
fn consuming() -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    world.ask(client, 60, 20, consume("q", "t", 0));
    world.open_channel(client, 2);
    (world, client)
}

fn begin(world: &mut World, reading: u64, body_bytes: u64) {
    let connection = ConnectionId::new(ShardId(0), 1);
    let consumer = ConsumerKey { connection, channel: 1, serial: 1 };
    let message = MessageRef {
        exchange: b"",
        routing_key: b"q",
        properties: &[0, 0],
        body: &[],
        persistent: false,
        priority: 0,
        expiration_ms: None,
    };
    let to = DeliveryTo::Consumer { consumer, no_ack: false };
    let (queue, seq) = (QueueId(1), Seq(reading));
    let delivery = Delivery { to, queue, seq, redelivered: false, message };
    let long = LongDelivery { delivery, body_bytes, reading };
    world.clients[0].connection.deliver_long(FROM, &long, world.broker.now);
    world.turn();
}

fn piece(world: &mut World, reading: u64, octets: &[u8]) {
    let connection = ConnectionId::new(ShardId(0), 1);
    let piece = BodyPiece { connection, reading, octets };
    world.clients[0].connection.piece(FROM, &piece);
    world.turn();
}

fn shown(said: &[Said]) -> Vec<String> {
    said.iter().map(Said::to_string).collect()
}

#[test]
fn pieces_are_asked_for_one_by_one_and_are_frames_of_one_content() {
    let (mut world, client) = consuming();
    begin(&mut world, 7, 5);
    assert_eq!(world.broker.wanted_pieces, [7]);
    let said = world.heard(client);
    assert_eq!((said[0].id(), said.len()), ((60, 60), 2), "{:?}", shown(&said));
    assert_eq!(said[1].payload[4..12], 5_u64.to_be_bytes());
    piece(&mut world, 7, b"abc");
    assert_eq!(world.broker.wanted_pieces, [7, 7]);
    assert_eq!(world.heard(client)[0].payload, b"abc");
    piece(&mut world, 7, b"de");
    assert_eq!(world.broker.wanted_pieces, [7, 7], "it is whole");
    assert_eq!(world.heard(client)[0].payload, b"de");
}

#[test]
fn a_channel_answers_behind_its_body_and_others_do_at_once() {
    let (mut world, client) = consuming();
    begin(&mut world, 7, 5);
    world.heard(client);
    piece(&mut world, 7, b"abc");
    world.heard(client);
    let elsewhere = world.send(client, &method(2, 60, 10, args().u32(0).u16(1).u8(0)));
    assert_eq!(shown(&elsewhere), ["method(60,11) ch=2"]);
    // The consumer is cancelled and the channel closed and opened again in the middle.
    let mut octets = method(1, 60, 30, args().short("t").u8(0));
    octets.extend(method(1, 20, 40, args().u16(200).short("").u16(0).u16(0)));
    octets.extend(method(1, 20, 10, args().short("")));
    assert_eq!(shown(&world.send(client, &octets)), Vec::<String>::new());
    piece(&mut world, 7, b"de");
    let said = world.heard(client);
    assert_eq!(said[0].payload, b"de");
    assert_eq!(
        said.iter().skip(1).map(Said::id).collect::<Vec<_>>(),
        [(60, 31), (20, 41), (20, 11)]
    );
}

#[test]
fn a_second_body_of_a_channel_follows_the_first_one() {
    let (mut world, client) = consuming();
    begin(&mut world, 7, 3);
    begin(&mut world, 8, 2);
    assert_eq!(world.broker.wanted_pieces, [7], "a body that waits takes no memory");
    piece(&mut world, 7, b"abc");
    assert_eq!(world.broker.wanted_pieces, [7, 8]);
    piece(&mut world, 8, b"de");
    let said = world.heard(client);
    let ids: Vec<_> = said.iter().filter(|one| one.kind == 1).map(Said::id).collect();
    assert_eq!(ids, [(60, 60), (60, 60)]);
    let bodies: Vec<_> =
        said.iter().filter(|one| one.kind == 3).map(|one| &one.payload[..]).collect();
    assert_eq!(bodies, [&b"abc"[..], b"de"]);
}

/// The close is answered at once, and what comes after it is not said.
#[test]
fn a_connection_that_is_closed_in_the_middle_says_no_more_of_the_body() {
    let (mut world, client) = consuming();
    begin(&mut world, 7, 5);
    world.heard(client);
    let close = method(0, 10, 50, args().u16(200).short("").u16(0).u16(0));
    assert_eq!(shown(&world.send(client, &close)), ["method(10,51) ch=0"]);
    piece(&mut world, 7, b"abcde");
    assert_eq!(world.heard(client), []);
    assert!(!world.broker.forgotten.is_empty(), "shards read no more of it");
}

#[test]
fn a_body_that_finds_nobody_is_not_read_and_its_message_goes_back() {
    let (mut world, client) = consuming();
    world.ask(client, 60, 30, args().short("t").u8(0));
    begin(&mut world, 7, 5);
    assert_eq!(world.heard(client), []);
    assert_eq!(world.broker.ended_readings, [7]);
    assert_eq!(world.broker.settles.len(), 1);
}
