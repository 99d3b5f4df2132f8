//! Connections with TLS: that they are AMQP connections like all others, and that nobody gets in who should not.

mod certificates;

use haremq_tests::broker::{start_refused, Broker, Setup};
use haremq_tests::certificates::{Authority, Certified, Validity};
use haremq_tests::directory::TestDirectory;
use haremq_tests::eventually;
use haremq_tests::python::{Pika, Program};
use haremq_tests::wire::stream::{secure, socket, Dribble};
use haremq_tests::wire::{method, Arguments, Client, Login, Received};
use rustls::ClientConfig;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What takes a moment on an idle machine happens within this time on a busy one.
const LIMIT: Duration = Duration::from_secs(30);
const PERSISTENT: &[u8] = &[0x10, 0, 2];

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The flags of a broker with TLS.
fn flags(authority: &Authority, more: &[&str]) -> Vec<String> {
    let server = authority.server("server", Validity::Now);
    let mut flags = vec![
        "--listen-ssl".to_string(),
        "127.0.0.1:0".into(),
        "--ssl-options-certfile".into(),
        text(&server.certificate),
        "--ssl-options-keyfile".into(),
        text(&server.key),
    ];
    flags.extend(more.iter().map(|word| (*word).to_string()));
    flags
}

fn broker(authority: &Authority, more: &[&str]) -> Broker {
    Broker::start_with(Setup::new().arguments(flags(authority, more)))
}

/// A broker that asks for certificates of that authority.
fn asking_broker(authority: &Authority, more: &[&str]) -> Broker {
    let authorities = text(&authority.file());
    let mut all = vec!["--ssl-options-verify", "verify_peer"];
    all.extend(["--ssl-options-cacertfile", &authorities]);
    all.extend(more);
    broker(authority, &all)
}

fn connect(broker: &Broker, config: ClientConfig) -> Client {
    Client::over(secure(config, socket(broker.amqps())))
}

fn login(broker: &Broker, config: ClientConfig) -> Client {
    let mut client = connect(broker, config);
    assert_eq!(client.log_in(&Login::default()).to_string(), "method (10,41)");
    client.open_channel(1);
    client
}

/// Says start-ok by another mechanism than PLAIN, and goes on to the end of the handshake.
fn log_in_by(client: &mut Client, mechanism: &str, response: &[u8]) -> String {
    client.greet();
    let arguments =
        Arguments::new().longstr(b"").shortstr(mechanism).longstr(response).shortstr("en_US");
    client.method(0, method::CONNECTION_START_OK, &arguments);
    client.finish_login(&Login::default()).to_string()
}

/// Whether the broker lets a client get as far as connection.start.
fn is_let_in(broker: &Broker, config: ClientConfig) -> bool {
    let mut stream = secure(config, socket(broker.amqps()));
    stream.sock.set_read_timeout(Some(LIMIT)).expect("a time limit can be set");
    // In TLS 1.3 a client hears that its certificate was refused when it reads.
    stream.write_all(b"AMQP\0\0\x09\x01").is_ok() && stream.read(&mut [0; 7]).is_ok_and(|n| n > 0)
}

fn said(broker: &Broker, part: &str) {
    let line = broker.output().wait_for_line(0, part, LIMIT);
    assert!(line.is_some(), "{part:?} was not said:\n{}", broker.output().text());
}

#[test]
fn clients_work_with_both_versions_of_tls_and_are_listed_with_them() {
    let authority = Authority::new();
    let own = authority.client("bob", "bob.example", Validity::Now);
    let broker = asking_broker(&authority, &[]);
    for (version, shown, exchange) in [
        (&rustls::version::TLS12, "tlsv1.2", "ecdhe_ecdsa"),
        (&rustls::version::TLS13, "tlsv1.3", "any"),
    ] {
        let config = authority.client_config_of(Some(&own), &[version]);
        let mut client = login(&broker, config);
        client.exercise(1);
        let listed = broker.ask("/api/connections");
        let listed = listed.as_array().and_then(|all| all.first()).expect("it is listed");
        assert_eq!(listed["ssl"], true);
        assert_eq!(listed["ssl_protocol"], shown);
        assert_eq!(listed["ssl_key_exchange"], exchange);
        assert_eq!(listed["ssl_hash"], "aead");
        assert_eq!(listed["peer_cert_subject"], "CN=bob,O=tests");
        assert_eq!(listed["peer_cert_issuer"], "CN=authority of a test");
        let columns = ["ssl", "ssl_protocol", "peer_cert_subject", "peer_cert_issuer", "user"];
        let words: Vec<&str> = ["list_connections"].into_iter().chain(columns).collect();
        let rows = broker.ctl().rows(&words);
        let row = ["true", shown, "CN=bob,O=tests", "CN=authority of a test", "guest"];
        assert_eq!(rows, [row.map(str::to_string)]);
        drop(client);
        eventually("the connection has gone", LIMIT, || {
            broker.ask("/api/connections").as_array().is_some_and(Vec::is_empty).then_some(())
        });
    }
    // Beside it a plain one has none of it.
    let _plain = Client::login(broker.amqp());
    let listed = broker.ask("/api/connections");
    assert_eq!(listed[0]["ssl"], false);
    assert!(listed[0]["ssl_protocol"].is_null());
    let overview = broker.ask("/api/overview");
    let listeners = overview["listeners"].as_array().expect("a list");
    let ssl = listeners.iter().find(|one| one["protocol"] == "amqp/ssl").expect("it is listed");
    assert_eq!(ssl["port"], broker.amqps().port());
}

/// Octets that are not the same in any two places near each other.
fn body(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) ^ seed).to_be_bytes()[0]).collect()
}

#[test]
fn large_bodies_are_confirmed_and_come_back_whole() {
    let authority = Authority::new();
    let broker = broker(&authority, &[]);
    let mut client = login(&broker, authority.client_config(None));
    client.declare_queue(1, "large", 2);
    client.confirm_select(1);
    let sizes = [5 << 20, 0, 1, 16 << 10, (16 << 10) + 1, 300_000, 1 << 20];
    for (size, seed) in sizes.iter().zip(0..) {
        let sent = client.publish(1, "", "large", PERSISTENT, &body(*size, seed));
        sent.expect("the broker takes octets");
    }
    client.await_confirms(1, sizes.len() as u64);
    // All of it is under way at once, and more than sockets and TLS hold.
    let mut other = login(&broker, authority.client_config(None));
    other.consume(1, "large", "all");
    for (size, seed) in sizes.iter().zip(0..) {
        let frame = other.expect(1, method::BASIC_DELIVER);
        let delivery = other.content(&frame).expect("the connection stays");
        assert!(delivery.body == body(*size, seed), "{size} octets came back otherwise");
    }
}

#[test]
fn confirms_and_deliveries_go_both_ways_at_once() {
    const MESSAGES: u64 = 20_000;
    let authority = Authority::new();
    let broker = broker(&authority, &[]);
    let mut consumer = login(&broker, authority.client_config(None));
    consumer.declare_queue(1, "flow", 2);
    consumer.consume(1, "flow", "all");
    let config = authority.client_config(None);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = login(&broker, config);
            publisher.confirm_select(1);
            for number in 0..MESSAGES {
                let sent = publisher.publish(1, "", "flow", &[0, 0], &number.to_be_bytes());
                sent.expect("the broker takes octets");
            }
            publisher.await_confirms(1, MESSAGES);
        });
        for number in 0..MESSAGES {
            let frame = consumer.expect(1, method::BASIC_DELIVER);
            let delivery = consumer.content(&frame).expect("the connection stays");
            assert_eq!(delivery.body, number.to_be_bytes());
            consumer.ack(1, delivery.tag, false).expect("the broker is there");
        }
    });
}

#[test]
fn it_does_not_matter_how_records_and_packets_are_cut() {
    let authority = Authority::new();
    let broker = broker(&authority, &[]);
    // Each octet of ciphertext in a packet of its own, the handshake included.
    let below = Dribble(socket(broker.amqps()));
    let mut client = Client::over(secure(authority.client_config(None), below));
    assert_eq!(client.log_in(&Login::default()).to_string(), "method (10,41)");
    client.open_channel(1);
    client.exercise(1);
    // Each octet of AMQP in a record of its own.
    let mut client = login(&broker, authority.client_config(None));
    client.declare_queue(1, "cut", 0);
    client.confirm_select(1);
    for octet in Client::publish_octets(1, "", "cut", &[0, 0], &body(300, 7)) {
        client.send(&[octet]);
    }
    client.await_confirms(1, 1);
    assert_eq!(client.get(1, "cut").expect("the message is there").body, body(300, 7));
}

#[test]
fn a_connection_that_moves_to_another_shard_takes_its_tls_along() {
    const MESSAGES: u64 = 600;
    let authority = Authority::new();
    let broker = broker(&authority, &[]);
    let mut control = login(&broker, authority.client_config(None));
    control.declare_queue(1, "there", 2);
    let arrived = || {
        let shards = broker.ask("/api/haremq/latency");
        let shards = shards["shards"].as_array().cloned().unwrap_or_default();
        shards.iter().filter_map(|shard| shard["connections_arrived"].as_u64()).sum::<u64>()
    };
    // Dealt out evenly, all working for one queue: those that begin elsewhere follow.
    let mut clients: Vec<_> =
        (0..4).map(|_| login(&broker, authority.client_config(None))).collect();
    clients.iter_mut().for_each(|client| client.confirm_select(1));
    let mut each = 0;
    while arrived() == 0 {
        assert!(each < 60_000, "no connection has moved");
        for client in &mut clients {
            for number in each..each + MESSAGES {
                let sent = client.publish(1, "", "there", PERSISTENT, &number.to_be_bytes());
                sent.expect("the broker is there");
            }
        }
        each += MESSAGES;
        clients.iter_mut().for_each(|client| client.await_confirms(1, each));
    }
    // Consumers move before they begin.
    let mut consumer = login(&broker, authority.client_config(None));
    consumer.consume(1, "there", "all");
    for _ in 0..each * clients.len() as u64 {
        let frame = consumer.expect(1, method::BASIC_DELIVER);
        let delivery = consumer.content(&frame).expect("the connection stays");
        consumer.ack(1, delivery.tag, false).expect("the broker is there");
    }
    let listed = broker.ask("/api/connections");
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|one| one["ssl_protocol"] == "tlsv1.3"), "{listed:?}");
}

#[test]
fn heartbeats_come_through_tls() {
    let authority = Authority::new();
    let broker = broker(&authority, &[]);
    let mut client = connect(&broker, authority.client_config(None));
    let with_heartbeat = Login { heartbeat_s: 1, ..Login::default() };
    assert_eq!(client.log_in(&with_heartbeat).to_string(), "method (10,41)");
    assert_eq!(client.receive(LIMIT).to_string(), "frame of type 8");
    assert!(client.receive_end(LIMIT).is_some(), "a client that says nothing is given up");
}

#[test]
fn an_orderly_end_is_told_by_tls() {
    let authority = Authority::new();
    let mut broker = broker(&authority, &[]);
    // What is no AMQP is told what would be, and closed.
    let mut stream = secure(authority.client_config(None), socket(broker.amqps()));
    stream.sock.set_read_timeout(Some(LIMIT)).expect("a time limit can be set");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("octets are taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the end is announced, not cut off");
    assert_eq!(answer, b"AMQP\0\0\x09\x01");
    let mut client = login(&broker, authority.client_config(None));
    broker.signal(rustix::process::Signal::TERM);
    let said = client.receive(LIMIT).to_string();
    assert!(said.starts_with("CONN 320"), "{said}");
    client.method(0, (10, 51), &Arguments::new());
    assert!(client.receive_end(LIMIT).is_some());
    let (status, text) = broker.wait_for_end();
    assert!(status.success(), "{text}");
}

#[test]
fn a_handshake_that_does_not_end_is_cut_off() {
    let authority = Authority::new();
    let broker = broker(&authority, &["--handshake-timeout", "2000"]);
    let before = broker.resident_octets();
    // Nothing, the beginning of a record, and a record that never ends.
    let halves: [&[u8]; 3] = [b"", b"\x16\x03", b"\x16\x03\x01\x40\0\x01\0\x3f\xfc\x03\x03"];
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 0..300 {
        let mut stream = socket(broker.amqps());
        stream.write_all(halves[number % 3]).expect("octets are taken");
        clients.push(stream);
    }
    for stream in &mut clients {
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit can be set");
        match stream.read(&mut [0; 16]) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("the connection was not ended: {other:?}"),
        }
    }
    said(&broker, "handshake timed out");
    assert_eq!(broker.ask("/api/connections").as_array().map(Vec::len), Some(0));
    let grown = broker.resident_octets().saturating_sub(before);
    assert!(grown < 32 << 20, "300 clients that said nothing left {grown} octets behind");
    // One who trickles is not given more time, and one in time is let in.
    let mut slow = socket(broker.amqps());
    let ended = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        slow.write_all(b"\x16").is_err()
    });
    assert!(ended, "a handshake lasts for ever, an octet at a time");
    login(&broker, authority.client_config(None)).exercise(1);
}

#[test]
fn plain_and_tls_are_told_apart_at_the_wrong_port() {
    let authority = Authority::new();
    let broker = broker(&authority, &[]);
    for (octets, why) in [
        (&b"AMQP\0\0\x09\x01"[..], "AMQP without TLS, to a port with TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "not TLS, to a port with TLS"),
        (b"\x16\x03\x01\0\x05hello", "its TLS handshake has failed"),
        (b"\x16\x03\x01\xff\xff", "its TLS handshake has failed"),
    ] {
        let mut stream = socket(broker.amqps());
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit can be set");
        stream.write_all(octets).expect("octets are taken");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() <= 7, "an alert at most, not {answer:?}");
        said(&broker, why);
    }
    let config = authority.client_config(None);
    let mut stream = secure(config, socket(broker.amqp()));
    assert!(stream.write_all(b"AMQP\0\0\x09\x01").is_err(), "a plain port does not speak TLS");
    said(&broker, "TLS, to a port without");
    login(&broker, authority.client_config(None)).exercise(1);
    Client::login_with_channel(broker.amqp()).exercise(1);
}

#[test]
fn a_proxy_speaks_before_tls() {
    let authority = Authority::new();
    let broker = broker(&authority, &["--proxy-protocol", "on"]);
    let mut below = socket(broker.amqps());
    below.write_all(b"PROXY TCP4 127.0.0.1 127.0.0.1 7777 5671\r\n").expect("octets are taken");
    let mut client = Client::over(secure(authority.client_config(None), below));
    assert_eq!(client.log_in(&Login::default()).to_string(), "method (10,41)");
    let listed = broker.ask("/api/connections");
    assert_eq!((&listed[0]["peer_port"], &listed[0]["ssl"]), (&7777.into(), &true.into()));
    // Without it nobody is heard, TLS or not.
    for address in [broker.amqps(), broker.amqp()] {
        assert_unheard(address, b"\x16\x03\x01\0\x05hello");
    }
    said(&broker, "does not begin with a header of the PROXY protocol");
}

/// A segment of its own for the header is what a load balancer sends. What is behind it was judged before any of it
/// had come: "not TLS".
#[test]
fn a_proxy_header_that_comes_alone_is_followed_by_tls() {
    let authority = Authority::new();
    let broker = broker(&authority, &["--proxy-protocol", "on"]);
    let mut below = socket(broker.amqps());
    below.write_all(b"PROXY TCP4 127.0.0.1 127.0.0.1 7777 5671\r\n").expect("octets are taken");
    // The broker has nothing to say and must not close: there is nothing else to wait for.
    below.set_read_timeout(Some(Duration::from_millis(500))).expect("a time limit can be set");
    let heard = below.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock), "{}", broker.output().text());
    below.set_read_timeout(Some(LIMIT)).expect("a time limit can be set");
    let mut client = Client::over(secure(authority.client_config(None), below));
    assert_eq!(client.log_in(&Login::default()).to_string(), "method (10,41)");
}

fn assert_unheard(address: SocketAddr, octets: &[u8]) {
    let mut client = Client::connect(address);
    client.send(octets);
    assert_eq!(client.receive(LIMIT), Received::Closed);
}
