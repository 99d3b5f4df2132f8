//! Permissions: set, clear.

use serde_json::json;

use super::{Context, Failure, Reply};
use crate::ctl::client::Ask;
use crate::ctl::exit::Exit;

pub(super) fn set(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (user, vhost) = (context.word(0), context.line.vhost());
    context.announce(&format!("Setting permissions for user \"{user}\" in vhost \"{vhost}\" ..."));
    let body = json!({
        "configure": context.word(1),
        "write": context.word(2),
        "read": context.word(3),
    });
    let answer = context.ask(&Ask::put(&["permissions", vhost, user], body))?;
    if answer.is_success() {
        return Ok(Reply::Done);
    }
    match &answer.body["reason"] {
        reason if reason == "vhost_or_user_not_found" || answer.status == 404 => {
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
    context.announce(&format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ..."));
    let answer = context.ask(&Ask::delete(&["permissions", vhost, user], ""))?;
    match answer.status {
        // Nothing to clear is as good as cleared, if both are there.
        404 => require_both(context, user, vhost).map(|()| Reply::Done),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}

/// Says which of the two does not exist.
pub(super) fn require_both(
    context: &Context<'_, '_>,
    user: &str,
    vhost: &str,
) -> Result<(), Failure> {
    if !context.exists(&["users", user])? {
        return Err(Failure::refused(Exit::NoUser, format!("User {user} does not exist")));
    }
    if !context.exists(&["vhosts", vhost])? {
        let text = format!("Virtual host {vhost} does not exist");
        return Err(Failure::refused(Exit::Unavailable, text));
    }
    Ok(())
}
