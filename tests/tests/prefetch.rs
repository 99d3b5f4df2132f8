//! Prefetch that the operator changes while consumers are at work.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Received};

/// What the management port answers to a PUT: the status.
fn put(broker: &Broker, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(broker.management()).expect("management listens");
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("management takes octets");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("management answers in UTF-8");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Takes as many deliveries, and none more; gives the last tag.
#[track_caller]
fn deliveries(client: &mut Client, count: u64) -> u64 {
    let mut last = 0;
    for _ in 0..count {
        let delivered = client.expect(1, method::BASIC_DELIVER);
        last = client.content(&delivered).expect("a message").tag;
    }
    assert_eq!(client.receive(Duration::from_millis(300)), Received::Silence, "too many");
    last
}

#[test]
fn prefetch_is_changed_live_for_one_consumer_for_each_and_for_the_channel() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let mut publisher = Client::login_with_channel(broker.amqp());
    publisher.declare_queue(1, "q", 0);
    publisher.confirm_select(1);
    for _ in 0..100 {
        publisher.publish(1, "", "q", &[0, 0], b"m").expect("taken");
    }
    let mut confirmed = 0;
    while confirmed < 100 {
        confirmed = publisher.expect(1, method::BASIC_ACK).arguments().longlong();
    }
    client.qos(1, 2);
    client.consume(1, "q", "worker");
    deliveries(&mut client, 2);

    let rows = broker.ctl().rows(&["list_channels", "name", "consumer_count"]);
    let name = rows.iter().find(|row| row[1] == "1").expect("the consumer's channel")[0].clone();
    let path = name.replace(' ', "%20").replace('>', "%3E");
    let (channel, consumer) =
        (format!("/api/channels/{path}"), format!("/api/channels/{path}/consumers/worker"));
    // More for one consumer, which holds two.
    assert_eq!(put(&broker, &consumer, r#"{"prefetch": 5}"#), "204");
    let last = deliveries(&mut client, 3);
    let shown = broker.ctl().rows(&["list_consumers", "consumer_tag", "prefetch_count"]);
    assert_eq!(shown, [["worker", "5"]]);
    // Fewer: what it holds stays, and nothing comes before it holds fewer.
    assert_eq!(put(&broker, &consumer, r#"{"prefetch": 1}"#), "204");
    client.ack(1, last - 1, true).expect("taken");
    deliveries(&mut client, 0);
    client.ack(1, last, false).expect("taken");
    let last = deliveries(&mut client, 1);
    // For each consumer of the channel, those to come included.
    assert_eq!(put(&broker, &channel, r#"{"prefetch": 3}"#), "204");
    deliveries(&mut client, 2);
    client.consume(1, "q", "second");
    deliveries(&mut client, 3);
    // A limit over all of the channel's consumers, and then none of any kind.
    assert_eq!(put(&broker, &channel, r#"{"prefetch": 0, "global_prefetch": 10}"#), "204");
    deliveries(&mut client, 4);
    assert_eq!(put(&broker, &channel, r#"{"global_prefetch": 0}"#), "204");
    let last = deliveries(&mut client, 100 - 5 - 10) - last;
    assert_eq!(last, 94);

    assert_eq!(put(&broker, &format!("{channel}/consumers/nobody"), r#"{"prefetch": 1}"#), "404");
    assert_eq!(put(&broker, &channel, r#"{"prefetch": "many"}"#), "400");
    // The channel works on.
    client.ack(1, 0, true).expect("taken");
    let declare = Arguments::new().short(0).shortstr("q").octet(1).empty_table();
    client.method(1, method::QUEUE_DECLARE, &declare);
    let reply = client.receive(PATIENCE);
    assert_eq!(reply.to_string(), "method (50,11)");
}

#[test]
fn a_channel_that_is_full_gives_nothing_to_its_auto_ack_consumers_either() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    for queue in ["held", "passing"] {
        client.declare_queue(1, queue, 0);
    }
    let qos = Arguments::new().long(0).short(1).octet(1);
    client.call(1, method::BASIC_QOS, &qos, method::BASIC_QOS_OK);
    client.consume(1, "held", "holding");
    let auto = Arguments::new().short(0).shortstr("passing").shortstr("auto").octet(2);
    client.call(1, method::BASIC_CONSUME, &auto.empty_table(), method::BASIC_CONSUME_OK);
    client.publish(1, "", "held", &[0, 0], b"m").expect("taken");
    let first = deliveries(&mut client, 1);
    for queue in ["passing", "passing", "held", "passing"] {
        client.publish(1, "", queue, &[0, 0], b"m").expect("taken");
    }
    deliveries(&mut client, 0);
    // What needs no ack does not count; what does is acked as it comes.
    client.ack(1, first, false).expect("taken");
    let mut passing = 0;
    for _ in 0..4 {
        let delivered = client.expect(1, method::BASIC_DELIVER);
        let tag = client.content(&delivered).expect("a message").tag;
        match &*delivered.arguments().shortstr() {
            "auto" => passing += 1,
            _ => client.ack(1, tag, false).expect("taken"),
        }
    }
    assert_eq!(passing, 3);
    deliveries(&mut client, 0);
}
