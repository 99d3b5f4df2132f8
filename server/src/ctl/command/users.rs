//! Users: add, delete, passwords, tags.

use serde_json::json;

use super::lists::no_such_user;
use super::{Context, Failure, Reply};
use crate::ctl::client::{Ask, Credentials};
use crate::ctl::exit::Exit;

fn missing(user: &str) -> Failure {
    Failure::refused(Exit::NoUser, format!("User \"{user}\" does not exist"))
}

fn not_empty(user: &str) -> Result<(), Failure> {
    if user.is_empty() {
        return Err(Failure::Validation {
            exit: Exit::Data,
            reason: "Bad argument: user cannot be an empty string".to_owned(),
        });
    }
    Ok(())
}

pub(super) fn add(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    not_empty(user)?;
    context.announce(&format!("Adding user \"{user}\" ..."));
    let password = context.password(1, Exit::Data)?;
    let ask = Ask::put(&["users", user], json!({"password": password, "tags": []}))
        .with_header("if-none-match", "*");
    let answer = context.ask(&ask)?;
    match answer.status {
        412 => Err(Failure::refused(Exit::Software, format!("User \"{user}\" already exists"))),
        _ if answer.is_success() => Ok(Reply::Said(
            "Done. Don't forget to grant the user permissions to some virtual hosts! See \
             'haremqctl help set_permissions' to learn more."
                .to_owned(),
        )),
        _ => Err(Failure::unexpected(&answer)),
    }
}

pub(super) fn delete(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    context.announce(&format!("Deleting user \"{user}\" ..."));
    change(context, &Ask::delete(&["users", user], ""), || missing(user))
}

pub(super) fn change_password(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    context.announce(&format!("Changing password for user \"{user}\" ..."));
    let password = context.password(1, Exit::Software)?;
    let ask = Ask::patch(&["users", user], json!({"password": password}));
    change(context, &ask, || missing(user))
}

pub(super) fn clear_password(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    context.announce(&format!("Clearing password for user \"{user}\" ..."));
    let ask = Ask::patch(&["users", user], json!({"password_hash": ""}));
    change(context, &ask, || no_such_user(user))
}

pub(super) fn set_tags(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    let tags = context.line.words.get(1..).unwrap_or_default();
    context.announce(&format!("Setting tags for user \"{user}\" to [{}] ...", tags.join(", ")));
    let ask = Ask::patch(&["users", user], json!({"tags": tags}));
    change(context, &ask, || missing(user))
}

pub(super) fn hash_password(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    match context.line.words.first().map(String::as_str) {
        Some("") => {
            return Err(Failure::Validation {
                exit: Exit::Data,
                reason: "Bad argument: password cannot be an empty string".to_owned(),
            })
        }
        Some(password) => context.announce(&format!("Will hash password {password}")),
        None => context.announce("Will hash provided password"),
    }
    let password = context.password(0, Exit::Usage)?;
    let answer = context.get(&["auth", "hash_password", &password], "")?;
    Ok(Reply::Said(answer["ok"].as_str().unwrap_or_default().to_owned()))
}

fn change(
    context: &Context<'_, '_>,
    ask: &Ask<'_>,
    missing: impl FnOnce() -> Failure,
) -> Result<Reply, Failure> {
    let answer = context.ask(ask)?;
    match answer.status {
        404 => Err(missing()),
        _ if answer.is_success() => Ok(Reply::Done),
        _ => Err(Failure::unexpected(&answer)),
    }
}

/// Logs in as the user. One without a tag is let in nowhere, but is told so and not refused.
pub(super) fn authenticate(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let user = context.word(0);
    context.announce(&format!("Authenticating user \"{user}\" ..."));
    let password = context.password(1, Exit::Software)?;
    let reason = if password.is_empty() {
        format!("user '{user}' attempted to log in with a blank password, which is prohibited")
    } else {
        format!("user '{user}' - invalid credentials")
    };
    // First as ourselves: a broker that is not there must not look like a wrong password.
    context.get(&["whoami"], "")?;
    let credentials = Credentials::Basic { user: user.to_owned(), password };
    let answer = context.client.ask_as(&Ask::get(&["whoami"], ""), &credentials)?;
    let known = answer.is_success() || answer.body["error"] == "not_authorised";
    if known {
        return Ok(Reply::Said("Success".to_owned()));
    }
    let text = format!("Error: failed to authenticate user \"{user}\"\n{reason}");
    Err(Failure::refused(Exit::Data, text))
}
