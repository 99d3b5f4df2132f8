//! Sentences of docs/guarantees.md that no other test speaks of, against the real broker.

use haremq_tests::broker::{start_refused, Broker, Setup};
use haremq_tests::directory::TestDirectory;
use haremq_tests::eventually;
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::{Delivery, PATIENCE};
use haremq_tests::wire::Field::{Flag, List, Number, Text};
use haremq_tests::wire::{method, table, Arguments, Client, Field, Frame, Received};

const DURABLE: u8 = 2;
const EXCLUSIVE: u8 = 4;
const MANDATORY: u8 = 1;

fn declare_queue(client: &mut Client, name: &str, fields: &[Field<'_>]) {
    let declare = Arguments::new().short(0).shortstr(name).octet(DURABLE).longstr(&table(fields));
    client.call(1, method::QUEUE_DECLARE, &declare, method::QUEUE_DECLARE_OK);
}

fn declare_exchange(client: &mut Client, name: &str, kind: &str, fields: &[Field<'_>]) {
    let declare = Arguments::new().short(0).shortstr(name).shortstr(kind).octet(DURABLE);
    let declare = declare.longstr(&table(fields));
    client.call(1, method::EXCHANGE_DECLARE, &declare, method::EXCHANGE_DECLARE_OK);
}

fn bind(client: &mut Client, queue: &str, exchange: &str, key: &str) {
    let bind = Arguments::new().short(0).shortstr(queue).shortstr(exchange).shortstr(key);
    client.call(1, method::QUEUE_BIND, &bind.octet(0).empty_table(), method::QUEUE_BIND_OK);
}

/// Headers, persistent.
fn headers(fields: &[Field<'_>]) -> Vec<u8> {
    Arguments::new().short(0x3000).longstr(&table(fields)).octet(2).octets().to_vec()
}

/// Publishes persistent messages and waits for their confirms. Nothing else may be outstanding on the channel, in confirm
/// mode, and `tag` is that of the first one.
fn publish_safely(client: &mut Client, queue: &str, bodies: &[&str], tag: u64) {
    for body in bodies {
        client.publish(1, "", queue, PERSISTENT, body.as_bytes()).expect("taken");
    }
    let last = tag + bodies.len() as u64 - 1;
    while client.expect(1, method::BASIC_ACK).arguments().longlong() < last {}
}

/// Takes the next message and does not settle it.
fn hold(client: &mut Client, queue: &str) -> Option<Delivery> {
    client.method(1, method::BASIC_GET, &Arguments::new().short(0).shortstr(queue).octet(0));
    match client.receive(PATIENCE) {
        Received::Frame(frame) if frame.method_id() == Some(method::BASIC_GET_OK) => {
            client.content(&frame)
        }
        _ => None,
    }
}

fn reject(client: &mut Client, tag: u64, requeue: bool) {
    let reject = Arguments::new().longlong(tag).octet(u8::from(requeue));
    client.method(1, method::BASIC_REJECT, &reject);
}

fn take(client: &mut Client, queue: &str) -> String {
    let delivery = eventually(queue, PATIENCE, || client.get(1, queue));
    String::from_utf8_lossy(&delivery.body).into_owned()
}

fn ready(client: &mut Client, queue: &str) -> u32 {
    client.declare_queue(1, queue, 1)
}

/// "If the message went to queues on several shards, every one of their logs has it."
#[test]
fn a_confirmed_message_is_in_all_its_queues_on_all_shards_after_kill9() {
    const QUEUES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let mut broker = Broker::start();
    {
        // A queue lives where its declarer's connection does: these are on both shards.
        let mut clients = QUEUES.map(|_| Client::login_with_channel(broker.amqp()));
        for (client, queue) in clients.iter_mut().zip(QUEUES) {
            client.declare_queue(1, queue, DURABLE);
            bind(client, queue, "amq.fanout", "");
        }
    }
    let mut number = 0_u64;
    for _ in 0..4 {
        let first = number + 1;
        let mut client = Client::login_with_channel(broker.amqp());
        client.confirm_select(1);
        for tag in 1..=20 {
            number += 1;
            let body = number.to_be_bytes();
            client.publish(1, "amq.fanout", "", PERSISTENT, &body).expect("taken");
            assert_eq!(client.expect(1, method::BASIC_ACK).arguments().longlong(), tag);
        }
        let storage = broker.ask("/api/haremq/storage");
        let shards = storage["shards"].as_array().expect("a list");
        let hold = |shard: &serde_json::Value| shard["live"].as_u64() > Some(100);
        assert!(shards.len() == 2 && shards.iter().all(hold), "on one shard alone: {storage}");
        // One that may be confirmed or not when the broker goes.
        client
            .publish(1, "amq.fanout", "", PERSISTENT, &(number + 1).to_be_bytes())
            .expect("taken");
        broker.kill9_and_start_again();
        let mut client = Client::login_with_channel(broker.amqp());
        for queue in QUEUES {
            let there: Vec<u64> = std::iter::from_fn(|| client.get(1, queue))
                .map(|one| u64::from_be_bytes(one.body[..].try_into().expect("eight octets")))
                .filter(|there| *there >= first)
                .collect();
            let confirmed: Vec<u64> = (first..=number).collect();
            let with_the_last: Vec<u64> = (first..=number + 1).collect();
            assert!(there == confirmed || there == with_the_last, "{queue} has {there:?}");
        }
        number += 1;
    }
}

/// "the answer (declare-ok and so on) is sent [...] when every shard routes by the change"
#[test]
fn what_has_been_declared_and_bound_is_known_to_all_connections_once_it_is_answered() {
    let broker = Broker::start();
    // More than one on each shard.
    let mut clients = [(); 6].map(|()| Client::login_with_channel(broker.amqp()));
    for round in 0..60 {
        let (queue, exchange) = (format!("q{round}"), format!("x{round}"));
        let declarer = &mut clients[round % 6];
        declarer.declare_queue(1, &queue, if round % 2 == 0 { DURABLE } else { 0 });
        declare_exchange(declarer, &exchange, "direct", &[]);
        bind(declarer, &queue, &exchange, "k");
        for client in &mut clients {
            let arguments = Arguments::new().short(0).shortstr(&exchange).shortstr("k");
            let mut octets =
                Frame::method(1, method::BASIC_PUBLISH, &arguments.octet(MANDATORY)).encode();
            octets.extend(Frame::content_header(1, 1, &[0, 0]).encode());
            octets.extend(Frame::body(1, b"m").encode());
            client.send(&octets);
            // A message that has no way would come back before this is answered.
            let declare = Arguments::new().short(0).shortstr(&queue).octet(1).empty_table();
            client.call(1, method::QUEUE_DECLARE, &declare, method::QUEUE_DECLARE_OK);
        }
        for _ in 0..6 {
            take(&mut clients[(round + 3) % 6], &queue);
        }
        let delete = Arguments::new().short(0).shortstr(&queue).octet(0);
        clients[(round + 1) % 6].call(1, method::QUEUE_DELETE, &delete, method::QUEUE_DELETE_OK);
        for client in &mut clients {
            let get = Arguments::new().short(0).shortstr(&queue).octet(1);
            client.method(1, method::BASIC_GET, &get);
            let close = client.expect(1, method::CHANNEL_CLOSE);
            assert_eq!(close.arguments().short(), 404, "a deleted queue is gone everywhere");
            client.method(1, method::CHANNEL_CLOSE_OK, &Arguments::new());
            client.open_channel(1);
        }
    }
}

/// "Exclusive queues never survive their connection, durable or not."
#[test]
fn an_exclusive_queue_is_gone_after_kill9_though_it_was_declared_durable() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "own", DURABLE | EXCLUSIVE);
    client.declare_queue(1, "everybodys", DURABLE);
    client.confirm_select(1);
    for queue in ["own", "everybodys"] {
        client.publish(1, "", queue, PERSISTENT, b"m").expect("taken");
    }
    client.await_confirms(1, 2);
    broker.kill9_and_start_again();
    assert_eq!(broker.ctl().rows(&["list_queues", "name"]), [["everybodys"]]);
}

/// "the flag is set on every message that comes back from the log, after a clean stop too"
#[test]
fn what_comes_back_from_the_log_is_flagged_as_redelivered_after_a_clean_stop_too() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "q", DURABLE);
    client.confirm_select(1);
    publish_safely(&mut client, "q", &["1", "2", "3", "4"], 1);
    for restart in [Broker::stop_and_start_again, Broker::kill9_and_start_again] {
        restart(&mut broker);
        let mut client = Client::login_with_channel(broker.amqp());
        let delivery = client.get(1, "q").expect("nobody has taken it");
        assert!(delivery.redelivered, "{delivery:?}");
    }
}

/// "a clean stop waits for it": a purge that is answered while very many messages are still to be cleared away.
#[test]
fn a_purge_of_very_many_messages_is_done_when_a_clean_stop_is() {
    const MESSAGES: u64 = 60_000;
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "q", DURABLE);
    client.confirm_select(1);
    let octets = Client::publish_octets(1, "", "q", PERSISTENT, b"m").repeat(500);
    for sent in (500..=MESSAGES).step_by(500) {
        client.send(&octets);
        while client.expect(1, method::BASIC_ACK).arguments().longlong() < sent {}
    }
    let purge = Arguments::new().short(0).shortstr("q").octet(0);
    let answer = client.call(1, (50, 30), &purge, (50, 31));
    assert_eq!(u64::from(answer.arguments().long()), MESSAGES);
    broker.stop_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    assert_eq!(ready(&mut client, "q"), 0);
}

/// "A rejection is as lasting as an ack": what a confirm of the same queue and channel has followed is never undone.
#[test]
fn a_rejection_that_a_confirm_has_followed_survives_kill9() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "dead", DURABLE);
    let to_dead = [Text("x-dead-letter-exchange", ""), Text("x-dead-letter-routing-key", "dead")];
    declare_queue(&mut client, "lettered", &to_dead);
    client.declare_queue(1, "plain", DURABLE);
    client.confirm_select(1);
    let mut tag = 1;
    for queue in ["lettered", "plain"] {
        publish_safely(&mut client, queue, &["bad"], tag);
        let held = hold(&mut client, queue).expect("a message");
        reject(&mut client, held.tag, false);
        publish_safely(&mut client, queue, &["good"], tag + 1);
        tag += 2;
    }
    // The letter itself crosses no shard: declared on one connection, both queues are on one.
    broker.kill9_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    for queue in ["lettered", "plain"] {
        assert_eq!(take(&mut client, queue), "good");
        assert_eq!(client.get(1, queue), None, "{queue}: what was rejected is back");
    }
    assert_eq!(take(&mut client, "dead"), "bad");
    assert_eq!(client.get(1, "dead"), None);
}

/// "How often a message has come back is counted in memory: after a restart it begins anew."
#[test]
fn how_often_a_message_has_come_back_begins_anew_after_a_restart() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare_queue(&mut client, "q", &[Number("x-delivery-limit", 2)]);
    client.confirm_select(1);
    publish_safely(&mut client, "q", &["m"], 1);
    for restart in [Broker::kill9_and_start_again, Broker::stop_and_start_again] {
        let mut client = Client::login_with_channel(broker.amqp());
        for _ in 0..2 {
            let held = hold(&mut client, "q").expect("it has not come back too often");
            reject(&mut client, held.tag, true);
        }
        assert_eq!(ready(&mut client, "q"), 1);
        restart(&mut broker);
    }
    let mut client = Client::login_with_channel(broker.amqp());
    for _ in 0..3 {
        let held = hold(&mut client, "q").expect("it has not come back too often");
        reject(&mut client, held.tag, true);
    }
    assert_eq!(ready(&mut client, "q"), 0, "and the third time is once too often");
}

/// Dropped is a letter "that a full queue with `x-overflow` = `reject-publish` refuses [...]. With `reject-publish-dlx` a
/// refused letter is dead-lettered in turn."
#[test]
fn a_letter_that_a_full_queue_refuses_is_dropped_or_dies_once_more() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "end", DURABLE);
    for (full, overflow) in [("full", "reject-publish"), ("full-dlx", "reject-publish-dlx")] {
        let fields = [
            Number("x-max-length", 1),
            Text("x-overflow", overflow),
            Text("x-dead-letter-exchange", ""),
            Text("x-dead-letter-routing-key", "end"),
        ];
        declare_queue(&mut client, full, &fields);
        client.publish(1, "", full, PERSISTENT, b"first").expect("taken");
        let from = format!("to-{full}");
        let to_full = [Text("x-dead-letter-exchange", ""), Text("x-dead-letter-routing-key", full)];
        declare_queue(&mut client, &from, &to_full);
        client.publish(1, "", &from, PERSISTENT, full.as_bytes()).expect("taken");
        let held = hold(&mut client, &from).expect("a message");
        reject(&mut client, held.tag, false);
    }
    assert_eq!(take(&mut client, "end"), "full-dlx", "the other one was first, and is not there");
    assert_eq!(client.get(1, "end"), None);
    for full in ["full", "full-dlx"] {
        assert_eq!(take(&mut client, full), "first");
        assert_eq!(client.get(1, full), None);
    }
}

/// "BCC keys are gone once a message has been published, so a dead letter is routed by its own key and those in CC."
#[test]
fn a_dead_letter_goes_by_its_key_and_those_in_cc_and_not_by_those_in_bcc() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare_exchange(&mut client, "dying", "fanout", &[]);
    declare_exchange(&mut client, "letters", "direct", &[]);
    declare_queue(&mut client, "q", &[Text("x-dead-letter-exchange", "letters")]);
    bind(&mut client, "q", "dying", "");
    for key in ["own", "carbon", "blind"] {
        client.declare_queue(1, key, DURABLE);
        bind(&mut client, key, "letters", key);
    }
    let copies = headers(&[List("CC", &["carbon"]), List("BCC", &["blind"])]);
    client.publish(1, "dying", "own", &copies, b"m").expect("taken");
    let held = eventually("the message", PATIENCE, || hold(&mut client, "q"));
    reject(&mut client, held.tag, false);
    for key in ["own", "carbon"] {
        assert_eq!(take(&mut client, key), "m");
    }
    assert_eq!(client.get(1, "blind"), None);
}

/// "It is routed at that moment, by the bindings there are then; without any, it goes to the alternate exchange or is
/// dropped."
#[test]
fn a_delayed_message_goes_by_the_bindings_there_are_when_it_is_due() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare_exchange(&mut client, "otherwise", "fanout", &[]);
    let kind = Text("x-delayed-type", "direct");
    let fields = [kind, Text("alternate-exchange", "otherwise")];
    declare_exchange(&mut client, "later", "x-delayed-message", &fields);
    declare_exchange(&mut client, "lonely", "x-delayed-message", &[kind]);
    for queue in ["before", "after", "rest"] {
        client.declare_queue(1, queue, DURABLE);
    }
    bind(&mut client, "rest", "otherwise", "");
    bind(&mut client, "before", "later", "k");
    bind(&mut client, "before", "lonely", "k");
    let delayed = headers(&[Number("x-delay", 2000)]);
    for (exchange, key) in [("lonely", "k"), ("later", "k"), ("later", "unbound")] {
        client.publish(1, exchange, key, &delayed, key.as_bytes()).expect("taken");
    }
    for exchange in ["later", "lonely"] {
        let unbind = Arguments::new().short(0).shortstr("before").shortstr(exchange).shortstr("k");
        client.call(1, (50, 50), &unbind.empty_table(), (50, 51));
    }
    bind(&mut client, "after", "later", "k");
    assert_eq!(take(&mut client, "after"), "k");
    assert_eq!(take(&mut client, "rest"), "unbound");
    for queue in ["before", "after", "rest"] {
        assert_eq!(client.get(1, queue), None, "{queue}");
    }
}

/// "After a restart the messages in such queues are read back for their values": a queue that deduplicates knows again
/// what is in it.
#[test]
fn a_queue_that_deduplicates_knows_what_is_in_it_after_a_restart() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare_queue(&mut client, "once", &[Flag("x-message-deduplication", true)]);
    client.confirm_select(1);
    let valued = |value| headers(&[Text("x-deduplication-header", value)]);
    for value in ["a", "b"] {
        client.publish(1, "", "once", &valued(value), value.as_bytes()).expect("taken");
    }
    client.await_confirms(1, 2);
    for restart in [Broker::kill9_and_start_again, Broker::stop_and_start_again] {
        restart(&mut broker);
        let mut client = Client::login_with_channel(broker.amqp());
        client.confirm_select(1);
        // Whoever comes before everything has been read back may be taken twice; here that is two messages.
        let mut tag = 0;
        eventually("the values are known again", PATIENCE, || {
            let before = ready(&mut client, "once");
            client.publish(1, "", "once", &valued("b"), b"again").expect("taken");
            tag += 1;
            while client.expect(1, method::BASIC_ACK).arguments().longlong() < tag {}
            (ready(&mut client, "once") == before).then_some(())
        });
        client.publish(1, "", "once", &valued("a"), b"again").expect("taken");
        client.expect(1, method::BASIC_ACK);
    }
    let mut client = Client::login_with_channel(broker.amqp());
    let bodies: Vec<String> = std::iter::from_fn(|| client.get(1, "once"))
        .map(|one| String::from_utf8_lossy(&one.body).into_owned())
        .collect();
    assert_eq!(bodies.iter().filter(|body| *body == "a").count(), 1, "{bodies:?}");
    assert_eq!(bodies[..2], ["a", "b"]);
}

/// "A queue that is bound later does not get it; one that is deleted meanwhile loses it."
#[test]
fn a_queue_that_is_deleted_while_a_large_message_comes_loses_it_and_no_other_does() {
    const BODY_BYTES: usize = 6 << 20;
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let mut other = Client::login_with_channel(broker.amqp());
    for queue in ["stays", "goes", "late"] {
        client.declare_queue(1, queue, DURABLE);
    }
    for queue in ["stays", "goes"] {
        bind(&mut client, queue, "amq.fanout", "");
    }
    client.confirm_select(1);
    let body: Vec<u8> = (0..BODY_BYTES).map(|at| (at % 251) as u8).collect();
    let octets = Client::publish_octets(1, "amq.fanout", "", PERSISTENT, &body);
    let (first, last) = octets.split_at(octets.len() / 2);
    client.send(first);
    // Nobody says when its header has been read, but parts of it are in the log then.
    eventually("parts are stored", PATIENCE, || {
        let live = broker.ask("/api/haremq/storage")["live"].as_u64();
        (live > Some(1 << 20)).then_some(())
    });
    let delete = Arguments::new().short(0).shortstr("goes").octet(0);
    other.call(1, method::QUEUE_DELETE, &delete, method::QUEUE_DELETE_OK);
    bind(&mut other, "late", "amq.fanout", "");
    client.send(last);
    client.await_confirms(1, 1);
    let delivery = client.get(1, "stays").expect("the message is there");
    assert!(delivery.body == body, "the body has changed");
    assert_eq!(client.get(1, "late"), None);
}

/// "It is a flag only, not a key of the configuration file".
#[test]
fn quarantine_cannot_be_asked_for_in_the_configuration_file() {
    let directory = TestDirectory::new();
    let (file, data) = (directory.path().join("haremq.toml"), directory.path().join("data"));
    std::fs::write(&file, "quarantine-damage = true\n").expect("a file can be written");
    let file = file.to_str().expect("a plain name");
    let refusal = start_refused(&Setup::new(), &data, &["--config", file]);
    refusal.assert_says(&["quarantine-damage"]);
}
