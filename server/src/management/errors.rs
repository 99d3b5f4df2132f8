//! Refusals of the API, as status, JSON and headers (behaviour section E2).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use haremq_engine::queue::QueueError;
use haremq_engine::topology::TopologyError;
use serde_json::{json, Value};

use crate::control::Stopping;

/// Why a request is not answered with what it asked for.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum ApiError {
    #[error("no credentials")]
    Anonymous,
    #[error("authorization header is not understood")]
    MalformedAuthorization,
    #[error("login failed")]
    LoginFailed,
    /// Known user, but not for this.
    #[error("{0}")]
    NotAuthorised(&'static str),
    /// What AMQP calls ACCESS_REFUSED.
    #[error("access refused")]
    AccessRefused,
    #[error("not found")]
    NotFound,
    /// Something else that the request names is missing.
    #[error("{0}")]
    NotFoundBecause(String),
    /// Reason as RabbitMQ gives it: a text, or a list of a word and the offending value.
    #[error("bad request: {0}")]
    BadRequest(Value),
    #[error("request body is too large")]
    TooLarge,
    /// Something stands against it.
    #[error("{0}")]
    Precondition(String),
    /// `If-None-Match: *` and it exists.
    #[error("exists already")]
    Exists,
    #[error("the broker is stopping")]
    Stopping,
}

impl ApiError {
    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        ApiError::BadRequest(Value::String(reason.into()))
    }

    /// In words.
    pub(super) fn reason(&self) -> String {
        match self.parts().2 {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    fn parts(&self) -> (StatusCode, &'static str, Value) {
        match self {
            ApiError::Anonymous | ApiError::LoginFailed => {
                (StatusCode::UNAUTHORIZED, "not_authorized", json!("Login failed"))
            }
            ApiError::MalformedAuthorization => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                json!("the authorization header is not understood"),
            ),
            ApiError::NotAuthorised(reason) => {
                (StatusCode::UNAUTHORIZED, "not_authorised", json!(reason))
            }
            ApiError::AccessRefused => {
                (StatusCode::UNAUTHORIZED, "not_authorised", json!("Access refused."))
            }
            ApiError::NotFound => (StatusCode::NOT_FOUND, "Object Not Found", json!("Not Found")),
            ApiError::NotFoundBecause(reason) => {
                (StatusCode::NOT_FOUND, "not_found", json!(reason))
            }
            ApiError::BadRequest(reason) => {
                (StatusCode::BAD_REQUEST, "bad_request", reason.clone())
            }
            ApiError::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "bad_request", json!("request body is too large"))
            }
            ApiError::Precondition(reason) => {
                (StatusCode::PRECONDITION_FAILED, "precondition_failed", json!(reason))
            }
            ApiError::Exists => {
                (StatusCode::PRECONDITION_FAILED, "precondition_failed", json!("exists already"))
            }
            ApiError::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                json!("the broker is stopping"),
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error, reason) = self.parts();
        let body = match self {
            // As RabbitMQ: a browser that is to ask for a password needs no words.
            ApiError::Anonymous => Body::empty(),
            _ => Body::from(json!({"error": error, "reason": reason}).to_string()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if self != ApiError::Anonymous {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if matches!(self, ApiError::Anonymous | ApiError::LoginFailed) {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"RabbitMQ Management\""),
            );
        }
        response
    }
}

impl From<Stopping> for ApiError {
    fn from(_: Stopping) -> Self {
        ApiError::Stopping
    }
}

impl From<TopologyError> for ApiError {
    /// RabbitMQ's words for what the topology writer refuses (behaviour A50-A82, E2).
    fn from(error: TopologyError) -> Self {
        use TopologyError as E;
        match error {
            E::NoExchange { .. } | E::NoQueue { .. } => {
                ApiError::NotFoundBecause(error.to_string())
            }
            E::NoVhost { .. } => ApiError::NotFoundBecause("vhost_not_found".to_owned()),
            E::NoUser { .. } => ApiError::NotFound,
            E::UserExists { .. } => ApiError::Exists,
            E::DefaultExchange | E::ReservedName { .. } | E::SystemExchange { .. } => {
                ApiError::AccessRefused
            }
            E::ProtectedVhost { .. } => ApiError::Precondition(error.to_string()),
            E::NoParameter => ApiError::NotFoundBecause(error.to_string()),
            E::InvalidRegex { pattern, reason } => {
                // The last line says it; the ones before draw an arrow.
                let reason = reason.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                ApiError::BadRequest(json!(["invalid_regexp", &*pattern, reason]))
            }
            _ => ApiError::bad_request(error.to_string()),
        }
    }
}

/// The refusal of a command by the queue itself (behaviour A79).
pub(super) fn queue_refusal(error: QueueError, vhost: &str, name: &str) -> ApiError {
    match error {
        QueueError::NoQueue => ApiError::NotFound,
        QueueError::NotEmpty => {
            ApiError::bad_request(format!("queue '{name}' in vhost '{vhost}' not empty"))
        }
        QueueError::InUse => {
            ApiError::bad_request(format!("queue '{name}' in vhost '{vhost}' in use"))
        }
        _ => ApiError::bad_request(format!("queue '{name}' in vhost '{vhost}' in exclusive use")),
    }
}
