//! What goes wrong: words and exit codes.

use super::*;

#[test]
fn every_refusal_has_its_recorded_words_and_exit_code() {
    let broker = FakeBroker::start();
    let blank = "Authenticating user \"guest\" ...\nError:\nError: failed to authenticate user \
                 \"guest\"\nuser 'guest' attempted to log in with a blank password, which is \
                 prohibited\n";
    for (line, expected, exit) in [
        ("purge_queue nonex", "Purging queue 'nonex' in vhost '/' ...\nError:\nnot_found\n", 69),
        (
            "delete_queue nonex",
            "Deleting queue 'nonex' on vhost '/' ...\nError:\nQueue not found\n",
            64,
        ),
        ("purge_queue -p nov q", "Purging queue 'q' in vhost 'nov' ...\nError:\nnot_found\n", 69),
        (
            "delete_user nope",
            "Deleting user \"nope\" ...\nError:\nUser \"nope\" does not exist\n",
            67,
        ),
        (
            "set_user_tags nope a b",
            "Setting tags for user \"nope\" to [a, b] ...\nError:\nUser \"nope\" does not exist\n",
            67,
        ),
        (
            "change_password nope x",
            "Changing password for user \"nope\" ...\nError:\nUser \"nope\" does not exist\n",
            67,
        ),
        (
            "clear_password nope",
            "Clearing password for user \"nope\" ...\nError:\n{:no_such_user, \"nope\"}\n",
            69,
        ),
        (
            "list_user_permissions nope",
            "Listing permissions for user \"nope\" ...\nError:\n{:no_such_user, \"nope\"}\n",
            69,
        ),
        (
            "list_permissions -p nopev",
            "Listing permissions for vhost \"nopev\" ...\nVirtual host 'nopev' does not exist\n",
            65,
        ),
        (
            "set_permissions nope .* .* .*",
            "Setting permissions for user \"nope\" in vhost \"/\" ...\nError:\n\
             User nope does not exist\n",
            67,
        ),
        (
            "set_permissions -p nopev guest .* .* .*",
            "Setting permissions for user \"guest\" in vhost \"nopev\" ...\nError:\n\
             Virtual host nopev does not exist\n",
            69,
        ),
        (
            "set_permissions guest ( .* .*",
            "Setting permissions for user \"guest\" in vhost \"/\" ...\nError:\n\
             {:invalid_regexp, '(', 'unclosed group'}\n",
            69,
        ),
        (
            "clear_permissions nope",
            "Clearing permissions for user \"nope\" in vhost \"/\" ...\nError:\n\
             User nope does not exist\n",
            67,
        ),
        (
            "clear_permissions -p nopev guest",
            "Clearing permissions for user \"guest\" in vhost \"nopev\" ...\nError:\n\
             Virtual host nopev does not exist\n",
            69,
        ),
        (
            "authenticate_user guest bad",
            "Authenticating user \"guest\" ...\nError:\nError: failed to authenticate user \
             \"guest\"\nuser 'guest' - invalid credentials\n",
            65,
        ),
        ("authenticate_user guest ''", blank, 65),
        ("help bogus", "Error:\n\nCommand 'bogus' not found.\n", 64),
        ("list_queue", "\nCommand 'list_queue' not found. \nDid you mean 'list_queues'? \n\n", 64),
    ] {
        assert_eq!(record(&broker, line), format!("{expected}[exit {exit}]"), "{line}");
    }
}

#[test]
fn a_line_that_makes_no_sense_is_answered_with_the_usage() {
    let broker = FakeBroker::start();
    for (line, reason, exit) in [
        ("list_queues bogus", "Info key(s) bogus are not supported", 64),
        ("list_queues zz b,name", "Info key(s) b,zz are not supported", 64),
        ("list_channels state", "Info key(s) state are not supported", 64),
        ("add_user", "not enough arguments.", 64),
        ("add_user a b c", "too many arguments.", 64),
        ("list_users extra", "too many arguments.", 64),
        ("set_permissions u .* .*", "not enough arguments.", 64),
        ("close_connection", "not enough arguments.", 64),
        ("add_user u p --bogus", "Invalid options for this command:\n--bogus : ", 64),
        ("list_queues -t abc", "Invalid options for this command:\n-t : abc", 64),
        ("list_queues -p", "Invalid options for this command:\n-p : ", 64),
        ("add_user '' x", "Bad argument: user cannot be an empty string", 65),
        ("list_queues --url ftp://x", "'ftp://x' is not a URL that starts with http://", 64),
        (
            "status --unit ell",
            "unit 'ell' is not supported. Please use one of: bytes, kb, mb, gb",
            64,
        ),
    ] {
        let outcome = call(&broker, line);
        assert_eq!((outcome.out.as_str(), outcome.exit), ("", exit), "{line}");
        let given = words(line).join(" ");
        let start = format!(
            "Error (argument validation): {reason}\nArguments given:\n\t{given}\n\n\
             \x1b[1mUsage\x1b[0m\n\nharemqctl [--url <url>] [--quiet] "
        );
        assert!(outcome.err.starts_with(&start), "{line}: {}", outcome.err);
    }
}

#[test]
fn an_unknown_command_lists_the_ones_there_are() {
    let broker = FakeBroker::start();
    let outcome = call(&broker, "bogus_cmd");
    assert_eq!(outcome.exit, 64);
    let start = "\nCommand 'bogus_cmd' not found. \n\n\x1b[1mUsage\x1b[0m\n\nharemqctl ";
    assert!(outcome.err.starts_with(start), "{}", outcome.err);
    for command in catalogue::all() {
        assert!(outcome.err.contains(&format!("\n   {}", command.name)), "{}", command.name);
        let help = call(&broker, &format!("help {}", command.name));
        assert_eq!(help.exit, 0);
        assert!(help.out.contains(command.about), "{}", command.name);
    }
    assert_eq!(call(&broker, "-q").exit, 64);
    assert_eq!(call(&broker, "--help").exit, 0);
    assert_eq!(call(&broker, "--version").out, concat!(env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_password_that_is_not_given_is_asked_for() {
    let broker = FakeBroker::start();
    let line = words("add_user u2");
    let outcome = run_with(&environment(&broker), &line, None);
    assert_eq!(outcome.exit, 65);
    assert_eq!(outcome.out, "Adding user \"u2\" ...\nPassword: \n");
    assert_eq!(outcome.err, "Error:\nPassword is not provided via argument or stdin\n");
    assert_eq!(run_with(&environment(&broker), &words("change_password guest"), None).exit, 70);
    assert_eq!(run_with(&environment(&broker), &line, Some("secret")).exit, 0);
    let outcome = call(&broker, "authenticate_user u2 secret -q");
    assert_eq!((outcome.out.as_str(), outcome.exit), ("Success\n", 0));
}

#[test]
fn a_broker_that_is_not_there_is_one_sentence() {
    let mut broker = FakeBroker::start();
    let environment = environment(&broker);
    let url = broker.url();
    broker.stop();
    for line in ["list_queues", "add_user a b", "status", "close_connection <a@b.1.2.0> x"] {
        let outcome = run_with(&environment, &words(line), None);
        assert_eq!((outcome.out.as_str(), outcome.exit), ("", 69), "{line}");
        let expected = format!(
            "Error: no broker answers at {url} (Connection refused): start one with `haremq`, or \
             say where its management port is with --url or HAREMQ_URL\n"
        );
        assert_eq!(outcome.err, expected, "{line}");
    }
    let outcome = run_with(&environment, &words("ping"), None);
    assert_eq!(outcome.exit, 69);
    assert!(outcome.err.starts_with("Error:\nno broker answers at "), "{}", outcome.err);
}

#[test]
fn the_operator_needs_no_password_of_any_user() {
    let broker = FakeBroker::start();
    let change = r#"change_password guest other"#;
    assert_eq!(call(&broker, change).exit, 0);
    let refused = call(&broker, "list_users -q");
    assert_eq!(refused.exit, 69);
    assert!(refused.err.contains("refuses the login of user 'guest'"), "{}", refused.err);
    assert!(refused.err.contains("--data-dir"), "{}", refused.err);

    let name = format!("haremq-ctl-{}", broker.token.expose());
    let data_dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&data_dir).expect("temporary directory");
    let file = crate::management::token::path(&data_dir);
    std::fs::write(&file, broker.token.expose()).expect("token");
    let mut environment = environment(&broker);
    environment.data_dir = Some(data_dir.to_string_lossy().into_owned());
    let let_in = run_with(&environment, &words("list_users -q"), None);
    // A token of another run, and then a user that is still good.
    std::fs::write(&file, "stale").expect("token");
    environment.user = None;
    let stale = run_with(&environment, &words("list_users -q"), None);
    environment.user = Some("guest".to_owned());
    environment.password = Some("other".to_owned());
    let named = run_with(&environment, &words("list_users -q"), None);
    std::fs::remove_dir_all(&data_dir).expect("clean up");

    assert_eq!((let_in.exit, let_in.err.as_str()), (0, ""));
    assert_eq!(stale.exit, 69);
    assert_eq!(named.exit, 0);
}
