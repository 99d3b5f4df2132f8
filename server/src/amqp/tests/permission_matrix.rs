//! Every method with every combination of permissions: refused by the first one that is missing, in
//! RabbitMQ's order, and by nothing else (behaviour A117, A118).

use haremq_engine::access::PasswordHashing;
use haremq_engine::table::Value;
use haremq_engine::topology::TopologyRequest;

use super::wire::{args, method, publish, Args};
use super::world::{bind_queue, consume, declare_exchange, declare_queue, get, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Configure,
    Write,
    Read,
}
use Right::{Configure, Read, Write};

/// A permission that a method needs: of which kind, on which kind of thing, and its name.
type Need = (Right, &'static str, &'static str);

struct Call {
    name: &'static str,
    octets: Vec<u8>,
    /// In the order in which they are looked at.
    needs: Vec<Need>,
}

fn call(name: &'static str, class: u16, id: u16, args: Args, needs: &[Need]) -> Call {
    Call { name, octets: method(1, class, id, args), needs: needs.to_vec() }
}

fn between_exchanges() -> Args {
    args().u16(0).short("py").short("px").short("k").u8(0).table(&[])
}

fn calls() -> Vec<Call> {
    const Q: &str = "queue";
    const X: &str = "exchange";
    let dlx = [("x-dead-letter-exchange", Value::text("px"))];
    let dlx_default = [("x-dead-letter-exchange", Value::text(""))];
    let ae = [("alternate-exchange", Value::text("px"))];
    let plain = |name| args().u16(0).short(name).u8(0);
    let unbind = args().u16(0).short("pq").short("px").short("k").table(&[]);
    let mut calls = vec![
        call(
            "exchange.declare",
            40,
            10,
            declare_exchange("new", "direct", 0, &[]),
            &[(Configure, X, "new")],
        ),
        call(
            "exchange.declare again",
            40,
            10,
            declare_exchange("px", "direct", 0, &[]),
            &[(Configure, X, "px")],
        ),
        call("exchange.declare passive", 40, 10, declare_exchange("px", "direct", 1, &[]), &[]),
        call(
            "exchange.declare with an alternate",
            40,
            10,
            declare_exchange("new", "direct", 0, &ae),
            &[(Configure, X, "new"), (Read, X, "new"), (Write, X, "px")],
        ),
        call("exchange.delete", 40, 20, plain("py"), &[(Configure, X, "py")]),
        call("exchange.delete of none", 40, 20, plain("none"), &[(Configure, X, "none")]),
        call("exchange.bind", 40, 30, between_exchanges(), &[(Write, X, "py"), (Read, X, "px")]),
        call("exchange.unbind", 40, 40, between_exchanges(), &[(Write, X, "py"), (Read, X, "px")]),
        call("queue.declare", 50, 10, declare_queue("new", 0, &[]), &[(Configure, Q, "new")]),
        call("queue.declare again", 50, 10, declare_queue("pq", 0, &[]), &[(Configure, Q, "pq")]),
        call("queue.declare passive", 50, 10, declare_queue("pq", 1, &[]), &[]),
        call(
            "queue.declare with dead letters",
            50,
            10,
            declare_queue("new", 0, &dlx),
            &[(Configure, Q, "new"), (Read, Q, "new"), (Write, X, "px")],
        ),
        call(
            "queue.declare with dead letters to the default exchange",
            50,
            10,
            declare_queue("new", 0, &dlx_default),
            &[(Configure, Q, "new"), (Read, Q, "new"), (Write, X, "amq.default")],
        ),
        call(
            "queue.bind",
            50,
            20,
            bind_queue("pq", "px", "k"),
            &[(Write, Q, "pq"), (Read, X, "px")],
        ),
        call("queue.unbind", 50, 50, unbind, &[(Write, Q, "pq"), (Read, X, "px")]),
        call("queue.purge", 50, 30, plain("pq"), &[(Read, Q, "pq")]),
        call("queue.delete", 50, 40, plain("pq"), &[(Configure, Q, "pq")]),
        call("queue.delete of none", 50, 40, plain("none"), &[(Configure, Q, "none")]),
        call("basic.qos", 60, 10, args().u32(0).u16(1).u8(0), &[]),
        call("basic.consume", 60, 20, consume("pq", "c", 0), &[(Read, Q, "pq")]),
        call("basic.cancel of none", 60, 30, args().short("none").u8(0), &[]),
        call("basic.get", 60, 70, get("pq", true), &[(Read, Q, "pq")]),
        call("basic.recover", 60, 110, args().u8(1), &[]),
        call("confirm.select", 85, 10, args().u8(0), &[]),
        call("tx.select", 90, 10, args(), &[]),
        call("channel.flow", 20, 20, args().u8(1), &[]),
        call("access.request", 30, 10, args().short("/data").u8(0), &[]),
        call("basic.ack", 60, 80, args().u64(0).u8(1), &[]),
        call("basic.nack", 60, 120, args().u64(0).u8(1), &[]),
        call("basic.recover-async", 60, 100, args().u8(1), &[]),
        call(
            "exchange.unbind of none",
            40,
            40,
            args().u16(0).short("py").short("none").short("k").u8(0).table(&[]),
            &[(Write, X, "py"), (Read, X, "none")],
        ),
    ];
    calls.push(Call {
        name: "basic.publish",
        octets: publish(1, "px", "k", b"x"),
        needs: vec![(Write, X, "px")],
    });
    calls.push(Call {
        name: "basic.publish to the default exchange",
        octets: publish(1, "", "pq", b"x"),
        needs: vec![(Write, X, "amq.default")],
    });
    calls
}

/// A broker with what the calls speak of, and user pu with these permissions in that vhost.
fn world(granted: &[Right], vhost: &str) -> World {
    let mut world = World::new();
    let guest = world.open();
    world.declare(guest, "pq");
    for name in ["px", "py"] {
        world.ask(guest, 40, 10, declare_exchange(name, "direct", 0, &[]));
    }
    let hash = haremq_engine::access::hash_password([9; 4], b"pw");
    let pattern = |right| if granted.contains(&right) { ".*" } else { "" };
    for request in [
        TopologyRequest::AddVhost {
            name: "other".into(),
            description: None,
            tags: None,
            default_queue_type: None,
        },
        TopologyRequest::PutUser {
            name: "pu".into(),
            password_hash: hash.into(),
            hashing: PasswordHashing::default(),
            tags: None,
            replace: false,
        },
        TopologyRequest::SetPermission {
            vhost: vhost.into(),
            user: "pu".into(),
            configure: pattern(Configure).into(),
            write: pattern(Write).into(),
            read: pattern(Read).into(),
        },
    ] {
        world.broker.decide(&request).expect("to be decided");
    }
    world
}

#[test]
fn every_method_is_refused_by_the_first_permission_that_is_missing() {
    let all = [Configure, Write, Read];
    for combination in 0..8_usize {
        let granted: Vec<Right> =
            (0..3).filter(|bit| combination & (1 << bit) != 0).map(|bit| all[bit]).collect();
        for call in calls() {
            let mut world = world(&granted, "/");
            let client = world.log_in("pu", "pw", &[], (2047, 131_072, 0), "/");
            world.open_channel(client, 1);
            let said = world.show(client, &call.octets);
            let missing = call.needs.iter().find(|(right, ..)| !granted.contains(right));
            match missing {
                Some((_, what, name)) => {
                    let text = format!(
                        "chan.close 403 ACCESS_REFUSED - access to {what} '{name}' in vhost '/' \
                         refused for user 'pu'"
                    );
                    let refused = said.first().is_some_and(|said| said.starts_with(&text));
                    assert!(refused, "{} with {granted:?}: {said:?}", call.name);
                }
                None => {
                    let closed = said.iter().any(|said| said.contains("close"));
                    assert!(!closed, "{} with {granted:?}: {said:?}", call.name);
                }
            }
        }
    }
}

/// What a user without any permission may do on a channel, when there is something to do it to.
#[test]
fn what_needs_no_permission_needs_none_in_a_transaction_and_of_a_delivery_either() {
    let mut world = world(&[Read], "/");
    let guest = world.open();
    world.send(guest, &publish(1, "", "pq", b"x"));
    let client = world.log_in("pu", "pw", &[], (2047, 131_072, 0), "/");
    world.open_channel(client, 1);
    let got = world.show(client, &method(1, 60, 70, get("pq", false)));
    assert_eq!(got[0], "method(60,71) ch=1");
    let reject = method(1, 60, 90, args().u64(1).u8(1));
    assert_eq!(world.show(client, &reject), [""; 0]);
    for id in [10, 20, 30] {
        let expected = format!("method(90,{}) ch=1", id + 1);
        assert_eq!(world.show(client, &method(1, 90, id, args())), [expected]);
    }
}

/// Each method of a channel that a client may send is in the table above, but for those that
/// open and close the channel, and those tested apart from it.
#[test]
fn the_table_has_every_method_of_a_channel() {
    let tabled: Vec<(u16, u16)> = calls()
        .iter()
        .filter_map(|call| {
            let octets = call.octets.get(7..11)?;
            let number = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
            Some((number(0), number(2)))
        })
        .collect();
    let elsewhere =
        [(20, 10), (20, 21), (20, 40), (20, 41), (60, 31), (60, 90), (90, 20), (90, 30)];
    let from_broker = |(class, id): (u16, u16)| {
        matches!(id, 11 | 31 | 41 | 51 | 71 | 111)
            || (class == 60 && matches!(id, 21 | 50 | 60 | 72))
            || (class != 20 && id == 21)
    };
    for (id, _) in super::phases::methods() {
        let needed = id.0 != 10 && !elsewhere.contains(&id) && !from_broker(id);
        assert!(!needed || tabled.contains(&id), "{id:?} is not in the table");
    }
}

#[test]
fn permissions_in_one_vhost_are_none_in_another() {
    let mut world = world(&[Configure, Write, Read], "other");
    let client = world.accept();
    world.send(client, b"AMQP\0\0\x09\x01");
    world.send(client, &super::world::start_ok("PLAIN", b"\0pu\0pw", &[]));
    world.send(client, &method(0, 10, 31, args().u16(2047).u32(131_072).u16(0)));
    let open = method(0, 10, 40, args().short("/").short("").u8(0));
    assert_eq!(
        world.show(client, &open),
        ["conn.close 530 NOT_ALLOWED - access to vhost '/' refused for user 'pu' failing=(10,40)"]
    );
}
