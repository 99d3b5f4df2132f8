//! Parts of a request: names in its path, its body, its query. Their failures are [`ApiError`]s.
//!
//! Handlers list [`InVhost`], [`Identity`] or [`super::auth::Administrator`] first, so that nothing
//! here happens for a stranger.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use super::auth::Identity;
use super::errors::ApiError;
use super::Shared;

/// Octets of a name at most: they are AMQP short strings (behaviour A82).
const MAX_NAME_BYTES: usize = 255;

/// Percent-decoded names from the path. What is not UTF-8 names nothing.
pub(super) struct Names<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Names<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        path.map(|Path(names)| Names(names)).map_err(|_| ApiError::NotFound)
    }
}

/// Who asks and the names from a path that begins with a vhost, which exists and is the asker's to
/// see: a handler that takes this cannot forget to look.
pub(super) struct InVhost<T>(pub(super) Identity, pub(super) T);

/// The names of such a path.
pub(super) trait BeginsWithVhost {
    /// The first of them.
    fn vhost(&self) -> &str;
}

impl BeginsWithVhost for String {
    fn vhost(&self) -> &str {
        self
    }
}

impl BeginsWithVhost for (String, String) {
    fn vhost(&self) -> &str {
        &self.0
    }
}

impl BeginsWithVhost for (String, String, String, String) {
    fn vhost(&self) -> &str {
        &self.0
    }
}

impl BeginsWithVhost for (String, String, String, String, String) {
    fn vhost(&self) -> &str {
        &self.0
    }
}

impl<T: BeginsWithVhost + DeserializeOwned + Send> FromRequestParts<Shared> for InVhost<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        let identity = Identity::from_request_parts(parts, app).await?;
        let Names(names) = Names::<T>::from_request_parts(parts, app).await?;
        identity.require_vhost(names.vhost())?;
        Ok(InVhost(identity, names))
    }
}

/// The whole body, within the port's limit.
pub(super) struct Body(pub(super) axum::body::Bytes);

impl FromRequest<Shared> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, ApiError> {
        match axum::body::Bytes::from_request(request, app).await {
            Ok(octets) => Ok(Body(octets)),
            Err(rejection) => match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Err(ApiError::TooLarge),
                _ => Err(ApiError::bad_request("the body could not be read")),
            },
        }
    }
}

/// The query, with each parameter optional.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Query(query)) => Ok(Query(query)),
            Err(rejection) => Err(ApiError::bad_request(rejection.body_text())),
        }
    }
}

/// Refuses a name that could not be used over AMQP.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(ApiError::bad_request(format!(
            "{what} name is longer than {MAX_NAME_BYTES} octets"
        )));
    }
    Ok(())
}
