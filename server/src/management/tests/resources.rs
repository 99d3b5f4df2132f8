//! Vhosts, users, permissions, exchanges, queues, bindings, connections.

use haremq_engine::table::{Table, Value as Field};
use serde_json::json;

use super::*;

fn not_found() -> Value {
    json!({"error": "Object Not Found", "reason": "Not Found"})
}

fn bad_request(reason: impl Into<Value>) -> Value {
    json!({"error": "bad_request", "reason": reason.into()})
}

#[test]
fn vhosts_are_made_described_and_deleted() {
    let broker = FakeBroker::start();
    let body = r#"{"description":"d","tags":"a,b"}"#;
    guest(&broker, "PUT", "/api/vhosts/hv", Some(body)).is(201, &Value::Null);
    guest(&broker, "PUT", "/api/vhosts/hv", None).is(204, &Value::Null);
    guest(&broker, "GET", "/api/vhosts/hv", None).is(
        200,
        &json!({"name": "hv", "description": "d", "tags": ["a", "b"], "tracing": false,
                "protected_from_deletion": false,
                "metadata": {"description": "d", "tags": ["a", "b"]}}),
    );
    // One that is protected stays, with all that is in it.
    let protection = "/api/vhosts/hv/deletion/protection";
    guest(&broker, "POST", protection, None).is(204, &Value::Null);
    guest(&broker, "DELETE", "/api/vhosts/hv", None).is(
        412,
        &json!({"error": "precondition_failed", "reason": "Refusing to delete virtual host 'hv' \
                because it is protected from deletion"}),
    );
    let shown = guest(&broker, "GET", "/api/vhosts/hv", None).body;
    assert_eq!(shown["metadata"]["protected_from_deletion"], json!(true));
    guest(&broker, "DELETE", protection, None).is(204, &Value::Null);
    guest(&broker, "POST", "/api/vhosts/nowhere/deletion/protection", None).is(404, &not_found());
    let body = r#"{"protected_from_deletion":true}"#;
    guest(&broker, "PUT", "/api/vhosts/hv", Some(body)).is(204, &Value::Null);
    assert_eq!(guest(&broker, "DELETE", "/api/vhosts/hv", None).status, 412);
    let body = r#"{"protected_from_deletion":false}"#;
    guest(&broker, "PUT", "/api/vhosts/hv", Some(body)).is(204, &Value::Null);
    // Whoever makes a vhost may use it.
    let all =
        json!({"user": "guest", "vhost": "hv", "configure": ".*", "write": ".*", "read": ".*"});
    guest(&broker, "GET", "/api/permissions/hv/guest", None).is(200, &all);
    guest(&broker, "DELETE", "/api/vhosts/hv", None).is(204, &Value::Null);
    guest(&broker, "DELETE", "/api/vhosts/hv", None).is(404, &not_found());
    guest(&broker, "GET", "/api/vhosts/hv", None).is(404, &not_found());
    guest(&broker, "PUT", "/api/vhosts/bad", Some("{")).is(400, &bad_request("not_json"));
    guest(&broker, "PUT", "/api/vhosts/bad", Some(r#"{"tracing":"x"}"#))
        .is(400, &bad_request(json!(["not_boolean", "x"])));
}

#[test]
fn users_are_made_changed_and_deleted() {
    let broker = FakeBroker::start();
    let put =
        |name: &str, body: &str| guest(&broker, "PUT", &format!("/api/users/{name}"), Some(body));
    put("hu", r#"{"password":"p","tags":"monitoring"}"#).is(201, &Value::Null);
    put("hu", r#"{"password":"p","tags":"monitoring,administrator"}"#).is(204, &Value::Null);
    put("hu3", r#"{"password":"p"}"#).is(400, &bad_request("tags_not_present"));
    put("hu3", "nojson").is(400, &bad_request("not_json"));
    put("hu5", r#"{"password_hash":"!!","tags":""}"#)
        .is(400, &bad_request(json!(["not_base64", "!!"])));
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    put("hu5", &format!(r#"{{"password_hash":"{hash}","tags":["x","y"]}}"#)).is(201, &Value::Null);
    guest(&broker, "GET", "/api/users/hu5", None).is(
        200,
        &json!({"name": "hu5", "password_hash": hash, "tags": ["x", "y"], "limits": {},
                "hashing_algorithm": "rabbit_password_hashing_sha256"}),
    );
    let names = guest(&broker, "GET", "/api/users?columns=name", None);
    names.is(200, &json!([{"name": "guest"}, {"name": "hu"}, {"name": "hu5"}]));
    guest(&broker, "DELETE", "/api/users/hu", None).is(204, &Value::Null);
    guest(&broker, "DELETE", "/api/users/hu", None).is(404, &not_found());
}

#[test]
fn two_users_with_one_password_have_different_hashes() {
    let broker = FakeBroker::start();
    for name in ["a", "b"] {
        let body = r#"{"password":"same","tags":""}"#;
        guest(&broker, "PUT", &format!("/api/users/{name}"), Some(body));
    }
    let hash = |name: &str| {
        guest(&broker, "GET", &format!("/api/users/{name}"), None).body["password_hash"].clone()
    };
    assert_ne!(hash("a"), hash("b"));
}

#[test]
fn a_user_is_not_replaced_by_one_who_wants_a_new_one() {
    let broker = FakeBroker::start();
    let answer = send(
        &broker,
        &basic("guest", "guest"),
        "PUT",
        "/api/users/guest",
        &[("if-none-match", "*")],
        Some(r#"{"password":"x","tags":""}"#),
    );
    assert_eq!(answer.status, 412);
    assert_eq!(guest(&broker, "GET", "/api/whoami", None).status, 200);
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let broker = FakeBroker::start();
    broker.world().add_user("u", &["management"], None);
    guest(&broker, "PATCH", "/api/users/u", Some(r#"{"tags":["monitoring"]}"#))
        .is(204, &Value::Null);
    let seen = user(&broker, "u", "GET", "/api/whoami");
    seen.is(200, &json!({"name": "u", "tags": ["monitoring"]}));
    guest(&broker, "PATCH", "/api/users/u", Some(r#"{"password":"other"}"#)).is(204, &Value::Null);
    assert_eq!(user(&broker, "u", "GET", "/api/whoami").status, 401);
    let answer = send(&broker, &basic("u", "other"), "GET", "/api/whoami", &[], None);
    answer.is(200, &json!({"name": "u", "tags": ["monitoring"]}));
    guest(&broker, "PATCH", "/api/users/nope", Some("{}")).is(404, &not_found());
}

#[test]
fn permissions_are_set_listed_and_cleared() {
    let broker = FakeBroker::start();
    broker.world().add_user("hu", &[], None);
    let path = "/api/permissions/%2F/hu";
    let body = r#"{"configure":".*","write":".*","read":"x"}"#;
    guest(&broker, "PUT", path, Some(body)).is(201, &Value::Null);
    guest(&broker, "PUT", path, Some(body)).is(204, &Value::Null);
    let own = json!({"user": "hu", "vhost": "/", "configure": ".*", "write": ".*", "read": "x"});
    guest(&broker, "GET", path, None).is(200, &own);
    guest(&broker, "GET", "/api/users/hu/permissions", None).is(200, &json!([own]));
    let all = guest(&broker, "GET", "/api/vhosts/%2F/permissions?columns=user", None);
    all.is(200, &json!([{"user": "guest"}, {"user": "hu"}]));
    guest(&broker, "PUT", path, Some(r#"{"configure":".*","write":".*"}"#))
        .is(400, &bad_request("[{key_missing,read}]"));
    let answer = guest(&broker, "PUT", path, Some(r#"{"configure":"(","write":".*","read":""}"#));
    answer.is(400, &bad_request(json!(["invalid_regexp", "(", "unclosed group"])));
    let lost = bad_request("vhost_or_user_not_found");
    guest(&broker, "PUT", "/api/permissions/nov/hu", Some(body)).is(400, &lost);
    guest(&broker, "PUT", "/api/permissions/%2F/nou", Some(body)).is(400, &lost);
    guest(&broker, "DELETE", path, None).is(204, &Value::Null);
    guest(&broker, "DELETE", path, None).is(404, &not_found());
    guest(&broker, "GET", "/api/users/nou/permissions", None).is(404, &not_found());
}

#[test]
fn a_queue_shows_its_numbers_and_arguments() {
    let broker = FakeBroker::start();
    let ttl = Table(vec![("x-message-ttl".into(), Field::I32(60_000))]);
    broker.world().add_queue("demo", ttl, [3, 4]);
    let columns = "name,messages,messages_ready,messages_unacknowledged,arguments,durable,type";
    let answer = guest(&broker, "GET", &format!("/api/queues/%2F?columns={columns}"), None);
    answer.is(
        200,
        &json!([{"name": "demo", "messages": 7, "messages_ready": 3, "durable": true,
                 "messages_unacknowledged": 4, "arguments": {"x-message-ttl": 60000},
                 "type": "classic"}]),
    );
    let answer =
        guest(&broker, "GET", "/api/queues/%2F/demo?columns=arguments&arguments=typed", None);
    answer.is(200, &json!({"arguments": [["x-message-ttl", "signedint", 60000]]}));
    guest(&broker, "GET", "/api/queues/%2F/nope", None).is(404, &not_found());
    guest(&broker, "GET", "/api/queues/nopev", None).is(404, &not_found());
}

#[test]
fn queues_are_declared_purged_and_deleted() {
    let broker = FakeBroker::start();
    let put = |body: &str| guest(&broker, "PUT", "/api/queues/%2F/hq", Some(body));
    put(r#"{"durable":true}"#).is(201, &Value::Null);
    put(r#"{"durable":true}"#).is(204, &Value::Null);
    put(r#"{"durable":false}"#).is(
        400,
        &bad_request(
            "inequivalent arg 'durable' for queue 'hq' in vhost '/': received 'false' but current \
             is 'true'",
        ),
    );
    put(r#"{"auto_delete":"yes"}"#).is(400, &bad_request(json!(["not_boolean", "yes"])));
    let refused = json!({"error": "not_authorised", "reason": "Access refused."});
    guest(&broker, "PUT", "/api/queues/%2F/amq.hq", Some("{}")).is(401, &refused);
    guest(&broker, "PUT", "/api/queues/nov/hq", Some("{}"))
        .is(404, &json!({"error": "not_found", "reason": "vhost_not_found"}));
    broker.world().add_queue("full", Table::default(), [2, 0]);
    guest(&broker, "DELETE", "/api/queues/%2F/full?if-empty=true", None)
        .is(400, &bad_request("queue 'full' in vhost '/' not empty"));
    let answer = guest(&broker, "DELETE", "/api/queues/%2F/full/contents", None);
    answer.is(204, &Value::Null);
    assert_eq!(answer.header("x-haremq-messages"), Some("2"));
    guest(&broker, "DELETE", "/api/queues/%2F/full?if-empty=true", None).is(204, &Value::Null);
    guest(&broker, "DELETE", "/api/queues/%2F/full", None).is(404, &not_found());
}

#[test]
fn an_exclusive_queue_is_its_connections_except_to_the_operator() {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        let connection = world.add_connection(7, "guest");
        let id = world.add_queue("excl", Table::default(), [1, 0]);
        let mut queue = (**world.topology.queue_by_id(id).expect("queue")).clone();
        queue.exclusive_to = Some(connection);
        world.topology.apply(&haremq_engine::topology::Change::DropQueue { id });
        world.topology.apply(&haremq_engine::topology::Change::PutQueue(queue.into()));
    }
    let locked = "cannot obtain exclusive access to locked queue 'excl' in vhost '/'. It could be \
                  originally declared on another connection or the exclusive property value does \
                  not match that of the original declaration.";
    guest(&broker, "DELETE", "/api/queues/%2F/excl", None).is(400, &bad_request(locked));
    guest(&broker, "DELETE", "/api/queues/%2F/excl/contents", None).is(400, &bad_request(locked));
    let owner = guest(&broker, "GET", "/api/queues/%2F/excl?columns=owner_pid,exclusive", None);
    let pid = "<haremq@localhost.1795344891.7.0>";
    owner.is(200, &json!({"owner_pid": pid, "exclusive": true}));
    let operator = format!("Bearer {}", broker.token.expose());
    let answer = send(&broker, &operator, "DELETE", "/api/queues/%2F/excl", &[], None);
    assert_eq!(answer.header("x-haremq-messages"), Some("1"));
}

#[test]
fn exchanges_are_declared_and_deleted() {
    let broker = FakeBroker::start();
    let put = |name: &str, body: &str| {
        guest(&broker, "PUT", &format!("/api/exchanges/%2F/{name}"), Some(body))
    };
    put("hx", r#"{"type":"direct"}"#).is(201, &Value::Null);
    put("hx", r#"{"type":"direct"}"#).is(204, &Value::Null);
    put("hx", r#"{"type":"fanout"}"#).is(
        400,
        &bad_request(
            "inequivalent arg 'type' for exchange 'hx' in vhost '/': received 'fanout' but current \
             is 'direct'",
        ),
    );
    put("hy", r#"{"type":"zz"}"#).is(400, &bad_request("unknown exchange type 'zz'"));
    guest(&broker, "GET", "/api/exchanges/%2F/amq.default", None).is(
        200,
        &json!({"name": "", "vhost": "/", "type": "direct", "durable": true, "internal": false,
                "auto_delete": false, "arguments": {}}),
    );
    let refused = json!({"error": "not_authorised", "reason": "Access refused."});
    guest(&broker, "DELETE", "/api/exchanges/%2F/amq.direct", None).is(401, &refused);
    guest(&broker, "DELETE", "/api/exchanges/%2F/nope", None).is(404, &not_found());
    guest(&broker, "DELETE", "/api/exchanges/%2F/hx", None).is(204, &Value::Null);
}

#[test]
fn bindings_are_made_found_by_their_key_and_removed() {
    let broker = FakeBroker::start();
    guest(&broker, "PUT", "/api/exchanges/%2F/hx", Some("{}"));
    guest(&broker, "PUT", "/api/queues/%2F/hq", Some("{}"));
    let path = "/api/bindings/%2F/e/hx/q/hq";
    let post = |body: &str| guest(&broker, "POST", path, Some(body));
    for body in [r#"{"routing_key":"rk","arguments":{"a":1}}"#, r#"{"routing_key":"r k/~"}"#, "{}"]
    {
        let answer = post(body);
        assert_eq!(answer.status, 201, "{body}");
        let location = answer.header("location").expect("location").to_owned();
        let one = guest(&broker, "GET", &format!("/api/bindings/%2F/e/hx/q/{location}"), None);
        assert_eq!(one.status, 200, "{location}");
        assert_eq!(one.body["destination"], "hq");
        let gone = guest(&broker, "DELETE", &format!("/api/bindings/%2F/e/hx/q/{location}"), None);
        assert_eq!(gone.status, 204, "{location}");
    }
    guest(&broker, "GET", path, None).is(200, &json!([]));
    guest(&broker, "GET", "/api/queues/%2F/hq/bindings", None).is(
        200,
        &json!([{"source": "", "vhost": "/", "destination": "hq", "destination_type": "queue",
                 "routing_key": "hq", "arguments": {}, "properties_key": "hq"}]),
    );
    guest(&broker, "POST", "/api/bindings/%2F/e/hx/q/nope", Some("{}"))
        .is(404, &json!({"error": "not_found", "reason": "no queue 'nope' in vhost '/'"}));
    let refused = json!({"error": "not_authorised", "reason": "Access refused."});
    guest(&broker, "POST", "/api/bindings/%2F/e/amq.default/q/hq", Some("{}")).is(401, &refused);
    guest(&broker, "DELETE", &format!("{path}/rk~nope"), None).is(404, &not_found());
}

#[test]
fn the_name_that_a_client_gives_its_connection_is_listed_where_there_is_one() {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        world.add_connection(7, "guest");
        world.add_connection(8, "guest");
        let named = world.connections.last_mut().expect("a connection");
        let name = ("connection_name".into(), Field::text("my program"));
        named.client_properties.0.push(name);
    }
    guest(&broker, "GET", "/api/connections?columns=user,user_provided_name", None).is(
        200,
        &json!([{"user": "guest"}, {"user": "guest", "user_provided_name": "my program"}]),
    );
}

#[test]
fn a_connection_is_closed_by_name_or_process_name_with_the_reason_given() {
    let broker = FakeBroker::start();
    let (first, second) = {
        let mut world = broker.world();
        (world.add_connection(7, "guest"), world.add_connection(8, "guest"))
    };
    let close = |path: &str| {
        let headers = [("x-reason", "over")];
        send(&broker, &basic("guest", "guest"), "DELETE", path, &headers, None)
    };
    let pid = "/api/connections/%3Charemq@localhost.1795344891.8.0%3E";
    close(pid).is(204, &Value::Null);
    close(pid).is(404, &not_found());
    close("/api/connections/127.0.0.1:50168%20-%3E%20127.0.0.1:5672").is(204, &Value::Null);
    let over = "over".to_owned();
    assert_eq!(broker.world().closed, [(second, over.clone()), (first, over)]);
}

#[test]
fn consumers_and_channels_name_each_other() {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        let queue = world.add_queue("demo", Table::default(), [0, 0]);
        let connection = world.add_connection(7, "guest");
        world.add_consumer(queue, connection);
    }
    let columns = "queue.name,consumer_tag,channel_details.pid,active";
    let pid = "<haremq@localhost.1795344891.7.1>";
    guest(&broker, "GET", &format!("/api/consumers/%2F?columns={columns}"), None).is(
        200,
        &json!([{"queue": {"name": "demo"}, "consumer_tag": "ct1", "active": true,
                 "channel_details": {"pid": pid}}]),
    );
    let channels = guest(&broker, "GET", "/api/channels?columns=pid,name,number", None);
    let name = "127.0.0.1:50168 -> 127.0.0.1:5672 (1)";
    channels.is(200, &json!([{"pid": pid, "name": name, "number": 1}]));
}

#[test]
fn the_overview_counts_what_there_is() {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        let queue = world.add_queue("demo", Table::default(), [3, 4]);
        let connection = world.add_connection(7, "guest");
        world.add_consumer(queue, connection);
    }
    let answer = guest(&broker, "GET", "/api/overview", None);
    let totals = json!({"messages": 7, "messages_ready": 3, "messages_unacknowledged": 4});
    assert_eq!(answer.body["queue_totals"], totals);
    let objects =
        json!({"channels": 1, "connections": 1, "consumers": 1, "exchanges": 7, "queues": 1});
    assert_eq!(answer.body["object_totals"], objects);
    let status = guest(&broker, "GET", "/api/haremq/status", None);
    assert_eq!(status.body["alarms"], json!([]));
    assert_eq!(status.body["disk_used"], 100_000_000);
    assert_eq!(
        (&status.body["memory"]["index"], &status.body["disk_index"]),
        (&json!(1000), &json!(8192))
    );
    assert_eq!(
        (&status.body["disk_live"], &status.body["disk_copied"]),
        (&json!(40_000_000), &json!(8_000_000))
    );
    broker.world().blocked = Some("low on disk");
    let status = guest(&broker, "GET", "/api/haremq/status", None);
    assert_eq!(status.body["alarms"], json!(["low on disk"]));
}

#[test]
fn prefetch_is_changed_for_a_channel_each_of_its_consumers_or_one_of_them() {
    use crate::control::PrefetchOf;
    let broker = FakeBroker::start();
    broker.world().add_connection(7, "guest");
    let channel = "/api/channels/127.0.0.1:50168%20-%3E%20127.0.0.1:5672%20(1)";
    let put = |path: &str, body: &str| guest(&broker, "PUT", path, Some(body));
    put(channel, r#"{"prefetch":5}"#).is(204, &Value::Null);
    put(channel, r#"{"prefetch":6,"global_prefetch":20}"#).is(204, &Value::Null);
    put(&format!("{channel}/consumers/ct1"), r#"{"prefetch":7}"#).is(204, &Value::Null);
    let changed = std::mem::take(&mut broker.world().prefetches);
    assert_eq!(
        changed,
        [
            (1, PrefetchOf::EachConsumer, 5),
            (1, PrefetchOf::Channel, 20),
            (1, PrefetchOf::EachConsumer, 6),
            (1, PrefetchOf::Consumer("ct1".into()), 7),
        ]
    );
    put(channel, "{}").is(400, &bad_request("prefetch or global_prefetch is missing"));
    put(channel, r#"{"prefetch":70000}"#).is(400, &bad_request(json!(["bad_prefetch", 70000])));
    put("/api/channels/nobody", r#"{"prefetch":5}"#).is(404, &not_found());
    assert!(broker.world().prefetches.is_empty());
}
