//! `haremqctl` from end to end: its output and exit codes are rabbitmqctl's, and what it changes stays changed.

use haremq_tests::broker::Broker;
use haremq_tests::ctl::{comparable, read_session, Ctl, Shape, Step};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Login};
use std::time::Duration;

/// Runs a recorded session; gives every step whose output or exit code is another.
fn differences(ctl: &Ctl, session: &str) -> Vec<String> {
    read_session(session).iter().filter_map(|step| difference(ctl, step)).collect()
}

fn difference(ctl: &Ctl, step: &Step) -> Option<String> {
    let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
    let answer = ctl.run(&words);
    let shape = Shape::of(&step.words);
    let recorded = comparable(step.lines.iter().cloned(), shape);
    let ours = format!("{}{}", answer.out, answer.err);
    let ours = comparable(ours.lines().map(String::from), shape);
    (recorded != ours || step.code != answer.code).then(|| {
        format!(
            "haremqctl {}\n  recorded, exit {}: {recorded:#?}\n  ours, exit {}: {ours:#?}",
            words.join(" "),
            step.code,
            answer.code
        )
    })
}

#[track_caller]
fn assert_as_recorded(ctl: &Ctl, session: &str) {
    let found = differences(ctl, session);
    assert!(found.is_empty(), "{} commands differ:\n{}", found.len(), found.join("\n"));
}

#[test]
fn administration_reads_as_with_rabbitmqctl() {
    let broker = Broker::start();
    assert_as_recorded(&broker.ctl(), include_str!("../recorded/administration.txt"));
}

#[test]
fn rules_read_as_with_rabbitmqctl() {
    let broker = Broker::start();
    assert_as_recorded(&broker.ctl(), include_str!("../recorded/rules.txt"));
}

/// A client at work: a queue with three messages, one of them with its consumer, and a queue that nobody uses.
fn client_at_work(broker: &Broker) -> Client {
    let name = Arguments::new().shortstr("connection_name").raw(b"S").longstr(b"teller");
    let login = Login { client_properties: name.octets().to_vec(), ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    client.open_channel(1);
    let ttl = Arguments::new().shortstr("x-message-ttl").raw(b"I").long(60_000);
    let demo = Arguments::new().short(0).shortstr("demo").octet(2).longstr(ttl.octets());
    client.call(1, method::QUEUE_DECLARE, &demo, method::QUEUE_DECLARE_OK);
    client.declare_queue(1, "idle", 8);
    let exchange = Arguments::new().short(0).shortstr("demo.x").shortstr("topic").octet(2);
    let exchange = exchange.empty_table();
    client.call(1, method::EXCHANGE_DECLARE, &exchange, method::EXCHANGE_DECLARE_OK);
    let bind = Arguments::new().short(0).shortstr("demo").shortstr("demo.x").shortstr("a.#");
    let bind = bind.octet(0).empty_table();
    client.call(1, method::QUEUE_BIND, &bind, method::QUEUE_BIND_OK);
    client.qos(1, 1);
    client.consume(1, "demo", "ct1");
    client.confirm_select(1);
    let (mut confirmed, mut delivered) = (0, 0);
    for _ in 0..3 {
        client.publish(1, "demo.x", "a.b", &[0, 0], b"hello").expect("the broker takes octets");
    }
    while confirmed < 3 || delivered < 1 {
        let haremq_tests::wire::Received::Frame(frame) = client.receive(PATIENCE) else {
            panic!("{confirmed} confirms and {delivered} deliveries have come")
        };
        match frame.method_id() {
            Some(method::BASIC_ACK) => {
                let mut arguments = frame.arguments();
                confirmed = arguments.longlong();
            }
            Some(method::BASIC_DELIVER) => {
                client.content(&frame).expect("the content follows");
                delivered += 1;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    client
}

#[test]
fn listings_of_a_client_at_work_read_as_with_rabbitmqctl() {
    let broker = Broker::start();
    let _client = client_at_work(&broker);
    assert_as_recorded(&broker.ctl(), include_str!("../recorded/live.txt"));
}

#[test]
fn close_connection_gives_the_client_the_reason() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    let mut client = Client::login(broker.amqp());
    let rows = ctl.rows(&["list_connections", "pid"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let pid = rows[0][0].clone();
    let text = ctl.succeed(&["close_connection", &pid, "go away"]);
    assert_eq!(text.trim_end(), format!("Closing connection {pid}, reason: go away..."));
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CONN 320 CONNECTION_FORCED - go away (0,0)");
    client.method(0, method::CONNECTION_CLOSE_OK, &Arguments::new());
    haremq_tests::eventually("the connection is no longer listed", Duration::from_secs(5), || {
        ctl.rows(&["list_connections", "pid"]).is_empty().then_some(())
    });
    // Again, and what is no pid at all.
    ctl.succeed(&["close_connection", &pid, "go away"]);
    let answer = ctl.run(&["close_connection", "<bad>", "go away"]);
    assert_eq!(answer.code, 69, "{answer:?}");
    let text = format!("{}{}", answer.out, answer.err);
    assert!(text.contains(r#"{:invalid_pid_syntax, "<bad>"}"#), "{text}");
}

#[test]
fn status_says_what_runs_where() {
    let broker = Broker::start();
    let text = broker.ctl().succeed(&["status"]);
    for part in [
        "Runtime".to_string(),
        format!("OS PID: {}", broker.id()),
        "Uptime (seconds):".to_string(),
        "Data directory".to_string(),
        broker.data_directory().display().to_string(),
        "Listeners".to_string(),
        broker.amqp().port().to_string(),
        broker.management().port().to_string(),
        "Connection count: 0".to_string(),
        "Queue count: 0".to_string(),
        "Virtual host count: 1".to_string(),
    ] {
        assert!(text.contains(&part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn a_bad_regular_expression_is_refused() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    let answer = ctl.run(&["set_permissions", "-p", "/", "guest", "*", ".*", ".*"]);
    assert_eq!(answer.code, 69, "{answer:?}");
    assert_eq!(ctl.rows(&["list_permissions"]), [["guest", ".*", ".*", ".*"]]);
}

/// Makes users, vhosts and permissions; gives what the listings show.
fn administer(ctl: &Ctl) {
    for words in [
        ["add_user", "ada", "lovelace"].as_slice(),
        &["add_user", "gone", "soon"],
        &["set_user_tags", "ada", "monitoring", "management"],
        &["change_password", "ada", "byron"],
        &["add_vhost", "engine"],
        &["add_vhost", "gone"],
        &["set_permissions", "-p", "engine", "ada", "^c", "^w", ""],
        &["set_permissions", "-p", "/", "ada", "", "", ".*"],
        &["clear_permissions", "-p", "/", "guest"],
        &["delete_user", "gone"],
        &["delete_vhost", "gone"],
    ] {
        ctl.succeed(words);
    }
}

fn administered(ctl: &Ctl) -> Vec<Vec<Vec<String>>> {
    [
        ["list_users"].as_slice(),
        &["list_vhosts"],
        &["list_permissions", "-p", "/"],
        &["list_permissions", "-p", "engine"],
    ]
    .iter()
    .map(|words| {
        let mut rows = ctl.rows(words);
        rows.sort();
        rows
    })
    .collect()
}

#[test]
fn users_vhosts_and_permissions_survive_restarts() {
    let mut broker = Broker::start();
    administer(&broker.ctl());
    let before = administered(&broker.ctl());
    assert_eq!(before[0][0], ["ada", "[monitoring, management]"]);
    assert_eq!(before[1], [["/"], ["engine"]]);
    assert_eq!(before[2], [["ada", "", "", ".*"]]);
    assert_eq!(before[3], [["ada", "^c", "^w", ""]]);
    for restart in [Broker::kill9_and_start_again, Broker::stop_and_start_again] {
        restart(&mut broker);
        let ctl = broker.ctl();
        assert_eq!(administered(&ctl), before);
        ctl.succeed(&["authenticate_user", "ada", "byron"]);
        assert_eq!(ctl.run(&["authenticate_user", "ada", "lovelace"]).code, 65);
        let login = Login {
            user: "ada".into(),
            password: "byron".into(),
            vhost: "engine".into(),
            ..Login::default()
        };
        let (mut client, answer) = Client::login_as(broker.amqp(), &login);
        assert_eq!(answer.to_string(), "method (10,41)");
        client.open_channel(1);
        client.declare_queue(1, "cards", 4);
        client.method(
            1,
            method::QUEUE_DECLARE,
            &Arguments::new().short(0).shortstr("other").octet(4).empty_table(),
        );
        assert_eq!(
            client.receive(PATIENCE).to_string(),
            "CH 403 ACCESS_REFUSED - access to queue 'other' in vhost 'engine' refused for user 'ada' (50,10)"
        );
    }
}

#[test]
fn a_deleted_vhost_takes_its_queues_and_connections_with_it() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    ctl.succeed(&["add_vhost", "short"]);
    ctl.succeed(&["set_permissions", "-p", "short", "guest", ".*", ".*", ".*"]);
    let login = Login { vhost: "short".into(), ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    client.open_channel(1);
    client.declare_queue(1, "q", 2);
    ctl.succeed(&["delete_vhost", "short"]);
    let answer = client.receive(PATIENCE).to_string();
    assert_eq!(answer, "CONN 320 CONNECTION_FORCED - vhost 'short' is deleted (0,0)");
    ctl.succeed(&["add_vhost", "short"]);
    assert!(ctl.rows(&["list_queues", "-p", "short"]).is_empty());
}

#[test]
fn without_a_broker_the_answer_is_one_sentence_and_a_failure() {
    let mut broker = Broker::start();
    let ctl = broker.ctl();
    broker.stop();
    let answer = ctl.run(&["list_queues"]);
    assert_ne!(answer.code, 0);
    assert!(!answer.err.contains("panicked"), "{}", answer.err);
    assert!(!answer.err.is_empty());
}

#[test]
fn management_lets_nobody_in_without_credentials() {
    use std::io::{Read, Write};
    let broker = Broker::start();
    for authorization in ["", "Authorization: Basic Z3Vlc3Q6d3Jvbmc=\r\n"] {
        let mut stream =
            std::net::TcpStream::connect(broker.management()).expect("management listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit can be set");
        let host = broker.management();
        let request = format!(
            "GET /api/queues HTTP/1.1\r\nHost: {host}\r\n{authorization}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("management takes requests");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("management answers");
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}
