//! Runtime parameters: list; global ones: set, clear, list.

use serde_json::json;

use super::policies::{json_word, no_such_parameter, rows};
use super::{Context, Failure, Reply};
use crate::ctl::client::Ask;

pub(super) fn list(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let vhost = context.line.vhost();
    context.announce(&format!("Listing runtime parameters for vhost \"{vhost}\" ..."));
    let mut parameters = context.get(&["parameters"], "")?;
    if let Some(items) = parameters.as_array_mut() {
        items.retain(|item| item["vhost"] == vhost);
    }
    Ok(rows(&["component", "name", "value"], &parameters))
}

pub(super) fn list_global(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    context.announce("Listing global runtime parameters ...");
    let mut parameters = context.get(&["global-parameters"], "")?;
    for item in parameters.as_array_mut().into_iter().flatten() {
        // Shown as JSON: text has its quotes.
        item["value"] = json!(item["value"].to_string());
    }
    Ok(rows(&["name", "value"], &parameters))
}

pub(super) fn set_global(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (name, value) = (context.word(0), context.word(1));
    context.announce(&format!("Setting global runtime parameter \"{name}\" to \"{value}\" ..."));
    let body = json!({"value": json_word(value)?});
    let answer = context.ask(&Ask::put(&["global-parameters", name], body))?;
    match answer.is_success() {
        true => Ok(Reply::Done),
        false => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn clear_global(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let name = context.word(0);
    context.announce(&format!("Clearing global runtime parameter \"{name}\" ..."));
    let answer = context.ask(&Ask::delete(&["global-parameters", name], ""))?;
    match answer.status {
        404 => Err(no_such_parameter()),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}
