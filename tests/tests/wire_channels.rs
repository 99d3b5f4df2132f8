//! Channels, frames and errors as a peer on the wire sees them: which mistakes close a channel, which close the
//! connection, and in which words.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::{Login, PATIENCE};
use haremq_tests::wire::frame::{BODY, HEADER, METHOD};
use haremq_tests::wire::{method, Arguments, Client, Frame, Received};
use std::time::Duration;

fn queue_declare(name: &str, bits: u8) -> Arguments {
    Arguments::new().short(0).shortstr(name).octet(bits).empty_table()
}

fn publish_to(key: &str) -> Arguments {
    Arguments::new().short(0).shortstr("").shortstr(key).octet(0)
}

/// Sends `octets` on a connection with channel 1 open; gives the answer in words.
fn answer_to(octets: &[u8]) -> String {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.send(octets);
    let answer = client.receive(PATIENCE).to_string();
    Client::login_with_channel(broker.amqp()).exercise(1);
    answer
}

#[test]
fn open_ok_carries_an_empty_long_string() {
    let broker = Broker::start();
    let mut client = Client::login(broker.amqp());
    let arguments = Arguments::new().shortstr("");
    let reply = client.call(1, method::CHANNEL_OPEN, &arguments, method::CHANNEL_OPEN_OK);
    assert_eq!(reply.arguments().rest(), [0, 0, 0, 0]);
}

#[test]
fn a_second_open_of_a_channel_closes_the_connection() {
    let open = Frame::method(1, method::CHANNEL_OPEN, &Arguments::new().shortstr(""));
    let answer = answer_to(&open.encode());
    assert_eq!(answer, "CONN 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)");
}

#[test]
fn a_method_on_an_unopened_channel_closes_the_connection() {
    let declare = Frame::method(2, method::QUEUE_DECLARE, &queue_declare("q", 0));
    let answer = answer_to(&declare.encode());
    assert_eq!(answer, "CONN 504 CHANNEL_ERROR - expected 'channel.open' (50,10)");
}

#[test]
fn channel_numbers_above_the_count_are_fine() {
    let broker = Broker::start();
    let mut client = Client::login(broker.amqp());
    client.open_channel(65_535);
    client.exercise(65_535);
}

#[test]
fn more_channels_than_negotiated_are_refused() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    client.greet();
    client.start_ok(&haremq_tests::wire::Login::default());
    let offered = client.tune();
    client.tune_ok(haremq_tests::wire::client::Tune { channel_max: 10, heartbeat_s: 0, ..offered });
    client.open("/");
    client.expect(0, method::CONNECTION_OPEN_OK);
    for channel in 11..=20 {
        client.open_channel(channel);
    }
    client.method(1, method::CHANNEL_OPEN, &Arguments::new().shortstr(""));
    assert_eq!(
        client.receive(PATIENCE).to_string(),
        "CONN 530 NOT_ALLOWED - number of channels opened (10) has reached the negotiated channel_max (10) (0,0)"
    );
}

#[test]
fn a_soft_error_closes_only_its_channel() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.open_channel(2);
    client.method(1, method::QUEUE_DECLARE, &queue_declare("missing", 1));
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CH 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)");
    client.exercise(2);
    client.method(1, method::CHANNEL_CLOSE_OK, &Arguments::new());
    client.open_channel(1);
    client.exercise(1);
}

#[test]
fn what_follows_a_closed_channel_is_ignored_until_close_ok() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.method(1, method::QUEUE_DECLARE, &queue_declare("missing", 1));
    // Everything that may be under way while the close travels.
    client.method(1, method::QUEUE_DECLARE, &queue_declare("after", 0));
    client.publish(1, "", "after", &[0, 0], b"lost").expect("the broker takes octets");
    client.ack(1, 77, false).expect("the broker takes octets");
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CH 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)");
    client.method(1, method::CHANNEL_CLOSE_OK, &Arguments::new());
    client.open_channel(1);
    client.method(1, method::QUEUE_DECLARE, &queue_declare("after", 1));
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CH 404 NOT_FOUND - no queue 'after' in vhost '/' (50,10)");
}

#[test]
fn after_a_hard_error_nothing_more_is_done_for_the_connection() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let twice = Frame::method(1, method::CHANNEL_OPEN, &Arguments::new().shortstr("")).encode();
    let declare = Frame::method(1, method::QUEUE_DECLARE, &queue_declare("after", 0)).encode();
    client.send(&[twice, declare].concat());
    assert!(client.receive(PATIENCE).to_string().starts_with("CONN 504"));
    let mut other = Client::login_with_channel(broker.amqp());
    other.method(1, method::QUEUE_DECLARE, &queue_declare("after", 1));
    let answer = other.receive(PATIENCE).to_string();
    assert_eq!(answer, "CH 404 NOT_FOUND - no queue 'after' in vhost '/' (50,10)");
    client.method(0, method::CONNECTION_CLOSE_OK, &Arguments::new());
    assert!(client.receive_end(PATIENCE).is_some(), "close-ok ends the connection");
}

#[test]
fn flow_on_is_answered_and_flow_off_is_not_implemented() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let on = Arguments::new().octet(1);
    let reply = client.call(1, method::CHANNEL_FLOW, &on, method::CHANNEL_FLOW_OK);
    assert_eq!(reply.arguments().rest(), [1]);
    client.method(1, method::CHANNEL_FLOW, &Arguments::new().octet(0));
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CONN 540 NOT_IMPLEMENTED - active=false (20,20)");
}

#[test]
fn access_request_is_granted_with_ticket_1() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let arguments = Arguments::new().shortstr("/data").octet(0x1d);
    let reply = client.call(1, method::ACCESS_REQUEST, &arguments, method::ACCESS_REQUEST_OK);
    assert_eq!(reply.arguments().rest(), [0, 1]);
}

#[test]
fn a_frame_without_its_end_octet_is_a_frame_error() {
    let mut octets = Frame::method(1, method::BASIC_PUBLISH, &publish_to("q")).encode();
    *octets.last_mut().expect("a frame has an end") = 0;
    assert_eq!(
        answer_to(&octets),
        "CONN 501 FRAME_ERROR - type 1, all octets = <<0,60,0,40,0,0,0,1,113,0>>: \
         {invalid_frame_end_marker,0} (0,0)"
    );
}

#[test]
fn a_frame_over_frame_max_is_refused_by_its_header_alone() {
    let header = Arguments::new().octet(METHOD).short(0).long(200_000);
    assert_eq!(
        answer_to(header.octets()),
        "CONN 501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,200000,131064} (0,0)"
    );
}

#[test]
fn a_frame_of_exactly_frame_max_is_taken() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "full", 4);
    let body = vec![b'x'; 131_072 - 8];
    client.publish(1, "", "full", &[0, 0], &body).expect("the broker takes octets");
    assert_eq!(client.get(1, "full").map(|delivery| delivery.body), Some(body));
}

#[test]
fn a_frame_of_unknown_type_is_a_frame_error() {
    let unknown = Frame { kind: 9, channel: 1, payload: Vec::new() };
    assert_eq!(
        answer_to(&unknown.encode()),
        "CONN 501 FRAME_ERROR - type 9, all octets = <<>>: unknown_frame (0,0)"
    );
}

#[test]
fn content_without_a_publish_is_unexpected() {
    for frame in [Frame::content_header(1, 3, &[0, 0]), Frame::body(1, b"abc")] {
        assert_eq!(
            answer_to(&frame.encode()),
            "CONN 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)"
        );
    }
}

#[test]
fn a_method_where_a_content_header_is_due_is_unexpected() {
    let publish = Frame::method(1, method::BASIC_PUBLISH, &publish_to("q")).encode();
    let declare = Frame::method(1, method::QUEUE_DECLARE, &queue_declare("q", 0)).encode();
    assert_eq!(
        answer_to(&[publish, declare].concat()),
        "CONN 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header \
         frame instead (60,40)"
    );
}

#[test]
fn a_body_longer_than_announced_never_becomes_a_message() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "short", 0);
    let publish = Frame::method(1, method::BASIC_PUBLISH, &publish_to("short")).encode();
    let header = Frame::content_header(1, 3, &[0, 0]).encode();
    client.send(&[publish, header, Frame::body(1, b"xxxxxx").encode()].concat());
    match client.receive(Duration::from_secs(1)) {
        Received::Silence => {}
        answer => assert!(answer.to_string().starts_with("CONN 501 FRAME_ERROR"), "{answer}"),
    }
    let mut other = Client::login_with_channel(broker.amqp());
    assert_eq!(other.get(1, "short"), None);
}

#[test]
fn a_body_may_come_in_many_frames_and_none() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "parts", 4);
    let publish = Frame::method(1, method::BASIC_PUBLISH, &publish_to("parts")).encode();
    let parts: Vec<u8> = ["", "ab", "", "c", "def"]
        .iter()
        .flat_map(|part| Frame::body(1, part.as_bytes()).encode())
        .collect();
    let header = Frame::content_header(1, 6, &[0, 0]).encode();
    client.send(&[publish.clone(), header, parts].concat());
    client.send(&[publish, Frame::content_header(1, 0, &[0, 0]).encode()].concat());
    assert_eq!(client.get(1, "parts").map(|delivery| delivery.body), Some(b"abcdef".to_vec()));
    assert_eq!(client.get(1, "parts").map(|delivery| delivery.body), Some(Vec::new()));
}

#[test]
fn contents_of_two_channels_may_interleave_frame_by_frame() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.open_channel(2);
    client.declare_queue(1, "one", 4);
    client.declare_queue(2, "two", 4);
    let frames = [
        Frame::method(1, method::BASIC_PUBLISH, &publish_to("one")),
        Frame::method(2, method::BASIC_PUBLISH, &publish_to("two")),
        Frame::content_header(2, 4, &[0, 0]),
        Frame::content_header(1, 4, &[0, 0]),
        Frame::body(1, b"ab"),
        Frame::body(2, b"12"),
        Frame::body(1, b"cd"),
        Frame::body(2, b"34"),
    ];
    client.send(&frames.iter().flat_map(Frame::encode).collect::<Vec<u8>>());
    assert_eq!(client.get(1, "one").map(|delivery| delivery.body), Some(b"abcd".to_vec()));
    assert_eq!(client.get(2, "two").map(|delivery| delivery.body), Some(b"1234".to_vec()));
}

#[test]
fn an_unknown_method_ends_the_connection() {
    for unknown in [(99, 99), (50, 99), (60, 0), (0, 0)] {
        let octets = Frame::method(1, unknown, &Arguments::new()).encode();
        let answer = answer_to(&octets);
        let ended = answer == "closed" || answer.starts_with("CONN 5");
        assert!(ended, "{unknown:?} was answered with {answer}");
    }
}

#[test]
fn arguments_cut_short_end_the_connection() {
    let whole = queue_declare("cut", 0);
    for length in 0..whole.octets().len() {
        let arguments = Arguments::new().raw(&whole.octets()[..length]);
        let broker = Broker::start();
        let mut client = Client::login_with_channel(broker.amqp());
        client.method(1, method::QUEUE_DECLARE, &arguments);
        let answer = client.receive(PATIENCE).to_string();
        let ended = answer == "closed" || answer.starts_with("CONN 5");
        assert!(ended, "{length} octets of arguments were answered with {answer}");
    }
}

#[test]
fn selecting_confirms_or_transactions_twice_is_fine() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.confirm_select(1);
    client.confirm_select(1);
}

#[test]
fn properties_and_headers_are_passed_through_octet_for_octet() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "exact", 4);
    let properties = every_property();
    client.publish(1, "", "exact", &properties, b"body").expect("the broker takes octets");
    let delivery = client.get(1, "exact").expect("the message is there");
    assert_eq!(delivery.properties, properties);
    assert_eq!(delivery.body, b"body");
}

/// All fourteen properties, with a header of every type a field table can hold, in no sorted order.
fn every_property() -> Vec<u8> {
    let nested = Arguments::new().shortstr("z").raw(b"t\x00").shortstr("a").raw(b"I\0\0\0\x07");
    let array = Arguments::new().raw(b"S").longstr(b"x").raw(b"V").raw(b"b\xff");
    let headers = Arguments::new()
        .shortstr("zz-bool")
        .raw(b"t\x01")
        .shortstr("int8")
        .raw(b"b\x80")
        .shortstr("uint8")
        .raw(b"B\xfe")
        .shortstr("int16")
        .raw(b"s\xff\xfe")
        .shortstr("uint16")
        .raw(b"u\xff\xfe")
        .shortstr("int32")
        .raw(b"I\xff\xff\xff\xfe")
        .shortstr("uint32")
        .raw(b"i\xff\xff\xff\xfe")
        .shortstr("int64")
        .raw(b"l\xff\xff\xff\xff\xff\xff\xff\xfe")
        .shortstr("float")
        .raw(b"f\x3f\x80\0\0")
        .shortstr("double")
        .raw(b"d\x3f\xf0\0\0\0\0\0\0")
        .shortstr("decimal")
        .raw(b"D\x02\0\0\x01\x00")
        .shortstr("string")
        .raw(b"S")
        .longstr("h\u{e4}se".as_bytes())
        .shortstr("time")
        .raw(b"T\0\0\0\0\x65\0\0\0")
        .shortstr("octets")
        .raw(b"x")
        .longstr(b"\0\xff")
        .shortstr("void")
        .raw(b"V")
        .shortstr("array")
        .raw(b"A")
        .longstr(array.octets())
        .shortstr("aa-table")
        .raw(b"F")
        .longstr(nested.octets());
    Arguments::new()
        .short(0xFFFC)
        .shortstr("text/plain")
        .shortstr("identity")
        .longstr(headers.octets())
        .octet(1)
        .octet(3)
        .shortstr("correlation")
        .shortstr("reply.to")
        .shortstr("60000")
        .shortstr("message-1")
        .longlong(1_700_000_000)
        .shortstr("type")
        .shortstr("guest")
        .shortstr("application")
        .shortstr("cluster")
        .octets()
        .to_vec()
}

#[test]
fn a_frame_may_arrive_octet_by_octet() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let declare = Frame::method(1, method::QUEUE_DECLARE, &queue_declare("slow", 4)).encode();
    for octet in declare {
        client.send(&[octet]);
    }
    client.expect(1, method::QUEUE_DECLARE_OK);
    let mut octets = Frame::method(1, method::BASIC_PUBLISH, &publish_to("slow")).encode();
    octets.extend(Frame { kind: HEADER, ..Frame::content_header(1, 5, &[0, 0]) }.encode());
    octets.extend(Frame { kind: BODY, channel: 1, payload: b"hello".to_vec() }.encode());
    for part in octets.chunks(3) {
        client.send(part);
    }
    assert_eq!(client.get(1, "slow").map(|delivery| delivery.body), Some(b"hello".to_vec()));
}

#[test]
fn nowait_suppresses_the_answer_but_not_the_error() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.method(1, method::QUEUE_DECLARE, &queue_declare("quiet", 4 | 16));
    client.method(1, method::QUEUE_DECLARE, &queue_declare("missing", 1 | 16));
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CH 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)");
}

/// A method that must be answered stops the input behind it. Where the queue lived on the connection's own shard the
/// answer came within the same turn, and what had been held back lay there until the client sent something more: a
/// program that subscribed and published in one breath never got its message.
#[test]
fn what_is_sent_behind_a_method_in_one_breath_is_taken_when_it_is_answered() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    // Queues of every shard.
    for number in 0..6 {
        let queue = format!("breath {number}");
        client.declare_queue(1, &queue, 0);
        let consume =
            Arguments::new().short(0).shortstr(&queue).shortstr(&queue).octet(2).empty_table();
        let mut breath = Frame::method(1, method::BASIC_CONSUME, &consume).encode();
        breath.extend(Frame::method(1, method::BASIC_PUBLISH, &publish_to(&queue)).encode());
        breath.extend(Frame::content_header(1, 4, &[0, 0]).encode());
        breath.extend(Frame::body(1, b"body").encode());
        client.send(&breath);
        client.expect(1, method::BASIC_CONSUME_OK);
        let delivery = client.expect(1, method::BASIC_DELIVER);
        assert_eq!(client.content(&delivery).expect("its content").body, b"body");
    }
}

/// A client that hears of its consumer's end before its queue.delete is answered may close the channel and then wait
/// for an answer that cannot come any more. RabbitMQ's channel does nothing else while it deletes.
#[test]
fn a_deletion_is_answered_before_its_consumers_are_cancelled() {
    let broker = Broker::start();
    let capability = Arguments::new().shortstr("consumer_cancel_notify").raw(b"t\x01");
    let capabilities =
        Arguments::new().shortstr("capabilities").raw(b"F").longstr(capability.octets());
    let client_properties = capabilities.octets().to_vec();
    let (mut client, opened) =
        Client::login_as(broker.amqp(), &Login { client_properties, ..Login::default() });
    assert!(matches!(opened, Received::Frame(_)), "{opened}");
    client.open_channel(1);
    // Queues of every shard.
    for number in 0..4 {
        let queue = format!("deleted {number}");
        client.declare_queue(1, &queue, 0);
        client.consume(1, &queue, "one");
        client.consume(1, &queue, "two");
        let delete = Arguments::new().short(0).shortstr(&queue).octet(0);
        client.call(1, method::QUEUE_DELETE, &delete, method::QUEUE_DELETE_OK);
        let mut cancelled =
            [(); 2].map(|()| client.expect(1, method::BASIC_CANCEL).arguments().shortstr());
        cancelled.sort();
        assert_eq!(cancelled, ["one", "two"]);
    }
}
