//! Queues: purge, delete.

use super::{Context, Failure, Reply};
use crate::ctl::client::Ask;
use crate::ctl::exit::Exit;

pub(super) fn purge(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (queue, vhost) = (context.word(0), context.line.vhost());
    context.announce(&format!("Purging queue '{queue}' in vhost '{vhost}' ..."));
    let answer = context.ask(&Ask::delete(&["queues", vhost, queue, "contents"], ""))?;
    match answer.status {
        404 => Err(Failure::refused(Exit::Unavailable, "not_found")),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn delete(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (queue, vhost) = (context.word(0), context.line.vhost());
    let if_empty = context.line.flag("if-empty");
    let if_unused = context.line.flag("if-unused");
    let (condition, query) = match (if_empty, if_unused) {
        (false, false) => ("", ""),
        (true, false) => (" if queue is empty", "?if-empty=true"),
        (false, true) => (" if queue is unused", "?if-unused=true"),
        (true, true) => {
            (" if queue is empty and if queue is unused", "?if-empty=true&if-unused=true")
        }
    };
    context.announce(&format!("Deleting queue '{queue}' on vhost '{vhost}'{condition} ..."));
    let answer = context.ask(&Ask::delete(&["queues", vhost, queue], query))?;
    if answer.is_success() {
        let messages = answer.messages;
        return Ok(Reply::Said(format!(
            "Queue was successfully deleted with {messages} ready messages"
        )));
    }
    let reason = answer.reason();
    if answer.status == 404 {
        Err(Failure::refused(Exit::Usage, "Queue not found"))
    } else if reason.ends_with("' not empty") {
        Err(Failure::refused(Exit::Usage, "Queue is not empty"))
    } else if reason.ends_with("' in use") {
        Err(Failure::refused(Exit::Usage, "Queue is in use"))
    } else {
        Err(Failure::unexpected(&answer))
    }
}
