use super::*;

#[test]
fn a_policy_gives_an_exchange_its_alternate_while_it_lasts() {
    let mut world = World::new();
    world.must(queue("lost").declare());
    world.must(exchange("other", "fanout").declare());
    world.must(bind("other", to_queue("lost"), ""));
    world.must(exchange("x", "direct").declare());
    assert!(world.routed("x", "k").is_empty());
    let to = |name: &str| [("alternate-exchange", Value::text(name))];
    world.must(set_policy(VHOST, "ae", false, 0, &to("other")));
    assert_eq!(world.routed("x", "k"), ["lost"]);
    // One that comes later has it from its beginning; its own argument would count more.
    world.must(exchange("y", "direct").declare());
    world.must(exchange("z", "direct").alternate("nowhere").declare());
    assert_eq!(world.routed("y", "k"), ["lost"]);
    assert!(world.routed("z", "k").is_empty());
    let name = "ae".into();
    world.must(TopologyRequest::ClearPolicy { vhost: VHOST.into(), name, operator: false });
    assert!(world.routed("x", "k").is_empty());
    assert!(world.routed("y", "k").is_empty());
}

#[test]
fn a_policy_is_set_once_and_cleared_once() {
    let mut world = World::new();
    let set = set_policy(VHOST, "p", false, 1, &[("expires", Value::I64(5))]);
    assert_eq!(world.outcome(&set), TopologyOutcome::Created(true));
    world.must(set.clone());
    assert_eq!(world.outcome(&set), TopologyOutcome::Created(false));
    assert_eq!(world.must(set), []);
    let clear =
        |operator| TopologyRequest::ClearPolicy { vhost: VHOST.into(), name: "p".into(), operator };
    assert_eq!(world.error(clear(true)), "Parameter does not exist");
    world.must(clear(false));
    assert_eq!(world.error(clear(false)), "Parameter does not exist");
    let bad = set_policy(VHOST, "p", false, 1, &[("expires", Value::I64(0))]);
    assert_eq!(world.error(bad), "Validation failed\n\n0 is not a valid queue expiry\n");
    assert_eq!(world.error(set_policy("v", "p", false, 0, &[])), "no vhost 'v'");
}

#[test]
fn a_vhost_takes_as_many_queues_as_its_limit_says() {
    let mut world = World::new();
    let limit = |max_queues| TopologyRequest::SetVhostLimits {
        vhost: VHOST.into(),
        limits: VhostLimits { max_connections: None, max_queues },
    };
    world.must(limit(Some(1)));
    world.must(queue("a").declare());
    assert_eq!(
        world.error(queue("b").declare()),
        "cannot declare queue 'b' in vhost '/': queue limit in vhost '/' (1) is reached"
    );
    // One that is there may be declared again.
    world.must(queue("a").declare());
    world.must(limit(Some(-1)));
    world.must(queue("b").declare());
    world.must(limit(Some(0)));
    assert!(world.error(queue("c").declare()).ends_with("(0) is reached"));
    world.must(limit(None));
    world.must(queue("c").declare());
}

#[test]
fn limits_stay_with_a_user_whose_password_changes_and_a_vhost_that_is_described() {
    let mut world = World::new();
    let limits = UserLimits { max_connections: Some(1), max_channels: None };
    world.must(TopologyRequest::SetUserLimits { user: "guest".into(), limits });
    world.must(TopologyRequest::PutUser {
        name: "guest".into(),
        password_hash: [7][..].into(),
        hashing: PasswordHashing::default(),
        tags: None,
        replace: true,
    });
    assert_eq!(world.topology.user("guest").expect("there").limits, limits);
    let limits = VhostLimits { max_connections: Some(9), max_queues: None };
    world.must(TopologyRequest::SetVhostLimits { vhost: VHOST.into(), limits });
    world.must(TopologyRequest::AddVhost {
        name: VHOST.into(),
        description: Some("the first".into()),
        tags: None,
        default_queue_type: None,
    });
    let vhost = world.topology.vhost(VHOST).expect("there");
    assert_eq!((&*vhost.description, vhost.limits), ("the first", limits));
}

#[test]
fn a_topic_permission_is_of_one_exchange() {
    let mut world = World::new();
    let set = |exchange: &str, write: &str| {
        TopologyRequest::SetTopicPermission(TopicPermission {
            vhost: VHOST.into(),
            user: "guest".into(),
            exchange: exchange.into(),
            write: write.into(),
            read: "^r".into(),
        })
    };
    world.must(set("amq.topic", "^{username}\\."));
    let access = world.topology.topic_access(VHOST, "guest", "amq.topic").expect("there");
    assert!(access.may_write("guest.a"));
    assert!(!access.may_write("other.a"));
    assert!(access.may_read("r"));
    assert!(world.topology.topic_access(VHOST, "guest", "other").is_none());
    world.must(set("other", ".*"));
    let clear = |exchange: Option<&str>| TopologyRequest::ClearTopicPermission {
        vhost: VHOST.into(),
        user: "guest".into(),
        exchange: exchange.map(Into::into),
    };
    world.must(clear(Some("amq.topic")));
    assert!(world.topology.topic_access(VHOST, "guest", "amq.topic").is_none());
    assert_eq!(world.must(clear(None)).len(), 1);
    assert_eq!(world.must(clear(None)), []);
    assert!(world.error(set("x", "(")).starts_with("invalid regular expression '('"));
}

#[test]
fn no_vhost_makes_queues_of_a_type_that_there_is_not() {
    let world = World::new();
    let error = world.error(TopologyRequest::AddVhost {
        name: "v".into(),
        description: None,
        tags: None,
        default_queue_type: Some("quorum".into()),
    });
    assert_eq!(error, "queue type 'quorum' is not supported");
}

#[test]
fn the_time_to_acknowledge_is_the_lower_of_argument_and_policy() {
    let mut world = World::new();
    world.must(queue("q").int("x-consumer-timeout", 500).declare());
    world.must(queue("p").text("x-consumer-timeout-action", "requeue").declare());
    world.must(set_policy(VHOST, "p", false, 0, &[("consumer-timeout", Value::I64(900))]));
    let timeout =
        |name| world.topology.ack_timeout(world.topology.queue(VHOST, name).expect("there"));
    assert_eq!(timeout("q"), AckTimeout { timeout_ms: Some(500), requeues: false });
    assert_eq!(timeout("p"), AckTimeout { timeout_ms: Some(900), requeues: true });
}
