//! Topic permissions: set, clear, list.

use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};
use serde_json::json;

use super::lists::no_such_user;
use super::permissions::require_both;
use super::policies::{no_such_vhost, rows};
use super::{Context, Failure, Reply};
use crate::ctl::client::Ask;
use crate::ctl::exit::Exit;

pub(super) fn set(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (user, exchange, vhost) = (context.word(0), context.word(1), context.line.vhost());
    context.announce(&format!(
        "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."
    ));
    let body = json!({"exchange": exchange, "write": context.word(2), "read": context.word(3)});
    let answer = context.ask(&Ask::put(&["topic-permissions", vhost, user], body))?;
    if answer.is_success() {
        return Ok(Reply::Done);
    }
    match &answer.body["reason"] {
        reason if reason == "vhost_or_user_not_found" => {
            require_both(context, user, vhost)?;
            Err(Failure::unexpected(&answer))
        }
        reason if reason[0] == "invalid_regexp" => {
            let part = |index: usize| reason[index].as_str().unwrap_or_default();
            let text = format!("{{:invalid_regexp, '{}', '{}'}}", part(1), part(2));
            Err(Failure::refused(Exit::Unavailable, text))
        }
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn clear(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (user, vhost) = (context.word(0), context.line.vhost());
    let exchange = context.line.words.get(1);
    let (on, query) = match exchange {
        None => (String::new(), String::new()),
        Some(exchange) => (
            format!(" on \"{exchange}\""),
            format!("?exchange={}", utf8_percent_encode(exchange, NON_ALPHANUMERIC)),
        ),
    };
    context.announce(&format!(
        "Clearing topic permissions{on} for user \"{user}\" in vhost \"{vhost}\" ..."
    ));
    let answer = context.ask(&Ask::delete(&["topic-permissions", vhost, user], &query))?;
    match answer.status {
        404 => require_both(context, user, vhost).map(|()| Reply::Done),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn list(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    context.announce(&format!("Listing topic permissions for vhost \"{vhost}\" ..."));
    let answer = context.ask(&Ask::get(&["vhosts", vhost, "topic-permissions"], ""))?;
    match answer.status {
        404 => Err(no_such_vhost(vhost)),
        _ if answer.is_success() => Ok(rows(&["user", "exchange", "write", "read"], &answer.body)),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn list_of_user(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    context.announce(&format!("Listing topic permissions for user \"{user}\" ..."));
    let answer = context.ask(&Ask::get(&["users", user, "topic-permissions"], ""))?;
    match answer.status {
        404 => Err(no_such_user(user)),
        _ if answer.is_success() => Ok(rows(&["vhost", "exchange", "write", "read"], &answer.body)),
        _ => Err(Failure::unexpected(&answer)),
    }
}
