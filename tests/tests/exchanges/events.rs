//! The exchange that tells what happens in the broker.

use super::*;

#[test]
fn the_event_exchange_is_there_if_asked_for_and_tells_what_happens() {
    let names = |broker: &Broker| broker.ctl().rows(&["list_exchanges", "name"]);
    let mut broker = Broker::start_with(Setup::new().arguments(["--event-exchange", "on"]));
    assert!(names(&broker).contains(&vec!["amq.rabbitmq.event".to_owned()]));
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "events", 2);
    bind(&mut client, "events", "amq.rabbitmq.event", "#");
    // It is internal.
    publish(&mut client, "amq.rabbitmq.event", "forged", &[0, 0], "");
    client.expect(1, method::CHANNEL_CLOSE);
    client.method(1, method::CHANNEL_CLOSE_OK, &Arguments::new());
    client.open_channel(1);
    declare(&mut client, "made", "fanout", &[]);
    let mut other = Client::login_with_channel(broker.amqp());
    other.declare_queue(1, "temporary", 4);
    other.consume(1, "temporary", "tag");
    drop(other);
    broker.ctl().succeed(&["add_user", "alice", "secret"]);
    broker.ctl().succeed(&["change_password", "alice", "other"]);
    broker.ctl().succeed(&["set_user_limits", "alice", r#"{"max-channels": 5}"#]);
    broker.ctl().succeed(&["clear_user_limits", "alice", "all"]);
    broker.ctl().succeed(&["add_vhost", "v"]);
    broker.ctl().succeed(&["set_vhost_limits", "-p", "v", r#"{"max-queues": 5}"#]);
    let stranger = Login { password: "wrong".into(), ..Login::default() };
    Client::login_as(broker.amqp(), &stranger);
    let mut told = Vec::new();
    let wanted = [
        ("user.authentication.failure", "guest"),
        ("binding.created", "events"),
        ("channel.closed", ""),
        ("channel.created", ""),
        ("exchange.created", "made"),
        ("user.authentication.success", "guest"),
        ("connection.created", "AMQP 0-9-1"),
        ("queue.created", "temporary"),
        ("consumer.created", "tag"),
        ("consumer.deleted", "tag"),
        ("queue.deleted", "temporary"),
        ("connection.closed", "guest"),
        ("user.created", "alice"),
        ("user.password.changed", "alice"),
        ("user.limits.set", "max-channels"),
        ("user.limits.cleared", "alice"),
        ("vhost.created", "v"),
        ("vhost.limits.set", "max-queues"),
    ];
    eventually("everything is told", PATIENCE, || {
        while let Some((key, delivery)) = get_with_key(&mut client, "events") {
            assert_eq!(delivery.body, b"");
            told.push((key, String::from_utf8_lossy(&delivery.properties).into_owned()));
        }
        let tells = |(name, detail): &(&str, &str)| {
            told.iter().any(|(key, headers)| key == name && headers.contains(detail))
        };
        wanted.iter().all(tells).then_some(())
    });
    // Bindings to it survive; without it they go, and nothing is told.
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    declare(&mut client, "made later", "fanout", &[]);
    eventually("the binding is still there", PATIENCE, || {
        get_with_key(&mut client, "events").filter(|(key, _)| key == "exchange.created")
    });
    let plain = Broker::start();
    assert!(!names(&plain).contains(&vec!["amq.rabbitmq.event".to_owned()]));
}

#[test]
fn the_event_exchange_tells_of_alarms() {
    let setup = Setup::new().arguments([
        "--event-exchange",
        "on",
        "--vm-memory-high-watermark",
        "8000000",
        "--vm-memory-high-watermark-paging-ratio",
        "10",
    ]);
    let broker = Broker::start_with(setup);
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "events", 2);
    bind(&mut client, "events", "amq.rabbitmq.event", "alarm.*");
    client.declare_queue(1, "bulk", 0);
    let mut publisher = Client::login_with_channel(broker.amqp());
    for _ in 0..90 {
        publisher.publish(1, "", "bulk", &[0, 0], &[7; 100_000]).expect("the broker takes octets");
    }
    let (key, _) =
        eventually("the alarm is told", PATIENCE, || get_with_key(&mut client, "events"));
    assert_eq!(key, "alarm.set");
    let purge = Arguments::new().short(0).shortstr("bulk").octet(0);
    client.call(1, (50, 30), &purge, (50, 31));
    let (key, _) = eventually("its end is told", PATIENCE, || get_with_key(&mut client, "events"));
    assert_eq!(key, "alarm.cleared");
}

/// As `Client::get`, with the routing key.
fn get_with_key(client: &mut Client, queue: &str) -> Option<(String, Delivery)> {
    client.method(1, method::BASIC_GET, &Arguments::new().short(0).shortstr(queue).octet(1));
    match client.receive(PATIENCE) {
        Received::Frame(frame) if frame.method_id() == Some(method::BASIC_GET_OK) => {
            let mut arguments = frame.arguments();
            arguments.longlong();
            arguments.octet();
            arguments.shortstr();
            let key = arguments.shortstr();
            Some((key, client.content(&frame).expect("the connection stays")))
        }
        _ => None,
    }
}
