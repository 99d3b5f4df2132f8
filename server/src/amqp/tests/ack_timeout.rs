//! Deliveries that nobody acknowledges in time.

use haremq_engine::mail::Outcome;
use haremq_engine::table::Value;
use haremq_engine::topology::TopologyRequest;

use super::wire::{args, method, publish};
use super::world::{ack, consume, declare_queue, get, World};

fn refusal(ms: u64) -> String {
    format!(
        "chan.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. \
         Timeout value used: {ms} ms. This timeout value can be configured, see consumers doc \
         guide to learn more failing=(0,0)"
    )
}

/// A client with a consumer of a queue with these arguments, which has `count` messages.
fn consuming(world: &mut World, arguments: &[(&str, Value)], count: usize) -> usize {
    let client = world.open();
    world.ask(client, 50, 10, declare_queue("q", 0, arguments));
    world.ask(client, 60, 10, args().u32(0).u16(1).u8(0));
    world.send(client, &method(1, 60, 20, consume("q", "c", 0)));
    for at in 0..count {
        world.send(client, &publish(1, "", "q", &[at as u8]));
    }
    client
}

#[test]
fn a_channel_that_keeps_a_delivery_too_long_is_closed() {
    let mut world = World::new();
    world.settings.consumer_timeout_ms = 1_000;
    let client = consuming(&mut world, &[], 1);
    let events = world.wait(client, 3_000);
    let (at, said) = events.first().expect("a close").clone();
    assert_eq!(said, refusal(1_000));
    assert!((1_000..1_400).contains(&at), "closed after {at} ms");
    assert_eq!(world.broker.queue_named("q").ready.len(), 1, "the message is back");
}

#[test]
fn who_acknowledges_in_time_hears_nothing() {
    let mut world = World::new();
    world.settings.consumer_timeout_ms = 1_000;
    let client = consuming(&mut world, &[], 8);
    for tag in 1..=8 {
        let events = world.wait(client, 800);
        assert!(events.iter().all(|(_, said)| !said.contains("close")), "{events:?}");
        world.send(client, &method(1, 60, 80, ack(tag, false)));
    }
    assert_eq!(world.broker.queue_named("q").ready.len(), 0);
    assert_eq!(world.wait(client, 5_000), []);
}

#[test]
fn a_message_that_was_fetched_has_no_more_time_than_one_that_was_sent() {
    let mut world = World::new();
    world.settings.consumer_timeout_ms = 500;
    let client = world.open();
    world.declare(client, "q");
    world.send(client, &publish(1, "", "q", b"x"));
    world.send(client, &method(1, 60, 70, get("q", false)));
    let events = world.wait(client, 2_000);
    assert_eq!(events.first().map(|(_, said)| said.clone()), Some(refusal(500)));
}

#[test]
fn a_queue_or_its_policy_may_allow_less() {
    let mut world = World::new();
    let client = consuming(&mut world, &[("x-consumer-timeout", Value::I32(2_000))], 1);
    let policy = TopologyRequest::SetPolicy {
        vhost: "/".into(),
        name: "p".into(),
        operator: false,
        pattern: "".into(),
        apply_to: "queues".into(),
        priority: 0,
        definition: super::wire::table(&[("consumer-timeout", Value::I64(700))]).into(),
    };
    world.broker.decide(&policy).expect("a policy");
    let events = world.wait(client, 3_000);
    assert_eq!(events.first().map(|(_, said)| said.clone()), Some(refusal(700)));
}

#[test]
fn nothing_times_out_where_there_is_no_limit() {
    let mut world = World::new();
    world.settings.consumer_timeout_ms = 0;
    let client = consuming(&mut world, &[], 1);
    assert_eq!(world.wait(client, 10_000), []);
}

#[test]
fn where_the_queue_says_so_only_the_message_goes_back() {
    let mut world = World::new();
    let arguments = [
        ("x-consumer-timeout", Value::I32(500)),
        ("x-consumer-timeout-action", Value::text("requeue")),
    ];
    let client = consuming(&mut world, &arguments, 2);
    world.broker.settles.clear();
    assert_eq!(world.wait(client, 2_000), [], "no message goes to one that is silent");
    let queue = world.broker.queue_named("q");
    assert_eq!((queue.ready.len(), queue.unacked.len()), (2, 0));
    assert_eq!(world.broker.settles.len(), 1);
    let (_, consumer, outcome) = world.broker.settles[0];
    assert_eq!((consumer, outcome), (None, Outcome::Requeue));
    // Somebody else gets it.
    let other = world.open();
    world.send(other, &method(1, 60, 70, get("q", false)));
    // The late acknowledgement is taken, changes nothing at the queue, and the consumer goes on.
    let said = world.show(client, &method(1, 60, 80, ack(1, false)));
    assert!(said.iter().any(|said| said.contains("(60,60)")), "{said:?}");
    let queue = world.broker.queue_named("q");
    assert_eq!((queue.ready.len(), queue.unacked.len()), (0, 2));
    world.send(client, &method(1, 60, 80, ack(2, false)));
    let said = world.show(client, &method(1, 60, 80, ack(1, false)));
    assert!(said[0].contains("unknown delivery tag 1"), "{said:?}");
}
