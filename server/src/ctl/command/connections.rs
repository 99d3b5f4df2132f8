//! Connections: close one, close many.

use std::time::Duration;

use super::{Context, Failure, Reply};
use crate::ctl::client::Ask;
use crate::ctl::exit::Exit;
use crate::ctl::format::quoted;
use crate::management::pid::is_pid;

/// A connection that has gone already counts as closed, as with rabbitmqctl.
pub(super) fn close(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (pid, reason) = (context.word(0), context.word(1));
    context.announce(&format!("Closing connection {pid}, reason: {reason}..."));
    if !is_pid(pid) {
        // As rabbitmqctl, which asks the broker and prints its term.
        context.get(&["whoami"], "")?;
        let text = format!("Error:\n{{:invalid_pid_syntax, {}}}", quoted(pid));
        return Err(Failure::refused(Exit::Unavailable, text));
    }
    close_one(context, pid, reason)?;
    Ok(Reply::Done)
}

pub(super) fn close_all(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (reason, vhost) = (context.word(0), context.line.vhost());
    let global = context.line.flag("global");
    let limit = context.line.number("limit").filter(|limit| *limit > 0);
    let pause = Duration::from_millis(context.line.number("per-connection-delay").unwrap_or(0));
    let connections = context.get(&["connections"], "?columns=pid,vhost")?;
    if global {
        let node = context.client.node().unwrap_or_default();
        context.announce(&format!(
            "Closing all connections to node {node} (across all vhosts), reason: {reason}..."
        ));
    } else {
        let many = limit.map_or_else(|| "all".to_owned(), |limit| limit.to_string());
        context
            .announce(&format!("Closing {many} connections in vhost {vhost}, reason: {reason}..."));
    }
    let most = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut closed = 0_usize;
    for connection in connections.as_array().into_iter().flatten() {
        if closed >= most {
            break;
        }
        let Some(pid) = connection["pid"].as_str() else { continue };
        if !global && connection["vhost"] != vhost {
            continue;
        }
        if closed > 0 {
            std::thread::sleep(pause);
        }
        close_one(context, pid, reason)?;
        closed += 1;
    }
    Ok(Reply::Said(format!("Closed {closed} connections")))
}

fn close_one(context: &Context<'_, '_>, pid: &str, reason: &str) -> Result<(), Failure> {
    // It travels in a header line.
    let reason = reason.replace(|letter: char| letter.is_control(), " ");
    let ask = Ask::delete(&["connections", pid], "").with_header("x-reason", &reason);
    let answer = context.ask(&ask)?;
    match answer.status {
        404 => Ok(()),
        _ if answer.is_success() => Ok(()),
        _ => Err(Failure::unexpected(&answer)),
    }
}
