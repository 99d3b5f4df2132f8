//! Limits of vhosts and users: set, clear, list.

use serde_json::{json, Value};

use super::lists::no_such_user;
use super::policies::{json_word, no_such_vhost};
use super::{Context, Failure, List, Reply};
use crate::ctl::client::{Answer, Ask};
use crate::ctl::term::Term;

/// No rows of a list that is not streamed.
fn nothing() -> Reply {
    Reply::List(List { columns: Vec::new(), rows: Vec::new(), streamed: false })
}

/// Limits as one line of JSON.
fn one(limits: &Value) -> Reply {
    Reply::Report { text: limits.to_string(), value: limits.clone() }
}

/// A row for each vhost or user that has limits.
fn all(what: &str, items: &Value) -> Reply {
    let items = items.as_array().into_iter().flatten();
    let row = |item: &Value| vec![Term::text(&item[what]), Term::Text(item["value"].to_string())];
    Reply::List(List {
        columns: vec![what.to_owned(), "limits".to_owned()],
        rows: items.map(row).collect(),
        streamed: false,
    })
}

fn done(answer: &Answer, missing: impl FnOnce() -> Failure) -> Result<Reply, Failure> {
    match answer.status {
        404 => Err(missing()),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(answer)),
    }
}

pub(super) fn set_vhost(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (definition, vhost) = (context.word(0), context.line.vhost());
    context
        .announce(&format!("Setting vhost limits to \"{definition}\" for vhost \"{vhost}\" ..."));
    let limits = json_word(definition)?;
    let answer = context.ask(&Ask::put(&["vhost-limits", vhost], limits))?;
    done(&answer, || no_such_vhost(vhost))
}

pub(super) fn clear_vhost(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    context.announce(&format!("Clearing vhost \"{vhost}\" limits ..."));
    let answer = context.ask(&Ask::put(&["vhost-limits", vhost], json!({})))?;
    done(&answer, || no_such_vhost(vhost))
}

pub(super) fn list_vhost(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    if context.line.flag("global") {
        context.announce("Listing limits for all vhosts ...");
        return Ok(all("vhost", &context.get(&["vhost-limits"], "")?));
    }
    let vhost = context.line.vhost();
    context.announce(&format!("Listing limits for vhost \"{vhost}\" ..."));
    let answer = context.ask(&Ask::get(&["vhost-limits", vhost], ""))?;
    done(&answer, || no_such_vhost(vhost))?;
    Ok(answer.body.get(0).map_or_else(nothing, |item| one(&item["value"])))
}

pub(super) fn set_user(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (user, definition) = (context.word(0), context.word(1));
    context.announce(&format!("Setting user limits to \"{definition}\" for user \"{user}\" ..."));
    let limits = json_word(definition)?;
    let answer = context.ask(&Ask::put(&["user-limits", user], limits))?;
    done(&answer, || no_such_user(user))
}

pub(super) fn clear_user(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (user, limit) = (context.word(0), context.word(1));
    context.announce(&format!("Clearing \"{limit}\" limit for user \"{user}\" ..."));
    let answer = context.ask(&Ask::delete(&["user-limits", user, limit], ""))?;
    if answer.status == 404 && context.exists(&["users", user])? {
        // A limit that there is not is as good as cleared.
        return Ok(Reply::Done);
    }
    done(&answer, || no_such_user(user))
}

pub(super) fn list_user(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    if context.line.flag("global") {
        context.announce("Listing limits for all users ...");
        return Ok(all("user", &context.get(&["user-limits"], "")?));
    }
    let user = context.line.text("user-name").unwrap_or("guest");
    context.announce(&format!("Listing limits for user \"{user}\" ..."));
    let answer = context.ask(&Ask::get(&["user-limits", user], ""))?;
    done(&answer, || no_such_user(user))?;
    Ok(answer.body.get(0).map_or_else(|| one(&json!({})), |item| one(&item["value"])))
}
