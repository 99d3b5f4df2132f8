//! `list_*`: which rows, which columns.

use serde_json::Value;

use super::columns::{self, Column};
use super::{Context, Failure, List, Reply};
use crate::ctl::client::{Answer, Ask};
use crate::ctl::exit::Exit;

/// Asks for tables with their types.
const TYPED: &str = "?arguments=typed";

/// The columns asked for, by words or by words with commas; `defaults` if there are none.
fn chosen(
    context: &Context<'_, '_>,
    known: &'static [Column],
    defaults: &[&str],
) -> Result<Vec<&'static Column>, Failure> {
    let words = context.line.words.iter().flat_map(|word| word.split(','));
    let mut wanted: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if wanted.is_empty() {
        wanted = defaults.to_vec();
    }
    let find = |name: &str| known.iter().find(|column| column.name == name);
    let mut unknown: Vec<&str> =
        wanted.iter().copied().filter(|name| find(name).is_none()).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        let unknown = unknown.join(",");
        return Err(Failure::validation(format!("Info key(s) {unknown} are not supported")));
    }
    Ok(wanted.into_iter().filter_map(find).collect())
}

fn make(columns: &[&Column], items: &Value, streamed: bool) -> Reply {
    let items = items.as_array().into_iter().flatten();
    Reply::List(List {
        columns: columns.iter().map(|column| column.name.to_owned()).collect(),
        rows: items.map(|item| columns.iter().map(|column| column.of(item)).collect()).collect(),
        streamed,
    })
}

/// A list of what is in a vhost. A vhost that does not exist has nothing in it (behaviour E2).
fn of_vhost(
    context: &mut Context<'_, '_>,
    what: &str,
    columns: &[&Column],
) -> Result<Reply, Failure> {
    let answer = context.ask(&Ask::get(&[what, context.line.vhost()], TYPED))?;
    match answer.status {
        404 => Ok(make(columns, &Value::Null, true)),
        _ if answer.is_success() => Ok(make(columns, &answer.body, true)),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn queues(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let columns = chosen(context, columns::QUEUES, &["name", "messages"])?;
    let seconds = context.client.timeout().as_secs();
    context.announce(&format!("Timeout: {seconds}.0 seconds ..."));
    context.announce(&format!("Listing queues for vhost {} ...", context.line.vhost()));
    let reply = of_vhost(context, "queues", &columns)?;
    if context.line.flag("offline") {
        // Every queue that exists is on this node, which has just answered.
        return Ok(make(&columns, &Value::Null, true));
    }
    Ok(reply)
}

pub(super) fn exchanges(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let columns = chosen(context, columns::EXCHANGES, &["name", "type"])?;
    context.announce(&format!("Listing exchanges for vhost {} ...", context.line.vhost()));
    of_vhost(context, "exchanges", &columns)
}

pub(super) fn bindings(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let defaults = [
        "source_name",
        "source_kind",
        "destination_name",
        "destination_kind",
        "routing_key",
        "arguments",
    ];
    let columns = chosen(context, columns::BINDINGS, &defaults)?;
    context.announce(&format!("Listing bindings for vhost {}...", context.line.vhost()));
    of_vhost(context, "bindings", &columns)
}

pub(super) fn consumers(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let defaults = [
        "queue_name",
        "channel_pid",
        "consumer_tag",
        "ack_required",
        "prefetch_count",
        "active",
        "arguments",
    ];
    let columns = chosen(context, columns::CONSUMERS, &defaults)?;
    context.announce(&format!("Listing consumers in vhost {} ...", context.line.vhost()));
    of_vhost(context, "consumers", &columns)
}

pub(super) fn connections(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let defaults = ["user", "peer_host", "peer_port", "state"];
    let columns = chosen(context, columns::CONNECTIONS, &defaults)?;
    context.announce("Listing connections ...");
    Ok(make(&columns, &context.get(&["connections"], TYPED)?, true))
}

pub(super) fn channels(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let defaults = ["pid", "user", "consumer_count", "messages_unacknowledged"];
    let columns = chosen(context, columns::CHANNELS, &defaults)?;
    context.announce("Listing channels ...");
    Ok(make(&columns, &context.get(&["channels"], "")?, true))
}

pub(super) fn vhosts(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let columns = chosen(context, columns::VHOSTS, &["name"])?;
    context.announce("Listing vhosts ...");
    Ok(make(&columns, &context.get(&["vhosts"], "")?, false))
}

pub(super) fn users(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    context.announce("Listing users ...");
    let columns: Vec<&Column> = columns::USERS.iter().collect();
    Ok(make(&columns, &context.get(&["users"], "")?, false))
}

/// The columns of a list of permissions, without the one that all rows share.
fn permission_columns(shared: &str) -> Vec<&'static Column> {
    columns::PERMISSIONS.iter().filter(|column| column.name != shared).collect()
}

pub(super) fn permissions(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    context.announce(&format!("Listing permissions for vhost \"{vhost}\" ..."));
    let answer = context.ask(&Ask::get(&["vhosts", vhost, "permissions"], ""))?;
    found(answer, &permission_columns("vhost"), || Failure::Plain {
        exit: Exit::Data,
        text: format!("Virtual host '{vhost}' does not exist"),
    })
}

pub(super) fn user_permissions(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    context.announce(&format!("Listing permissions for user \"{user}\" ..."));
    let answer = context.ask(&Ask::get(&["users", user, "permissions"], ""))?;
    found(answer, &permission_columns("user"), || no_such_user(user))
}

/// A list in one piece, or the failure for what it is of not being there.
fn found(
    answer: Answer,
    columns: &[&Column],
    missing: impl FnOnce() -> Failure,
) -> Result<Reply, Failure> {
    match answer.status {
        404 => Err(missing()),
        _ if answer.is_success() => Ok(make(columns, &answer.body, false)),
        _ => Err(Failure::unexpected(&answer)),
    }
}

/// The term that rabbitmqctl prints where it has no words.
pub(super) fn no_such_user(user: &str) -> Failure {
    Failure::refused(
        Exit::Unavailable,
        format!("{{:no_such_user, {}}}", crate::ctl::format::quoted(user)),
    )
}
