//! Limits of the whole broker, set when it starts.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Login};

fn exchange_declare(name: &str) -> Arguments {
    Arguments::new().short(0).shortstr(name).shortstr("fanout").octet(0).empty_table()
}

#[test]
fn queues_exchanges_and_vhosts_are_refused_beyond_the_limits_and_what_is_there_is_not() {
    let setup = Setup::new().arguments([
        "--cluster-queue-limit",
        "2",
        // Seven are there by themselves.
        "--cluster-exchange-limit",
        "8",
        "--vhost-max",
        "1",
    ]);
    let broker = Broker::start_with(setup);
    let mut client = Client::login_with_channel(broker.amqp());
    for queue in ["a", "b", "a"] {
        client.declare_queue(1, queue, 0);
    }
    let third = Arguments::new().short(0).shortstr("c").octet(0).empty_table();
    client.method(1, method::QUEUE_DECLARE, &third);
    let full = "CH 406 PRECONDITION_FAILED - cannot declare queue 'c': queue limit in cluster (2) \
                is reached (50,10)";
    assert_eq!(client.receive(PATIENCE).to_string(), full);
    client.open_channel(2);
    let delete = Arguments::new().short(0).shortstr("a").octet(0);
    client.call(2, method::QUEUE_DELETE, &delete, method::QUEUE_DELETE_OK);
    client.declare_queue(2, "c", 0);

    for _ in 0..2 {
        let declare = exchange_declare("x");
        client.call(2, method::EXCHANGE_DECLARE, &declare, method::EXCHANGE_DECLARE_OK);
    }
    client.method(2, method::EXCHANGE_DECLARE, &exchange_declare("y"));
    let full = "CH 406 PRECONDITION_FAILED - cannot declare exchange 'y' in vhost '/': exchange \
                limit of 8 is reached (40,10)";
    assert_eq!(client.receive(PATIENCE).to_string(), full);

    let ctl = broker.ctl();
    ctl.succeed(&["add_vhost", "/", "--description", "changed"]);
    let refused = ctl.run(&["add_vhost", "v"]);
    let text = format!("{}{}", refused.out, refused.err);
    assert_ne!(refused.code, 0, "{text}");
    assert!(text.contains("cannot create vhost 'v': vhost limit of 1 is reached"), "{text}");
}

#[test]
fn connections_channels_and_consumers_are_counted_over_all_shards() {
    let setup = Setup::new().arguments([
        "--connection-max",
        "4",
        "--channel-max-per-node",
        "5",
        "--consumer-max-per-channel",
        "2",
    ]);
    let broker = Broker::start_with(setup);
    let mut clients: Vec<Client> =
        (0..4).map(|_| Client::login_with_channel(broker.amqp())).collect();
    let (_, refused) = Client::login_as(broker.amqp(), &Login::default());
    let full = "CONN 530 NOT_ALLOWED - connection refused: node connection limit (4) is reached \
                (10,40)";
    assert_eq!(refused.to_string(), full);
    clients[0].open_channel(2);
    clients[1].method(2, method::CHANNEL_OPEN, &Arguments::new().shortstr(""));
    let refused = clients[1].receive(PATIENCE).to_string();
    assert!(refused.starts_with("CONN 530 NOT_ALLOWED - number of channels opened on node "));
    assert!(refused.contains("has reached the maximum allowed limit of (5)"), "{refused}");
    clients[2].declare_queue(1, "q", 0);
    for tag in ["one", "two"] {
        clients[2].consume(1, "q", tag);
    }
    let third = Arguments::new().short(0).shortstr("q").shortstr("three").octet(0).empty_table();
    clients[2].method(1, method::BASIC_CONSUME, &third);
    let full = "CONN 530 NOT_ALLOWED - reached maximum (2) of consumers per channel (60,20)";
    assert_eq!(clients[2].receive(PATIENCE).to_string(), full);
}
