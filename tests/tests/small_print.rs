//! The small print of AMQP as RabbitMQ has it, against the real broker: rows that belong to no story of their own.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client};

fn declare_exchange(client: &mut Client, name: &str, kind: &str, bits: u8) {
    let arguments = Arguments::new().short(0).shortstr(name).shortstr(kind).octet(bits);
    let arguments = arguments.empty_table();
    client.call(1, method::EXCHANGE_DECLARE, &arguments, method::EXCHANGE_DECLARE_OK);
}

fn bind(client: &mut Client, queue: &str, exchange: &str, key: &str) {
    let arguments = Arguments::new().short(0).shortstr(queue).shortstr(exchange).shortstr(key);
    let arguments = arguments.octet(0).empty_table();
    client.call(1, method::QUEUE_BIND, &arguments, method::QUEUE_BIND_OK);
}

/// A property list with that delivery mode.
fn mode(mode: u8) -> Vec<u8> {
    Arguments::new().short(0x1000).octet(mode).octets().to_vec()
}

/// Behaviour A60, A109: any mixture of durable and transient is allowed; what is durable at both ends survives, and of
/// messages those with delivery mode 2 in a durable queue.
#[test]
fn a_restart_leaves_what_is_durable_at_both_ends() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    for (exchange, bits) in [("lasting", 2), ("passing", 0)] {
        declare_exchange(&mut client, exchange, "direct", bits);
        for (queue, bits) in [("kept", 2), ("lost", 0)] {
            client.declare_queue(1, queue, bits);
            bind(&mut client, queue, exchange, "k");
        }
    }
    client.confirm_select(1);
    for number in 0..4 {
        client.publish(1, "", "kept", &mode(number), &[number]).expect("taken");
    }
    client.publish(1, "", "lost", &mode(2), b"lost").expect("taken");
    client.await_confirms(1, 5);
    let listed = |broker: &Broker| {
        let mut rows = broker.ctl().rows(&["list_bindings", "source_name", "destination_name"]);
        rows.retain(|row| !row[0].is_empty());
        rows.sort();
        rows
    };
    let pairs =
        [["lasting", "kept"], ["lasting", "lost"], ["passing", "kept"], ["passing", "lost"]];
    assert_eq!(listed(&broker), pairs);
    broker.kill9_and_start_again();
    assert_eq!(listed(&broker), [["lasting", "kept"]]);
    let mut client = Client::login_with_channel(broker.amqp());
    client.publish(1, "lasting", "k", &mode(1), b"new").expect("taken");
    client.exercise(1);
    let bodies: Vec<Vec<u8>> =
        std::iter::from_fn(|| client.get(1, "kept")).map(|delivery| delivery.body).collect();
    assert_eq!(bodies, [vec![2], b"new".to_vec()]);
}

/// Behaviour A87, A88: a prefetch of 0 is no limit; no-local means nothing.
#[test]
fn a_prefetch_of_zero_is_no_limit_and_ones_own_messages_come_with_no_local() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "q", 0);
    client.qos(1, 3);
    client.qos(1, 0);
    for number in 0..200_u8 {
        client.publish(1, "", "q", &[0, 0], &[number]).expect("taken");
    }
    let consume = Arguments::new().short(0).shortstr("q").shortstr("c").octet(1).empty_table();
    client.call(1, method::BASIC_CONSUME, &consume, method::BASIC_CONSUME_OK);
    for number in 0..200_u8 {
        let delivered = client.expect(1, method::BASIC_DELIVER);
        assert_eq!(client.content(&delivered).expect("a message").body, [number]);
    }
}

/// Behaviour B4, B29: a publish that one of its queues refuses is refused, though others have taken it.
#[test]
fn one_queue_that_refuses_nacks_what_others_have_taken() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let table = Arguments::new().shortstr("x-max-length").octet(b'I').long(1);
    let table = table.shortstr("x-overflow").octet(b'S').longstr(b"reject-publish");
    let small = Arguments::new().short(0).shortstr("small").octet(2).longstr(table.octets());
    client.call(1, method::QUEUE_DECLARE, &small, method::QUEUE_DECLARE_OK);
    client.declare_queue(1, "large", 2);
    for queue in ["small", "large"] {
        bind(&mut client, queue, "amq.fanout", "");
    }
    client.confirm_select(1);
    for (tag, expected) in
        [(1, method::BASIC_ACK), (2, method::BASIC_NACK), (3, method::BASIC_NACK)]
    {
        client.publish(1, "amq.fanout", "", &mode(2), b"m").expect("taken");
        let answer = client.expect(1, expected);
        assert_eq!(answer.arguments().longlong(), tag);
    }
    assert_eq!((client.declare_queue(1, "large", 2), count(&mut client, "small")), (3, 1));
}

/// Ready messages, by a passive declaration.
fn count(client: &mut Client, queue: &str) -> u32 {
    client.declare_queue(1, queue, 1)
}

/// Behaviour B26, B31: messages die by rejection, time, length and too many returns; not because somebody purges or
/// deletes their queue, or nobody uses it.
#[test]
fn what_is_purged_deleted_or_lapses_with_its_queue_is_no_dead_letter() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "dead", 2);
    let declare = |client: &mut Client, name: &str, expires: Option<u32>| {
        let mut table =
            Arguments::new().shortstr("x-dead-letter-exchange").octet(b'S').longstr(b"");
        table = table.shortstr("x-dead-letter-routing-key").octet(b'S').longstr(b"dead");
        if let Some(ms) = expires {
            table = table.shortstr("x-expires").octet(b'I').long(ms);
        }
        let arguments = Arguments::new().short(0).shortstr(name).octet(2).longstr(table.octets());
        client.call(1, method::QUEUE_DECLARE, &arguments, method::QUEUE_DECLARE_OK);
        client.publish(1, "", name, &mode(2), b"m").expect("taken");
    };
    declare(&mut client, "purged", None);
    let purge = Arguments::new().short(0).shortstr("purged").octet(0);
    client.call(1, (50, 30), &purge, (50, 31));
    declare(&mut client, "deleted", None);
    let delete = Arguments::new().short(0).shortstr("deleted").octet(0);
    client.call(1, method::QUEUE_DELETE, &delete, method::QUEUE_DELETE_OK);
    declare(&mut client, "lapsing", Some(200));
    haremq_tests::eventually("the queue lapses", PATIENCE, || {
        let rows = broker.ctl().rows(&["list_queues", "name"]);
        (!rows.iter().any(|row| row[0] == "lapsing")).then_some(())
    });
    // A rejected one comes, so the way is there.
    declare(&mut client, "rejecting", None);
    client.consume(1, "rejecting", "c");
    let delivered = client.expect(1, method::BASIC_DELIVER);
    let tag = client.content(&delivered).expect("a message").tag;
    client.method(1, method::BASIC_REJECT, &Arguments::new().longlong(tag).octet(0));
    haremq_tests::eventually("the rejected one", PATIENCE, || client.get(1, "dead"));
    assert_eq!(count(&mut client, "dead"), 0);
}

/// Behaviour I27: a message that comes back too often leaves a queue without dead-letter exchange, and not without a
/// trace.
#[test]
fn what_comes_back_too_often_is_dropped_and_the_operator_is_told() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let table = Arguments::new().shortstr("x-delivery-limit").octet(b'I').long(2);
    let declare = Arguments::new().short(0).shortstr("q").octet(2).longstr(table.octets());
    client.call(1, method::QUEUE_DECLARE, &declare, method::QUEUE_DECLARE_OK);
    client.publish(1, "", "q", &mode(2), b"poison").expect("taken");
    client.consume(1, "q", "c");
    for _ in 0..3 {
        let delivered = client.expect(1, method::BASIC_DELIVER);
        let tag = client.content(&delivered).expect("a message").tag;
        client.method(1, method::BASIC_REJECT, &Arguments::new().longlong(tag).octet(1));
    }
    let words = "queue 'q' in vhost '/' has no dead-letter exchange: it has dropped 1 messages";
    haremq_tests::eventually("the operator is told", PATIENCE, || {
        broker.output().text().contains(words).then_some(())
    });
    assert_eq!(count(&mut client, "q"), 0);
}
