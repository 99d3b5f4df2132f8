//! `users`: list, one, create or replace, change, delete (behaviour B63, B64).
//!
//! PATCH is ours: it changes the password or the tags and leaves the other alone, in one step.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use haremq_engine::access::PasswordHashing;
use haremq_engine::topology::{TopologyRequest, User};
use serde_json::{json, Map, Value};

use super::auth::Administrator;
use super::errors::ApiError;
use super::extract::{check_name, Body, Names, Query};
use super::listing::ListQuery;
use super::permissions;
use super::{accounts, json as body_json, limits, overview, Shared};

const SALT_BYTES: usize = 4;

/// A hash with its salt, and what kind it is.
type SaltedHash = (Arc<[u8]>, PasswordHashing);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users", get(list))
        .route("/users/{user}", get(one).put(put).patch(patch).delete(delete))
        .route("/users/{user}/permissions", get(permissions::of_user))
        .route("/auth/hash_password/{password}", get(hash))
}

async fn list(
    Administrator(identity): Administrator,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let mut users: Vec<&User> = identity.accounts().users().collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    query.answer(users.into_iter().map(describe).collect())
}

async fn one(
    Administrator(identity): Administrator,
    Names(name): Names<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let user = identity.accounts().user(&name).ok_or(ApiError::NotFound)?;
    Ok(query.answer_one(describe(user)))
}

pub(super) fn describe(user: &User) -> Value {
    json!({
        "name": &*user.name,
        "password_hash": STANDARD.encode(&user.password_hash),
        "hashing_algorithm": user.hashing.name(),
        "tags": overview::tags(&user.tags),
        "limits": limits::of_user(&user.limits),
    })
}

async fn put(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    check_name("user", &name)?;
    let body = body_json::body(&body)?;
    let tags = body_json::tags(&body)?.ok_or_else(|| ApiError::bad_request("tags_not_present"))?;
    // Without a password the user cannot log in with one.
    let (password_hash, hashing) =
        wanted_hash(&body)?.unwrap_or_else(|| (Arc::from([]), PasswordHashing::default()));
    let only_new = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == b"*");
    let existed = identity.accounts().user(&name).is_some();
    let request = TopologyRequest::PutUser {
        name: Arc::from(name),
        password_hash,
        hashing,
        tags: Some(tags),
        replace: !only_new,
    };
    accounts::change(&app, request).await??;
    Ok(if existed { StatusCode::NO_CONTENT } else { StatusCode::CREATED })
}

async fn patch(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
    Body(body): Body,
) -> Result<StatusCode, ApiError> {
    let body = body_json::body(&body)?;
    let name: Arc<str> = Arc::from(name);
    let hash = wanted_hash(&body)?;
    let tags = body_json::tags(&body)?;
    if identity.accounts().user(&name).is_none() {
        return Err(ApiError::NotFound);
    }
    if let Some((password_hash, hashing)) = hash {
        let name = Arc::clone(&name);
        let request = TopologyRequest::SetPasswordHash { name, password_hash, hashing };
        accounts::change(&app, request).await??;
    }
    if let Some(tags) = tags {
        accounts::change(&app, TopologyRequest::SetUserTags { name, tags }).await??;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The hash that a new password would get.
async fn hash(_: Administrator, Names(password): Names<String>) -> Result<Json<Value>, ApiError> {
    let hash = PasswordHashing::default().hash(new_salt()?, password.as_bytes());
    Ok(Json(json!({"ok": STANDARD.encode(hash)})))
}

async fn delete(
    Administrator(identity): Administrator,
    State(app): State<Shared>,
    Names(name): Names<String>,
) -> Result<StatusCode, ApiError> {
    if identity.accounts().user(&name).is_none() {
        return Err(ApiError::NotFound);
    }
    accounts::change(&app, TopologyRequest::DeleteUser { name: Arc::from(name) }).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// The hash that `password_hash` or `password` of a body asks for; empty: no password login.
pub(super) fn wanted_hash(body: &Map<String, Value>) -> Result<Option<SaltedHash>, ApiError> {
    let hashing = match body_json::text(body, "hashing_algorithm")? {
        None => PasswordHashing::default(),
        Some(algorithm) => PasswordHashing::from_name(algorithm).ok_or_else(|| {
            ApiError::bad_request(format!("hashing_algorithm '{algorithm}' is not supported"))
        })?,
    };
    if body.contains_key("password") && body.contains_key("password_hash") {
        return Err(ApiError::bad_request("both_password_and_password_hash_are_provided"));
    }
    if let Some(encoded) = body_json::text(body, "password_hash")? {
        let octets = STANDARD
            .decode(encoded)
            .map_err(|_| ApiError::BadRequest(json!(["not_base64", encoded])))?;
        let hash_bytes = hashing.hash_bytes();
        if !octets.is_empty() && octets.len() != hash_bytes {
            return Err(ApiError::bad_request(format!(
                "password_hash must be {hash_bytes} octets, base64 encoded"
            )));
        }
        return Ok(Some((octets.into(), hashing)));
    }
    let Some(password) = body_json::text(body, "password")? else { return Ok(None) };
    if password.is_empty() {
        return Ok(Some((Arc::from([]), hashing)));
    }
    Ok(Some((hashing.hash(new_salt()?, password.as_bytes()).into(), hashing)))
}

fn new_salt() -> Result<[u8; SALT_BYTES], ApiError> {
    let mut salt = [0_u8; SALT_BYTES];
    getrandom::fill(&mut salt)
        .map_err(|_| ApiError::bad_request("no random octets for the salt"))?;
    Ok(salt)
}
