//! Whole calls, against a real management port: text and exit code as recorded from rabbitmqctl
//! 3.10.8. A call that prints to both outputs is shown with standard error after standard output.

use haremq_engine::table::{Table, Value};

use super::*;
use crate::management::testing::FakeBroker;

/// Line of a shell, split at blanks; `''` is an empty word.
fn words(line: &str) -> Vec<String> {
    line.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace("''", "")).collect()
}

struct Outcome {
    out: String,
    err: String,
    exit: u8,
}

fn run_with(environment: &Environment, line: &[String], secret: Option<&str>) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut ask = || secret.map(str::to_owned);
    let mut console = Console::new(&mut out, &mut err, &mut ask);
    let exit = run(line, environment, &mut console).code();
    let text = |octets| String::from_utf8(octets).expect("text");
    Outcome { out: text(out), err: text(err), exit }
}

fn environment(broker: &FakeBroker) -> Environment {
    Environment {
        url: Some(broker.url()),
        data_dir: Some("/nonexistent".to_owned()),
        ..Environment::default()
    }
}

fn call(broker: &FakeBroker, line: &str) -> Outcome {
    run_with(&environment(broker), &words(line), None)
}

/// What a call printed and how it ended, as the records have it.
fn record(broker: &FakeBroker, line: &str) -> String {
    let Outcome { out, err, exit } = call(broker, line);
    format!("{out}{err}[exit {exit}]")
}

/// A queue with a consumer, a connection, a user: what the records were made with.
fn demo() -> FakeBroker {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        let ttl = Table(vec![("x-message-ttl".into(), Value::I32(60_000))]);
        let queue = world.add_queue("demo", ttl, [1, 2]);
        let connection = world.add_connection(12896, "guest");
        world.add_consumer(queue, connection);
    }
    broker
}

#[test]
fn lists_of_what_is_in_a_vhost() {
    let broker = demo();
    for (line, expected) in [
        (
            "list_queues",
            "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\ndemo\t3\n",
        ),
        ("list_queues -q", "name\tmessages\ndemo\t3\n"),
        ("list_queues -s", "demo\t3\n"),
        ("--no-table-headers -q list_queues", "demo\t3\n"),
        (
            "list_queues -t 5 -p nonex",
            "Timeout: 5.0 seconds ...\nListing queues for vhost nonex ...\n",
        ),
        ("list_queues -q --offline", ""),
        ("list_queues -q --local --online name", "name\ndemo\n"),
        (
            "list_queues --formatter json name messages",
            "[\n{\"name\":\"demo\",\"messages\":3}\n]\n",
        ),
        (
            "-q list_queues name messages_ready messages_unacknowledged consumers durable \
             arguments policy type state",
            "name\tmessages_ready\tmessages_unacknowledged\tconsumers\tdurable\targuments\tpolicy\
             \ttype\tstate\ndemo\t1\t2\t1\ttrue\t[{\"x-message-ttl\",60000}]\t\tclassic\trunning\n",
        ),
        (
            "-s list_queues name,messages memory pid",
            "demo\t3\t\t<haremq@localhost.1795344891.1.65536>\n",
        ),
        (
            "list_exchanges",
            "Listing exchanges for vhost / ...\nname\ttype\n\tdirect\namq.direct\tdirect\n\
             amq.fanout\tfanout\namq.headers\theaders\namq.match\theaders\n\
             amq.rabbitmq.trace\ttopic\namq.topic\ttopic\n",
        ),
        (
            "list_bindings",
            "Listing bindings for vhost /...\nsource_name\tsource_kind\tdestination_name\t\
             destination_kind\trouting_key\targuments\n\texchange\tdemo\tqueue\tdemo\t[]\n",
        ),
        (
            "list_consumers",
            "Listing consumers in vhost / ...\nqueue_name\tchannel_pid\tconsumer_tag\tack_required\
             \tprefetch_count\tactive\targuments\ndemo\t<haremq@localhost.1795344891.12896.1>\tct1\
             \ttrue\t7\ttrue\t[]\n",
        ),
    ] {
        assert_eq!(record(&broker, line), format!("{expected}[exit 0]"), "{line}");
    }
}

#[test]
fn lists_of_clients() {
    let broker = demo();
    for (line, expected) in [
        (
            "list_connections",
            "Listing connections ...\nuser\tpeer_host\tpeer_port\tstate\n\
             guest\t127.0.0.1\t50168\trunning\n",
        ),
        (
            "list_connections name state channels",
            "Listing connections ...\nname\tstate\tchannels\n\
             127.0.0.1:50168 -> 127.0.0.1:5672\trunning\t1\n",
        ),
        ("list_connections -s pid", "<haremq@localhost.1795344891.12896.0>\n"),
        (
            "list_connections -s protocol ssl ssl_protocol timeout client_properties",
            "{0,9,1}\tfalse\t\t60\t[{\"product\",\"pika\"}]\n",
        ),
        (
            "list_connections --formatter json",
            "[\n{\"user\":\"guest\",\"peer_host\":[127,0,0,1],\"peer_port\":50168,\
             \"state\":\"running\"}\n]\n",
        ),
        (
            "list_channels",
            "Listing channels ...\npid\tuser\tconsumer_count\tmessages_unacknowledged\n\
             <haremq@localhost.1795344891.12896.1>\tguest\t1\t0\n",
        ),
    ] {
        assert_eq!(record(&broker, line), format!("{expected}[exit 0]"), "{line}");
    }
    broker.world().connections.clear();
    assert_eq!(record(&broker, "list_connections"), "Listing connections ...\n[exit 0]");
}

#[test]
fn the_recorded_life_of_a_user() {
    let broker = FakeBroker::start();
    let done = "Done. Don't forget to grant the user permissions to some virtual hosts! See \
                'haremqctl help set_permissions' to learn more.\n";
    let added = format!("Adding user \"u1\" ...\n{done}[exit 0]");
    for (line, expected) in [
        ("add_user u1 p1", added.as_str()),
        ("add_user u1 p1", "Adding user \"u1\" ...\nError:\nUser \"u1\" already exists\n[exit 70]"),
        (
            "set_permissions -p / u1 .* .* .*",
            "Setting permissions for user \"u1\" in vhost \"/\" ...\n[exit 0]",
        ),
        (
            "set_user_tags u1 administrator",
            "Setting tags for user \"u1\" to [administrator] ...\n[exit 0]",
        ),
        (
            "list_users",
            "Listing users ...\nuser\ttags\nguest\t[administrator]\nu1\t[administrator]\n[exit 0]",
        ),
        (
            "list_user_permissions u1",
            "Listing permissions for user \"u1\" ...\nvhost\tconfigure\twrite\tread\n\
             /\t.*\t.*\t.*\n[exit 0]",
        ),
        (
            "list_permissions",
            "Listing permissions for vhost \"/\" ...\nuser\tconfigure\twrite\tread\n\
             guest\t.*\t.*\t.*\nu1\t.*\t.*\t.*\n[exit 0]",
        ),
        (
            "clear_permissions u1",
            "Clearing permissions for user \"u1\" in vhost \"/\" ...\n[exit 0]",
        ),
        (
            "clear_permissions u1",
            "Clearing permissions for user \"u1\" in vhost \"/\" ...\n[exit 0]",
        ),
        ("list_user_permissions u1", "Listing permissions for user \"u1\" ...\n\n[exit 0]"),
        ("change_password u1 new", "Changing password for user \"u1\" ...\n[exit 0]"),
        ("authenticate_user u1 new", "Authenticating user \"u1\" ...\nSuccess\n[exit 0]"),
        ("clear_password u1", "Clearing password for user \"u1\" ...\n[exit 0]"),
        (
            "authenticate_user u1 new",
            "Authenticating user \"u1\" ...\nError:\nError: failed to authenticate user \"u1\"\n\
             user 'u1' - invalid credentials\n[exit 65]",
        ),
        ("delete_user u1", "Deleting user \"u1\" ...\n[exit 0]"),
        (
            "delete_user u1",
            "Deleting user \"u1\" ...\nError:\nUser \"u1\" does not exist\n[exit 67]",
        ),
    ] {
        assert_eq!(record(&broker, line), expected, "{line}");
    }
}

#[test]
fn a_user_without_tags_authenticates() {
    let broker = FakeBroker::start();
    broker.world().add_user("plain", &[], None);
    let expected = "Authenticating user \"plain\" ...\nSuccess\n[exit 0]";
    assert_eq!(record(&broker, "authenticate_user plain p"), expected);
}

#[test]
fn the_recorded_life_of_a_vhost() {
    let broker = FakeBroker::start();
    for (line, expected) in [
        ("add_vhost v1", "Adding vhost \"v1\" ...\n[exit 0]"),
        ("add_vhost v1", "Adding vhost \"v1\" ...\n[exit 0]"),
        (
            "list_vhosts name tracing",
            "Listing vhosts ...\nname\ttracing\n/\tfalse\nv1\tfalse\n[exit 0]",
        ),
        ("list_vhosts", "Listing vhosts ...\nname\n/\nv1\n[exit 0]"),
        ("delete_vhost v1", "Deleting vhost \"v1\" ...\n[exit 0]"),
        (
            "delete_vhost v1",
            "Deleting vhost \"v1\" ...\nVirtual host 'v1' does not exist\n[exit 65]",
        ),
    ] {
        assert_eq!(record(&broker, line), expected, "{line}");
    }
}

#[test]
fn queues_are_purged_and_deleted() {
    let broker = demo();
    for (line, expected) in [
        (
            "delete_queue demo --if-empty",
            "Deleting queue 'demo' on vhost '/' if queue is empty ...\nError:\nQueue is not empty\n\
             [exit 64]",
        ),
        (
            "delete_queue demo -u",
            "Deleting queue 'demo' on vhost '/' if queue is unused ...\nError:\n\
             Queue is in use\n[exit 64]",
        ),
        ("purge_queue demo", "Purging queue 'demo' in vhost '/' ...\n[exit 0]"),
        (
            "delete_queue demo -e",
            "Deleting queue 'demo' on vhost '/' if queue is empty ...\n\
             Queue was successfully deleted with 0 ready messages\n[exit 0]",
        ),
    ] {
        assert_eq!(record(&broker, line), expected, "{line}");
    }
    broker.world().add_queue("full", Table::default(), [1, 0]);
    let expected = "Deleting queue 'full' on vhost '/' ...\n\
                    Queue was successfully deleted with 1 ready messages\n[exit 0]";
    assert_eq!(record(&broker, "delete_queue full"), expected);
}

#[test]
fn a_connection_is_closed_by_the_pid_that_the_list_shows() {
    let broker = demo();
    let pid = call(&broker, "list_connections -s pid").out.trim().to_owned();
    let line = ["close_connection".to_owned(), pid.clone(), "go away".to_owned()];
    let outcome = run_with(&environment(&broker), &line, None);
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    assert_eq!(outcome.out, format!("Closing connection {pid}, reason: go away...\n"));
    let closed: Vec<String> =
        broker.world().closed.iter().map(|(_, reason)| reason.clone()).collect();
    assert_eq!(closed, ["go away"]);
    // Gone already is as good as closed.
    assert_eq!(run_with(&environment(&broker), &line, None).exit, 0);
    let expected = "Closing connection <0.0.0>, reason: bye...\nError:\nError:\n\
                    {:invalid_pid_syntax, \"<0.0.0>\"}\n[exit 69]";
    assert_eq!(record(&broker, "close_connection <0.0.0> bye"), expected);
}

#[test]
fn all_connections_are_closed_up_to_a_limit() {
    let broker = demo();
    broker.world().add_connection(12900, "guest");
    for (line, expected) in [
        ("-p nov bye", "Closing all connections in vhost nov, reason: bye...\nClosed 0 connections\n"),
        ("--limit 1 bye", "Closing 1 connections in vhost /, reason: bye...\nClosed 1 connections\n"),
        (
            "--global bye",
            "Closing all connections to node haremq@localhost (across all vhosts), reason: bye...\n\
             Closed 1 connections\n",
        ),
        ("-q bye", "Closed 0 connections\n"),
    ] {
        let line = format!("close_all_connections {line}");
        assert_eq!(record(&broker, &line), format!("{expected}[exit 0]"), "{line}");
    }
}

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
    for command in catalogue::COMMANDS {
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

#[test]
fn status_has_the_sections_that_there_are_facts_for() {
    let broker = demo();
    let outcome = call(&broker, "status");
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    let sections: Vec<&str> = outcome
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("\x1b[1m")?.strip_suffix("\x1b[0m"))
        .collect();
    assert_eq!(
        sections,
        [
            "Runtime",
            "Data directory",
            "Config files",
            "Alarms",
            "Memory",
            "File Descriptors",
            "Free Disk Space",
            "Totals",
            "Listeners"
        ]
    );
    for line in [
        "Status of node haremq@localhost ...",
        "Node name: haremq@localhost",
        "Log segments: 0.1 gb",
        "(none)",
        "Connection count: 1",
        "Queue count: 1",
        "Virtual host count: 1",
        "Interface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1",
    ] {
        assert!(outcome.out.lines().any(|one| one == line), "{line}\n{}", outcome.out);
    }
    let bytes = call(&broker, "status -q --unit bytes").out;
    assert!(bytes.contains("\nLog segments: 100000000 bytes\n"), "{bytes}");
    let json = call(&broker, "status --formatter json").out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(json["totals"]["queue_count"], 1);
}

#[test]
fn answers_to_programs_carry_no_announcements() {
    let broker = demo();
    let json = r#"{"node":"haremq@localhost","result":"ok"}"#;
    assert_eq!(call(&broker, "purge_queue demo --formatter json").out, format!("{json}\n"));
    let said = call(&broker, "authenticate_user guest guest --formatter json").out;
    assert_eq!(said, "{\"message\":\"Success\"}\n");
    let csv = call(&broker, "list_queues --formatter csv name messages").out;
    assert_eq!(csv, "\"name\",\"messages\"\n\"demo\",\"2\"\n");
    assert_eq!(call(&broker, "ping -q").out, "Ping succeeded\n");
}
