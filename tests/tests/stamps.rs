//! What the operator has the broker write into messages: when they came, who routed them, when they were sent on.

use std::time::{SystemTime, UNIX_EPOCH};

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::wire::client::Delivery;
use haremq_tests::wire::{method, Arguments, Client};

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(now.as_millis()).expect("the clock is set")
}

/// The octets of a message's properties behind `name`.
fn behind<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a [u8]> {
    let octets = &delivery.properties;
    let at = octets.windows(name.len()).position(|window| window == name.as_bytes())?;
    Some(&octets[at + name.len()..])
}

/// The 64-bit number in that header.
fn number(delivery: &Delivery, name: &str) -> Option<u64> {
    let (kind, rest) = behind(delivery, name)?.split_first()?;
    assert_eq!(*kind, b'l', "{name} is a signed 64-bit number");
    Some(u64::from_be_bytes(*rest.first_chunk()?))
}

/// Publishes two messages to a new queue, one without properties, one with stamps of its own; gets them as they are
/// delivered to a consumer.
fn through(broker: &Broker) -> [Delivery; 2] {
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "q", 0);
    client.publish(1, "", "q", &[0, 0], b"bare").expect("taken");
    let own = Arguments::new().shortstr("timestamp_in_ms").octet(b'l').raw(&7_u64.to_be_bytes());
    let own = own.shortstr("x-routed-by").octet(b'S').longstr(b"elsewhere");
    let own = Arguments::new().short(0x2040).longstr(own.octets()).raw(&3_u64.to_be_bytes());
    client.publish(1, "", "q", own.octets(), b"own").expect("taken");
    client.consume(1, "q", "c");
    [b"bare".to_vec(), b"own".to_vec()].map(|body| {
        let delivered = client.expect(1, method::BASIC_DELIVER);
        let delivery = client.content(&delivered).expect("a message");
        assert_eq!(delivery.body, body);
        delivery
    })
}

#[test]
fn messages_are_stamped_as_the_operator_asks() {
    let flags = [
        "--incoming-timestamp",
        "keep",
        "--incoming-routing-node",
        "overwrite",
        "--outgoing-timestamp",
        "on",
    ];
    let broker = Broker::start_with(Setup::new().arguments(flags));
    let before = now_ms();
    let [bare, own] = through(&broker);
    // Clocks of broker and test are the same; the broker reads its own once per turn.
    let plausible = before.saturating_sub(5_000)..=now_ms() + 5_000;
    let received = number(&bare, "timestamp_in_ms").expect("a stamp");
    let sent = number(&bare, "x-opt-rabbitmq-sent-time").expect("a stamp");
    assert!(plausible.contains(&received) && plausible.contains(&sent), "{received} {sent}");
    assert!(received <= sent);
    // The property timestamp is the last one of the list.
    assert!(bare.properties.ends_with(&(received / 1000).to_be_bytes()));
    let node = behind(&bare, "x-routed-by").expect("a stamp");
    assert!(!node.is_empty() && behind(&own, "elsewhere").is_none());
    assert_eq!(number(&own, "timestamp_in_ms"), Some(7));
    assert!(own.properties.ends_with(&3_u64.to_be_bytes()));
    assert!(number(&own, "x-opt-rabbitmq-sent-time").is_some_and(|sent| plausible.contains(&sent)));
}

#[test]
fn nothing_is_stamped_by_default() {
    let [bare, own] = through(&Broker::start());
    assert_eq!(bare.properties, [0, 0]);
    assert_eq!(number(&own, "timestamp_in_ms"), Some(7));
    assert!(behind(&own, "elsewhere").is_some());
}
