//! Connections that follow their messages to another shard: nothing is lost, doubled or out of
//! order, whatever they were in the middle of. The first queue of a world is on shard 1, the
//! connections begin on shard 0.

use haremq_engine::ids::ShardId;
use proptest::prelude::*;

use super::wire::{args, body, header, method, publish, Said, PLAIN};
use super::world::{ack, consume, get, World};

/// More publishes than it takes to be drawn to another shard.
const MANY: usize = 100;

fn world() -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "q");
    assert_eq!(world.broker.topology.queue("/", "q").map(|queue| queue.owner), Some(ShardId(1)));
    (world, client)
}

fn numbered(range: std::ops::Range<usize>) -> Vec<u8> {
    range.flat_map(|number| publish(1, "", "q", number.to_string().as_bytes())).collect()
}

/// Bodies in the queue, in order.
fn bodies(world: &World) -> Vec<String> {
    let queue = world.broker.queue_named("q");
    queue.ready.values().map(|m| String::from_utf8_lossy(&m.body).into_owned()).collect()
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Publish numbers behind `last` that acks have confirmed, in order, each `multiple` spelled out.
fn confirmed(said: &[Said], last: usize) -> Vec<u64> {
    let (mut all, last) = (Vec::new(), last as u64);
    for said in said.iter().filter(|said| said.id() == (60, 80)) {
        let tag = u64::from_be_bytes(*said.args().first_chunk().expect("a tag"));
        match said.args()[8] {
            0 => all.push(tag),
            _ => all.extend(all.last().copied().unwrap_or(last) + 1..=tag),
        }
    }
    all
}

#[test]
fn a_consumer_is_set_up_on_the_shard_of_its_queue() {
    let (mut world, client) = world();
    world.send(client, &numbered(0..3));
    let said = world.send(client, &method(1, 60, 20, consume("q", "tag", 0)));
    assert_eq!(said.iter().filter(|said| said.id() == (60, 21)).count(), 1);
    assert_eq!(said.iter().filter(|said| said.id() == (60, 60)).count(), 3);
    assert_eq!(world.moves, 1);
    world.send(client, &method(1, 60, 80, ack(3, true)));
    let of_shard = |consumer: haremq_engine::ids::ConsumerKey| consumer.connection.shard();
    let settles = &world.broker.settles;
    assert_eq!(settles.len(), 3);
    assert!(settles.iter().all(|(_, consumer, _)| consumer.map(of_shard) == Some(ShardId(1))));
    assert!(world.broker.queue_named("q").unacked.is_empty());
}

#[test]
fn a_publisher_follows_its_messages_and_their_order_and_confirms_go_on() {
    let (mut world, client) = world();
    world.ask(client, 85, 10, args().u8(0));
    let said = world.send(client, &numbered(0..MANY));
    assert_eq!(world.moves, 1);
    assert_eq!(confirmed(&said, 0), (1..=MANY as u64).collect::<Vec<_>>());
    let said = world.send(client, &numbered(MANY..2 * MANY));
    let numbers: Vec<_> = (MANY as u64 + 1..=2 * MANY as u64).collect();
    assert_eq!(confirmed(&said, MANY), numbers);
    assert_eq!(bodies(&world), expected(2 * MANY));
    assert_eq!(world.moves, 1, "it is where it belongs");
}

#[test]
fn one_that_works_for_two_shards_stays() {
    let (mut world, client) = world();
    world.declare(client, "other");
    let mut octets = Vec::new();
    for _ in 0..10 * MANY {
        octets.extend(publish(1, "", "q", b"x"));
        octets.extend(publish(1, "", "other", b"x"));
    }
    world.send(client, &octets);
    assert_eq!(world.moves, 0);
}

#[test]
fn one_that_goes_back_and_forth_comes_to_rest() {
    let (mut world, client) = world();
    world.declare(client, "other");
    for _ in 0..20 {
        for queue in ["q", "other"] {
            let octets: Vec<u8> = (0..MANY).flat_map(|_| publish(1, "", queue, b"x")).collect();
            world.send(client, &octets);
        }
    }
    assert!((1..3).contains(&world.moves), "{} moves", world.moves);
    for queue in ["q", "other"] {
        assert_eq!(world.broker.queue_named(queue).ready.len(), 20 * MANY);
    }
}

#[test]
fn an_unsettled_delivery_holds_it_until_it_is_settled() {
    let (mut world, client) = world();
    world.send(client, &publish(1, "", "q", b"got"));
    world.send(client, &method(1, 60, 70, get("q", false)));
    world.send(client, &numbered(0..MANY));
    assert_eq!(world.moves, 0);
    world.send(client, &method(1, 60, 80, ack(1, false)));
    assert!(world.broker.queue_named("q").unacked.is_empty(), "the ack has found its delivery");
    world.send(client, &numbered(MANY..20 * MANY));
    assert_eq!(world.moves, 1);
    assert_eq!(bodies(&world), expected(20 * MANY));
}

#[test]
fn one_that_waits_for_a_message_does_not_set_out() {
    let (mut world, client) = world();
    let mut octets = numbered(0..MANY);
    octets.extend(method(1, 60, 70, get("q", false)));
    let mut rest = numbered(MANY..MANY + 1);
    // All but the last octet, so that the tally is looked at while the get is unanswered.
    let last = rest.split_off(rest.len() - 1);
    octets.extend(rest);
    world.send(client, &octets);
    world.send(client, &last);
    assert_eq!(world.moves, 0);
    assert_eq!(bodies(&world).len(), MANY, "input does not stand still");
}

#[test]
fn consumers_hold_it_and_what_they_are_given_is_neither_lost_nor_doubled() {
    let (mut world, client) = world();
    world.declare(client, "other");
    world.send(client, &method(1, 60, 20, consume("other", "tag", 0)));
    assert_eq!(world.moves, 0, "it is on the shard of that queue");
    world.send(client, &numbered(0..20 * MANY));
    assert_eq!(world.moves, 0);
    let said = world.send(client, &publish(1, "", "other", b"x"));
    assert_eq!(said.iter().filter(|said| said.id() == (60, 60)).count(), 1);
    assert_eq!(bodies(&world), expected(20 * MANY));
}

#[test]
fn exclusive_queues_hold_it() {
    let (mut world, client) = world();
    world.ask(client, 50, 10, super::world::declare_queue("mine", 4, &[]));
    world.send(client, &numbered(0..20 * MANY));
    world.send(client, &method(1, 60, 20, consume("q", "tag", 2)));
    assert_eq!(world.moves, 0);
    world.hang_up(client);
    assert!(world.broker.topology.queue("/", "mine").is_none());
}

#[test]
fn a_transaction_moves_with_what_it_holds_back() {
    let (mut world, client) = world();
    world.send(client, &numbered(0..MANY / 2));
    assert_eq!(world.ask(client, 90, 10, args()).id(), (90, 11));
    for part in [MANY / 2..2 * MANY, 2 * MANY..3 * MANY] {
        world.send(client, &numbered(part.clone()));
        assert_eq!(bodies(&world).len(), part.start, "held back");
        assert_eq!(world.show(client, &method(1, 90, 20, args())), ["method(90,21) ch=1"]);
    }
    assert_eq!(world.moves, 1);
    assert_eq!(bodies(&world), expected(3 * MANY));
}

#[test]
fn a_message_of_which_half_has_come_is_finished_on_the_new_shard() {
    let (mut world, client) = world();
    world.open_channel(client, 2);
    let args = args().u16(0).short("").short("q").u8(0);
    let mut octets = method(2, 60, 40, args);
    octets.extend(header(2, 6, PLAIN));
    octets.extend(body(2, b"one"));
    octets.extend(numbered(0..MANY));
    let second = body(2, b"two");
    octets.extend(&second[..4]);
    world.send(client, &octets);
    assert_eq!(world.moves, 1);
    world.send(client, &second[4..]);
    assert_eq!(bodies(&world).last().map(String::as_str), Some("onetwo"));
    assert_eq!(bodies(&world).len(), MANY + 1);
}

#[test]
fn a_blocked_publisher_moves_when_it_may_go_on() {
    let (mut world, client) = world();
    world.broker.blocked = Some("low on memory");
    world.send(client, &numbered(0..MANY));
    assert_eq!((world.moves, bodies(&world).len()), (0, 0));
    world.broker.blocked = None;
    let said = world.wait(client, 500);
    assert!(said.iter().any(|(_, said)| said.contains("(10,61)")), "{said:?}");
    assert_eq!((world.moves, bodies(&world)), (1, expected(MANY)));
}

#[test]
fn one_whose_confirms_do_not_come_goes_on_where_it_is() {
    let (mut world, client) = world();
    world.ask(client, 85, 10, args().u8(0));
    world.broker.hold_confirms = true;
    world.send(client, &numbered(0..MANY));
    let before = bodies(&world).len();
    world.send(client, &numbered(MANY..2 * MANY));
    assert_eq!(bodies(&world).len(), before, "input stands still while it is to move");
    world.wait(client, 300);
    assert_eq!((world.moves, bodies(&world)), (0, expected(2 * MANY)));
    world.broker.release_confirms();
    let confirmed = confirmed(&world.send(client, b""), 0);
    assert_eq!(confirmed, (1..=2 * MANY as u64).collect::<Vec<_>>());
}

#[test]
fn one_that_is_closed_while_it_waits_to_move_says_goodbye() {
    let (mut world, client) = world();
    world.ask(client, 85, 10, args().u8(0));
    world.broker.hold_confirms = true;
    world.send(client, &numbered(0..MANY));
    assert!(world.clients[client].connection.destination().is_some());
    let World { clients, broker, .. } = &mut world;
    clients[client].connection.shutdown("maintenance", broker);
    let said = world.show(client, &method(0, 10, 51, args()));
    assert!(said[0].starts_with("conn.close 320"), "{said:?}");
    assert!(world.clients[client].connection.is_finished());
}

#[test]
fn the_shards_it_leaves_forget_it() {
    let (mut world, client) = world();
    world.send(client, &publish(1, "", "q", b"x"));
    world.send(client, &method(1, 60, 70, get("q", true)));
    world.send(client, &method(1, 60, 20, consume("q", "tag", 0)));
    let forgotten: Vec<_> =
        world.broker.forgotten.iter().map(|(id, shard)| (id.shard().0, shard.0)).collect();
    assert_eq!(forgotten, [(0, 1)], "its old name, where it had asked for a message");
    assert_eq!(world.moves, 1);
}

/// What a client does, for the same thing to be done with and without moving.
#[derive(Clone, Debug)]
enum Act {
    Publish(u8),
    /// A body in three frames.
    PublishLarge,
    Get,
    AckAll,
    Consume,
    Cancel,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1u8..120).prop_map(Act::Publish),
        1 => Just(Act::PublishLarge),
        1 => Just(Act::Get),
        1 => Just(Act::AckAll),
        1 => Just(Act::Consume),
        1 => Just(Act::Cancel),
    ];
    prop::collection::vec(act, 1..25)
}

fn script(acts: &[Act]) -> Vec<u8> {
    let mut octets = method(1, 85, 10, args().u8(0));
    let (mut number, mut consuming) = (0, false);
    for act in acts {
        match act {
            Act::Publish(count) => {
                octets.extend(numbered(number..number + usize::from(*count)));
                number += usize::from(*count);
            }
            Act::PublishLarge => {
                octets.extend(method(1, 60, 40, args().u16(0).short("").short("q").u8(0)));
                octets.extend(header(1, 9, PLAIN));
                ["lar", "ge ", "one"].iter().for_each(|part| {
                    octets.extend(body(1, part.as_bytes()));
                });
            }
            Act::Get => octets.extend(method(1, 60, 70, get("q", false))),
            Act::AckAll => octets.extend(method(1, 60, 80, ack(0, true))),
            Act::Consume if !std::mem::replace(&mut consuming, true) => {
                octets.extend(method(1, 60, 20, consume("q", "tag", 0)));
            }
            Act::Cancel if std::mem::take(&mut consuming) => {
                octets.extend(method(1, 60, 30, args().short("tag").u8(0)));
            }
            Act::Consume | Act::Cancel => {}
        }
    }
    octets.extend(method(1, 60, 80, ack(0, true)));
    octets
}

/// What came of it.
#[derive(Debug)]
struct Played {
    /// Everything but confirms.
    heard: Vec<Said>,
    confirmed: Vec<u64>,
    /// Bodies in the queue at the end.
    left: Vec<String>,
    /// Messages in the queue, with the client, and acknowledged.
    messages: usize,
    moves: usize,
}

/// Sends octets in pieces.
fn played(octets: &[u8], moves: bool, pieces: &[usize], write_size: usize) -> Played {
    let (mut world, client) = world();
    world.broker.moves = moves;
    world.write_size = write_size;
    let (mut rest, mut heard) = (octets, Vec::new());
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        heard.extend(world.send(client, now));
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    let confirmed = confirmed(&heard, 0);
    heard.retain(|said| said.id() != (60, 80));
    let (left, unacked) = (bodies(&world), world.broker.queue_named("q").unacked.len());
    let messages = left.len() + unacked + world.broker.settles.len();
    Played { heard, confirmed, left, messages, moves: world.moves }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A client cannot tell whether it was moved, however its octets were cut and taken.
    #[test]
    fn a_client_cannot_tell_that_it_was_moved(
        acts in acts(),
        pieces in prop::collection::vec(1usize..5000, 1..20),
        write_size in prop_oneof![Just(usize::MAX), 1usize..2000],
    ) {
        let octets = script(&acts);
        let stayed = played(&octets, false, &[usize::MAX], usize::MAX);
        prop_assert_eq!(stayed.moves, 0);
        let moved = played(&octets, true, &pieces, write_size);
        prop_assert_eq!(&stayed.confirmed, &moved.confirmed);
        prop_assert_eq!(stayed.messages, moved.messages);
        // What a consumer is given before it is cancelled depends on when octets came, moved or
        // not; without one everything is the same to the last octet.
        if !acts.iter().any(|act| matches!(act, Act::Consume)) {
            prop_assert_eq!(stayed.heard, moved.heard);
            prop_assert_eq!(stayed.left, moved.left);
        }
    }
}
