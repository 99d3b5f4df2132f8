//! Certificates: of clients, who log in by them; of the broker, and what is wrong with them.

use super::*;

#[test]
fn nobody_gets_in_without_a_certificate_that_the_authority_has_signed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let broker = asking_broker(&authority, &["--ssl-options-fail-if-no-peer-cert", "on"]);
    let good = authority.client("good", "good.example", Validity::Now);
    let expired = authority.client("expired", "expired.example", Validity::Expired);
    let foreign = stranger.client("foreign", "foreign.example", Validity::Now);
    let for_servers = authority.server("not-a-client", Validity::Now);
    for version in rustls::ALL_VERSIONS {
        let config = |own: Option<&Certified>| authority.client_config_of(own, &[version]);
        assert!(is_let_in(&broker, config(Some(&good))));
        for (other, why) in [
            (None, "NoCertificatesPresented"),
            (Some(&expired), "Expired"),
            (Some(&foreign), "BadSignature"),
            (Some(&for_servers), "usage"),
        ] {
            assert!(!is_let_in(&broker, config(other)), "{why}");
        }
    }
    for why in ["peer sent no certificates", "expired", "BadSignature"] {
        said(&broker, why);
    }
}

#[test]
fn a_certificate_logs_in_the_user_whom_it_names() {
    for (from, user) in [
        ("distinguished_name", "CN=bob,O=tests"),
        ("common_name", "bob"),
        ("subject_alternative_name", "bob.example"),
    ] {
        let authority = Authority::new();
        let more = ["--auth-mechanisms", "EXTERNAL PLAIN", "--ssl-cert-login-from", from];
        let broker = asking_broker(&authority, &more);
        let bob = authority.client("bob", "bob.example", Validity::Now);
        let config = || authority.client_config(Some(&bob));
        // Nobody of that name, yet.
        assert_eq!(log_in_by(&mut connect(&broker, config()), "EXTERNAL", b""), "closed");
        said(&broker, &format!("EXTERNAL login refused: user '{user}' - invalid credentials"));
        let ctl = broker.ctl();
        ctl.succeed(&["add_user", user, "unused"]);
        ctl.succeed(&["set_permissions", user, ".*", ".*", ".*"]);
        let mut client = connect(&broker, config());
        assert_eq!(log_in_by(&mut client, "EXTERNAL", b""), "method (10,41)");
        client.open_channel(1);
        client.exercise(1);
        let rows = ctl.rows(&["list_connections", "user", "auth_mechanism", "ssl"]);
        assert_eq!(rows, [[user, "EXTERNAL", "true"].map(str::to_string)]);
        // Without a certificate there is the password alone, and without TLS no such mechanism.
        let nameless = || connect(&broker, authority.client_config(None));
        assert_eq!(log_in_by(&mut nameless(), "EXTERNAL", b""), "closed");
        said(&broker, "no peer certificate");
        assert_eq!(log_in_by(&mut nameless(), "PLAIN", b"\0guest\0guest"), "method (10,41)");
        let mut plain = Client::connect(broker.amqp());
        assert_eq!(mechanisms(&mut plain), "PLAIN");
        assert_eq!(mechanisms(&mut nameless()), "EXTERNAL PLAIN");
    }
}

/// What connection.start offers.
fn mechanisms(client: &mut Client) -> String {
    let start = client.greet();
    let mut arguments = start.arguments();
    arguments.short();
    arguments.longstr();
    String::from_utf8(arguments.longstr().to_vec()).expect("names")
}

#[test]
fn pika_works_over_tls_and_logs_in_by_certificate() {
    let authority = Authority::new();
    let more = ["--auth-mechanisms", "PLAIN EXTERNAL", "--ssl-cert-login-from", "common_name"];
    let broker = asking_broker(&authority, &more);
    let bob = authority.client("bob", "bob.example", Validity::Now);
    let ctl = broker.ctl();
    ctl.succeed(&["add_user", "bob", "unused"]);
    ctl.succeed(&["set_permissions", "bob", ".*", ".*", ".*"]);
    let (port, authorities) = (broker.amqps().port().to_string(), text(&authority.file()));
    let (certificate, key) = (text(&bob.certificate), text(&bob.key));
    for (own, user) in [(&[][..], "guest"), (&[certificate.as_str(), key.as_str()], "bob")] {
        let mut arguments = vec![port.as_str(), authorities.as_str()];
        arguments.extend(own);
        let lines = Program::run(Pika::One, "over_tls", &broker, &arguments);
        assert_eq!(lines.last().map(String::as_str), Some("500 of 500"), "{user}: {lines:?}");
    }
    assert_eq!(ctl.messages("over-tls"), Some(0));
}

#[test]
fn what_cannot_be_used_for_tls_is_named_at_the_start() {
    let authority = Authority::new();
    let server = authority.server("server", Validity::Now);
    let other = authority.server("other", Validity::Now);
    let directory = TestDirectory::new();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("the directory of the test can be written");
        text(&path)
    };
    let (certificate, key) = (text(&server.certificate), text(&server.key));
    let garbage = file("garbage", b"\0\x01\x02 not PEM at all");
    let broken = file("broken", b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let no_certificate =
        file("no-x509", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let encrypted = file(
        "encrypted",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let missing = text(&directory.path().join("missing"));
    let mismatch = text(&other.key);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let listen = "127.0.0.1:0";
    let refused = |listen: &str, certificate: &str, key: &str, more: &[&str], parts: &[&str]| {
        let mut words = vec!["--listen-ssl", listen];
        for (flag, value) in
            [("--ssl-options-certfile", certificate), ("--ssl-options-keyfile", key)]
        {
            if !value.is_empty() {
                words.extend([flag, value]);
            }
        }
        words.extend(more);
        let data = TestDirectory::new();
        start_refused(&Setup::new(), &data.path().join("data"), &words).assert_says(parts);
    };
    refused(listen, "", "", &[], &["--listen-ssl", "--ssl-options-certfile"]);
    refused(listen, &certificate, "", &[], &["--ssl-options-keyfile"]);
    refused(listen, &missing, &key, &[], &[&missing, "--ssl-options-certfile", "No such file"]);
    refused(listen, &garbage, &key, &[], &[&garbage, "no certificate"]);
    refused(listen, &broken, &key, &[], &[&broken, "not PEM"]);
    refused(listen, &no_certificate, &key, &[], &[&no_certificate]);
    refused(listen, &certificate, &missing, &[], &[&missing, "--ssl-options-keyfile"]);
    refused(listen, &certificate, &certificate, &[], &[&certificate, "no private key"]);
    refused(listen, &certificate, &encrypted, &[], &[&encrypted, "encrypted", "openssl pkey"]);
    refused(listen, &certificate, &mismatch, &[], &[&mismatch, &certificate, "is not that of"]);
    refused(&taken, &certificate, &key, &[], &[&taken, "--listen-ssl"]);
    let verify = ["--ssl-options-verify", "verify_peer"];
    refused(listen, &certificate, &key, &verify, &["--ssl-options-cacertfile"]);
    let mut authorities = verify.to_vec();
    authorities.extend(["--ssl-options-cacertfile", &missing]);
    refused(listen, &certificate, &key, &authorities, &[&missing, "--ssl-options-cacertfile"]);
}

#[test]
fn a_certificate_that_has_expired_is_warned_of() {
    let authority = Authority::new();
    let expired = authority.server("old", Validity::Expired);
    let (certificate, key) = (text(&expired.certificate), text(&expired.key));
    let setup = Setup::new().arguments([
        "--listen-ssl",
        "127.0.0.1:0",
        "--ssl-options-certfile",
        &certificate,
        "--ssl-options-keyfile",
        &key,
    ]);
    let broker = Broker::start_with(setup);
    said(&broker, "2020-01-01T00:00:00Z - 2021-01-01T00:00:00Z");
    let mut stream = secure(authority.client_config(None), socket(broker.amqps()));
    assert!(stream.write_all(b"AMQP\0\0\x09\x01").is_err(), "no client believes it");
    said(&broker, "its TLS handshake has failed");
}
