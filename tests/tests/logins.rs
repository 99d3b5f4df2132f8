//! Ways to log in beyond user and password in one go, and clients that come by way of a proxy.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::wire::{method, Arguments, Client, Login, Received};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn broker(flags: &[&str]) -> Broker {
    Broker::start_with(Setup::new().arguments(flags.iter().copied()))
}

fn start_ok(client: &mut Client, mechanism: &str, response: &[u8]) {
    client.greet();
    let arguments =
        Arguments::new().longstr(b"").shortstr(mechanism).longstr(response).shortstr("en_US");
    client.method(0, method::CONNECTION_START_OK, &arguments);
}

#[test]
fn a_challenge_is_part_of_the_login() {
    let broker = broker(&["--auth-mechanisms", "RABBIT-CR-DEMO"]);
    let mut client = Client::connect(broker.amqp());
    start_ok(&mut client, "RABBIT-CR-DEMO", b"guest");
    let challenge = client.expect(0, (10, 20));
    assert_eq!(challenge.arguments().longstr(), b"Please tell me your password");
    client.method(0, (10, 21), &Arguments::new().longstr(b"My password is guest"));
    assert_eq!(client.finish_login(&Login::default()).to_string(), "method (10,41)");
    client.open_channel(1);
    client.exercise(1);
    // By password at once nobody gets in any more.
    let mut client = Client::connect(broker.amqp());
    start_ok(&mut client, "PLAIN", b"\0guest\0guest");
    assert_eq!(client.receive(LIMIT), Received::Closed);
    let line = "invalid authentication mechanism 'PLAIN'";
    assert!(broker.output().wait_for_line(0, line, LIMIT).is_some());
}

#[test]
fn anonymous_clients_are_whom_the_operator_has_named() {
    let broker =
        broker(&["--auth-mechanisms", "PLAIN ANONYMOUS", "--anonymous-login-user", "nobody"]);
    let mut client = Client::connect(broker.amqp());
    start_ok(&mut client, "ANONYMOUS", b"");
    assert_eq!(client.receive(LIMIT), Received::Closed, "there is no such user yet");
    let ctl = broker.ctl();
    ctl.succeed(&["add_user", "nobody", "unknown"]);
    ctl.succeed(&["set_permissions", "nobody", ".*", ".*", ".*"]);
    let mut client = Client::connect(broker.amqp());
    start_ok(&mut client, "ANONYMOUS", b"");
    assert_eq!(client.finish_login(&Login::default()).to_string(), "method (10,41)");
    let rows = ctl.rows(&["list_connections", "user", "auth_mechanism"]);
    assert_eq!(rows, [["nobody", "ANONYMOUS"].map(str::to_string)]);
}

fn version_2(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, kind]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend_from_slice(body);
    header
}

#[test]
fn who_comes_by_a_proxy_is_listed_with_the_address_it_gives() {
    let broker = broker(&["--proxy-protocol", "on"]);
    let ctl = broker.ctl();
    ctl.succeed(&["add_user", "bob", "pw"]);
    ctl.succeed(&["set_permissions", "bob", ".*", ".*", ".*"]);
    let bob = Login { user: "bob".into(), password: "pw".into(), ..Login::default() };
    let four = [192, 0, 2, 7, 127, 0, 0, 1, 0x1e, 0x61, 0x16, 0x28];
    for (header, peer) in [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 7777 5672\r\n".to_vec(), Some("192.0.2.7")),
        (b"PROXY TCP6 2001:db8::7 ::1 7777 5672\r\n".to_vec(), Some("2001:db8::7")),
        (version_2(0x21, 0x11, &four), Some("192.0.2.7")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (version_2(0x20, 0, &[]), None),
    ] {
        // Header and first words of AMQP in one piece, and in pieces of one octet.
        for whole in [true, false] {
            let mut client = Client::connect(broker.amqp());
            if whole {
                let octets = [&header[..], b"AMQP\0\0\x09\x01"].concat();
                client.send(&octets);
                client.expect(0, method::CONNECTION_START);
                client.start_ok(&bob);
                assert_eq!(client.finish_login(&bob).to_string(), "method (10,41)");
            } else {
                header.iter().for_each(|octet| client.send(&[*octet]));
                assert_eq!(client.log_in(&bob).to_string(), "method (10,41)");
            }
            client.open_channel(1);
            client.exercise(1);
            let listed = broker.ask("/api/connections");
            let listed = listed.as_array().expect("a list");
            let listed = listed.iter().find(|one| one["user"] == "bob").expect("it is listed");
            assert_eq!(listed["peer_host"], peer.unwrap_or("127.0.0.1"));
            assert_eq!(listed["peer_port"] == 7777, peer.is_some(), "{listed}");
            client.method(0, (10, 50), &Arguments::new().short(200).shortstr("").short(0).short(0));
            client.expect(0, (10, 51));
            drop(client);
            haremq_tests::eventually("it has gone", LIMIT, || {
                let listed = broker.ask("/api/connections");
                listed.as_array().is_some_and(Vec::is_empty).then_some(())
            });
        }
    }
}

#[test]
fn guest_comes_from_where_the_proxy_says_and_not_from_the_proxy() {
    let broker = broker(&["--proxy-protocol", "on"]);
    for (from, answer) in [("127.0.0.1", "method (10,41)"), ("192.0.2.7", "closed")] {
        let mut client = Client::connect(broker.amqp());
        client.send(format!("PROXY TCP4 {from} 127.0.0.1 7777 5672\r\n").as_bytes());
        assert_eq!(client.log_in(&Login::default()).to_string(), answer, "{from}");
    }
    let line = "user 'guest' - user can only connect via localhost";
    assert!(broker.output().wait_for_line(0, line, LIMIT).is_some());
}

#[test]
fn a_malformed_proxy_header_ends_the_connection() {
    let broker = broker(&["--proxy-protocol", "on", "--handshake-timeout", "3000"]);
    for octets in [
        b"AMQP\0\0\x09\x01".to_vec(),
        b"PROXY TCP4 here there 1 2\r\n".to_vec(),
        vec![b'P'; 10],
        [b"PROXY ".as_slice(), &[b'x'; 200]].concat(),
        version_2(0x21, 0x11, &[1, 2, 3]),
        version_2(0x31, 0x11, &[0; 12]),
        version_2(0x21, 0x11, &[0; 60_000]),
        // And one that never ends, by the time that a handshake may take.
        b"PROXY TCP4".to_vec(),
    ] {
        let mut client = Client::connect(broker.amqp());
        // The rest of a long one finds nobody.
        let _ = client.try_send(&octets);
        assert_eq!(client.receive(LIMIT), Received::Closed, "{octets:?}");
    }
    assert_eq!(broker.ask("/api/connections").as_array().map(Vec::len), Some(0));
}
