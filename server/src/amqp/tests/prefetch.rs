//! basic.qos: how much is delivered before it is acknowledged.

use super::wire::{args, method, publish, Said};
use super::world::{ack, consume, qos, World};

fn with_messages(count: u8) -> (World, usize) {
    let mut world = World::new();
    let client = world.open();
    for name in ["q", "r"] {
        world.declare(client, name);
    }
    for number in 0..count {
        world.send(client, &publish(1, "", "q", &[number]));
    }
    (world, client)
}

/// Deliveries by consumer tag `x` and `y`.
fn deliveries(said: &[Said]) -> (usize, usize) {
    let of =
        |tag: u8| said.iter().filter(|said| said.id() == (60, 60) && said.args()[1] == tag).count();
    (of(b'x'), of(b'y'))
}

fn set(world: &mut World, client: usize, count: u16, global: bool) -> Vec<Said> {
    let said = world.send(client, &method(1, 60, 10, qos(count, global)));
    assert_eq!(said[0].id(), (60, 11));
    said
}

#[test]
fn a_limit_by_octets_is_refused() {
    let (mut world, client) = with_messages(0);
    let octets = method(1, 60, 10, args().u32(100).u16(0).u8(0));
    assert_eq!(
        world.show(client, &octets),
        ["conn.close 540 NOT_IMPLEMENTED - prefetch_size!=0 (100) failing=(60,10)"]
    );
}

#[test]
fn a_prefetch_is_for_each_consumer_that_starts_afterwards() {
    let (mut world, client) = with_messages(20);
    set(&mut world, client, 3, false);
    let x = world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    set(&mut world, client, 5, false);
    let y = world.send(client, &method(1, 60, 20, consume("q", "y", 0)));
    assert_eq!((deliveries(&x), deliveries(&y)), ((3, 0), (0, 5)));
}

#[test]
fn an_auto_ack_consumer_has_no_prefetch() {
    let (mut world, client) = with_messages(20);
    set(&mut world, client, 3, false);
    let said = world.send(client, &method(1, 60, 20, consume("q", "x", 2)));
    assert_eq!(deliveries(&said), (20, 0));
}

#[test]
fn a_global_prefetch_is_shared_by_all_consumers_of_the_channel() {
    let (mut world, client) = with_messages(20);
    set(&mut world, client, 4, true);
    let mut said = world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    said.extend(world.send(client, &method(1, 60, 20, consume("q", "y", 0))));
    let (x, y) = deliveries(&said);
    assert_eq!(x + y, 4);
    // Each ack makes room for one, whoever gets it.
    let (x, y) = deliveries(&world.send(client, &method(1, 60, 80, ack(1, false))));
    assert_eq!(x + y, 1);
    let (x, y) = deliveries(&world.send(client, &method(1, 60, 80, ack(0, true))));
    assert_eq!(x + y, 4);
}

#[test]
fn a_global_prefetch_may_be_changed_at_any_time() {
    let (mut world, client) = with_messages(20);
    set(&mut world, client, 2, true);
    world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    let said = set(&mut world, client, 5, true);
    assert_eq!(deliveries(&said), (3, 0));
    // Lower: nothing more until enough is settled.
    set(&mut world, client, 1, true);
    assert_eq!(deliveries(&world.send(client, &method(1, 60, 80, ack(4, true)))), (0, 0));
    assert_eq!(deliveries(&world.send(client, &method(1, 60, 80, ack(5, false)))), (1, 0));
    // None: all.
    let (x, _) = deliveries(&set(&mut world, client, 0, true));
    assert_eq!(x, 14);
}

/// Clients that set a prefetch of each consumer on a channel that had a limit lost it in RabbitMQ,
/// where the limit stayed here and held back what they had asked for.
#[test]
fn a_prefetch_of_each_consumer_lifts_the_limit_of_the_channel() {
    let (mut world, client) = with_messages(20);
    set(&mut world, client, 2, true);
    let x = world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    assert_eq!(deliveries(&x), (2, 0));
    assert_eq!(deliveries(&set(&mut world, client, 3, false)), (18, 0), "x has no prefetch");
    for body in 0..5 {
        world.send(client, &publish(1, "", "r", &[body]));
    }
    let y = world.send(client, &method(1, 60, 20, consume("r", "y", 0)));
    assert_eq!(deliveries(&y), (0, 3));
}

#[test]
fn a_global_prefetch_holds_for_consumers_that_were_there_before_it() {
    let (mut world, client) = with_messages(40);
    set(&mut world, client, 10, false);
    let mut said = world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    said.extend(world.send(client, &method(1, 60, 20, consume("q", "y", 0))));
    said.extend(set(&mut world, client, 15, true));
    assert_eq!(deliveries(&said), (10, 10));
    // Twenty are held: five must go before another one comes.
    assert_eq!(deliveries(&world.send(client, &method(1, 60, 80, ack(5, true)))), (0, 0));
    let (x, y) = deliveries(&world.send(client, &method(1, 60, 80, ack(7, true))));
    assert_eq!(x + y, 2);
}

#[test]
fn an_idle_consumer_does_not_keep_the_share_of_a_busy_one() {
    let (mut world, client) = with_messages(0);
    set(&mut world, client, 1, true);
    world.send(client, &method(1, 60, 20, consume("r", "x", 0)));
    world.send(client, &method(1, 60, 20, consume("q", "y", 0)));
    // x has been served once, so that it may hold a grant it does not need.
    assert_eq!(deliveries(&world.send(client, &publish(1, "", "r", b"1"))), (1, 0));
    world.send(client, &method(1, 60, 80, ack(1, false)));
    for tag in 2..6 {
        assert_eq!(deliveries(&world.send(client, &publish(1, "", "q", b"2"))), (0, 1));
        world.send(client, &method(1, 60, 80, ack(tag, false)));
    }
}

#[test]
fn a_cancelled_consumer_leaves_its_share_to_others() {
    let (mut world, client) = with_messages(3);
    set(&mut world, client, 2, true);
    world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    world.send(client, &method(1, 60, 20, consume("r", "y", 0)));
    world.send(client, &publish(1, "", "r", b"1"));
    world.send(client, &method(1, 60, 30, args().short("x").u8(0)));
    // What x holds counts on until it is settled.
    assert_eq!(deliveries(&world.heard(client)), (0, 0));
    assert_eq!(deliveries(&world.send(client, &method(1, 60, 80, ack(1, false)))), (0, 1));
}

#[test]
fn gets_do_not_count() {
    let (mut world, client) = with_messages(5);
    set(&mut world, client, 1, true);
    world.send(client, &method(1, 60, 70, super::world::get("q", false)));
    let said = world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    assert_eq!(deliveries(&said), (1, 0));
}

#[test]
fn the_operator_changes_the_prefetch_of_consumers_that_are_at_work() {
    use crate::control::PrefetchOf;
    let (mut world, client) = with_messages(40);
    set(&mut world, client, 2, false);
    world.send(client, &method(1, 60, 20, consume("q", "x", 0)));
    world.send(client, &method(1, 60, 20, consume("q", "y", 0)));
    let change = |world: &mut World, channel, whose: PrefetchOf, prefetch| {
        let World { broker, clients, .. } = world;
        let there = clients[client].connection.change_prefetch(channel, &whose, prefetch, broker);
        world.turn();
        let said = world.heard(client);
        (there, deliveries(&said))
    };
    let of = |tag: &str| PrefetchOf::Consumer(tag.into());
    assert_eq!(change(&mut world, 1, of("x"), 5), (true, (3, 0)));
    assert_eq!(change(&mut world, 1, of("x"), 1), (true, (0, 0)), "what it holds stays");
    assert_eq!(change(&mut world, 1, PrefetchOf::EachConsumer, 6), (true, (1, 4)));
    assert_eq!(change(&mut world, 1, of("z"), 6), (false, (0, 0)), "no such consumer");
    assert_eq!(change(&mut world, 2, PrefetchOf::Channel, 6), (false, (0, 0)), "no such channel");
    // Twelve are held.
    let (there, (x, y)) = change(&mut world, 1, PrefetchOf::Channel, 13);
    assert_eq!((there, x + y), (true, 0), "each has its own limit, too");
    let (_, (x, y)) = change(&mut world, 1, PrefetchOf::EachConsumer, 0);
    assert_eq!(x + y, 1);
    let (_, (x, y)) = change(&mut world, 1, PrefetchOf::Channel, 0);
    assert_eq!(x + y, 27);
}
