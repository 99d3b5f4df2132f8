//! Direct reply-to.

use super::wire::{args, method, property, publish, publish_with, split_short, PLAIN, REPLY_TO};
use super::world::{consume, declare_queue, get, World};

const PSEUDO: &str = "amq.rabbitmq.reply-to";

fn request(queue: &str) -> Vec<u8> {
    publish_with(1, "", queue, 0, &property(REPLY_TO, PSEUDO), b"ping")
}

#[test]
fn a_reply_finds_the_channel_that_asked() {
    let mut world = World::new();
    let asker = world.open();
    world.declare(asker, "rpc");
    let said = world.ask(asker, 60, 20, consume(PSEUDO, "t", 2));
    assert_eq!((said.id(), said.args()), ((60, 21), &b"\x01t"[..]));
    assert_eq!(world.send(asker, &request("rpc")), []);
    let server = world.open();
    let said = world.send(server, &method(1, 60, 70, get("rpc", true)));
    // The header: twelve octets, flags, then reply-to.
    let (reply_to, _) = split_short(&said[1].payload[14..]);
    assert!(reply_to.starts_with("amq.rabbitmq.reply-to."), "{reply_to}");
    assert_eq!(said[1].payload[12..14], REPLY_TO.to_be_bytes());
    world.send(server, &publish(1, "", &reply_to, b"pong"));
    let said = world.heard(asker);
    assert_eq!(said[0].id(), (60, 60));
    assert_eq!(said[2].payload, b"pong");
    // The asker gone, so is the way to it.
    world.hang_up(asker);
    assert!(world.broker.topology.queue("/", &reply_to).is_none());
}

#[test]
fn other_replies_are_nobodys_business() {
    let mut world = World::new();
    let client = world.open();
    world.declare(client, "rpc");
    let octets = publish_with(1, "", "rpc", 0, &property(REPLY_TO, "my.queue"), b"ping");
    assert_eq!(world.send(client, &octets), []);
    let message = world.broker.queue_named("rpc").ready.values().next().expect("a message");
    assert_eq!(message.properties, property(REPLY_TO, "my.queue"));
}

#[test]
fn what_is_refused() {
    let none = "chan.close 406 PRECONDITION_FAILED - fast reply consumer does not exist \
                failing=(60,40)";
    let acks = "chan.close 406 PRECONDITION_FAILED - reply consumer cannot acknowledge \
                failing=(60,20)";
    let twice = "chan.close 406 PRECONDITION_FAILED - reply consumer already set failing=(60,20)";
    let consume_no_ack = method(1, 60, 20, consume(PSEUDO, "", 2));
    for (before, octets, expected) in [
        (Vec::new(), request("rpc"), none),
        (Vec::new(), method(1, 60, 20, consume(PSEUDO, "", 0)), acks),
        (consume_no_ack.clone(), consume_no_ack, twice),
    ] {
        let mut world = World::new();
        let client = world.open();
        world.declare(client, "rpc");
        world.send(client, &before);
        assert_eq!(world.show(client, &octets), [expected]);
    }
}

#[test]
fn a_cancelled_reply_consumer_may_be_followed_by_another_one() {
    let mut world = World::new();
    let client = world.open();
    world.ask(client, 60, 20, consume(PSEUDO, "t", 2));
    assert_eq!(world.ask(client, 60, 30, args().short("t").u8(0)).id(), (60, 31));
    assert_eq!(world.ask(client, 60, 20, consume(PSEUDO, "t", 2)).id(), (60, 21));
}

#[test]
fn declaring_the_pseudo_queue_asks_whether_somebody_listens() {
    let mut world = World::new();
    let client = world.open();
    let said = world.ask(client, 50, 10, declare_queue(PSEUDO, 1, &[]));
    assert_eq!(said.id(), (50, 11));
    assert_eq!(said.args()[1 + PSEUDO.len()..], [0, 0, 0, 0, 0, 0, 0, 1]);
    let gone = "amq.rabbitmq.reply-to.abc";
    assert_eq!(
        world.show(client, &method(1, 50, 10, declare_queue(gone, 1, &[]))),
        [format!("chan.close 404 NOT_FOUND - no queue '{gone}' in vhost '/' failing=(50,10)")]
    );
}

/// Behaviour B20, as RabbitMQ 3.10 has it.
#[test]
fn a_mandatory_reply_comes_back_when_nobody_listens_any_more() {
    let mut world = World::new();
    let asker = world.open();
    world.declare(asker, "rpc");
    world.ask(asker, 60, 20, consume(PSEUDO, "t", 2));
    world.send(asker, &request("rpc"));
    let server = world.open();
    let said = world.send(server, &method(1, 60, 70, get("rpc", true)));
    let (reply_to, _) = split_short(&said[1].payload[14..]);
    let reply = publish_with(1, "", &reply_to, 1, PLAIN, b"pong");
    assert_eq!(world.send(server, &reply), [], "it has arrived");
    assert_eq!(world.heard(asker).last().map(|said| said.payload.clone()), Some(b"pong".to_vec()));
    world.hang_up(asker);
    let said = world.send(server, &reply);
    assert_eq!(said.first().map(|said| said.id()), Some((60, 50)), "basic.return");
    assert_eq!(said.last().map(|said| said.payload.clone()), Some(b"pong".to_vec()));
}
