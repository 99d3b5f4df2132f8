use super::*;
use crate::routing::Subject;

#[test]
fn the_default_exchange_leads_to_the_queue_of_that_name() {
    let mut world = World::new();
    world.must(queue("q").declare());
    assert_eq!(world.routed("", "q"), ["q"]);
    assert_eq!(world.routed("", "nonexist.q"), [""; 0]);
}

#[test]
fn publishing_needs_an_exchange_that_is_there_and_not_internal() {
    let mut world = World::new();
    world.must(exchange("i", "fanout").internal().declare());
    world.must(queue("q").declare());
    world.must(bind("i", to_queue("q"), ""));
    let mut routes = Routes::default();
    let mut route = |vhost: &str, exchange: &[u8]| {
        world.topology.route(vhost, exchange, b"", None, &mut routes)
    };
    assert_eq!(route(VHOST, b"nonexist.x"), Err(RouteError::NoExchange));
    assert_eq!(route(VHOST, b"\xff"), Err(RouteError::NoExchange));
    assert_eq!(route("nowhere", b"amq.direct"), Err(RouteError::NoExchange));
    assert_eq!(route(VHOST, b"i"), Err(RouteError::Internal));
    world
        .topology
        .route_dead_letter(
            VHOST,
            b"i",
            &Subject { keys: &[b""], ..Subject::default() },
            &mut routes,
        )
        .expect("the broker itself may");
    assert_eq!(world.names(&routes), ["q"]);
}

#[test]
fn several_bindings_give_one_copy() {
    let mut world = World::new();
    world.must(queue("q").declare());
    world.must(queue("r").declare());
    for key in ["p.#", "p.*", "#"] {
        world.must(bind("amq.topic", to_queue("q"), key));
    }
    world.must(bind("amq.topic", to_queue("r"), "p.z"));
    assert_eq!(world.routed("amq.topic", "p.z"), ["q", "r"]);
}

#[test]
fn several_keys_give_one_copy() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.must(queue(name).declare());
        world.must(bind("amq.direct", to_queue(name), name));
    }
    let mut routes = Routes::default();
    for exchange in [&b""[..], b"amq.direct"] {
        let keys: [&[u8]; 4] = [b"a", b"c", b"a", b"x"];
        world
            .topology
            .route_many(
                VHOST,
                exchange,
                &Subject { keys: &keys, ..Subject::default() },
                &mut routes,
            )
            .expect("there");
        assert_eq!(world.names(&routes), ["a", "c"]);
    }
}

#[test]
fn targets_are_grouped_by_shard() {
    let mut world = World::new();
    for n in 0..40 {
        let name = format!("q{n}");
        world.must(queue(&name).declare());
        world.must(bind("amq.fanout", to_queue(&name), ""));
    }
    let mut routes = Routes::default();
    world.topology.route(VHOST, b"amq.fanout", b"", None, &mut routes).expect("there");
    let groups: Vec<(ShardId, usize)> =
        routes.by_shard().map(|(shard, targets)| (shard, targets.len())).collect();
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert_eq!(groups.iter().map(|(_, count)| count).sum::<usize>(), 40);
}

#[test]
fn exchanges_bound_to_exchanges_are_walked_once_each_even_in_a_circle() {
    let mut world = World::new();
    for name in ["x", "y", "z"] {
        world.must(exchange(name, "fanout").declare());
    }
    for (source, target) in [("x", "y"), ("y", "z"), ("z", "x"), ("x", "x"), ("x", "z")] {
        world.must(bind(source, to_exchange(target), ""));
    }
    for name in ["q", "r"] {
        world.must(queue(name).declare());
    }
    world.must(bind("y", to_queue("q"), ""));
    world.must(bind("z", to_queue("q"), ""));
    world.must(bind("z", to_queue("r"), ""));
    for start in ["x", "y", "z"] {
        assert_eq!(world.routed(start, "k"), ["q", "r"], "from {start}");
    }
}

#[test]
fn the_alternate_exchange_takes_what_matches_no_binding() {
    let mut world = World::new();
    world.must(exchange("x", "direct").alternate("y").declare());
    world.must(exchange("y", "fanout").internal().declare());
    world.must(queue("q").declare());
    world.must(queue("other").declare());
    world.must(bind("x", to_queue("q"), "a"));
    world.must(bind("y", to_queue("other"), ""));
    assert_eq!(world.routed("x", "a"), ["q"]);
    assert_eq!(world.routed("x", "b"), ["other"]);
    world.must(delete_exchange("y", false));
    assert_eq!(world.routed("x", "b"), [""; 0], "a missing alternate is no error");
}

#[test]
fn alternate_exchanges_in_a_circle_end() {
    // exch_ae_cycle
    let mut world = World::new();
    world.must(exchange("x", "direct").alternate("y").declare());
    world.must(exchange("y", "direct").alternate("x").declare());
    assert_eq!(world.routed("x", "z"), [""; 0]);
    world.must(queue("q").declare());
    world.must(bind("y", to_queue("q"), "z"));
    assert_eq!(world.routed("x", "z"), ["q"]);
}

#[test]
fn a_binding_to_an_exchange_counts_as_routed_for_the_alternate() {
    let mut world = World::new();
    world.must(exchange("x", "fanout").alternate("y").declare());
    world.must(exchange("y", "fanout").declare());
    world.must(exchange("z", "fanout").declare());
    world.must(queue("q").declare());
    world.must(bind("y", to_queue("q"), ""));
    world.must(bind("x", to_exchange("z"), ""));
    assert_eq!(world.routed("x", ""), [""; 0]);
}

#[test]
fn the_default_exchange_may_be_an_alternate() {
    let mut world = World::new();
    world.must(exchange("x", "fanout").alternate("").declare());
    world.must(queue("q").declare());
    assert_eq!(world.routed("x", "q"), ["q"]);
}

#[test]
fn headers_are_read_from_their_octets() {
    let mut world = World::new();
    world.must(queue("q").declare());
    world.must(bind_with("amq.headers", to_queue("q"), "", &[("a", Value::I32(1))]));
    let mut headers = Vec::new();
    table(&[("b", Value::Void), ("a", Value::I64(1))]).encode_fields(&mut headers);
    let mut routes = Routes::default();
    let mut route = |headers: Option<&[u8]>| {
        world.topology.route(VHOST, b"amq.headers", b"", headers, &mut routes).expect("there");
        routes.targets.len()
    };
    assert_eq!(route(Some(&headers)), 1);
    assert_eq!(route(None), 0);
}

#[test]
fn every_change_makes_cached_routes_invalid() {
    let mut world = World::new();
    for request in [
        queue("q").declare(),
        bind("amq.direct", to_queue("q"), "a"),
        unbind("amq.direct", to_queue("q"), "a"),
        TopologyRequest::DropQueue { id: QueueId(1) },
    ] {
        let version = world.topology.version();
        assert!(!world.must(request).is_empty());
        assert!(world.topology.version() > version);
    }
}

#[test]
fn routing_again_does_not_allocate_more() {
    let mut world = World::new();
    for n in 0..50 {
        let name = format!("q{n}");
        world.must(queue(&name).declare());
        world.must(bind("amq.fanout", to_queue(&name), ""));
        world.must(bind("amq.topic", to_queue(&name), "a.*.#"));
    }
    let mut routes = Routes::default();
    let mut route = || {
        for exchange in [&b"amq.fanout"[..], b"amq.topic"] {
            world.topology.route(VHOST, exchange, b"a.b.c", None, &mut routes).expect("there");
        }
        routes.targets.capacity()
    };
    let capacity = route();
    for _ in 0..100 {
        assert_eq!(route(), capacity);
    }
}
