//! From the first octet to connection.open-ok, and the ends of connections, as a peer on the wire sees them.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::{Tune, PATIENCE};
use haremq_tests::wire::frame::{HEARTBEAT, PROTOCOL_HEADER};
use haremq_tests::wire::{method, Arguments, Client, Frame, Login, Reader, Received};
use std::collections::BTreeSet;
use std::time::Duration;

/// The broker holds a refused login back for about three seconds, so that passwords cannot be tried fast.
const HELD_BACK: std::ops::Range<Duration> =
    Duration::from_millis(2500)..Duration::from_millis(5000);

/// `authentication_failure_close` in `capabilities`, encoded as client-properties.
fn capable() -> Vec<u8> {
    let capability = Arguments::new().shortstr("authentication_failure_close").raw(b"t\x01");
    Arguments::new()
        .shortstr("capabilities")
        .raw(b"F")
        .longstr(capability.octets())
        .octets()
        .to_vec()
}

#[test]
fn a_header_of_another_protocol_is_answered_with_ours() {
    let broker = Broker::start();
    for header in [
        b"AMQP\x01\x01\x00\x0a".as_slice(),
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x00\x03\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let mut client = Client::connect(broker.amqp());
        client.send(header);
        assert_eq!(client.receive_octets(9, PATIENCE), PROTOCOL_HEADER, "{header:?}");
        assert!(
            client.receive_end(PATIENCE).is_some(),
            "the connection is closed after {header:?}"
        );
    }
    Client::login_with_channel(broker.amqp()).exercise(1);
}

#[test]
fn the_header_of_amqp_0_9_is_accepted() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    client.send(b"AMQP\x01\x01\x09\x01");
    client.expect(0, method::CONNECTION_START);
}

#[test]
fn connection_start_says_what_clients_branch_on() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    let start = client.greet();
    let mut arguments = start.arguments();
    assert_eq!((arguments.octet(), arguments.octet()), (0, 9));
    let properties = String::from_utf8_lossy(arguments.longstr()).into_owned();
    for part in [
        "capabilities",
        "product",
        "version",
        "platform",
        "information",
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "authentication_failure_close",
        "per_consumer_qos",
    ] {
        assert!(properties.contains(part), "{part} is missing in server-properties");
    }
    let mechanisms = String::from_utf8_lossy(arguments.longstr()).into_owned();
    let mechanisms: BTreeSet<&str> = mechanisms.split(' ').collect();
    assert_eq!(mechanisms, BTreeSet::from(["AMQPLAIN", "PLAIN"]));
    assert_eq!(arguments.longstr(), b"en_US");
}

#[test]
fn connection_tune_offers_rabbitmqs_defaults() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    client.greet();
    client.start_ok(&Login::default());
    let offered = Tune { channel_max: 2047, frame_max: 131_072, heartbeat_s: 60 };
    assert_eq!(client.tune(), offered);
}

#[test]
fn amqplain_logs_in() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    client.greet();
    let response = Arguments::new()
        .shortstr("LOGIN")
        .raw(b"S")
        .longstr(b"guest")
        .shortstr("PASSWORD")
        .raw(b"S")
        .longstr(b"guest");
    let arguments = Arguments::new()
        .empty_table()
        .shortstr("AMQPLAIN")
        .longstr(response.octets())
        .shortstr("en_US");
    client.method(0, method::CONNECTION_START_OK, &arguments);
    let tune = client.tune();
    client.tune_ok(tune);
    client.open("/");
    client.expect(0, method::CONNECTION_OPEN_OK);
}

#[test]
fn a_refused_login_is_silent_and_held_back() {
    let broker = Broker::start();
    let start_ok = |mechanism: &str, response: &[u8]| {
        let arguments = Arguments::new().empty_table().shortstr(mechanism).longstr(response);
        let arguments = arguments.shortstr("en_US");
        Frame::method(0, method::CONNECTION_START_OK, &arguments).encode()
    };
    let refused = [
        ("an unknown mechanism", start_ok("FOO", b"\0guest\0guest")),
        ("a malformed response", start_ok("PLAIN", b"garbage")),
        ("a wrong password of an old client", start_ok("PLAIN", b"\0guest\0wrong")),
        ("an unknown user of an old client", start_ok("PLAIN", b"\0nobody\0guest")),
    ];
    // All at once: each takes three seconds.
    let clients = refused.map(|(what, octets)| {
        let mut client = Client::connect(broker.amqp());
        client.greet();
        client.send(&octets);
        (what, client, std::time::Instant::now())
    });
    for (what, mut client, since) in clients {
        assert_eq!(client.receive(PATIENCE), Received::Closed, "{what}");
        let elapsed = since.elapsed();
        assert!(HELD_BACK.contains(&elapsed), "{what}: closed after {elapsed:?}");
    }
}

#[test]
fn a_wrong_password_is_told_to_a_client_that_understands() {
    let broker = Broker::start();
    for (user, password) in [("guest", "wrong"), ("nobody", "guest")] {
        let login = Login {
            user: user.into(),
            password: password.into(),
            client_properties: capable(),
            ..Login::default()
        };
        let (_, answer) = Client::login_as(broker.amqp(), &login);
        assert_eq!(
            answer.to_string(),
            "CONN 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
             For details see the broker logfile. (0,0)"
        );
    }
}

#[test]
fn tune_ok_outside_of_the_offer_is_refused_silently() {
    let broker = Broker::start();
    let offered = Tune { channel_max: 2047, frame_max: 131_072, heartbeat_s: 0 };
    let answers = [
        Tune { channel_max: 2048, ..offered },
        Tune { channel_max: 0, ..offered },
        Tune { frame_max: 131_073, ..offered },
        Tune { frame_max: 0, ..offered },
        Tune { frame_max: 1000, ..offered },
    ];
    let clients = answers.map(|answer| {
        let mut client = Client::connect(broker.amqp());
        client.greet();
        client.start_ok(&Login::default());
        client.tune();
        client.tune_ok(answer);
        client.open("/");
        (answer, client, std::time::Instant::now())
    });
    for (answer, mut client, since) in clients {
        assert_eq!(client.receive(PATIENCE), Received::Closed, "{answer:?}");
        let elapsed = since.elapsed();
        assert!(HELD_BACK.contains(&elapsed), "{answer:?}: closed after {elapsed:?}");
    }
}

#[test]
fn a_missing_vhost_and_one_without_permission_are_told_apart() {
    let broker = Broker::start();
    let missing = Login { vhost: "nope".into(), ..Login::default() };
    let (_, answer) = Client::login_as(broker.amqp(), &missing);
    assert_eq!(answer.to_string(), "CONN 530 NOT_ALLOWED - vhost nope not found (10,40)");
}

#[test]
fn a_user_without_permissions_is_refused_the_vhost() {
    let broker = Broker::start();
    broker.ctl().succeed(&["add_user", "u", "p"]);
    let login = Login { user: "u".into(), password: "p".into(), ..Login::default() };
    let (_, answer) = Client::login_as(broker.amqp(), &login);
    let expected = "CONN 530 NOT_ALLOWED - access to vhost '/' refused for user 'u' (10,40)";
    assert_eq!(answer.to_string(), expected);
}

#[test]
fn no_frame_before_open_may_be_larger_than_8_kib() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    client.greet();
    // A response that would be taken if it were not for the size of its frame.
    let response = [b"\0guest\0guest".as_slice(), &[b'x'; 9000]].concat();
    let arguments = Arguments::new().empty_table().shortstr("PLAIN").longstr(&response);
    client.method(0, method::CONNECTION_START_OK, &arguments.shortstr("en_US"));
    match client.receive(PATIENCE) {
        Received::Closed => {}
        answer => assert!(answer.to_string().starts_with("CONN 501 FRAME_ERROR"), "{answer}"),
    }
}

#[test]
fn a_close_of_the_client_is_answered_and_then_the_socket_is_closed() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    let arguments = Arguments::new().short(200).shortstr("bye").short(0).short(0);
    client.call(0, method::CONNECTION_CLOSE, &arguments, method::CONNECTION_CLOSE_OK);
    client.end_sending();
    assert!(client.receive_end(PATIENCE).is_some());
}

#[test]
fn a_silent_client_is_left_after_two_heartbeats() {
    let broker = Broker::start();
    let login = Login { heartbeat_s: 1, ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    let start = std::time::Instant::now();
    let mut heartbeats = 0;
    loop {
        match client.receive(PATIENCE) {
            Received::Frame(frame) => {
                assert_eq!((frame.kind, frame.channel, frame.payload.len()), (HEARTBEAT, 0, 0));
                heartbeats += 1;
            }
            Received::Closed => break,
            Received::Silence => panic!("neither heartbeat nor end"),
        }
    }
    let elapsed = start.elapsed();
    let expected = Duration::from_millis(1900)..Duration::from_millis(4500);
    assert!(expected.contains(&elapsed), "closed after {elapsed:?}, 3 s are right");
    assert!((2..=8).contains(&heartbeats), "{heartbeats} heartbeats in {elapsed:?}");
}

#[test]
fn a_client_that_sends_heartbeats_is_kept() {
    let broker = Broker::start();
    let login = Login { heartbeat_s: 1, ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        // The broker's own heartbeats pace this loop.
        let received = client.receive(Duration::from_secs(2));
        assert!(matches!(received, Received::Frame(_)), "{received} after {:?}", start.elapsed());
        client.send(&Frame { kind: HEARTBEAT, channel: 0, payload: Vec::new() }.encode());
    }
}

#[test]
fn heartbeat_0_means_none() {
    let broker = Broker::start();
    let mut client = Client::login(broker.amqp());
    assert_eq!(client.receive(Duration::from_secs(3)), Received::Silence);
}

#[test]
fn a_heartbeat_on_a_channel_is_an_error() {
    let broker = Broker::start();
    let mut client = Client::login(broker.amqp());
    client.send(&Frame { kind: HEARTBEAT, channel: 1, payload: Vec::new() }.encode());
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CONN 505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0,0)");
}

#[test]
fn the_name_a_client_gives_its_connection_is_listed() {
    let broker = Broker::start();
    let name = Arguments::new().shortstr("connection_name").raw(b"S").longstr(b"my program");
    let login = Login { client_properties: name.octets().to_vec(), ..Login::default() };
    let (_client, _) = Client::login_as(broker.amqp(), &login);
    let rows = broker.ctl().rows(&["list_connections", "client_properties", "state"]);
    assert_eq!(rows, [[r#"[{"connection_name","my program"}]"#, "running"]]);
}

#[test]
fn a_content_reader_understands_what_the_broker_offers() {
    // The server-properties are a well-formed table: every entry can be walked over.
    let broker = Broker::start();
    let mut client = Client::connect(broker.amqp());
    let start = client.greet();
    let mut arguments = start.arguments();
    arguments.short();
    let mut entries = Reader::new(arguments.longstr());
    let mut names = BTreeSet::new();
    while !entries.rest().is_empty() {
        names.insert(entries.shortstr());
        match entries.octet() {
            b'S' | b'F' => drop(entries.longstr()),
            b't' => drop(entries.octet()),
            other => panic!("a server property of type {}", char::from(other)),
        }
    }
    assert!(names.contains("capabilities"));
}
