//! The recorded answers of RabbitMQ 3.10.8 to declarations, case by case under their recorded
//! names; texts without reply code and name.

use super::*;

fn refused(world: &World, case: &str, request: TopologyRequest, text: &str) {
    assert_eq!(world.error(request), text, "{case}");
}

#[test]
fn invalid_queue_arguments_get_the_recorded_reasons() {
    let world = World::new();
    let q = || queue("q");
    let cases = [
        ("queue_type_invalid", q().durable().text("x-queue-type", "bogus"),
         "invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'bogus'\""),
        ("queue_quorum_nondurable", q().text("x-queue-type", "quorum"),
         "invalid property 'non-durable' for queue 'q' in vhost '/'"),
        ("queue_quorum_exclusive", q().durable().exclusive(1).text("x-queue-type", "quorum"),
         "invalid property 'exclusive-owner' for queue 'q' in vhost '/'"),
        ("queue_quorum_autodelete", q().durable().auto_delete().text("x-queue-type", "quorum"),
         "invalid property 'auto-delete' for queue 'q' in vhost '/'"),
        ("queue_quorum_maxprio",
         q().durable().text("x-queue-type", "quorum").int("x-max-priority", 5),
         "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"),
        ("queue_quorum_servernamed",
         queue("amq.gen-XbmIDRfvWtYbVQ_aOr7qdg").durable().text("x-queue-type", "quorum"),
         "Cannot declare a server-named queue for type rabbit_quorum_queue"),
        ("queue_stream_ttl", q().durable().text("x-queue-type", "stream").int("x-message-ttl", 5),
         "invalid arg 'x-message-ttl' for queue 'q' in vhost '/' of queue type rabbit_stream_queue"),
        ("queue_ttl_string", q().text("x-message-ttl", "abc"),
         "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': \"expected integer, got longstr\""),
        ("queue_ttl_negative", q().int("x-message-ttl", -1),
         "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}"),
        ("queue_ttl_too_large", q().arg("x-message-ttl", Value::I64(1 << 40)),
         "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_too_large,1099511627776}"),
        ("queue_expires_zero", q().int("x-expires", 0),
         "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"),
        ("queue_maxprio_256", q().int("x-max-priority", 256),
         "invalid arg 'x-max-priority' for queue 'q' in vhost '/': {max_value_exceeded,256}"),
        ("queue_maxprio_neg", q().int("x-max-priority", -1),
         "invalid arg 'x-max-priority' for queue 'q' in vhost '/': {value_negative,-1}"),
        ("queue_maxlen_neg", q().int("x-max-length", -1),
         "invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}"),
        ("queue_overflow_bad", q().text("x-overflow", "nope"),
         "invalid arg 'x-overflow' for queue 'q' in vhost '/': invalid_overflow"),
        ("queue_dlrk_without_dlx", q().text("x-dead-letter-routing-key", "a"),
         "invalid arg 'x-dead-letter-routing-key' for queue 'q' in vhost '/': \
          routing_key_but_no_dlx_defined"),
        ("queue_dlx_nonstring", q().int("x-dead-letter-exchange", 5),
         "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"),
        ("queue_mode_bad", q().text("x-queue-mode", "fast"),
         "invalid arg 'x-queue-mode' for queue 'q' in vhost '/': \"unsupported queue mode 'fast'\""),
        ("queue_version_3", q().int("x-queue-version", 3),
         "invalid arg 'x-queue-version' for queue 'q' in vhost '/': \"unsupported queue version '3'\""),
        ("queue_sac_nonbool", q().text("x-single-active-consumer", "yes"),
         "invalid arg 'x-single-active-consumer' for queue 'q' in vhost '/': \
          {unacceptable_type,longstr}"),
        ("queue_amq_prefix", queue("amq.foo"),
         "queue name 'amq.foo' contains reserved prefix 'amq.*'"),
    ];
    for (case, spec, text) in cases {
        refused(&world, case, spec.declare(), text);
    }
}

#[test]
fn invalid_queue_arguments_that_are_not_recorded_get_reasons_of_the_same_form() {
    let world = World::new();
    let q = || queue("q").durable();
    let reason = |spec: QueueSpec| match world.decide(&spec.declare()) {
        Err(TopologyError::InvalidArgument { reason, .. }) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    let quorum = || q().text("x-queue-type", "quorum");
    let stream = || q().text("x-queue-type", "stream");
    assert_eq!(reason(q().int("x-delivery-limit", -1)), "{value_negative,-1}");
    assert_eq!(reason(q().int("x-queue-type", 1)), "{unacceptable_type,signedint}");
    assert_eq!(reason(q().int("x-expires", -5)), "{value_negative,-5}");
    let ten_years_ms = 315_360_000_000;
    let beyond = Value::U64(ten_years_ms + 1);
    assert_eq!(reason(q().arg("x-expires", beyond)), "{value_too_large,315360000001}");
    for argument in ["x-expires", "x-message-ttl"] {
        assert!(world.decide(&q().arg(argument, Value::U64(ten_years_ms)).declare()).is_ok());
    }
    assert_eq!(reason(q().int("x-overflow", 1)), "{unacceptable_type,signedint}");
    assert_eq!(reason(q().int("x-queue-version", -1)), "{value_negative,-1}");
    assert_eq!(
        reason(q().arg("x-max-length-bytes", Value::Timestamp(5))),
        "\"expected integer, got timestamp\""
    );
    let both = q().text("x-dead-letter-exchange", "x").int("x-dead-letter-routing-key", 1);
    assert_eq!(reason(both), "{unacceptable_type,signedint}");
    assert_eq!(reason(quorum().text("x-dead-letter-strategy", "no")), "invalid_dlx_strategy");
    assert_eq!(reason(quorum().int("x-quorum-initial-group-size", 0)), "{value_zero,0}");
    assert_eq!(reason(quorum().text("x-queue-leader-locator", "no")), "invalid_queue_locator_arg");
    assert_eq!(reason(stream().text("x-max-age", "0D")), "invalid_max_age");
    assert_eq!(reason(stream().text("x-max-age", "7")), "invalid_max_age");
    assert_eq!(
        world.error(q().int("x-max-in-memory-length", 3).declare()),
        "invalid arg 'x-max-in-memory-length' for queue 'q' in vhost '/' of queue type rabbit_classic_queue"
    );
}

#[test]
fn recorded_good_queue_arguments_are_taken_and_kept() {
    let cases = [
        ("queue_ttl_zero", queue("q").int("x-message-ttl", 0)),
        ("queue_overflow_rpdlx_classic", queue("q").text("x-overflow", "reject-publish-dlx")),
        ("queue_dlx_absent_exchange", queue("q").text("x-dead-letter-exchange", "nonexistent.x")),
        ("unknown argument", queue("q").int("x-whatever", -1).int("foo", 1)),
        ("classic by name", queue("q").text("x-queue-type", "classic")),
        ("limits", queue("q").int("x-max-priority", 255).arg("x-expires", Value::U32(u32::MAX))),
    ];
    for (case, spec) in cases {
        let mut world = World::new();
        let changes = world.must(spec.declare());
        assert_eq!(changes.len(), 1, "{case}");
        let kept = world.topology.queue(VHOST, "q").expect(case);
        assert_eq!(kept.arguments, table(&spec.arguments), "{case}");
        assert_eq!(kept.owner, ShardId(1));
    }
}

#[test]
fn replicated_types_are_refused_once_nothing_else_is_wrong() {
    let world = World::new();
    for kind in ["quorum", "stream"] {
        let request = queue("q").durable().text("x-queue-type", kind).declare();
        let expected = TopologyError::UnsupportedQueueType {
            vhost: VHOST.into(),
            name: "q".into(),
            kind: kind.into(),
        };
        assert_eq!(world.decide(&request), Err(expected));
    }
    let request = queue("q").durable().text("x-queue-type", "quorum");
    let request = request.text("x-overflow", "reject-publish-dlx").declare();
    let error = world.decide(&request).expect_err("no quorum queues");
    assert!(matches!(error, TopologyError::UnsupportedQueueType { .. }));
}

#[test]
fn inequivalent_redeclaration_of_a_queue_is_refused_with_the_recorded_words() {
    let q = || queue("q");
    let ttl = |v| queue("q").int("x-message-ttl", v);
    let locked = "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
        originally declared on another connection or the exclusive property value does not match \
        that of the original declaration.";
    let prefix = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': ";
    let cases = [
        ("queue_inequiv_durable", q(), q().durable(),
         "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is \
          'false'".to_owned()),
        ("queue_inequiv_autodelete", q(), q().auto_delete(),
         "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current \
          is 'false'".to_owned()),
        ("queue_inequiv_exclusive_same_conn", q().exclusive(1), q().by(1), locked.to_owned()),
        ("queue_inequiv_nonexcl_to_excl", q(), q().exclusive(1), locked.to_owned()),
        ("queue_excl_other_conn_declare", q().exclusive(2), q().exclusive(1), locked.to_owned()),
        ("queue_inequiv_arg_ttl", ttl(1000), ttl(2000),
         format!("{prefix}received '2000' but current is '1000'")),
        ("queue_inequiv_arg_missing", ttl(1000), q(),
         format!("{prefix}received none but current is the value '1000' of type 'signedint'")),
        ("queue_inequiv_arg_added", q(), ttl(1000),
         format!("{prefix}received the value '1000' of type 'signedint' but current is none")),
        ("queue_inequiv_type", q().durable(), q().durable().text("x-queue-type", "quorum"),
         "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' \
          of type 'longstr' but current is none".to_owned()),
        ("durable comes before arguments", ttl(1), q().durable(),
         "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is \
          'false'".to_owned()),
        ("the lock comes before durable", q().exclusive(2), q().durable(), locked.to_owned()),
        ("a bad value is only compared", q(), q().text("x-message-ttl", "abc"),
         format!("{prefix}received the value 'abc' of type 'longstr' but current is none")),
        ("expires comes before ttl", ttl(1), q().int("x-expires", 5),
         "inequivalent arg 'x-expires' for queue 'q' in vhost '/': received the value '5' of type \
          'signedint' but current is none".to_owned()),
    ];
    for (case, first, second, text) in cases {
        let mut world = World::new();
        world.must(first.declare());
        refused(&world, case, second.declare(), &text);
        let redeclared = world.topology.redeclare_queue(&second.declare());
        assert_eq!(redeclared.expect_err(case).to_string(), text, "{case}");
    }
}

#[test]
fn equivalent_redeclaration_of_a_queue_changes_nothing() {
    let q = || queue("q");
    let cases = [
        ("queue_inequiv_unknown_arg", q().int("foo", 1), q().int("foo", 2)),
        (
            "queue_equiv_arg_int_width",
            q().int("x-message-ttl", 1000),
            q().arg("x-message-ttl", Value::I64(1000)),
        ),
        (
            "a time is a number, too",
            q().int("x-message-ttl", 1000),
            q().arg("x-message-ttl", Value::Timestamp(1000)),
        ),
        ("classic is the default type", q(), q().text("x-queue-type", "classic")),
        ("the default type is classic", q().text("x-queue-type", "classic"), q()),
        (
            "an exclusive queue is not durable, however declared",
            q().exclusive(1).durable(),
            q().exclusive(1),
        ),
        ("nor compared by it", q().exclusive(1), q().exclusive(1).durable()),
    ];
    for (case, first, second) in cases {
        let mut world = World::new();
        world.must(first.declare());
        let id = world.topology.queue(VHOST, "q").expect(case).id;
        let decision = world.decide(&second.declare()).expect(case);
        assert_eq!(decision.changes, [], "{case}");
        assert_eq!(decision.outcome, TopologyOutcome::Queue { id, created: false }, "{case}");
        let again = world.topology.redeclare_queue(&second.declare()).expect(case);
        assert_eq!(again.map(|queue| queue.id), Some(id), "{case}");
    }
}

#[test]
fn redeclaring_what_does_not_exist_says_so() {
    let world = World::new();
    assert_eq!(world.topology.redeclare_queue(&queue("q").declare()), Ok(None));
}

#[test]
fn only_the_form_a_channel_makes_is_a_server_named_queue() {
    let mut world = World::new();
    world.must(queue("amq.gen-XbmIDRfvWtYbVQ_aOr7qdg").declare());
    for name in ["amq.gen-short", "amq.gen-XbmIDRfvWtYbVQ/aOr7qdg", "amq.genXbmIDRfvWtYbVQ_aOr7qdg"]
    {
        let error = world.error(queue(name).declare());
        assert_eq!(error, format!("queue name '{name}' contains reserved prefix 'amq.*'"));
    }
    world.must(queue("amqfoo").declare());
}

#[test]
fn the_lock_of_an_exclusive_queue_opens_for_its_connection_alone() {
    let mut world = World::new();
    world.must(queue("e").exclusive(2).declare());
    world.must(queue("q").declare());
    let exclusive = world.topology.queue(VHOST, "e").expect("declared");
    assert_eq!(exclusive.check_lock(Some(connection(2))), Ok(()));
    for other in [Some(connection(1)), None] {
        assert!(matches!(exclusive.check_lock(other), Err(TopologyError::Locked { .. })));
    }
    let shared = world.topology.queue(VHOST, "q").expect("declared");
    assert_eq!(shared.check_lock(None), Ok(()));
    // queue_excl_other_conn_bind
    let error = world.decide(&bind("amq.direct", to_queue("e"), "a"));
    assert!(matches!(error, Err(TopologyError::Locked { .. })));
}

#[test]
fn exchange_declarations_are_answered_as_recorded() {
    let mut world = World::new();
    world.must(exchange("x", "direct").declare());
    let cases = [
        ("exch_inequiv_type", exchange("x", "fanout"),
         "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is \
          'direct'"),
        ("exch_inequiv_durable", exchange("x", "direct").durable(),
         "inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'true' but current is \
          'false'"),
        ("exch_inequiv_autodelete", exchange("x", "direct").auto_delete(),
         "inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': received 'true' but \
          current is 'false'"),
        ("exch_inequiv_internal", exchange("x", "direct").internal(),
         "inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current \
          is 'false'"),
        ("exch_inequiv_ae", exchange("x", "direct").alternate("amq.fanout"),
         "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value \
          'amq.fanout' of type 'longstr' but current is none"),
        ("exch_bad_type", exchange("y", "bogus"), "unknown exchange type 'bogus'"),
        ("exch_amq_prefix_new", exchange("amq.new", "direct"),
         "exchange name 'amq.new' contains reserved prefix 'amq.*'"),
        ("exch_amq_redeclare_diff", exchange("amq.direct", "fanout").durable(),
         "inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but \
          current is 'direct'"),
        ("exch_declare_default", exchange("", "direct").durable(),
         "operation not permitted on the default exchange"),
        ("alternate-exchange of a wrong type",
         exchange("y", "direct").arg("alternate-exchange", Value::I32(1)),
         "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'"),
    ];
    for (case, spec, text) in cases {
        refused(&world, case, spec.declare(), text);
    }
    for (case, spec) in [
        ("exch_amq_redeclare_same", exchange("amq.direct", "direct").durable()),
        ("unknown arguments do not count", exchange("x", "direct").arg("foo", Value::Void)),
    ] {
        assert_eq!(world.outcome(&spec.declare()), TopologyOutcome::Created(false), "{case}");
    }
    let new = exchange("y", "topic").alternate("nowhere");
    assert_eq!(world.outcome(&new.declare()), TopologyOutcome::Created(true));
    world.must(new.declare());
    let made = world.topology.exchange(VHOST, "y").expect("declared");
    assert_eq!(made.alternate_exchange.as_deref(), Some("nowhere"));
}

#[test]
fn a_new_vhost_has_the_predeclared_exchanges() {
    let mut world = World::new();
    let add = TopologyRequest::AddVhost {
        name: "v".into(),
        description: None,
        tags: None,
        default_queue_type: None,
    };
    world.must(add);
    let mut names: Vec<_> = world
        .topology
        .exchanges("v")
        .map(|x| (x.name.to_string(), x.kind.name(), x.internal, x.durable))
        .collect();
    names.sort();
    let expected = [
        ("", "direct", false),
        ("amq.direct", "direct", false),
        ("amq.fanout", "fanout", false),
        ("amq.headers", "headers", false),
        ("amq.match", "headers", false),
        ("amq.rabbitmq.trace", "topic", true),
        ("amq.topic", "topic", false),
    ];
    let expected = expected.map(|(name, kind, internal)| (name.to_owned(), kind, internal, true));
    assert_eq!(names, expected);
    assert_eq!(world.topology.exchange("v", "").expect("there").shown_name(), "amq.default");
}

#[test]
fn nothing_is_declared_in_a_vhost_that_is_not_there() {
    let world = World::new();
    let mut request = queue("q").declare();
    if let TopologyRequest::DeclareQueue { vhost, .. } = &mut request {
        *vhost = "v".into();
    }
    let expected = TopologyError::NoVhost { vhost: "v".into() };
    assert_eq!(world.decide(&request), Err(expected));
}
