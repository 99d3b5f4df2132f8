//! From the first octet to connection.open-ok.

use haremq_engine::table::{Table, Value};

use super::wire::{args, frame, method};
use super::world::{start_ok, World};

const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
const GUEST: &[u8] = b"\0guest\0guest";

fn tune_ok(channel_max: u16, frame_max: u32, heartbeat_s: u16) -> Vec<u8> {
    method(0, 10, 31, args().u16(channel_max).u32(frame_max).u16(heartbeat_s))
}

fn open(vhost: &str) -> Vec<u8> {
    method(0, 10, 40, args().short(vhost).short("").u8(0))
}

/// A client that has come as far as tune-ok.
fn tuning(world: &mut World) -> usize {
    let client = world.accept();
    world.send(client, HEADER);
    let said = world.show(client, &start_ok("PLAIN", GUEST, &[]));
    assert_eq!(said, ["method(10,30) ch=0"]);
    client
}

/// Nothing is said, and three seconds later the connection is reset.
fn assert_silent_end(world: &mut World, client: usize) {
    assert_eq!(world.wait(client, 10_000), [(3_000, "end".to_owned())]);
    assert!(world.clients[client].connection.should_reset());
}

#[test]
fn what_is_not_amqp_is_told_what_would_be_and_closed() {
    for header in [
        &b"AMQP\x00\x03\x01\x00"[..],
        b"AMQP\x01\x01\x00\x0a",
        b"AMQP\0\x01\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut world = World::new();
        let client = world.accept();
        world.clients[client].connection.receive(header, &mut world.broker);
        let connection = &world.clients[client].connection;
        assert_eq!(connection.output(), HEADER);
        assert!(connection.is_finished());
    }
}

#[test]
fn older_headers_are_answered_with_start() {
    for header in [b"AMQP\x01\x01\x09\x01", b"AMQP\x01\x01\x00\x09", b"AMQP\x01\x01\x08\x00"] {
        let mut world = World::new();
        let client = world.accept();
        assert_eq!(world.show(client, header), ["method(10,10) ch=0"]);
    }
}

#[test]
fn start_offers_what_rabbitmq_offers() {
    let mut world = World::new();
    let client = world.accept();
    let said = world.send(client, HEADER).remove(0);
    assert_eq!(said.id(), (10, 10));
    let (version, rest) = said.args().split_at(2);
    assert_eq!(version, [0, 9]);
    let length = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
    let properties = Table::decode(&rest[4..4 + length]).expect("a table");
    assert_eq!(properties.get("product").and_then(Value::as_str), Some("RabbitMQ"));
    let Some(Value::Table(capabilities)) = properties.get("capabilities") else {
        panic!("no capabilities");
    };
    assert_eq!(capabilities.0.len(), 9);
    assert!(capabilities.0.iter().all(|(_, value)| *value == Value::Bool(true)));
    assert_eq!(&rest[4 + length..], b"\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\x05en_US");
}

#[test]
fn tune_offers_the_defaults() {
    let mut world = World::new();
    let client = world.accept();
    world.send(client, HEADER);
    let said = world.send(client, &start_ok("PLAIN", GUEST, &[])).remove(0);
    assert_eq!(said.args(), [0x07, 0xff, 0, 2, 0, 0, 0, 60]);
}

#[test]
fn amqplain_lets_in_too() {
    let mut world = World::new();
    let client = world.accept();
    world.send(client, HEADER);
    let mut response = Vec::new();
    Table(vec![("LOGIN".into(), Value::text("guest")), ("PASSWORD".into(), Value::text("guest"))])
        .encode_fields(&mut response);
    let said = world.show(client, &start_ok("AMQPLAIN", &response, &[]));
    assert_eq!(said, ["method(10,30) ch=0"]);
}

#[test]
fn refusals_before_login_are_silent_and_slow() {
    for answer in [
        start_ok("FOO", GUEST, &[]),
        start_ok("PLAIN", b"garbage", &[]),
        start_ok("PLAIN", b"\0guest\0wrong", &[]),
        start_ok("PLAIN", b"\0nobody\0guest", &[]),
        start_ok("AMQPLAIN", b"garbage", &[]),
        // The wrong phase.
        open("/"),
        method(0, 10, 51, args()),
        frame(8, 1, b""),
        frame(9, 0, b""),
    ] {
        let mut world = World::new();
        let client = world.accept();
        world.send(client, HEADER);
        assert_eq!(world.send(client, &answer), []);
        assert_silent_end(&mut world, client);
    }
}

#[test]
fn capable_clients_hear_that_their_login_failed() {
    let capable =
        Value::Table(Table(vec![("authentication_failure_close".into(), Value::Bool(true))]));
    let mut world = World::new();
    let client = world.accept();
    world.send(client, HEADER);
    let properties = [("capabilities", capable)];
    assert_eq!(
        world.show(client, &start_ok("PLAIN", b"\0guest\0wrong", &properties)),
        ["conn.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
          For details see the broker logfile. failing=(0,0)"]
    );
    world.send(client, &method(0, 10, 51, args()));
    assert!(world.clients[client].connection.is_finished());
}

#[test]
fn guest_is_let_in_from_loopback_only() {
    for (peer, allowed) in [
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("192.0.2.1:1", false),
        ("[::ffff:192.0.2.1]:1", false),
    ] {
        let mut world = World::new();
        world.peer = peer;
        let client = world.accept();
        world.send(client, HEADER);
        let said = world.send(client, &start_ok("PLAIN", GUEST, &[]));
        assert_eq!(said.len() == 1, allowed, "{peer}");
    }
}

#[test]
fn values_beyond_what_was_offered_are_refused() {
    for (channel_max, frame_max) in
        [(2048, 131_072), (0, 131_072), (2047, 131_073), (2047, 0), (2047, 1000), (2047, 4095)]
    {
        let mut world = World::new();
        let client = tuning(&mut world);
        assert_eq!(world.send(client, &tune_ok(channel_max, frame_max, 0)), []);
        assert_silent_end(&mut world, client);
    }
}

#[test]
fn a_missing_vhost_is_named() {
    let mut world = World::new();
    let client = tuning(&mut world);
    let mut octets = tune_ok(2047, 131_072, 0);
    octets.extend(open("nope"));
    assert_eq!(
        world.show(client, &octets),
        ["conn.close 530 NOT_ALLOWED - vhost nope not found failing=(10,40)"]
    );
}

#[test]
fn a_vhost_without_permission_is_refused() {
    use haremq_engine::topology::TopologyRequest;
    let mut world = World::new();
    let (name, description) = ("secret".into(), None);
    let request =
        TopologyRequest::AddVhost { name, description, tags: None, default_queue_type: None };
    world.broker.decide(&request).expect("a vhost");
    let client = tuning(&mut world);
    world.send(client, &tune_ok(2047, 131_072, 0));
    assert_eq!(
        world.show(client, &open("secret")),
        ["conn.close 530 NOT_ALLOWED - access to vhost 'secret' refused for user 'guest' \
          failing=(10,40)"]
    );
}

#[test]
fn frames_are_small_until_the_client_is_let_in() {
    // 8192 octets of payload are allowed, 8193 are not, whatever is negotiated.
    for (payload, ends) in [(8_192u32, false), (8_193, true)] {
        let mut world = World::new();
        let client = world.accept();
        world.send(client, HEADER);
        let mut head = vec![1, 0, 0];
        head.extend(payload.to_be_bytes());
        assert_eq!(world.send(client, &head), []);
        assert_eq!(world.clients[client].connection.reason().is_some(), ends, "{payload}");
    }
}

#[test]
fn a_handshake_takes_ten_seconds_at_most() {
    for octets in [&b""[..], b"AMQP", HEADER] {
        let mut world = World::new();
        let client = world.accept();
        world.send(client, octets);
        assert_eq!(world.wait(client, 20_000), [(10_000, "end".to_owned())]);
    }
}

#[test]
fn a_handshake_in_single_octets_is_the_same() {
    let mut world = World::new();
    let client = world.accept();
    let mut octets = HEADER.to_vec();
    octets.extend(start_ok("PLAIN", GUEST, &[]));
    octets.extend(tune_ok(2047, 131_072, 0));
    octets.extend(open("/"));
    let mut said = Vec::new();
    for octet in octets {
        said.extend(world.show(client, &[octet]));
    }
    assert_eq!(said, ["method(10,10) ch=0", "method(10,30) ch=0", "method(10,41) ch=0"]);
}

#[test]
fn the_connection_shows_who_it_is() {
    let mut world = World::new();
    let product = [("product", Value::text("test"))];
    let client = world.log_in("guest", "guest", &product, (10, 8192, 5), "/");
    let report = world.clients[client].connection.report();
    assert_eq!(report.name, "127.0.0.1:50168 -> 127.0.0.1:5672");
    assert_eq!((&*report.user, &*report.vhost, report.state), ("guest", "/", "running"));
    assert_eq!((report.channel_max, report.frame_max, report.heartbeat_s), (10, 8192, 5));
    assert_eq!(report.auth_mechanism, "PLAIN");
    assert_eq!(report.client_properties.get("product"), Some(&Value::text("test")));
}
