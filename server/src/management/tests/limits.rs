//! What a client cannot make the port do.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::super::MAX_BODY_BYTES;
use super::*;

/// Sends octets as they are and reads until the port closes.
fn raw(broker: &FakeBroker, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(broker.address).expect("connection");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("deadline");
    stream.write_all(octets).expect("sent");
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let broker = FakeBroker::start();
    let body = format!("{{\"tags\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
    let answer = guest(&broker, "PUT", "/api/users/u", Some(&body));
    answer.is(413, &json!({"error": "bad_request", "reason": "request body is too large"}));
    assert!(broker.world().topology.user("u").is_none());
}

#[test]
fn a_declared_length_is_not_waited_for_before_the_login() {
    let broker = FakeBroker::start();
    let head = "PUT /api/users/u HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n";
    let mut stream = TcpStream::connect(broker.address).expect("connection");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("an answer without the body");
    assert_eq!(&start, b"HTTP/1.1 401");
}

#[test]
fn headers_beyond_the_limit_are_refused() {
    let broker = FakeBroker::start();
    let long = format!("GET /api/whoami HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    assert!(raw(&broker, long.as_bytes()).starts_with("HTTP/1.1 431"));
    let many = format!("GET /api/whoami HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert!(raw(&broker, many.as_bytes()).starts_with("HTTP/1.1 431"));
}

#[test]
fn what_is_not_http_is_refused() {
    let broker = FakeBroker::start();
    assert!(raw(&broker, b"AMQP\0\0\x09\x01\r\n\r\n").starts_with("HTTP/1.1 400"));
}

#[test]
fn answers_are_json_that_nobody_guesses_the_type_of() {
    let broker = FakeBroker::start();
    for (answer, status) in [
        (guest(&broker, "GET", "/api/whoami", None), 200),
        (guest(&broker, "GET", "/api/nope", None), 404),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[test]
fn a_path_that_is_not_utf_8_names_nothing() {
    let broker = FakeBroker::start();
    let nothing = json!({"error": "Object Not Found", "reason": "Not Found"});
    guest(&broker, "GET", "/api/queues/%FF/a", None).is(404, &nothing);
}

#[test]
fn a_stopped_port_is_gone() {
    let mut broker = FakeBroker::start();
    assert_eq!(guest(&broker, "GET", "/api/whoami", None).status, 200);
    broker.stop();
    assert!(TcpStream::connect(broker.address).is_err());
}
