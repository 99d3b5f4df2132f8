//! HTTP to the management port: credentials, deadlines, and the words for a broker that is not there.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use percent_encoding::{utf8_percent_encode, AsciiSet, NON_ALPHANUMERIC};
use serde_json::Value;
use ureq::http::{Method, Request, Uri};
use ureq::{Agent, Error};

use super::settings::Settings;
use crate::management::token::OperatorToken;

/// What a name keeps in a path.
const PATH_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Octets of an answer at most: a list of very many queues.
const MAX_ANSWER_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Who is asking. `Debug` does not show secrets.
#[derive(Clone)]
pub(super) enum Credentials {
    Basic { user: String, password: String },
    Token(OperatorToken),
}

impl Credentials {
    fn header(&self) -> String {
        match self {
            Credentials::Basic { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            Credentials::Token(token) => format!("Bearer {}", token.expose()),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Basic { user, .. } => {
                f.debug_struct("Basic").field("user", user).finish_non_exhaustive()
            }
            Credentials::Token(_) => f.write_str("Token(..)"),
        }
    }
}

/// Why there is no answer to work with. Printed after `Error: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error(
        "no broker answers at {url} ({cause}): start one with `haremq`, or say where its \
         management port is with --url or HAREMQ_URL"
    )]
    Unreachable { url: String, cause: String },
    #[error("the broker at {url} did not answer within {seconds} s")]
    Late { url: String, seconds: u64 },
    #[error("what answers at {url} is not a HareMQ management port ({cause})")]
    Foreign { url: String, cause: String },
    #[error("the broker at {url} refuses the login of {who}: {advice}")]
    Login { url: String, who: String, advice: String },
    #[error("the broker at {url} refuses: {reason}")]
    Refused { url: String, reason: String },
}

/// An answer that is not about the asker.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Null` if there is no body.
    pub(super) body: Value,
    /// How many messages went with a deletion.
    pub(super) messages: u64,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The reason of a refusal, as text.
    pub(super) fn reason(&self) -> String {
        match &self.body["reason"] {
            Value::String(reason) => reason.clone(),
            Value::Null => format!("HTTP status {}", self.status),
            other => other.to_string(),
        }
    }
}

/// One request.
pub(super) struct Ask<'a> {
    method: Method,
    path: String,
    body: Option<Value>,
    header: Option<(&'static str, &'a str)>,
    /// An empty name in the path: it names nothing, and would make another path.
    nameless: bool,
}

impl<'a> Ask<'a> {
    /// `segments` are names; they are escaped here. `query` is appended as it is.
    fn new(method: Method, segments: &[&str], query: &str) -> Self {
        let escaped: Vec<String> = segments
            .iter()
            .map(|segment| utf8_percent_encode(segment, PATH_ESCAPES).to_string())
            .collect();
        Ask {
            method,
            path: format!("/api/{}{query}", escaped.join("/")),
            body: None,
            header: None,
            nameless: segments.iter().any(|segment| segment.is_empty()),
        }
    }

    pub(super) fn get(segments: &[&str], query: &str) -> Self {
        Ask::new(Method::GET, segments, query)
    }

    pub(super) fn put(segments: &[&str], body: Value) -> Self {
        Ask { body: Some(body), ..Ask::new(Method::PUT, segments, "") }
    }

    pub(super) fn post(segments: &[&str], body: Value) -> Self {
        Ask { body: Some(body), ..Ask::new(Method::POST, segments, "") }
    }

    pub(super) fn patch(segments: &[&str], body: Value) -> Self {
        Ask { body: Some(body), ..Ask::new(Method::PATCH, segments, "") }
    }

    pub(super) fn delete(segments: &[&str], query: &str) -> Self {
        Ask::new(Method::DELETE, segments, query)
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &'a str) -> Self {
        self.header = Some((name, value));
        self
    }
}

/// A broker's management port, and who we are to it.
pub(super) struct Client {
    agent: Agent,
    url: String,
    timeout: Duration,
    credentials: Vec<Credentials>,
    /// The first of `credentials` that has not been refused.
    current: Cell<usize>,
    advice: String,
    node: RefCell<Option<String>>,
}

impl Client {
    /// # Errors
    /// The words of a usage error.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let uri: Uri =
            settings.url.parse().map_err(|_| format!("'{}' is not a URL", settings.url))?;
        let host = match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) => host,
            _ => return Err(format!("'{}' is not a URL that starts with http://", settings.url)),
        };
        let mut credentials = settings.credentials.clone();
        if !is_loopback(host) {
            // The token is good on the broker's own machine only, and must not leave it.
            credentials.retain(|one| !matches!(one, Credentials::Token(_)));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(settings.timeout))
            .build();
        Ok(Client {
            agent: config.into(),
            url: settings.url.clone(),
            timeout: settings.timeout,
            credentials,
            current: Cell::new(0),
            advice: advice(settings),
            node: RefCell::new(None),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The broker's name, once it has answered something.
    pub(super) fn node(&self) -> Option<String> {
        self.node.borrow().clone()
    }

    /// Asks as whoever is let in, in the order of the settings.
    ///
    /// # Errors
    /// No answer, or one that refuses the asker.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, BrokerError> {
        loop {
            let Some(credentials) = self.credentials.get(self.current.get()) else {
                let who = match self.credentials.last() {
                    Some(Credentials::Basic { user, .. }) => format!("user '{user}'"),
                    _ => "the operator's token".to_owned(),
                };
                let (url, advice) = (self.url.clone(), self.advice.clone());
                return Err(BrokerError::Login { url, who, advice });
            };
            let answer = self.ask_as(ask, credentials)?;
            match (answer.status, answer.body["error"].as_str()) {
                (401, Some("not_authorized")) => self.current.set(self.current.get() + 1),
                (401 | 503, _) => {
                    return Err(BrokerError::Refused {
                        url: self.url.clone(),
                        reason: answer.reason(),
                    })
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Asks as this one, and gives whatever the answer is.
    pub(super) fn ask_as(
        &self,
        ask: &Ask<'_>,
        credentials: &Credentials,
    ) -> Result<Answer, BrokerError> {
        if ask.nameless {
            return Ok(Answer { status: 404, body: Value::Null, messages: 0 });
        }
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.url, ask.path))
            .header("authorization", credentials.header());
        if let Some((name, value)) = ask.header {
            request = request.header(name, value);
        }
        let response = match &ask.body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                request.body(body.to_string()).map(|request| self.agent.run(request))
            }
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        let mut response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.explain(error)),
            Err(error) => return Err(self.explain(Error::Http(error))),
        };
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        if let Some(node) = header("x-haremq-node") {
            self.node.replace(Some(node));
        }
        let messages = header("x-haremq-messages").and_then(|text| text.parse().ok()).unwrap_or(0);
        let status = response.status().as_u16();
        let octets = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let octets = octets.map_err(|error| self.explain(error))?;
        if octets.is_empty() {
            return Ok(Answer { status, body: Value::Null, messages });
        }
        match serde_json::from_slice(&octets) {
            Ok(body) => Ok(Answer { status, body, messages }),
            Err(_) => Err(BrokerError::Foreign {
                url: self.url.clone(),
                cause: format!("HTTP status {status} without JSON"),
            }),
        }
    }

    fn explain(&self, error: Error) -> BrokerError {
        let url = self.url.clone();
        match error {
            Error::Timeout(_) => BrokerError::Late { url, seconds: self.timeout.as_secs() },
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                BrokerError::Late { url, seconds: self.timeout.as_secs() }
            }
            Error::Io(error) => BrokerError::Unreachable { url, cause: plain(&error) },
            Error::HostNotFound => {
                BrokerError::Unreachable { url, cause: "the host is not known".to_owned() }
            }
            Error::ConnectionFailed => {
                BrokerError::Unreachable { url, cause: "connection failed".to_owned() }
            }
            other => BrokerError::Foreign { url, cause: other.to_string() },
        }
    }
}

/// `Connection refused (os error 111)` without the number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// What to do if no login is accepted.
fn advice(settings: &Settings) -> String {
    match &settings.unread_token {
        Some((path, kind)) => format!(
            "{} cannot be read ({kind}), so give the broker's data directory with --data-dir or \
             HAREMQ_DATA_DIR, or a user with --user and --password",
            path.display()
        ),
        None => "give --user and --password of a user with the tag administrator".to_owned(),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stays_on_this_machine() {
        for (url, kept) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://broker.example:1", false),
        ] {
            let token = OperatorToken::random().expect("token");
            let settings = Settings {
                url: url.to_owned(),
                timeout: Duration::from_secs(1),
                credentials: vec![Credentials::Token(token)],
                unread_token: None,
            };
            let client = Client::new(&settings).expect("client");
            assert_eq!(!client.credentials.is_empty(), kept, "{url}");
        }
    }

    #[test]
    fn names_in_a_path_are_escaped() {
        let ask = Ask::get(&["queues", "/", "a b/ä~.-_"], "?x=1");
        assert_eq!(ask.path, "/api/queues/%2F/a%20b%2F%C3%A4~.-_?x=1");
        assert!(Ask::get(&["queues", ""], "").nameless);
    }

    #[test]
    fn only_http_is_spoken() {
        let settings = |url: &str| Settings {
            url: url.to_owned(),
            timeout: Duration::from_secs(1),
            credentials: Vec::new(),
            unread_token: None,
        };
        assert!(Client::new(&settings("https://127.0.0.1:1")).is_err());
        assert!(Client::new(&settings("nonsense")).is_err());
    }
}
