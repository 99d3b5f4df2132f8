//! The management port as its clients see it: real HTTP over loopback, expectations as recorded
//! from RabbitMQ 3.10.8.

mod access;
mod latency;
mod limits;
mod resources;
mod rules;
mod storage;

use serde_json::Value;
use ureq::http::Request;

use super::testing::FakeBroker;

/// An answer, as far as the tests look at it.
struct Answer {
    status: u16,
    body: Value,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Status and body at once.
    fn is(&self, status: u16, body: &Value) {
        assert_eq!((self.status, &self.body), (status, body));
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(std::time::Duration::from_secs(20))).build().into()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

/// One request; `authorization` is the whole header, empty for none.
fn send(
    broker: &FakeBroker,
    authorization: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", broker.url()));
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = match body {
        Some(body) => agent().run(request.body(body.to_owned()).expect("request")),
        None => agent().run(request.body(()).expect("request")),
    };
    let mut response = response.expect("answer");
    let text = response.body_mut().read_to_string().expect("body");
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    };
    Answer { status: response.status().as_u16(), body, headers: response.headers().clone() }
}

/// As guest.
fn guest(broker: &FakeBroker, method: &str, path: &str, body: Option<&str>) -> Answer {
    send(broker, &basic("guest", "guest"), method, path, &[], body)
}

/// As a user of [`super::testing::World::add_user`].
fn user(broker: &FakeBroker, name: &str, method: &str, path: &str) -> Answer {
    send(broker, &basic(name, "p"), method, path, &[], None)
}
