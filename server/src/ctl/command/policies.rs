//! Policies and operator policies: set, clear, list.

use serde_json::{json, Value};

use super::{Context, Failure, List, Reply};
use crate::ctl::client::{Answer, Ask};
use crate::ctl::exit::Exit;
use crate::ctl::term::Term;

/// Where the port keeps either kind.
fn place(operator: bool) -> &'static str {
    match operator {
        true => "operator-policies",
        false => "policies",
    }
}

/// JSON given as a word of the command line.
pub(super) fn json_word(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        let text = format!("JSON decoding error. Reason: {error}");
        Failure::refused(Exit::Unavailable, text)
    })
}

/// The failure for a vhost that is not there.
pub(super) fn no_such_vhost(vhost: &str) -> Failure {
    Failure::Plain { exit: Exit::Data, text: format!("Virtual host '{vhost}' does not exist") }
}

pub(super) fn set(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    set_kind(context, false, "policy")
}

pub(super) fn set_operator(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    set_kind(context, true, "operator policy override")
}

fn set_kind(context: &mut Context<'_, '_>, operator: bool, what: &str) -> Result<Reply, Failure> {
    let (name, pattern, definition) = (context.word(0), context.word(1), context.word(2));
    let vhost = context.line.vhost();
    let priority = context.line.text("priority").unwrap_or("0");
    context.announce(&format!(
        "Setting {what} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \
         \"{priority}\" for vhost \"{vhost}\" ..."
    ));
    let priority: i64 = priority.parse().map_err(|_| {
        Failure::refused(Exit::Unavailable, format!("{priority} priority must be a number"))
    })?;
    let body = json!({
        "pattern": pattern,
        "definition": json_word(definition)?,
        "priority": priority,
        "apply-to": context.line.text("apply-to").unwrap_or("all"),
    });
    let answer = context.ask(&Ask::put(&[place(operator), vhost, name], body))?;
    done(&answer, vhost)
}

pub(super) fn clear(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    clear_kind(context, false, "policy")
}

pub(super) fn clear_operator(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    clear_kind(context, true, "operator policy")
}

fn clear_kind(context: &mut Context<'_, '_>, operator: bool, what: &str) -> Result<Reply, Failure> {
    let (name, vhost) = (context.word(0), context.line.vhost());
    context.announce(&format!("Clearing {what} \"{name}\" on vhost \"{vhost}\" ..."));
    let answer = context.ask(&Ask::delete(&[place(operator), vhost, name], ""))?;
    match answer.status {
        404 if context.exists(&["vhosts", vhost])? => Err(no_such_parameter()),
        _ => done(&answer, vhost),
    }
}

pub(super) fn no_such_parameter() -> Failure {
    Failure::refused(Exit::Unavailable, "Parameter does not exist")
}

fn done(answer: &Answer, vhost: &str) -> Result<Reply, Failure> {
    match answer.status {
        404 => Err(no_such_vhost(vhost)),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(answer)),
    }
}

pub(super) fn list(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    context.announce(&format!("Listing policies for vhost \"{vhost}\" ..."));
    list_kind(context, false)
}

pub(super) fn list_operator(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    context.announce(&format!("Listing operator policy overrides for vhost \"{vhost}\" ..."));
    list_kind(context, true)
}

fn list_kind(context: &mut Context<'_, '_>, operator: bool) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    let answer = context.ask(&Ask::get(&[place(operator), vhost], ""))?;
    if answer.status == 404 {
        return Err(no_such_vhost(vhost));
    }
    if !answer.is_success() {
        return Err(Failure::unexpected(&answer));
    }
    let columns = ["vhost", "name", "pattern", "apply-to", "definition", "priority"];
    Ok(rows(&columns, &answer.body))
}

/// A list of items with these members; one that is neither text nor number is shown as JSON.
pub(super) fn rows(columns: &[&str], items: &Value) -> Reply {
    let term = |value: &Value| match value {
        Value::Object(_) | Value::Array(_) => Term::Text(value.to_string()),
        other => Term::text(other),
    };
    let items = items.as_array().into_iter().flatten();
    Reply::List(List {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: items
            .map(|item| columns.iter().map(|column| term(&item[*column])).collect())
            .collect(),
        streamed: false,
    })
}
