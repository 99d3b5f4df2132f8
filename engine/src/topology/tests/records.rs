use std::collections::HashMap;

use super::*;

fn everything_durable(world: &mut World) {
    world.must(queue("q").durable().int("x-message-ttl", 5).text("foo", "bar").declare());
    world.must(queue("ad").durable().auto_delete().declare());
    world.must(exchange("x", "topic").durable().alternate("amq.fanout").declare());
    world.must(exchange("y", "headers").durable().auto_delete().internal().declare());
    world.must(bind("x", to_queue("q"), "a.#"));
    world.must(bind_with("y", to_exchange("x"), "", &[("a", Value::Void)]));
    world.must(TopologyRequest::AddVhost {
        name: "v".into(),
        description: Some("d".into()),
        tags: Some(vec!["t".into(), "\u{e9}".into()]),
        default_queue_type: Some("classic".into()),
    });
}

/// Policies, limits, topic permissions and parameters, of the vhost `v` as well.
fn every_rule(world: &mut World) {
    for (name, vhost, operator) in [("p", VHOST, false), ("p", VHOST, true), ("p", "v", false)] {
        world.must(set_policy(vhost, name, operator, 3, &[("max-length", Value::I64(7))]));
    }
    world.must(TopologyRequest::SetVhostLimits {
        vhost: "v".into(),
        limits: VhostLimits { max_connections: Some(5), max_queues: Some(-1) },
    });
    world.must(TopologyRequest::PutUser {
        name: "old".into(),
        password_hash: [1; 20][..].into(),
        hashing: PasswordHashing::Md5,
        tags: None,
        replace: false,
    });
    world.must(TopologyRequest::SetUserLimits {
        user: "old".into(),
        limits: UserLimits { max_connections: None, max_channels: Some(3) },
    });
    world.must(TopologyRequest::SetTopicPermission(TopicPermission {
        vhost: "v".into(),
        user: "old".into(),
        exchange: "amq.topic".into(),
        write: "^a".into(),
        read: "".into(),
    }));
    world.must(TopologyRequest::SetGlobalParameter(GlobalParameter {
        name: "cluster_name".into(),
        value: "\"x\"".into(),
    }));
}

fn everything_transient(world: &mut World) {
    world.must(queue("t").declare());
    world.must(queue("e").durable().exclusive(1).declare());
    world.must(exchange("tx", "fanout").declare());
    world.must(bind("x", to_queue("t"), "a"));
    world.must(bind("x", to_queue("e"), "a"));
    world.must(bind("tx", to_queue("q"), "a"));
    world.must(bind("tx", to_exchange("x"), "a"));
}

#[test]
fn durable_definitions_come_back_from_their_records() {
    let mut world = World::new();
    everything_durable(&mut world);
    every_rule(&mut world);
    let expected = world.topology.snapshot();
    everything_transient(&mut world);
    let all = world.topology.snapshot();
    assert!(all.len() > expected.len());
    let mut rebuilt = Topology::new();
    for change in all {
        let Some(record) = change.to_record() else { continue };
        assert!(change.is_durable());
        let back = Change::from_record(&record).expect("own record");
        assert_eq!(back, change);
        rebuilt.apply(&back);
    }
    assert_eq!(rebuilt.snapshot(), expected);
}

#[test]
fn records_in_the_order_of_the_log_are_sorted_before_they_are_applied() {
    let mut world = World::new();
    everything_durable(&mut world);
    every_rule(&mut world);
    let expected = world.topology.snapshot();
    let mut changes = expected.clone();
    changes.reverse();
    Change::sort_for_rebuild(&mut changes);
    let mut rebuilt = Topology::new();
    for change in &changes {
        rebuilt.apply(change);
    }
    assert_eq!(rebuilt.snapshot(), expected);
}

#[test]
fn a_drop_has_the_key_of_its_put() {
    let mut world = World::new();
    everything_durable(&mut world);
    every_rule(&mut world);
    everything_transient(&mut world);
    let mut there: HashMap<EntityKey, Change> = HashMap::new();
    for change in world.topology.snapshot() {
        let key = change.entity_key();
        assert!(there.insert(key, change).is_none(), "keys are of one entity each");
    }
    let mut drops = world.must(TopologyRequest::DeleteVhost { name: VHOST.into() });
    drops.extend(world.must(TopologyRequest::DeleteVhost { name: "v".into() }));
    drops.extend(world.must(TopologyRequest::DeleteUser { name: "guest".into() }));
    drops.extend(world.must(TopologyRequest::DeleteUser { name: "old".into() }));
    let name = "cluster_name".into();
    drops.extend(world.must(TopologyRequest::ClearGlobalParameter { name }));
    for drop in drops {
        assert_eq!(drop.to_record(), None);
        assert!(there.remove(&drop.entity_key()).is_some(), "{drop:?}");
    }
    assert!(there.is_empty(), "{there:?}");
}

#[test]
fn unknown_fields_are_ignored_and_unknown_formats_are_not() {
    let mut world = World::new();
    world.must(queue("q").durable().declare());
    let change = Change::PutQueue(world.topology.queue(VHOST, "q").expect("there").clone());
    let record = change.to_record().expect("durable");
    let mut longer = record.clone();
    Table(vec![("added_later".into(), Value::I32(1))]).encode_fields(&mut longer);
    assert_eq!(Change::from_record(&longer), Ok(change));
    let mut newer = Table::decode(&record).expect("a table");
    newer.0[0].1 = Value::I32(2);
    let mut octets = Vec::new();
    newer.encode_fields(&mut octets);
    assert_eq!(
        Change::from_record(&octets),
        Err(DefinitionError::NewerFormat { found: 2, known: 1 })
    );
}

#[test]
fn broken_records_are_named() {
    let broken = |fields: &[(&str, Value)]| {
        let mut octets = Vec::new();
        table(fields).encode_fields(&mut octets);
        Change::from_record(&octets).expect_err("broken")
    };
    let format = ("format", Value::I32(1));
    assert_eq!(broken(&[]), DefinitionError::Field { field: "format" });
    assert_eq!(
        broken(&[format.clone(), ("kind", Value::text("shovel"))]),
        DefinitionError::UnknownKind { kind: "shovel".into() }
    );
    assert_eq!(
        broken(&[format, ("kind", Value::text("user")), ("name", Value::text("u"))]),
        DefinitionError::Field { field: "password_hash" }
    );
    assert!(matches!(Change::from_record(b"\x05for"), Err(DefinitionError::Table(_))));
}

#[test]
fn every_cut_of_a_record_is_refused() {
    let mut world = World::new();
    everything_durable(&mut world);
    for change in world.topology.snapshot() {
        let record = change.to_record().expect("durable");
        for end in 0..record.len() {
            assert!(Change::from_record(&record[..end]).is_err());
        }
    }
}
