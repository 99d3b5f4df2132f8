//! Who may do what: every recorded call, made by a user with each set of permissions, is answered as RabbitMQ does.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::method::{self, Method};
use haremq_tests::wire::{Arguments, Client, Frame, Login, Received};

const EXCHANGE_BIND: Method = (40, 30);
const QUEUE_PURGE: Method = (50, 30);
const QUEUE_DELETE: Method = (50, 40);

/// configure, write and read of each recorded set; None is no permission in the vhost at all.
fn permissions(set: &str) -> Option<[&'static str; 3]> {
    match set {
        "no-perms" => None,
        "empty" => Some(["", "", ""]),
        "configure-only" => Some([".*", "", ""]),
        "write-only" => Some(["", ".*", ""]),
        "read-only" => Some(["", "", ".*"]),
        other => panic!("an unknown set of permissions: {other}"),
    }
}

fn longstr_argument(name: &str, value: &str) -> Arguments {
    Arguments::new().shortstr(name).raw(b"S").longstr(value.as_bytes())
}

fn declare_queue(name: &str, bits: u8, table: &Arguments) -> (Method, Arguments) {
    let arguments = Arguments::new().short(0).shortstr(name).octet(bits);
    (method::QUEUE_DECLARE, arguments.longstr(table.octets()))
}

fn declare_exchange(name: &str, table: &Arguments) -> (Method, Arguments) {
    let arguments = Arguments::new().short(0).shortstr(name).shortstr("direct").octet(0);
    (method::EXCHANGE_DECLARE, arguments.longstr(table.octets()))
}

/// A recorded call in octets.
fn call(words: &str) -> (Method, Arguments) {
    let none = Arguments::new();
    let named = |name: &str| Arguments::new().short(0).shortstr(name);
    match words {
        "queue.declare new" => declare_queue("pnew", 0, &none),
        "queue.declare passive" => declare_queue("pq", 1, &none),
        "queue.declare dlx=px" => {
            declare_queue("pdl", 0, &longstr_argument("x-dead-letter-exchange", "px"))
        }
        "queue.bind" => {
            let arguments = named("pq").shortstr("px").shortstr("k").octet(0).empty_table();
            (method::QUEUE_BIND, arguments)
        }
        "exchange.bind px->py" => {
            let arguments = named("py").shortstr("px").shortstr("k").octet(0).empty_table();
            (EXCHANGE_BIND, arguments)
        }
        "exchange.declare ae=px" => {
            declare_exchange("pae", &longstr_argument("alternate-exchange", "px"))
        }
        "queue.purge" => (QUEUE_PURGE, named("pq").octet(0)),
        "basic.get" => (method::BASIC_GET, named("pq").octet(1)),
        "basic.consume" => (method::BASIC_CONSUME, named("pq").shortstr("").octet(2).empty_table()),
        "queue.delete" => (QUEUE_DELETE, named("pq2x").octet(0)),
        "publish default" => (method::BASIC_PUBLISH, named("").shortstr("pq").octet(0)),
        "publish px" => (method::BASIC_PUBLISH, named("px").shortstr("k").octet(0)),
        other => panic!("an unknown call: {other}"),
    }
}

/// Makes the call as user `pu`; gives the answer as it was recorded.
fn answer(broker: &Broker, words: &str) -> String {
    let login = Login { user: "pu".into(), password: "pp".into(), ..Login::default() };
    let (mut client, opened) = Client::login_as(broker.amqp(), &login);
    if opened.to_string() != "method (10,41)" {
        return in_words(&opened);
    }
    client.open_channel(1);
    let (method, arguments) = call(words);
    client.method(1, method, &arguments);
    if method == method::BASIC_PUBLISH {
        client.send(&Frame::content_header(1, 0, &[0, 0]).encode());
        // A publish is answered only if it is refused, which comes before the answer to this.
        client.method(1, method::CONFIRM_SELECT, &Arguments::new().octet(0));
    }
    in_words(&client.receive(PATIENCE))
}

fn in_words(received: &Received) -> String {
    if let Received::Frame(frame) = received {
        if let Some(close) = frame.close() {
            let what = if close.of_connection { "CONN" } else { "CH" };
            return format!("{what} {} {}", close.code, close.text);
        }
        if frame.method_id().is_some() {
            return "OK".into();
        }
    }
    received.to_string()
}

#[test]
fn every_call_with_every_set_of_permissions() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    ctl.succeed(&["add_user", "pu", "pp"]);
    let mut guest = Client::login_with_channel(broker.amqp());
    for name in ["pq", "pq2x"] {
        guest.declare_queue(1, name, 0);
    }
    for name in ["px", "py"] {
        let (declare, arguments) = declare_exchange(name, &Arguments::new());
        guest.call(1, declare, &arguments, method::EXCHANGE_DECLARE_OK);
    }
    let mut granted = "no-perms";
    let mut differences = Vec::new();
    let recorded = include_str!("../recorded/permissions.txt");
    let lines = recorded.lines().filter(|line| !line.starts_with('#'));
    for line in lines.clone() {
        let mut parts = line.splitn(3, " | ");
        let mut part = || parts.next().unwrap_or_else(|| panic!("set | call | answer: {line}"));
        let (set, words, expected) = (part(), part(), part());
        if set != granted {
            let [configure, write, read] =
                permissions(set).expect("the set without any comes first");
            ctl.succeed(&["set_permissions", "-p", "/", "pu", configure, write, read]);
            granted = set;
        }
        let answer = answer(&broker, words);
        if answer != expected {
            differences
                .push(format!("{set}, {words}\n  RabbitMQ: {expected}\n  HareMQ:   {answer}"));
        }
    }
    let count = lines.count();
    assert_eq!(count, 60);
    assert!(
        differences.is_empty(),
        "{} of {count} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn a_change_of_permissions_holds_for_channels_that_are_open() {
    let broker = Broker::start();
    let ctl = broker.ctl();
    ctl.succeed(&["add_user", "pu", "pp"]);
    ctl.succeed(&["set_permissions", "-p", "/", "pu", ".*", ".*", ".*"]);
    let login = Login { user: "pu".into(), password: "pp".into(), ..Login::default() };
    let (mut client, _) = Client::login_as(broker.amqp(), &login);
    client.open_channel(1);
    client.declare_queue(1, "before", 4);
    ctl.succeed(&["set_permissions", "-p", "/", "pu", "^$", ".*", ".*"]);
    let mut fresh = Client::login_as(broker.amqp(), &login).0;
    fresh.open_channel(1);
    let (declare, arguments) = declare_queue("after", 4, &Arguments::new());
    fresh.method(1, declare, &arguments);
    let refused =
        "CH 403 ACCESS_REFUSED - access to queue 'after' in vhost '/' refused for user 'pu'";
    assert_eq!(in_words(&fresh.receive(PATIENCE)), refused);
    client.method(1, declare, &arguments);
    assert_eq!(in_words(&client.receive(PATIENCE)), refused);
}
