//! When messages expire: not before their time, and how long after it.

use haremq_tests::broker::Broker;
use haremq_tests::durations::Durations;
use haremq_tests::random::Random;
use haremq_tests::wire::Field::Text;
use haremq_tests::wire::{method, table, Arguments, Client};
use std::time::{Duration, Instant};

#[test]
fn messages_expire_wherever_they_stand_when_their_time_is_over_and_never_before() {
    const MESSAGES: usize = 400;
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "dead", 2);
    let to_dead = [Text("x-dead-letter-exchange", ""), Text("x-dead-letter-routing-key", "dead")];
    let declare = Arguments::new().short(0).shortstr("q").octet(2).longstr(&table(&to_dead));
    client.call(1, method::QUEUE_DECLARE, &declare, method::QUEUE_DECLARE_OK);
    let mut heir = Client::login_with_channel(broker.amqp());
    heir.consume(1, "dead", "heir");
    let mut random = Random::new(Random::seed("HAREMQ_EXPIRY_SEED"));
    let mut published = Vec::new();
    for number in 0..MESSAGES {
        let ttl_ms = 20 + random.below(2500);
        // Delivery mode 2, expiration.
        let properties = Arguments::new().short(0x1100).octet(2).shortstr(&ttl_ms.to_string());
        published.push((Instant::now(), Duration::from_millis(ttl_ms)));
        let body = u32::try_from(number).expect("few").to_be_bytes();
        client.publish(1, "", "q", properties.octets(), &body).expect("taken");
    }
    let mut late = Durations::new();
    for _ in 0..MESSAGES {
        let delivered = heir.expect(1, method::BASIC_DELIVER);
        let now = Instant::now();
        let body = heir.content(&delivered).expect("a message").body;
        let number = u32::from_be_bytes(body[..].try_into().expect("four octets"));
        let (start, ttl) = published[number as usize];
        // The broker's clock has whole milliseconds.
        let least = ttl.saturating_sub(Duration::from_millis(1));
        assert!(now - start >= least, "{:?} after {ttl:?}: too early", now - start);
        late.add((now - start).saturating_sub(ttl));
    }
    println!("after their time, until the dead letter is there: {late}");
    assert_eq!(client.get(1, "q"), None);
}
