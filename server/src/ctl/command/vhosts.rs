//! Virtual hosts: add, delete, tag.

use serde_json::{json, Map, Value};

use super::policies::no_such_vhost;
use super::{Context, Failure, Reply};
use crate::ctl::client::{Answer, Ask};
use crate::ctl::exit::Exit;

pub(super) fn add(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.word(0);
    if vhost.is_empty() {
        return Err(Failure::Validation {
            exit: Exit::Data,
            reason: "Bad argument: vhost cannot be an empty string".to_owned(),
        });
    }
    match context.line.text("default-queue-type") {
        None | Some("classic") => {}
        Some(other) => {
            let reason = format!("queue type '{other}' is not supported, only classic is");
            return Err(Failure::validation(reason));
        }
    }
    context.announce(&format!("Adding vhost \"{vhost}\" ..."));
    let mut body = Map::new();
    for option in ["description", "tags"] {
        if let Some(text) = context.line.text(option) {
            body.insert(option.to_owned(), json!(text));
        }
    }
    if let Some(kind) = context.line.text("default-queue-type") {
        body.insert("default_queue_type".to_owned(), json!(kind));
    }
    let answer = context.ask(&Ask::put(&["vhosts", vhost], Value::Object(body)))?;
    if answer.is_success() {
        Ok(Reply::Done)
    } else {
        Err(Failure::unexpected(&answer))
    }
}

pub(super) fn delete(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.word(0);
    context.announce(&format!("Deleting vhost \"{vhost}\" ..."));
    let answer = context.ask(&Ask::delete(&["vhosts", vhost], ""))?;
    match answer.status {
        404 => Err(Failure::Plain {
            exit: Exit::Data,
            text: format!("Virtual host '{vhost}' does not exist"),
        }),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn protect(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.word(0);
    context.announce(&format!(
        "Protecting virtual host \"{vhost}\" from removal by marking it as protected in metadata ..."
    ));
    protected(
        context.ask(&Ask::post(&["vhosts", vhost, "deletion", "protection"], json!({})))?,
        vhost,
    )
}

pub(super) fn unprotect(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.word(0);
    context.announce(&format!(
        "Removing deletion protection from virtual host \"{vhost}\" by updating its metadata ..."
    ));
    protected(context.ask(&Ask::delete(&["vhosts", vhost, "deletion", "protection"], ""))?, vhost)
}

fn protected(answer: Answer, vhost: &str) -> Result<Reply, Failure> {
    match answer.status {
        404 => Err(no_such_vhost(vhost)),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn set_tags(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.word(0);
    let tags = context.line.words.get(1..).unwrap_or_default();
    context.announce(&format!(
        "Setting tags for virtual host \"{vhost}\" to [{}] ...",
        tags.join(", ")
    ));
    // One that is not there must not come into being.
    let present = context.ask(&Ask::get(&["vhosts", vhost], ""))?;
    if present.status == 404 {
        return Err(no_such_vhost(vhost));
    }
    let answer = context.ask(&Ask::put(&["vhosts", vhost], json!({ "tags": tags })))?;
    match answer.is_success() {
        true => Ok(Reply::Done),
        false => Err(Failure::unexpected(&answer)),
    }
}
