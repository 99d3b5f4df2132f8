//! The exchange types of RabbitMQ's plugins, against the real broker: who gets what, what is refused in which words,
//! and what a crash leaves.

mod events;
mod missing;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::eventually;
use haremq_tests::wire::client::{Delivery, PATIENCE};
use haremq_tests::wire::Field::{self, Flag, Number, Text};
use haremq_tests::wire::{method, table, Arguments, Client, Login, Received};

/// Headers, persistent.
fn properties(headers: &[Field<'_>]) -> Vec<u8> {
    Arguments::new().short(0x3000).longstr(&table(headers)).octet(2).octets().to_vec()
}

fn declare_arguments(name: &str, kind: &str, fields: &[Field<'_>]) -> Arguments {
    // Durable.
    Arguments::new().short(0).shortstr(name).shortstr(kind).octet(2).longstr(&table(fields))
}

fn declare(client: &mut Client, name: &str, kind: &str, fields: &[Field<'_>]) {
    let arguments = declare_arguments(name, kind, fields);
    client.call(1, method::EXCHANGE_DECLARE, &arguments, method::EXCHANGE_DECLARE_OK);
}

fn bind_arguments(queue: &str, exchange: &str, key: &str) -> Arguments {
    let arguments = Arguments::new().short(0).shortstr(queue).shortstr(exchange);
    arguments.shortstr(key).octet(0).empty_table()
}

fn bind(client: &mut Client, queue: &str, exchange: &str, key: &str) {
    let arguments = bind_arguments(queue, exchange, key);
    client.call(1, method::QUEUE_BIND, &arguments, method::QUEUE_BIND_OK);
}

fn publish(client: &mut Client, exchange: &str, key: &str, properties: &[u8], body: &str) {
    client.publish(1, exchange, key, properties, body.as_bytes()).expect("the broker takes octets");
}

/// Publishes and waits for the confirm.
fn publish_safely(client: &mut Client, exchange: &str, properties: &[u8], body: &str) {
    publish(client, exchange, "", properties, body);
    client.expect(1, method::BASIC_ACK);
}

fn take(client: &mut Client, queue: &str) -> Delivery {
    eventually("a message arrives", PATIENCE, || client.get(1, queue))
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}

fn drain(client: &mut Client, queue: &str) -> Vec<String> {
    std::iter::from_fn(|| client.get(1, queue)).map(|delivery| text(&delivery)).collect()
}

/// What the broker says when it closes channel 1, which is opened anew.
fn refused(client: &mut Client, method: method::Method, arguments: &Arguments) -> String {
    client.method(1, method, arguments);
    let close = client.expect(1, method::CHANNEL_CLOSE);
    let mut reader = close.arguments();
    let text = format!("{} {}", reader.short(), reader.shortstr());
    client.method(1, method::CHANNEL_CLOSE_OK, &Arguments::new());
    client.open_channel(1);
    text
}

/// What the management port shows of an exchange.
fn shown(broker: &Broker, exchange: &str) -> String {
    let mut stream = TcpStream::connect(broker.management()).expect("management listens");
    write!(
        stream,
        "GET /api/exchanges/%2F/{exchange} HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nConnection: close\r\n\r\n"
    )
    .expect("management takes octets");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("management answers in UTF-8");
    answer
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(now.as_millis()).expect("the clock is set")
}

#[test]
fn hashing_and_random_exchanges_give_each_message_to_one_queue() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    for (kind, fields) in [
        ("x-consistent-hash", &[][..]),
        ("x-modulus-hash", &[]),
        ("x-random", &[]),
        ("x-local-random", &[]),
        ("x-consistent-hash", &[Text("hash-header", "user")]),
        ("x-consistent-hash", &[Text("hash-property", "message_id")]),
    ] {
        let name = format!("{kind}{}", fields.len());
        declare(&mut client, &name, kind, fields);
        // Again: the same, or refused.
        declare(&mut client, &name, kind, fields);
        let queues: Vec<String> = (0..3).map(|number| format!("{name}.{number}")).collect();
        for queue in &queues {
            client.declare_queue(1, queue, 2);
            bind(&mut client, queue, &name, if kind == "x-local-random" { "" } else { "1" });
        }
        for number in 0..90 {
            let user = format!("{}", number % 30);
            let headers = Arguments::new().shortstr("user").octet(b'S').longstr(user.as_bytes());
            let properties = Arguments::new().short(0x3080).longstr(headers.octets());
            let properties = properties.octet(2).shortstr(&user);
            publish(&mut client, &name, &user, properties.octets(), &user);
        }
        client.exercise(1);
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut total = 0;
        for (place, queue) in queues.iter().enumerate() {
            let bodies = drain(&mut client, queue);
            assert!(!bodies.is_empty(), "{name}: a queue got nothing");
            total += bodies.len();
            bodies.into_iter().for_each(|body| places.entry(body).or_default().push(place));
        }
        assert_eq!(total, 90, "{name}: each message has one copy");
        let scattered = places.values().filter(|all| all.windows(2).any(|two| two[0] != two[1]));
        let by_chance = kind.ends_with("random");
        assert_eq!(scattered.count() > 0, by_chance, "{name}: {places:?}");
        if by_chance {
            continue;
        }
        broker.kill9_and_start_again();
        client = Client::login_with_channel(broker.amqp());
        for user in places.keys() {
            let headers = Arguments::new().shortstr("user").octet(b'S').longstr(user.as_bytes());
            let properties = Arguments::new().short(0x3080).longstr(headers.octets());
            publish(&mut client, &name, user, properties.octet(2).shortstr(user).octets(), user);
        }
        client.exercise(1);
        for (place, queue) in queues.iter().enumerate() {
            for body in drain(&mut client, queue) {
                assert_eq!(
                    places[&body][0], place,
                    "{name}: {body} went elsewhere after a restart"
                );
            }
        }
    }
}

#[test]
fn exchanges_refuse_arguments_and_keys_in_the_words_of_the_plugins() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let both = [Text("hash-header", "h"), Text("hash-property", "message_id")];
    let cases: &[(&str, &[Field<'_>], &str)] = &[
        ("x-consistent-hash", &both, "hash-header and hash-property are mutually exclusive"),
        ("x-consistent-hash", &[Text("hash-property", "app_id")], "Unsupported property: app_id"),
        (
            "x-delayed-message",
            &[],
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ),
        (
            "x-delayed-message",
            &[Text("x-delayed-type", "x-delayed-message")],
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        (
            "x-recent-history",
            &[Number("x-recent-history-length", 0)],
            "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
        ),
        (
            "x-message-deduplication",
            &[],
            "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
        ),
        (
            "x-message-deduplication",
            &[Number("x-cache-size", 5), Number("x-cache-ttl", -1)],
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
    ];
    for (kind, fields, words) in cases {
        let said =
            refused(&mut client, method::EXCHANGE_DECLARE, &declare_arguments("x", kind, fields));
        assert_eq!(said, format!("406 PRECONDITION_FAILED - {words}"));
    }
    declare(&mut client, "hash", "x-consistent-hash", &[]);
    client.declare_queue(1, "q", 2);
    for (key, words) in [
        ("heavy", "The binding key must be an integer: <<\"heavy\">>"),
        ("0", "The binding key must be greater than 0"),
        ("-3", "The binding key must be greater than 0"),
    ] {
        let said = refused(&mut client, method::QUEUE_BIND, &bind_arguments("q", "hash", key));
        assert_eq!(said, format!("406 PRECONDITION_FAILED - {words}"));
    }
    // This one asks for queues, and for no key: it is for whoever answers requests.
    declare(&mut client, "near", "x-local-random", &[]);
    let said = refused(&mut client, method::QUEUE_BIND, &bind_arguments("q", "near", "k"));
    assert_eq!(said, "406 PRECONDITION_FAILED - Non empty binding 'k' key not permitted");
    let to_exchange = bind_arguments("amq.fanout", "near", "");
    let said = refused(&mut client, method::EXCHANGE_BIND, &to_exchange);
    assert_eq!(said, "406 PRECONDITION_FAILED - Destination not found");
    let other = declare_arguments("hash", "x-random", &[]);
    assert_eq!(
        refused(&mut client, method::EXCHANGE_DECLARE, &other),
        "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'hash' in vhost '/': \
         received 'x-random' but current is 'x-consistent-hash'"
    );
    let listed = broker.ctl().rows(&["list_exchanges", "name", "type", "arguments"]);
    assert!(listed.iter().any(|row| row[..2] == ["hash", "x-consistent-hash"]), "{listed:?}");
}

#[test]
fn delayed_messages_survive_kill9_and_arrive_in_time_and_order() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let kind = [Text("x-delayed-type", "direct")];
    declare(&mut client, "later", "x-delayed-message", &kind);
    client.declare_queue(1, "q", 2);
    bind(&mut client, "q", "later", "");
    client.confirm_select(1);
    let begin = now_ms();
    for (body, delay) in [("c", 4000), ("a", 2000), ("b", 3000), ("far", 4_294_967_295)] {
        publish_safely(&mut client, "later", &properties(&[Number("x-delay", delay)]), body);
    }
    // Transient, so that it does not come again after the crash.
    publish_safely(&mut client, "later", &[0, 0], "at once");
    assert_eq!(text(&take(&mut client, "q")), "at once");
    assert!(shown(&broker, "later").contains("\"messages_delayed\":4"), "they are counted");
    broker.kill9_and_start_again();
    let answer = shown(&broker, "later");
    assert!(answer.contains("\"x-delayed-type\":\"direct\""), "{answer}");
    let mut client = Client::login_with_channel(broker.amqp());
    declare(&mut client, "later", "x-delayed-message", &kind);
    for (body, delay) in [("a", 2000), ("b", 3000), ("c", 4000)] {
        let delivery = take(&mut client, "q");
        assert!(now_ms() >= begin + delay, "{body} came early");
        assert_eq!(text(&delivery), body);
        let shown = table(&[Number("x-delay", -i64::try_from(delay).expect("small"))]);
        let found = delivery.properties.windows(shown.len()).any(|octets| octets == shown);
        assert!(found, "the delay is shown negative: {:?}", delivery.properties);
    }
    assert_eq!(drain(&mut client, "q"), [""; 0], "and nothing else");
    broker.stop_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    assert_eq!(drain(&mut client, "q"), [""; 0], "moved once, and moved for good");
}

#[test]
fn thousands_of_delayed_messages_are_counted_and_all_arrive() {
    const MESSAGES: usize = 20_000;
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let kind = [Text("x-delayed-type", "fanout")];
    declare(&mut client, "later", "x-delayed-message", &kind);
    client.declare_queue(1, "q", 2);
    bind(&mut client, "q", "later", "");
    client.confirm_select(1);
    let begin = Instant::now();
    for number in 0..MESSAGES {
        let delay = 1 + (number * 7919) % 3000;
        let delay = i64::try_from(delay).expect("small");
        publish(&mut client, "later", "", &properties(&[Number("x-delay", delay)]), "m");
    }
    let mut confirmed = 0;
    while confirmed < MESSAGES as u64 {
        let Received::Frame(frame) = client.receive(PATIENCE) else { panic!("a confirm is due") };
        assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
        confirmed = confirmed.max(frame.arguments().longlong());
    }
    let queued = eventually("all have arrived", Duration::from_secs(60), || {
        let queued = client.declare_queue(1, "q", 2);
        (queued as usize >= MESSAGES).then_some(queued)
    });
    assert_eq!(queued as usize, MESSAGES);
    println!("{MESSAGES} delayed messages in {:?}", begin.elapsed());
}

#[test]
fn a_new_queue_gets_the_recent_history() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare(&mut client, "recent", "x-recent-history", &[Number("x-recent-history-length", 2)]);
    client.confirm_select(1);
    for body in ["1", "2", "3"] {
        publish_safely(&mut client, "recent", &properties(&[]), body);
    }
    let no_store = properties(&[Flag("x-recent-history-no-store", true)]);
    publish_safely(&mut client, "recent", &no_store, "4");
    for _ in 0..2 {
        client.declare_queue(1, "q", 4);
        bind(&mut client, "q", "recent", "");
        assert_eq!(text(&take(&mut client, "q")), "2");
        assert_eq!(text(&take(&mut client, "q")), "3");
        broker.kill9_and_start_again();
        client = Client::login_with_channel(broker.amqp());
    }
}

#[test]
fn unroutable_mandatory_messages_are_returned_though_an_exchange_remembers_them() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare(&mut client, "recent", "x-recent-history", &[]);
    let arguments = Arguments::new().short(0).shortstr("recent").shortstr("").octet(1);
    client.method(1, method::BASIC_PUBLISH, &arguments);
    client.send(&haremq_tests::wire::Frame::content_header(1, 0, &[0, 0]).encode());
    let Received::Frame(frame) = client.receive(PATIENCE) else { panic!("basic.return is due") };
    assert_eq!(frame.method_id(), Some((60, 50)));
}

#[test]
fn a_value_is_taken_once_by_exchange_and_queue() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare(&mut client, "once", "x-message-deduplication", &[Number("x-cache-size", 100)]);
    client.declare_queue(1, "q", 2);
    bind(&mut client, "q", "once", "");
    let filtering = table(&[Flag("x-message-deduplication", true)]);
    let arguments = Arguments::new().short(0).shortstr("filtering").octet(2).longstr(&filtering);
    client.call(1, method::QUEUE_DECLARE, &arguments, method::QUEUE_DECLARE_OK);
    client.confirm_select(1);
    let valued = |value| properties(&[Text("x-deduplication-header", value)]);
    for (value, body) in [("a", "1"), ("a", "dup"), ("b", "2"), ("a", "dup")] {
        // A duplicate is confirmed.
        publish_safely(&mut client, "once", &valued(value), body);
        publish(&mut client, "", "filtering", &valued(value), body);
        client.expect(1, method::BASIC_ACK);
    }
    for queue in ["q", "filtering"] {
        let bodies = [take(&mut client, queue), take(&mut client, queue)].map(|one| text(&one));
        assert_eq!(bodies, ["1", "2"]);
        assert_eq!(drain(&mut client, queue), [""; 0]);
    }
    publish(&mut client, "", "filtering", &valued("a"), "again");
    client.expect(1, method::BASIC_ACK);
    assert_eq!(drain(&mut client, "filtering"), ["again"], "the first one has left");
}

#[test]
fn values_that_an_exchange_keeps_on_disk_are_known_after_a_crash() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let fields = [Number("x-cache-size", 100), Text("x-cache-persistence", "disk")];
    declare(&mut client, "once", "x-message-deduplication", &fields);
    client.declare_queue(1, "q", 2);
    bind(&mut client, "q", "once", "");
    client.confirm_select(1);
    let valued = |value| properties(&[Text("x-deduplication-header", value)]);
    for value in ["a", "b"] {
        publish_safely(&mut client, "once", &valued(value), value);
    }
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    client.confirm_select(1);
    for value in ["b", "c", "a", "c"] {
        publish_safely(&mut client, "once", &valued(value), value);
    }
    let bodies = ["a", "b", "c"].map(|_| text(&take(&mut client, "q")));
    assert_eq!(bodies, ["a", "b", "c"]);
    assert_eq!(drain(&mut client, "q"), [""; 0]);
}
