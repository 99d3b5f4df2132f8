//! Policies, limits, topic permissions and definitions, by the operator's command line, on the real binary.

use haremq_tests::broker::Broker;
use haremq_tests::directory::TestDirectory;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Login};
use std::time::{Duration, Instant};

/// Waits until a queue shows as many messages.
#[track_caller]
fn await_messages(broker: &Broker, queue: &str, expected: Option<u64>) {
    let ctl = broker.ctl();
    let until = Instant::now() + PATIENCE;
    while ctl.messages(queue) != expected {
        assert!(Instant::now() < until, "{queue} has {:?} messages", ctl.messages(queue));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn publish(client: &mut Client, exchange: &str, key: &str, count: usize) {
    client.confirm_select(1);
    for _ in 0..count {
        client.publish(1, exchange, key, &[0x10, 0, 2], b"m").expect("the broker takes octets");
    }
    let mut confirmed = 0;
    while confirmed < count as u64 {
        let frame = client.expect(1, method::BASIC_ACK);
        confirmed = frame.arguments().longlong();
    }
}

#[test]
fn policies_rule_queues_that_are_there_and_after_a_crash() {
    let mut broker = Broker::start();
    let ctl = broker.ctl();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "q.limited", 2);
    client.declare_queue(1, "grave", 2);
    publish(&mut client, "", "q.limited", 5);
    let letters = r#"{"max-length":3,"dead-letter-exchange":"","dead-letter-routing-key":"grave"}"#;
    ctl.succeed(&["set_policy", "p", r"^q\.", letters]);
    await_messages(&broker, "q.limited", Some(3));
    await_messages(&broker, "grave", Some(2));
    ctl.succeed(&["set_operator_policy", "op", r"^q\.", r#"{"max-length":2}"#]);
    await_messages(&broker, "q.limited", Some(2));
    await_messages(&broker, "grave", Some(3));
    let shown = ctl.rows(&["list_queues", "name", "policy", "operator_policy"]);
    assert!(shown.contains(&vec!["q.limited".into(), "p".into(), "op".into()]), "{shown:?}");
    broker.kill9_and_start_again();
    let ctl = broker.ctl();
    assert_eq!(ctl.rows(&["list_policies"]).len(), 1);
    assert_eq!(ctl.rows(&["list_operator_policies"]).len(), 1);
    let mut client = Client::login_with_channel(broker.amqp());
    client.confirm_select(1);
    publish(&mut client, "", "q.limited", 4);
    await_messages(&broker, "q.limited", Some(2));
    ctl.succeed(&["clear_operator_policy", "op"]);
    ctl.succeed(&["set_policy", "p", r"^q\.", r#"{"message-ttl":1}"#]);
    publish(&mut client, "", "q.limited", 4);
    await_messages(&broker, "q.limited", Some(2));
    ctl.succeed(&["set_policy", "p", r"^q\.", r#"{"expires":1}"#]);
    await_messages(&broker, "q.limited", None);
}

#[test]
fn a_bad_policy_is_refused_with_the_reason() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    for (words, code, text) in [
        (["p", "^q", r#"{"message-ttl":-1}"#], 69, "-1 is not a valid message TTL"),
        (["p", "^q", r#"{"foo":1}"#], 69, "[{<<\"foo\">>,1}] are not recognised policy settings"),
        (["p", "(", r#"{"expires":1}"#], 69, "pattern should be regular expression"),
        (["p", "^q", "{"], 69, "JSON decoding error"),
    ] {
        let answer = ctl.run(&[&["set_policy"], words.as_slice()].concat());
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.err.contains(text), "{answer:?}");
    }
    let answer = ctl.run(&["list_policies", "-p", "nowhere"]);
    assert_eq!((answer.code, answer.err.as_str()), (65, "Virtual host 'nowhere' does not exist\n"));
}

#[test]
fn a_vhost_that_is_full_takes_no_more_queues() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    let mut client = Client::login_with_channel(broker.amqp());
    ctl.succeed(&["set_vhost_limits", r#"{"max-queues":1}"#]);
    assert_eq!(ctl.succeed(&["-q", "list_vhost_limits"]), "{\"max-queues\":1}\n");
    client.declare_queue(1, "first", 2);
    let second = Arguments::new().short(0).shortstr("second").octet(2).empty_table();
    client.method(1, method::QUEUE_DECLARE, &second);
    assert_eq!(
        client.receive(PATIENCE).to_string(),
        "CH 406 PRECONDITION_FAILED - cannot declare queue 'second' in vhost '/': queue limit in vhost '/' (1) is \
         reached (50,10)"
    );
    ctl.succeed(&["clear_vhost_limits"]);
    client.open_channel(2);
    client.declare_queue(2, "second", 2);
}

/// Rules, users and things that clients declare, of every kind.
fn furnish(broker: &Broker) {
    let ctl = broker.ctl();
    for words in [
        ["add_vhost", "v", "--description", "d", "--tags", "a,b"].as_slice(),
        &["add_user", "ada", "lovelace"],
        &["set_permissions", "-p", "v", "ada", "^c", "^w", ""],
        &["set_permissions", "-p", "v", "guest", ".*", ".*", ".*"],
        &["set_topic_permissions", "-p", "v", "ada", "amq.topic", "^{username}", ".*"],
        &["set_policy", "-p", "v", "p", "^q", r#"{"max-length":7}"#, "--priority", "4"],
        &["set_operator_policy", "-p", "v", "op", "", r#"{"expires":99999}"#],
        &["set_vhost_limits", "-p", "v", r#"{"max-queues":50}"#],
        &["set_user_limits", "ada", r#"{"max-channels":5}"#],
        &["set_global_parameter", "odd", r#"{"a":1}"#],
    ] {
        ctl.succeed(words);
    }
    let login = Login { vhost: "v".into(), ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    client.open_channel(1);
    client.declare_queue(1, "q", 2);
    client.declare_queue(1, "gone with its connection", 4);
    let bind = Arguments::new().short(0).shortstr("q").shortstr("amq.topic").shortstr("a.#");
    client.call(1, method::QUEUE_BIND, &bind.octet(0).empty_table(), method::QUEUE_BIND_OK);
}

#[test]
fn exported_definitions_make_another_broker_like_the_first_and_survive_it() {
    let directory = TestDirectory::new();
    let file = directory.path().join("definitions.json");
    let file = file.to_str().expect("a plain name");
    let first = Broker::start();
    furnish(&first);
    let said = first.ctl().succeed(&["export_definitions", file]);
    assert_eq!(said, format!("Exporting definitions in JSON to a file at \"{file}\" ...\n"));
    let document = first.ctl().succeed(&["export_definitions", "-"]);
    assert!(!document.contains("gone with its connection"), "{document}");
    let mut second = Broker::start();
    let said = second.ctl().succeed(&["import_definitions", file]);
    assert!(said.contains("Successfully started definition import."), "{said}");
    assert_eq!(second.ctl().succeed(&["export_definitions", "-"]), document);
    // A second time nothing changes.
    second.ctl().succeed(&["import_definitions", file]);
    second.kill9_and_start_again();
    assert_eq!(second.ctl().succeed(&["export_definitions", "-"]), document);
    second.ctl().succeed(&["authenticate_user", "ada", "lovelace"]);
    let answer = second.ctl().run(&["import_definitions", "/nonexistent"]);
    assert_eq!(answer.code, 65, "{answer:?}");
}

#[test]
fn a_hash_of_the_command_line_is_a_password() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    let hash = ctl.succeed(&["-q", "hash_password", "secret"]);
    let directory = TestDirectory::new();
    let file = directory.path().join("user.json");
    let document =
        format!(r#"{{"users":[{{"name":"u","password_hash":"{}","tags":[]}}]}}"#, hash.trim());
    std::fs::write(&file, document).expect("a file");
    ctl.succeed(&["import_definitions", file.to_str().expect("a plain name")]);
    ctl.succeed(&["authenticate_user", "u", "secret"]);
    assert_eq!(ctl.run(&["authenticate_user", "u", "other"]).code, 65);
}
