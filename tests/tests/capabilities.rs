//! Every capability that the broker advertises is there: each is used, and one without a use fails here.

use haremq_tests::broker::Broker;
use haremq_tests::wire::arguments::Reader;
use haremq_tests::wire::client::{Delivery, PATIENCE};
use haremq_tests::wire::{method, Arguments, Client, Frame, Login, Received};

/// The flags in the table `capabilities` of connection.start.
fn advertised(start: &Frame) -> Vec<(String, bool)> {
    let mut arguments = start.arguments();
    arguments.raw(2);
    let mut properties = Reader::new(arguments.longstr());
    let mut found = Vec::new();
    while !properties.rest().is_empty() {
        let name = properties.shortstr();
        match properties.octet() {
            b'F' => {
                let mut inner = Reader::new(properties.longstr());
                while name == "capabilities" && !inner.rest().is_empty() {
                    let capability = inner.shortstr();
                    assert_eq!(inner.octet(), b't', "{capability} is a flag");
                    found.push((capability, inner.octet() != 0));
                }
            }
            b'S' => {
                properties.longstr();
            }
            other => panic!("{name} is of the type {}", char::from(other)),
        }
    }
    found
}

fn flag(name: &str) -> Arguments {
    Arguments::new().shortstr(name).raw(b"t").octet(1)
}

/// Client properties with that capability.
fn capable(name: &str) -> Vec<u8> {
    let inner = flag(name);
    Arguments::new().shortstr("capabilities").raw(b"F").longstr(inner.octets()).octets().to_vec()
}

fn client(broker: &Broker, capability: &str) -> Client {
    let login = Login { client_properties: capable(capability), ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    client.open_channel(1);
    client
}

fn consume_with(client: &mut Client, queue: &str, tag: &str, arguments: &Arguments) {
    let consume = Arguments::new().short(0).shortstr(queue).shortstr(tag).octet(0);
    let consume = consume.longstr(arguments.octets());
    client.call(1, method::BASIC_CONSUME, &consume, method::BASIC_CONSUME_OK);
}

/// basic.get of a message that is to be acknowledged.
fn fetch(client: &mut Client, channel: u16, queue: &str) -> Option<Delivery> {
    client.method(channel, method::BASIC_GET, &Arguments::new().short(0).shortstr(queue).octet(0));
    match client.receive(PATIENCE) {
        Received::Frame(frame) if frame.method_id() == Some(method::BASIC_GET_OK) => {
            client.content(&frame)
        }
        received => {
            assert_eq!(received.to_string(), "method (60,72)");
            None
        }
    }
}

fn use_capability(broker: &Broker, name: &str) {
    let mut client = client(broker, name);
    match name {
        "publisher_confirms" => {
            client.confirm_select(1);
            client.publish(1, "", "nowhere", &[0, 0], b"m").expect("taken");
            client.expect(1, method::BASIC_ACK);
        }
        "exchange_exchange_bindings" => {
            client.declare_queue(1, "q", 8);
            let bind = |to: &str, from: &str| {
                Arguments::new()
                    .short(0)
                    .shortstr(to)
                    .shortstr(from)
                    .shortstr("")
                    .octet(0)
                    .empty_table()
            };
            client.call(1, (40, 30), &bind("amq.topic", "amq.fanout"), (40, 31));
            let key = Arguments::new().short(0).shortstr("q").shortstr("amq.topic").shortstr("#");
            let key = key.octet(0).empty_table();
            client.call(1, method::QUEUE_BIND, &key, method::QUEUE_BIND_OK);
            client.publish(1, "amq.fanout", "k", &[0, 0], b"through").expect("taken");
            assert_eq!(client.get(1, "q").expect("a message").body, b"through");
        }
        "basic.nack" => {
            client.declare_queue(1, "q", 0);
            for body in [b"1", b"2"] {
                client.publish(1, "", "q", &[0, 0], body).expect("taken");
            }
            let last = (0..2).map(|_| fetch(&mut client, 1, "q").expect("a message").tag).max();
            let nack = Arguments::new().longlong(last.expect("two")).octet(0b11);
            client.method(1, method::BASIC_NACK, &nack);
            assert!(client.get(1, "q").expect("back in the queue").redelivered);
        }
        "consumer_cancel_notify" => {
            client.declare_queue(1, "q", 0);
            client.consume(1, "q", "ct");
            let mut other = Client::login_with_channel(broker.amqp());
            let delete = Arguments::new().short(0).shortstr("q").octet(0);
            other.call(1, (50, 40), &delete, (50, 41));
            let cancel = client.expect(1, (60, 30));
            assert_eq!(cancel.arguments().shortstr(), "ct");
        }
        "consumer_priorities" => {
            client.declare_queue(1, "q", 0);
            let mut high = Client::login_with_channel(broker.amqp());
            consume_with(&mut client, "q", "low", &Arguments::new());
            let priority = Arguments::new().shortstr("x-priority").raw(b"I").long(7);
            consume_with(&mut high, "q", "high", &priority);
            let mut publisher = Client::login_with_channel(broker.amqp());
            publisher.publish(1, "", "q", &[0, 0], b"m").expect("taken");
            high.expect(1, method::BASIC_DELIVER);
        }
        "authentication_failure_close" => {
            let login = Login {
                password: "wrong".into(),
                client_properties: capable(name),
                ..Login::default()
            };
            let (_, answer) = Client::login_as(broker.amqp(), &login);
            assert!(answer.to_string().starts_with("CONN 403 ACCESS_REFUSED"), "{answer}");
        }
        "per_consumer_qos" => {
            // A limit of 1 for the consumer that comes after it, and for it alone.
            client.declare_queue(1, "q", 0);
            client.declare_queue(1, "p", 0);
            for queue in ["q", "q", "p", "p"] {
                client.publish(1, "", queue, &[0, 0], b"m").expect("taken");
            }
            client.qos(1, 1);
            client.consume(1, "q", "one");
            let first = client.expect(1, method::BASIC_DELIVER);
            client.content(&first);
            client.consume(1, "p", "two");
            let second = client.expect(1, method::BASIC_DELIVER);
            assert_eq!(second.arguments().shortstr(), "two");
            client.content(&second);
            assert_eq!(client.declare_queue(1, "q", 1), 1);
            assert_eq!(client.declare_queue(1, "p", 1), 1);
        }
        "direct_reply_to" => {
            let consume = Arguments::new().short(0).shortstr("amq.rabbitmq.reply-to");
            let consume = consume.shortstr("").octet(2).empty_table();
            client.call(1, method::BASIC_CONSUME, &consume, method::BASIC_CONSUME_OK);
            let mut server = Client::login_with_channel(broker.amqp());
            server.declare_queue(1, "rpc", 0);
            let reply_to = Arguments::new().short(1 << 9).shortstr("amq.rabbitmq.reply-to");
            client.publish(1, "", "rpc", reply_to.octets(), b"ask").expect("taken");
            let question = loop {
                if let Some(found) = server.get(1, "rpc") {
                    break found;
                }
            };
            let mut properties = Reader::new(&question.properties);
            properties.short();
            server.publish(1, "", &properties.shortstr(), &[0, 0], b"answer").expect("taken");
            let answer = client.expect(1, method::BASIC_DELIVER);
            assert_eq!(client.content(&answer).expect("an answer").body, b"answer");
        }
        // With a broker of its own: see below.
        "connection.blocked" => {}
        other => panic!("{other} is advertised and nothing here uses it"),
    }
}

#[test]
fn every_capability_that_is_advertised_is_there() {
    let broker = Broker::start();
    let start = Client::connect(broker.amqp()).greet();
    let capabilities = advertised(&start);
    assert!(capabilities.len() >= 9, "{capabilities:?}");
    for (name, on) in capabilities {
        assert!(on, "{name} is advertised as missing");
        use_capability(&broker, &name);
        let mut cleaner = Client::login_with_channel(broker.amqp());
        for queue in ["q", "p", "rpc"] {
            let delete = Arguments::new().short(0).shortstr(queue).octet(0);
            cleaner.call(1, (50, 40), &delete, (50, 41));
        }
    }
}

#[test]
fn connection_blocked_is_said_to_those_that_publish_and_acks_go_on() {
    use haremq_tests::broker::Setup;
    let setup = Setup::new().arguments(["--disk-free-limit", "18000000000000000000"]);
    let broker = Broker::start_with(setup);
    let mut client = client(&broker, "connection.blocked");
    client.declare_queue(1, "q", 0);
    client.publish(1, "", "q", &[0, 0], b"held").expect("taken");
    let blocked = client.expect(0, (10, 60));
    assert_eq!(blocked.arguments().shortstr(), "low on disk");
    // What is no publish is answered: on this channel behind the publish, on others at once.
    client.open_channel(2);
    client.declare_queue(2, "other", 0);
    let get = Arguments::new().short(0).shortstr("other").octet(0);
    client.method(2, method::BASIC_GET, &get);
    client.expect(2, method::BASIC_GET_EMPTY);
    let mut idle = Client::login_with_channel(broker.amqp());
    idle.declare_queue(1, "third", 0);
}

#[test]
fn a_secret_is_renewed_and_credentials_come_as_plain_or_amqplain() {
    let broker = Broker::start();
    let mut client = Client::login(broker.amqp());
    let update = Arguments::new().longstr(b"new secret").shortstr("renewed");
    client.call(0, (10, 70), &update, (10, 71));
    let mut client = Client::connect(broker.amqp());
    let start = client.greet();
    let mut arguments = start.arguments();
    arguments.raw(2);
    arguments.longstr();
    assert_eq!(arguments.longstr(), b"PLAIN AMQPLAIN");
    let response = Arguments::new().shortstr("LOGIN").raw(b"S").longstr(b"guest");
    let response = response.shortstr("PASSWORD").raw(b"S").longstr(b"guest");
    let start_ok = Arguments::new().longstr(b"").shortstr("AMQPLAIN");
    let start_ok = start_ok.longstr(response.octets()).shortstr("en_US");
    client.method(0, method::CONNECTION_START_OK, &start_ok);
    let tune = client.tune();
    client.tune_ok(tune);
    client.open("/");
    client.expect(0, method::CONNECTION_OPEN_OK);
}

#[test]
fn a_delivery_that_is_kept_too_long_closes_its_channel_or_goes_back_alone() {
    use haremq_tests::broker::Setup;
    let broker = Broker::start_with(Setup::new().arguments(["--consumer-timeout", "1500"]));
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "closes", 0);
    client.open_channel(2);
    let requeue =
        Arguments::new().shortstr("x-consumer-timeout-action").raw(b"S").longstr(b"requeue");
    let requeue = requeue.shortstr("x-consumer-timeout").raw(b"I").long(300);
    let declare = Arguments::new().short(0).shortstr("lends").octet(0).longstr(requeue.octets());
    client.call(2, method::QUEUE_DECLARE, &declare, method::QUEUE_DECLARE_OK);
    client.publish(2, "", "lends", &[0, 0], b"m").expect("taken");
    assert!(fetch(&mut client, 2, "lends").is_some());
    let mut other = Client::login_with_channel(broker.amqp());
    let until = std::time::Instant::now() + PATIENCE;
    let again = loop {
        assert!(std::time::Instant::now() < until, "the message does not come back");
        if let Some(again) = fetch(&mut other, 1, "lends") {
            break again;
        }
    };
    assert!(again.redelivered);
    other.ack(1, again.tag, false).expect("taken");
    // The first one lives on, and may still acknowledge what it had.
    client.ack(2, 1, false).expect("taken");
    client.exercise(2);
    client.publish(1, "", "closes", &[0, 0], b"m").expect("taken");
    client.consume(1, "closes", "slow");
    let delivered = client.expect(1, method::BASIC_DELIVER);
    client.content(&delivered);
    assert_eq!(
        client.receive(PATIENCE).to_string(),
        "CH 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1500 ms. This \
         timeout value can be configured, see consumers doc guide to learn more (0,0)"
    );
}
