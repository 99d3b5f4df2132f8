//! Ways to log in that are not offered unless the operator asks for them.

use std::sync::Arc;

use super::wire::{args, method};
use super::world::{start_ok, World};
use crate::amqp::{Introduction, TlsLogin};
use crate::control::{CertificateReport, TlsReport};
use crate::sasl::Mechanism;

const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
const TUNE: &str = "method(10,30) ch=0";

fn world(mechanisms: &[Mechanism]) -> World {
    let mut world = World::new();
    world.settings.mechanisms = mechanisms.to_vec();
    world
}

fn secure_ok(response: &[u8]) -> Vec<u8> {
    method(0, 10, 21, args().long(response))
}

/// The mechanisms in connection.start.
fn offered(world: &mut World, client: usize) -> String {
    let said = world.send(client, HEADER).remove(0);
    let table = said.args()[2..6].try_into().map(u32::from_be_bytes).expect("a length") as usize;
    let rest = &said.args()[6 + table..];
    let length = rest[..4].try_into().map(u32::from_be_bytes).expect("a length") as usize;
    String::from_utf8(rest[4..4 + length].to_vec()).expect("text")
}

/// A client that has come by TLS, with a certificate that names that user.
fn by_tls(world: &mut World, certificate: bool, user: Option<&str>) -> usize {
    let client = world.accept();
    let report = TlsReport {
        protocol: "tlsv1.3",
        key_exchange: "any",
        cipher: "aes_256_gcm",
        hash: "aead",
        certificate: certificate.then(|| CertificateReport {
            subject: "CN=x".to_owned(),
            issuer: "CN=y".to_owned(),
            validity: String::new(),
        }),
    };
    let login = TlsLogin { report, user: user.map(str::to_owned) };
    world.clients[client].connection.introduce(Introduction::Tls(Arc::new(login)));
    client
}

/// The reason for the log, after an answer that is silence.
fn refusal(world: &mut World, client: usize, octets: &[u8]) -> String {
    assert_eq!(world.send(client, octets), []);
    let connection = &world.clients[client].connection;
    assert!(connection.refusal().is_some());
    connection.reason().expect("a reason").to_owned()
}

#[test]
fn mechanisms_are_offered_in_the_operators_order_and_external_with_tls_only() {
    let all = [
        Mechanism::External,
        Mechanism::CrDemo,
        Mechanism::Anonymous,
        Mechanism::AmqPlain,
        Mechanism::Plain,
    ];
    let mut world = world(&all);
    let plain = world.accept();
    assert_eq!(offered(&mut world, plain), "RABBIT-CR-DEMO AMQPLAIN PLAIN");
    world.settings.anonymous_login_user = Some("guest".to_owned());
    let secure = by_tls(&mut world, false, None);
    assert_eq!(offered(&mut world, secure), "EXTERNAL RABBIT-CR-DEMO ANONYMOUS AMQPLAIN PLAIN");
}

#[test]
fn what_is_not_offered_lets_nobody_in() {
    for (mechanism, response) in
        [("EXTERNAL", &b""[..]), ("RABBIT-CR-DEMO", b"guest"), ("ANONYMOUS", b"")]
    {
        let mut world = World::new();
        let client = by_tls(&mut world, true, Some("guest"));
        world.send(client, HEADER);
        let reason = refusal(&mut world, client, &start_ok(mechanism, response, &[]));
        let expected = format!("invalid authentication mechanism '{mechanism}'");
        assert!(reason.ends_with(&expected), "{reason}");
    }
    let mut world = world(&[Mechanism::AmqPlain]);
    let client = world.accept();
    world.send(client, HEADER);
    let reason = refusal(&mut world, client, &start_ok("PLAIN", b"\0guest\0guest", &[]));
    assert_eq!(reason, "COMMAND_INVALID - invalid authentication mechanism 'PLAIN'");
}

#[test]
fn a_challenge_is_answered_with_the_password() {
    let mut world = world(&[Mechanism::CrDemo]);
    let client = world.accept();
    world.send(client, HEADER);
    let said = world.send(client, &start_ok("RABBIT-CR-DEMO", b"guest", &[]));
    assert_eq!(said[0].id(), (10, 20));
    assert_eq!(said[0].args(), b"\0\0\0\x1cPlease tell me your password");
    assert_eq!(world.show(client, &secure_ok(b"My password is guest")), [TUNE]);
    assert_eq!(world.clients[client].connection.report().auth_mechanism, "RABBIT-CR-DEMO");
    assert_eq!(&*world.clients[client].connection.report().user, "guest");
}

#[test]
fn a_challenge_answered_wrongly_lets_nobody_in() {
    for (user, answer, why) in [
        (&b"guest"[..], secure_ok(b"My password is wrong"), "user 'guest' - invalid credentials"),
        (b"nobody", secure_ok(b"My password is guest"), "user 'nobody' - invalid credentials"),
        (b"guest", secure_ok(b"guest"), "invalid response"),
        (b"guest", start_ok("RABBIT-CR-DEMO", b"guest", &[]), "unexpected method"),
        (b"guest", method(0, 10, 31, args().u16(0).u32(0).u16(0)), "unexpected method"),
    ] {
        let mut world = world(&[Mechanism::CrDemo]);
        let client = world.accept();
        world.send(client, HEADER);
        world.send(client, &start_ok("RABBIT-CR-DEMO", user, &[]));
        let reason = refusal(&mut world, client, &answer);
        assert!(reason.contains(why), "{reason}");
        assert_eq!(world.wait(client, 10_000), [(3_000, "end".to_owned())]);
    }
}

#[test]
fn nobody_waits_longer_for_an_answer_than_a_handshake_may_take() {
    let mut world = world(&[Mechanism::CrDemo]);
    let client = world.accept();
    world.send(client, HEADER);
    world.send(client, &start_ok("RABBIT-CR-DEMO", b"guest", &[]));
    assert_eq!(world.wait(client, 20_000), [(10_000, "end".to_owned())]);
}

#[test]
fn a_certificate_lets_its_user_in() {
    let mut world = world(&[Mechanism::External]);
    let client = by_tls(&mut world, true, Some("guest"));
    world.send(client, HEADER);
    assert_eq!(world.show(client, &start_ok("EXTERNAL", b"", &[])), [TUNE]);
    let report = world.clients[client].connection.report();
    assert_eq!((&*report.user, report.auth_mechanism), ("guest", "EXTERNAL"));
    assert!(report.tls.is_some_and(|tls| tls.certificate.is_some()));
}

#[test]
fn a_certificate_of_nobody_lets_nobody_in() {
    for (certificate, user, why) in [
        (false, None, "no peer certificate"),
        (true, None, "no name found"),
        (true, Some("CN=nobody"), "invalid credentials"),
    ] {
        let mut world = world(&[Mechanism::External]);
        let client = by_tls(&mut world, certificate, user);
        world.send(client, HEADER);
        let reason = refusal(&mut world, client, &start_ok("EXTERNAL", b"", &[]));
        assert!(reason.starts_with("EXTERNAL login refused"), "{reason}");
        assert!(reason.ends_with(why), "{reason}");
    }
}

#[test]
fn anonymous_is_the_user_whom_the_operator_has_named() {
    let mut world = world(&[Mechanism::Anonymous]);
    world.settings.anonymous_login_user = Some("guest".to_owned());
    let client = world.accept();
    world.send(client, HEADER);
    assert_eq!(world.show(client, &start_ok("ANONYMOUS", b"whatever", &[])), [TUNE]);
    assert_eq!(&*world.clients[client].connection.report().user, "guest");
    world.settings.anonymous_login_user = Some("gone".to_owned());
    let client = world.accept();
    world.send(client, HEADER);
    let reason = refusal(&mut world, client, &start_ok("ANONYMOUS", b"", &[]));
    assert!(reason.contains("user 'gone'"), "{reason}");
}

#[test]
fn whom_a_proxy_names_counts_and_not_the_proxy() {
    for mechanism in ["PLAIN", "ANONYMOUS", "EXTERNAL"] {
        for (peer, allowed) in [("192.0.2.1:7", false), ("127.0.0.1:7", true)] {
            let mut world = world(&[Mechanism::Plain, Mechanism::Anonymous, Mechanism::External]);
            world.settings.anonymous_login_user = Some("guest".to_owned());
            world.peer = "127.0.0.1:50168";
            let client = by_tls(&mut world, true, Some("guest"));
            let named = Introduction::From(peer.parse().expect("an address"));
            world.clients[client].connection.introduce(named);
            world.send(client, HEADER);
            let said = world.send(client, &start_ok(mechanism, b"\0guest\0guest", &[]));
            assert_eq!(said.len() == 1, allowed, "{mechanism} {peer}");
            let report = world.clients[client].connection.report();
            assert_eq!(format!("{}:{}", report.peer_host, report.peer_port), peer);
            assert_eq!(report.name, format!("{peer} -> 127.0.0.1:5672"));
        }
    }
}

#[test]
fn a_client_of_tls_at_a_plain_port_is_told_apart_in_the_log() {
    let mut world = World::new();
    let client = world.accept();
    world.clients[client].connection.receive(b"\x16\x03\x01\x02\0\x01\0\x01", &mut world.broker);
    let connection = &world.clients[client].connection;
    assert!(connection.is_finished());
    assert!(connection.refusal().is_some_and(|text| text.ends_with("TLS, to a port without")));
}
