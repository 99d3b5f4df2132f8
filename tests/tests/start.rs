//! What the broker says when it starts, and when it cannot.

use haremq_tests::binaries::{binaries, workspace};
use haremq_tests::broker::{start_refused, Broker, Setup};
use haremq_tests::directory::TestDirectory;
use haremq_tests::wire::{method, Arguments, Client, Login};
use std::net::TcpListener;
use std::process::Command;

/// Starts a broker in a fresh directory that must refuse to start.
fn refused(arguments: &[&str]) -> haremq_tests::broker::Refusal {
    let directory = TestDirectory::new();
    start_refused(&Setup::new(), &directory.path().join("data"), arguments)
}

#[test]
fn the_start_lines_say_what_a_user_wants_to_know() {
    let broker = Broker::start();
    let text = broker.output().text();
    let data = broker.data_directory();
    for part in [
        broker.amqp().to_string(),
        broker.management().to_string(),
        "shards      2".to_string(),
        data.display().to_string(),
    ] {
        assert!(text.contains(&part), "{part:?} is missing in:\n{text}");
    }
    assert!(text.lines().count() <= 12, "a few lines are enough:\n{text}");
}

#[test]
fn several_addresses_can_be_listened_on() {
    let broker = Broker::start_with(Setup::new().arguments(["--listen", "127.0.0.1:0"]));
    let text = broker.output().text();
    let addresses: Vec<std::net::SocketAddr> = text
        .lines()
        .filter(|line| line.contains("  AMQP "))
        .filter_map(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
        .collect();
    assert_eq!(addresses.len(), 2, "{text}");
    for address in addresses {
        Client::login_with_channel(address).exercise(1);
    }
}

#[test]
fn one_shard_and_many_shards_serve_alike() {
    for shards in ["1", "4"] {
        let broker = Broker::start_with(Setup::new().arguments(["--shards", shards]));
        let mut clients: Vec<Client> =
            (0..8).map(|_| Client::login_with_channel(broker.amqp())).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let queue = format!("q{number}");
            client.declare_queue(1, &queue, 0);
            client.publish(1, "", &queue, &[0, 0], b"x").expect("the broker takes octets");
        }
        // Read by another connection than the one that wrote, so mostly on another shard.
        for (number, client) in clients.iter_mut().rev().enumerate() {
            let queue = format!("q{number}");
            haremq_tests::eventually(
                "the message arrives",
                std::time::Duration::from_secs(5),
                || client.get(1, &queue),
            );
        }
    }
}

#[test]
fn a_port_taken_by_another_program_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    refused(&["--listen", &address]).assert_says(&[&address, "AMQP"]);
    refused(&["--management", &address]).assert_says(&[&address, "management"]);
}

#[test]
fn a_port_taken_by_another_haremq_is_named() {
    let broker = Broker::start();
    let address = broker.amqp().to_string();
    refused(&["--listen", &address]).assert_says(&[&address, "HareMQ", "--listen"]);
    Client::login_with_channel(broker.amqp()).exercise(1);
}

#[test]
fn a_locked_data_directory_is_named_with_its_holder() {
    let broker = Broker::start();
    let data = broker.data_directory();
    let refusal = start_refused(&Setup::new(), &data, &[]);
    refusal.assert_says(&[data.to_str().expect("UTF-8"), "in use", &broker.id().to_string()]);
    Client::login_with_channel(broker.amqp()).exercise(1);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = TestDirectory::new();
    let foreign = directory.path().join("letter.txt");
    std::fs::write(&foreign, "Dear aunt").expect("the directory can be written");
    let path = directory.path().to_str().expect("UTF-8");
    start_refused(&Setup::new(), directory.path(), &[]).assert_says(&[path, "not a HareMQ"]);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).expect("it is there").flatten().collect();
    assert_eq!(names.len(), 1, "the broker has written into it");
    assert_eq!(std::fs::read_to_string(foreign).expect("it is there"), "Dear aunt");
}

#[test]
fn data_of_a_newer_version_is_refused_untouched() {
    let mut broker = Broker::start();
    broker.stop();
    let data = broker.data_directory();
    let marker = data.join("format.toml");
    let text = std::fs::read_to_string(&marker).expect("the marker is there");
    let newer = text.replace("version = 1", "version = 999");
    assert_ne!(newer, text, "the marker holds the version");
    std::fs::write(&marker, &newer).expect("the directory can be written");
    let refusal = start_refused(&Setup::new(), &data, &[]);
    refusal.assert_says(&[data.to_str().expect("UTF-8"), "newer", "999"]);
    assert_eq!(std::fs::read_to_string(&marker).expect("it is there"), newer);
}

#[test]
fn fewer_shards_than_the_data_has_are_refused() {
    let mut broker = Broker::start();
    broker.stop();
    let refusal = start_refused(&Setup::new(), &broker.data_directory(), &["--shards", "1"]);
    refusal.assert_says(&["--shards 1", "2"]);
}

#[test]
fn a_bad_configuration_is_named_with_file_and_line() {
    let directory = TestDirectory::new();
    let file = directory.path().join("haremq.toml");
    let path = file.to_str().expect("UTF-8").to_string();
    for (text, place, part) in [
        ("# comment\nlissen = \"127.0.0.1:0\"\n", ":2:", "lissen"),
        ("\n\nshards = 0\n", ":3:", "0"),
        ("pin = \"auto\"\nlog-level = \"loud\"\n", ":2:", "loud"),
        ("listen = [\"127.0.0.1:0\", \"nonsense\"]\n", ":1:", "nonsense"),
        ("shards = \n", ":1:", ""),
    ] {
        std::fs::write(&file, text).expect("the directory can be written");
        refused(&["--config", &path]).assert_says(&[&format!("{path}{place}"), part]);
    }
    refused(&["--config", "/nonexistent/haremq.toml"]).assert_says(&["/nonexistent/haremq.toml"]);
}

#[test]
fn a_configuration_file_has_the_keys_of_the_flags() {
    let directory = TestDirectory::new();
    let file = directory.path().join("haremq.toml");
    std::fs::write(&file, "shards = 3\nlog-level = \"warn\"\npin = \"off\"\n")
        .expect("it can be written");
    let mut command = Command::new(&binaries().haremq);
    command.args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--config"]).arg(&file);
    let data = directory.path().join("data");
    command.arg("--data-dir").arg(&data);
    let program = haremq_tests::python::Program::spawn("haremq", &mut command);
    program.wait_for_line("shards      3");
}

#[test]
fn bad_flags_are_named() {
    for (arguments, parts) in [
        (["--listen", "nonsense"], ["--listen", "nonsense"]),
        (["--shards", "none"], ["--shards", "none"]),
        (["--pin", "sometimes"], ["--pin", "sometimes"]),
        (["--spin-us", "101"], ["--spin-us", "100"]),
    ] {
        refused(&arguments).assert_says(&parts);
    }
}

#[test]
fn help_explains_each_flag() {
    let output = Command::new(&binaries().haremq).arg("--help").output().expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    for flag in [
        "--listen",
        "--management",
        "--data-dir",
        "--shards",
        "--pin",
        "--spin-us",
        "--log-level",
        "--config",
    ] {
        assert!(text.contains(flag), "{flag} is missing in:\n{text}");
    }
}

#[test]
fn a_sandbox_that_forbids_io_uring_is_named() {
    let launcher = workspace().join("tests/python/without_io_uring.py");
    let setup = Setup::new().launcher(["python3".into(), launcher.into_os_string()]);
    let directory = TestDirectory::new();
    let refusal = start_refused(&setup, &directory.path().join("data"), &[]);
    refusal.assert_says(&["io_uring", "seccomp"]);
}

#[test]
fn too_little_lockable_memory_is_named() {
    let setup = Setup::new().launcher(["prlimit", "--memlock=65536:65536"]);
    let directory = TestDirectory::new();
    let refusal = start_refused(&setup, &directory.path().join("data"), &[]);
    refusal.assert_says(&["RLIMIT_MEMLOCK", "64 KiB", "ulimit -l"]);
}

#[test]
fn an_address_of_ip_version_6_is_listened_on_and_counts_as_loopback() {
    let possible = TcpListener::bind("[::1]:0").map(drop).map_err(|error| error.to_string());
    if haremq_tests::requirement::skipped("an IPv6 listener", possible) {
        return;
    }
    let broker = Broker::start_with(Setup::new().arguments(["--listen", "[::1]:0"]));
    let text = broker.output().text();
    let address = text.split_whitespace().find(|word| word.starts_with("[::1]:"));
    let address = address.and_then(|word| word.parse().ok()).expect("a second listener");
    Client::login_with_channel(address).exercise(1);
}

#[test]
fn the_count_of_recovered_queues_leaves_out_those_behind_exchanges() {
    let mut broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "q", 2);
    let kind = Arguments::new().shortstr("x-delayed-type").raw(b"S").longstr(b"fanout");
    let declare = Arguments::new().short(0).shortstr("later").shortstr("x-delayed-message");
    let declare = declare.octet(2).longstr(kind.octets());
    client.call(1, method::EXCHANGE_DECLARE, &declare, method::EXCHANGE_DECLARE_OK);
    broker.kill9_and_start_again();
    let limit = std::time::Duration::from_secs(30);
    haremq_tests::eventually("one queue is counted", limit, || {
        broker.output().text().contains("recovered   1 queues, 0 messages").then_some(())
    });
}

#[test]
fn definitions_are_loaded_before_anybody_is_served() {
    let directory = TestDirectory::new();
    let file = directory.path().join("definitions.json");
    let document = r##"{
        "users": [{"name": "app", "password": "secret", "tags": ""}],
        "vhosts": [{"name": "shop"}],
        "permissions": [{"user": "app", "vhost": "shop", "configure": "", "write": ".*", "read": ".*"}],
        "policies": [{"vhost": "shop", "name": "short", "pattern": "", "apply-to": "queues",
                      "definition": {"max-length": 3}, "priority": 0}],
        "queues": [{"name": "orders", "vhost": "shop", "durable": true, "auto_delete": false, "arguments": {}}],
        "exchanges": [{"name": "in", "vhost": "shop", "type": "topic", "durable": true,
                       "auto_delete": false, "internal": false, "arguments": {}}],
        "bindings": [{"source": "in", "vhost": "shop", "destination": "orders",
                      "destination_type": "queue", "routing_key": "#", "arguments": {}}]
    }"##;
    std::fs::write(&file, document).expect("a file");
    let flags = || ["--load-definitions".into(), file.clone().into_os_string()];
    let mut broker = Broker::start_with(Setup::new().arguments::<std::ffi::OsString>(flags()));
    for _ in 0..2 {
        let login = Login {
            user: "app".into(),
            password: "secret".into(),
            vhost: "shop".into(),
            ..Login::default()
        };
        let mut client = Client::login_as(broker.amqp(), &login).0;
        client.open_channel(1);
        client.publish(1, "in", "any.key", &[0, 0], b"order").expect("taken");
        client.consume(1, "orders", "c");
        let delivered = client.expect(1, method::BASIC_DELIVER);
        assert_eq!(client.content(&delivered).expect("a message").body, b"order");
        // Reading them in again changes nothing.
        broker.kill9_and_start_again();
    }
    for (text, words) in [
        ("{", "not JSON: EOF while parsing an object at line 1"),
        (r#"{"queues": 5}"#, "queues: 5 is not what belongs here"),
        (
            r#"{"queues": [{"name": "q", "vhost": "nowhere"}]}"#,
            r#"queues, item 1 ("q" in vhost "nowhere"): vhost_not_found"#,
        ),
    ] {
        std::fs::write(&file, text).expect("a file");
        let path = file.display().to_string();
        refused(&["--load-definitions", &path]).assert_says(&[&path, words]);
    }
    refused(&["--load-definitions", "/nowhere/at/all.json"]).assert_says(&["/nowhere/at/all.json"]);
}
