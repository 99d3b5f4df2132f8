//! Every permission against every method, as recorded from RabbitMQ 3.10.

use haremq_engine::table::Value;
use haremq_engine::topology::{TopicPermission, TopologyRequest};

use super::wire::{args, method, publish};
use super::world::{bind_queue, consume, declare_exchange, declare_queue, get, World};

const QUEUE: &str = "queue";
const EXCHANGE: &str = "exchange";

/// The methods of the recording, with the resource that refuses each when the user has: nothing,
/// configure, write, read. `None`: it is allowed.
#[allow(clippy::type_complexity)]
fn recording() -> Vec<(&'static str, Vec<u8>, [Option<(&'static str, &'static str)>; 4])> {
    let dlx = [("x-dead-letter-exchange", Value::text("px"))];
    let ae = [("alternate-exchange", Value::text("px"))];
    let e2e = args().u16(0).short("py").short("px").short("k").u8(0).table(&[]);
    let refused = |what, name| Some((what, name));
    vec![
        (
            "queue.declare new",
            method(1, 50, 10, declare_queue("pnew", 0, &[])),
            [refused(QUEUE, "pnew"), None, refused(QUEUE, "pnew"), refused(QUEUE, "pnew")],
        ),
        (
            "queue.declare passive",
            method(1, 50, 10, declare_queue("pq", 1, &[])),
            [None, None, None, None],
        ),
        (
            "queue.declare dlx=px",
            method(1, 50, 10, declare_queue("pdl", 0, &dlx)),
            [refused(QUEUE, "pdl"); 4],
        ),
        (
            "queue.bind",
            method(1, 50, 20, bind_queue("pq", "px", "k")),
            [
                refused(QUEUE, "pq"),
                refused(QUEUE, "pq"),
                refused(EXCHANGE, "px"),
                refused(QUEUE, "pq"),
            ],
        ),
        (
            "exchange.bind px->py",
            method(1, 40, 30, e2e),
            [
                refused(EXCHANGE, "py"),
                refused(EXCHANGE, "py"),
                refused(EXCHANGE, "px"),
                refused(EXCHANGE, "py"),
            ],
        ),
        (
            "exchange.declare ae=px",
            method(1, 40, 10, declare_exchange("pae", "direct", 0, &ae)),
            [refused(EXCHANGE, "pae"); 4],
        ),
        (
            "queue.purge",
            method(1, 50, 30, args().u16(0).short("pq").u8(0)),
            [refused(QUEUE, "pq"), refused(QUEUE, "pq"), refused(QUEUE, "pq"), None],
        ),
        (
            "basic.get",
            method(1, 60, 70, get("pq", true)),
            [refused(QUEUE, "pq"), refused(QUEUE, "pq"), refused(QUEUE, "pq"), None],
        ),
        (
            "basic.consume",
            method(1, 60, 20, consume("pq", "", 0)),
            [refused(QUEUE, "pq"), refused(QUEUE, "pq"), refused(QUEUE, "pq"), None],
        ),
        (
            "queue.delete",
            method(1, 50, 40, args().u16(0).short("pq2x").u8(0)),
            [refused(QUEUE, "pq2x"), None, refused(QUEUE, "pq2x"), refused(QUEUE, "pq2x")],
        ),
        (
            "publish default",
            publish(1, "", "pq", b"x"),
            [
                refused(EXCHANGE, "amq.default"),
                refused(EXCHANGE, "amq.default"),
                None,
                refused(EXCHANGE, "amq.default"),
            ],
        ),
        (
            "publish px",
            publish(1, "px", "k", b"x"),
            [refused(EXCHANGE, "px"), refused(EXCHANGE, "px"), None, refused(EXCHANGE, "px")],
        ),
    ]
}

/// A broker with the queues and exchanges of the recording and user pu with these permissions.
fn world(configure: &str, write: &str, read: &str) -> World {
    let mut world = World::new();
    let guest = world.open();
    world.declare(guest, "pq");
    world.declare(guest, "pq2x");
    for name in ["px", "py"] {
        world.ask(guest, 40, 10, declare_exchange(name, "direct", 0, &[]));
    }
    let password_hash = haremq_engine::access::hash_password([9; 4], b"pw").into();
    let user = TopologyRequest::PutUser {
        name: "pu".into(),
        password_hash,
        hashing: haremq_engine::access::PasswordHashing::default(),
        tags: None,
        replace: false,
    };
    world.broker.decide(&user).expect("a user");
    grant(&mut world, configure, write, read);
    world
}

fn grant(world: &mut World, configure: &str, write: &str, read: &str) {
    let permission = TopologyRequest::SetPermission {
        vhost: "/".into(),
        user: "pu".into(),
        configure: configure.into(),
        write: write.into(),
        read: read.into(),
    };
    world.broker.decide(&permission).expect("a permission");
}

fn log_in(world: &mut World) -> usize {
    let client = world.log_in("pu", "pw", &[], (2047, 131_072, 0), "/");
    world.open_channel(client, 1);
    client
}

#[test]
fn each_permission_allows_what_it_allowed_when_recorded() {
    let users = [("", "", ""), (".*", "", ""), ("", ".*", ""), ("", "", ".*")];
    for (index, (configure, write, read)) in users.into_iter().enumerate() {
        for (name, octets, refusals) in recording() {
            let mut world = world(configure, write, read);
            let client = log_in(&mut world);
            let said = world.show(client, &octets);
            match refusals[index] {
                Some((what, resource)) => {
                    let text = format!(
                        "chan.close 403 ACCESS_REFUSED - access to {what} '{resource}' in vhost \
                         '/' refused for user 'pu'"
                    );
                    let first = said.first().map(String::as_str).unwrap_or_default();
                    assert!(first.starts_with(&text), "{name} as {index}: {said:?}");
                }
                None => {
                    let closed = said.iter().any(|said| said.contains("close"));
                    assert!(!closed, "{name} as {index}: {said:?}");
                }
            }
        }
    }
}

#[test]
fn a_queue_with_dead_letters_needs_all_three() {
    let dlx = [("x-dead-letter-exchange", Value::text("px"))];
    for (configure, write, read, allowed) in
        [("pdl", "px", "pdl", true), ("pdl", "", "pdl", false), ("pdl", "px", "", false)]
    {
        let mut world = world(configure, write, read);
        let client = log_in(&mut world);
        let said = world.send(client, &method(1, 50, 10, declare_queue("pdl", 0, &dlx)));
        assert_eq!(said[0].id() == (50, 11), allowed, "{configure} {write} {read}");
    }
}

#[test]
fn a_permission_that_is_taken_away_is_gone_at_once_for_cached_routes_too() {
    let mut world = world("", ".*", "");
    let client = log_in(&mut world);
    assert_eq!(world.send(client, &publish(1, "px", "k", b"x")), []);
    assert_eq!(world.send(client, &publish(1, "px", "k", b"x")), []);
    grant(&mut world, "", "", "");
    assert_eq!(
        world.show(client, &publish(1, "px", "k", b"x")),
        ["chan.close 403 ACCESS_REFUSED - access to exchange 'px' in vhost '/' refused for user \
          'pu' failing=(60,40)"]
    );
}

#[test]
fn a_type_that_does_not_exist_is_told_before_what_the_user_may_not_do() {
    let mut world = world("", "", "");
    let client = log_in(&mut world);
    assert_eq!(
        world.show(client, &method(1, 40, 10, declare_exchange("x", "bogus", 0, &[]))),
        ["conn.close 503 COMMAND_INVALID - unknown exchange type 'bogus' failing=(40,10)"]
    );
}

fn topic_permission(world: &mut World, write: &str, read: &str) {
    let permission = TopologyRequest::SetTopicPermission(TopicPermission {
        vhost: "/".into(),
        user: "pu".into(),
        exchange: "amq.topic".into(),
        write: write.into(),
        read: read.into(),
    });
    world.broker.decide(&permission).expect("a topic permission");
}

fn refused_topic(key: &str, failing: &str) -> [String; 1] {
    [format!(
        "chan.close 403 ACCESS_REFUSED - access to topic '{key}' in exchange 'amq.topic' in vhost \
         '/' refused for user 'pu' failing={failing}"
    )]
}

#[test]
fn a_topic_permission_judges_the_keys_of_publishes_and_bindings() {
    let mut world = world(".*", ".*", ".*");
    let client = log_in(&mut world);
    topic_permission(&mut world, "^{username}\\.", "^{vhost}$");
    assert_eq!(world.send(client, &publish(1, "amq.topic", "pu.a", b"x")), []);
    assert_eq!(
        world.show(client, &publish(1, "amq.topic", "other.a", b"x")),
        refused_topic("other.a", "(60,40)")
    );
    world.open_channel(client, 2);
    let bind = |queue: &str, key: &str| method(2, 50, 20, bind_queue(queue, "amq.topic", key));
    assert_eq!(world.show(client, &bind("pq", "/")), ["method(50,21) ch=2"]);
    assert_eq!(world.show(client, &bind("pq", "pu.a")), refused_topic("pu.a", "(50,20)"));
    // Other exchanges, also of that type, are not meant.
    world.open_channel(client, 3);
    assert_eq!(world.send(client, &publish(3, "px", "other.a", b"x")), []);
    let e2e = args().u16(0).short("px").short("amq.topic").short("k").u8(0).table(&[]);
    assert_eq!(world.show(client, &method(3, 40, 30, e2e)), refused_topic("k", "(40,30)"));
}

#[test]
fn keys_in_headers_are_judged_like_the_messages_own() {
    let mut world = world(".*", ".*", ".*");
    let client = log_in(&mut world);
    topic_permission(&mut world, "^a", ".*");
    for header in ["CC", "BCC"] {
        for (key, allowed) in [("ab", true), ("ba", false)] {
            let number = 10 + u16::from(allowed) + 2 * (header.len() as u16);
            world.open_channel(client, number);
            let keys = Value::Array([Value::text(key)].into());
            let properties = super::wire::headers(&[(header, keys)]);
            let octets = super::wire::publish_with(number, "amq.topic", "a", 0, &properties, b"x");
            let said = world.show(client, &octets);
            match allowed {
                true => assert_eq!(said, Vec::<String>::new()),
                false => assert_eq!(said, refused_topic(key, "(60,40)")),
            }
        }
    }
}

#[test]
fn an_impersonator_may_name_other_users() {
    let mut world = world("", ".*", "");
    let user_id = super::wire::property(super::wire::USER_ID, "guest");
    let publish = super::wire::publish_with(1, "", "pq", 0, &user_id, b"x");
    let client = log_in(&mut world);
    let said = world.show(client, &publish);
    assert!(said[0].contains("user_id property set to 'guest' but"), "{said:?}");
    let tags = vec!["impersonator".into()];
    world.broker.decide(&TopologyRequest::SetUserTags { name: "pu".into(), tags }).expect("tags");
    let client = log_in(&mut world);
    assert_eq!(world.send(client, &publish), []);
}
