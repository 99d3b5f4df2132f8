use super::*;

fn drop_queue(world: &World, name: &str) -> TopologyRequest {
    TopologyRequest::DropQueue { id: world.topology.queue(VHOST, name).expect("a queue").id }
}

/// `kind name` of each removal, sorted.
fn removals(changes: &[Change]) -> Vec<String> {
    let mut removals: Vec<String> = changes
        .iter()
        .map(|change| match change {
            Change::DropQueue { id } => format!("queue {}", id.0),
            Change::DropExchange { name, .. } => format!("exchange {name}"),
            Change::DropBinding(b) => format!("binding {}>{}:{}", b.source, b.target.name(), b.key),
            Change::DropVhost { vhost } => format!("vhost {vhost}"),
            Change::DropPermission { vhost, user } => format!("permission {user}@{vhost}"),
            Change::DropUser { user } => format!("user {user}"),
            other => panic!("not a removal: {other:?}"),
        })
        .collect();
    removals.sort();
    removals
}

#[test]
fn binding_is_idempotent_and_unbinding_what_is_not_there_is_no_error() {
    let mut world = World::new();
    world.must(queue("q").declare());
    let request = bind("amq.direct", to_queue("q"), "a");
    assert_eq!(world.outcome(&request), TopologyOutcome::Created(true));
    world.must(request.clone());
    assert_eq!(world.outcome(&request), TopologyOutcome::Created(false));
    assert_eq!(world.must(request), []);
    for nothing in [
        unbind("amq.direct", to_queue("q"), "zz"),
        unbind("amq.direct", to_queue("nonexist.q"), "zz"),
        unbind("nonexist.x", to_queue("q"), "zz"),
        delete_exchange("nonexist.x", true),
        TopologyRequest::DropQueue { id: QueueId(99) },
        TopologyRequest::DropConnection { connection: connection(9) },
    ] {
        assert_eq!(world.must(nothing), []);
    }
    assert_eq!(world.must(unbind("amq.direct", to_queue("q"), "a")).len(), 1);
    assert_eq!(world.routed("amq.direct", "a"), [""; 0]);
}

#[test]
fn the_order_of_arguments_makes_no_other_binding() {
    let mut world = World::new();
    world.must(queue("q").declare());
    let (a, b) = (("a", Value::I32(1)), ("b", Value::I32(2)));
    world.must(bind_with("amq.headers", to_queue("q"), "", &[a.clone(), b.clone()]));
    let again = bind_with("amq.headers", to_queue("q"), "", &[b, a.clone()]);
    assert_eq!(world.outcome(&again), TopologyOutcome::Created(false));
    let other = bind_with("amq.headers", to_queue("q"), "", &[a]);
    assert_eq!(world.outcome(&other), TopologyOutcome::Created(true));
}

#[test]
fn bindings_are_refused_as_recorded() {
    let mut world = World::new();
    world.must(queue("q").declare());
    let cases = [
        ("queue_bind_missing_exchange", bind("nonexist.x", to_queue("q"), "zz"),
         "no exchange 'nonexist.x' in vhost '/'"),
        ("queue_bind_missing_queue", bind("amq.direct", to_queue("p"), "zz"),
         "no queue 'p' in vhost '/'"),
        ("both missing", bind("nonexist.x", to_queue("p"), "zz"),
         "no exchange 'nonexist.x' in vhost '/'"),
        ("queue_bind_default_exchange", bind("", to_queue("q"), "zz"),
         "operation not permitted on the default exchange"),
        ("queue_unbind_default_exchange", unbind("", to_queue("q"), "q"),
         "operation not permitted on the default exchange"),
        ("exch_bind_missing", bind("amq.direct", to_exchange("p"), "k"),
         "no exchange 'p' in vhost '/'"),
        ("exch_bind_default_src", bind("", to_exchange("amq.direct"), "k"),
         "operation not permitted on the default exchange"),
        ("exch_bind_default_dst", bind("amq.direct", to_exchange(""), "k"),
         "operation not permitted on the default exchange"),
        ("exch_headers_bad_xmatch",
         bind_with("amq.headers", to_queue("q"), "", &[("x-match", Value::text("some"))]),
         "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"),
        ("x-match of a wrong type",
         bind_with("amq.match", to_queue("q"), "", &[("x-match", Value::I32(1))]),
         "Invalid x-match field type signedint (value 1); expected longstr"),
    ];
    for (case, request, text) in cases {
        assert_eq!(world.error(request), text, "{case}");
    }
    // Other types of exchange do not look at arguments.
    world.must(bind_with("amq.direct", to_queue("q"), "", &[("x-match", Value::text("some"))]));
}

#[test]
fn deleting_an_exchange_is_answered_as_recorded() {
    let mut world = World::new();
    world.must(queue("q").declare());
    world.must(exchange("x", "direct").declare());
    world.must(bind("x", to_queue("q"), "a"));
    let cases = [
        (
            "exch_delete_amq",
            delete_exchange("amq.direct", false),
            "deletion of system exchange 'amq.direct' in vhost '/' not allowed",
        ),
        (
            "amq.* that is not there",
            delete_exchange("amq.none", false),
            "deletion of system exchange 'amq.none' in vhost '/' not allowed",
        ),
        (
            "exch_delete_default",
            delete_exchange("", false),
            "operation not permitted on the default exchange",
        ),
        ("exch_delete_ifunused", delete_exchange("x", true), "exchange 'x' in vhost '/' in use"),
    ];
    for (case, request, text) in cases {
        assert_eq!(world.error(request), text, "{case}");
    }
    let changes = world.must(delete_exchange("x", false));
    assert_eq!(removals(&changes), ["binding x>q:a", "exchange x"]);
    assert!(!world.has_exchange("x"));
    assert_eq!(world.topology.bindings_to(VHOST, &to_queue("q")).len(), 1, "the implicit one");
}

#[test]
fn an_exchange_that_only_others_are_bound_to_is_unused() {
    let mut world = World::new();
    world.must(exchange("x", "direct").declare());
    world.must(bind("amq.direct", to_exchange("x"), "a"));
    let changes = world.must(delete_exchange("x", true));
    assert_eq!(removals(&changes), ["binding amq.direct>x:a", "exchange x"]);
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    // exch_autodelete_after_unbind
    let mut world = World::new();
    world.must(queue("q").declare());
    world.must(exchange("x", "direct").auto_delete().declare());
    world.must(bind("x", to_queue("q"), "a"));
    world.must(bind("x", to_queue("q"), "b"));
    world.must(bind("amq.fanout", to_exchange("x"), ""));
    assert_eq!(removals(&world.must(unbind("x", to_queue("q"), "a"))), ["binding x>q:a"]);
    let changes = world.must(unbind("x", to_queue("q"), "b"));
    assert_eq!(removals(&changes), ["binding amq.fanout>x:", "binding x>q:b", "exchange x"]);
}

#[test]
fn an_auto_delete_exchange_without_bindings_stays() {
    let mut world = World::new();
    world.must(exchange("x", "direct").auto_delete().declare());
    world.must(bind("amq.fanout", to_exchange("x"), ""));
    world.must(unbind("amq.fanout", to_exchange("x"), ""));
    assert!(world.has_exchange("x"));
}

#[test]
fn deleting_a_queue_takes_a_chain_of_auto_delete_exchanges_along() {
    let mut world = World::new();
    world.must(queue("q").declare());
    for name in ["x", "y", "z"] {
        world.must(exchange(name, "fanout").auto_delete().declare());
    }
    world.must(bind("x", to_exchange("y"), ""));
    world.must(bind("y", to_exchange("z"), ""));
    world.must(bind("z", to_queue("q"), ""));
    world.must(bind("amq.direct", to_queue("q"), "k"));
    let request = drop_queue(&world, "q");
    assert_eq!(
        removals(&world.must(request)),
        [
            "binding amq.direct>q:k",
            "binding x>y:",
            "binding y>z:",
            "binding z>q:",
            "exchange x",
            "exchange y",
            "exchange z",
            "queue 1"
        ]
    );
    assert_eq!(world.routed("amq.direct", "k"), [""; 0]);
}

#[test]
fn auto_delete_exchanges_in_a_circle_go_once() {
    let mut world = World::new();
    world.must(queue("q").declare());
    for name in ["x", "y"] {
        world.must(exchange(name, "fanout").auto_delete().declare());
    }
    world.must(bind("x", to_exchange("y"), ""));
    world.must(bind("y", to_exchange("x"), ""));
    world.must(bind("x", to_exchange("x"), ""));
    let changes = world.must(delete_exchange("y", false));
    assert_eq!(removals(&changes), ["binding x>y:", "binding y>x:", "exchange y"]);
    assert!(world.has_exchange("x"), "it has a binding to itself");
    let changes = world.must(unbind("x", to_exchange("x"), ""));
    assert_eq!(removals(&changes), ["binding x>x:", "exchange x"]);
}

#[test]
fn a_long_chain_of_auto_delete_exchanges_needs_no_deep_stack() {
    let mut world = World::new();
    world.must(queue("q").declare());
    let names: Vec<&'static str> = (0..20_000).map(|n| &*format!("x{n}").leak()).collect();
    for pair in names.windows(2) {
        for name in pair {
            world.must(exchange(name, "fanout").auto_delete().declare());
        }
        world.must(bind(pair[0], to_exchange(pair[1]), ""));
    }
    world.must(bind(names[names.len() - 1], to_queue("q"), ""));
    let request = drop_queue(&world, "q");
    assert_eq!(world.must(request).len(), 2 * names.len() + 1);
    assert_eq!(world.topology.exchanges(VHOST).count(), 7);
}

#[test]
fn a_connection_takes_its_exclusive_queues_along() {
    let mut world = World::new();
    world.must(exchange("x", "fanout").auto_delete().declare());
    for (name, owner) in [("a", 1), ("b", 1), ("c", 2)] {
        world.must(queue(name).exclusive(owner).declare());
    }
    world.must(queue("d").by(1).declare());
    for name in ["a", "b"] {
        world.must(bind("x", to_queue(name), ""));
    }
    let gone = TopologyRequest::DropConnection { connection: connection(1) };
    let changes = world.must(gone.clone());
    assert_eq!(
        removals(&changes),
        ["binding x>a:", "binding x>b:", "exchange x", "queue 2", "queue 3"]
    );
    assert_eq!(world.must(gone), []);
    let mut left: Vec<&str> = world.topology.queues(VHOST).map(|queue| &*queue.name).collect();
    left.sort_unstable();
    assert_eq!(left, ["c", "d"]);
}

#[test]
fn a_vhost_takes_everything_in_it_along() {
    let mut world = World::new();
    world.must(queue("q").durable().declare());
    world.must(exchange("x", "fanout").declare());
    world.must(bind("x", to_queue("q"), ""));
    world.must(bind("amq.topic", to_queue("q"), "#"));
    let changes = world.must(TopologyRequest::DeleteVhost { name: VHOST.into() });
    assert_eq!(
        removals(&changes),
        [
            "binding amq.topic>q:#",
            "binding x>q:",
            "exchange x",
            "permission guest@/",
            "queue 1",
            "vhost /"
        ]
    );
    assert_eq!(world.topology.vhosts().count(), 0);
    assert_eq!(world.topology.all_queues().count(), 0);
    assert_eq!(world.topology.snapshot().len(), 1, "user guest");
    let error = world.error(TopologyRequest::DeleteVhost { name: VHOST.into() });
    assert_eq!(error, "no vhost '/'");
}

#[test]
fn implicit_bindings_are_listed_and_cannot_be_removed() {
    let mut world = World::new();
    world.must(queue("q").durable().declare());
    world.must(bind("amq.direct", to_queue("q"), "k"));
    let listed: Vec<(String, String)> = world
        .topology
        .bindings(VHOST)
        .into_iter()
        .map(|b| (b.source.to_string(), b.key.to_string()))
        .collect();
    let pair = |source: &str, key: &str| (source.to_owned(), key.to_owned());
    assert_eq!(listed, [pair("", "q"), pair("amq.direct", "k")]);
    assert_eq!(world.topology.bindings_from(VHOST, "").len(), 1);
    assert_eq!(world.topology.bindings_from(VHOST, "amq.direct").len(), 1);
    assert_eq!(world.topology.bindings_to(VHOST, &to_queue("q")).len(), 2);
    assert_eq!(world.topology.bindings_to(VHOST, &to_exchange("amq.direct")).len(), 0);
}

#[test]
fn another_owners_queue_keeps_its_bindings_and_a_recreated_one_does_not() {
    let mut world = World::new();
    world.must(queue("q").declare());
    world.must(bind("amq.fanout", to_queue("q"), ""));
    let mut moved = (**world.topology.queue(VHOST, "q").expect("declared")).clone();
    moved.owner = ShardId(7);
    world.topology.apply(&Change::PutQueue(moved.clone().into()));
    let mut routes = Routes::default();
    world.topology.route(VHOST, b"amq.fanout", b"", None, &mut routes).expect("there");
    assert_eq!(routes.targets, [moved.target()]);
    moved.id = QueueId(77);
    world.topology.apply(&Change::PutQueue(moved.into()));
    assert_eq!(world.routed("amq.fanout", ""), [""; 0]);
    assert_eq!(world.routed("", "q"), ["q"]);
    assert_eq!(world.topology.all_queues().count(), 1);
}

#[test]
fn an_exchange_of_another_type_in_its_place_keeps_its_bindings() {
    let mut world = World::new();
    world.must(queue("q").declare());
    world.must(exchange("x", "direct").declare());
    world.must(bind("x", to_queue("q"), "a.*"));
    world.must(bind("x", to_exchange("x"), "b"));
    world.must(bind("amq.fanout", to_exchange("x"), ""));
    let mut other = world.topology.exchange(VHOST, "x").expect("declared").clone();
    other.kind = ExchangeKind::Topic;
    world.topology.apply(&Change::PutExchange(other));
    assert_eq!(world.routed("x", "a.b"), ["q"]);
    assert_eq!(world.topology.bindings_to(VHOST, &to_exchange("x")).len(), 2);
    assert_eq!(world.routed("amq.fanout", "a.b"), ["q"]);
    world.must(delete_exchange("x", false));
    assert_eq!(world.topology.bindings(VHOST).len(), 1, "the implicit one");
}
