use serde_json::json;

use super::super::testing::FakeBroker;
use super::{basic, guest, send, user, Answer};

fn put(broker: &FakeBroker, path: &str, body: &serde_json::Value) -> Answer {
    guest(broker, "PUT", path, Some(&body.to_string()))
}

#[test]
fn policies_are_set_shown_where_they_apply_and_cleared() {
    let broker = FakeBroker::start();
    put(&broker, "/api/queues/%2F/q1", &json!({}));
    put(&broker, "/api/exchanges/%2F/q1x", &json!({}));
    let body = json!({"pattern": "^q1", "definition": {"max-length": 3}, "priority": 2});
    assert_eq!(put(&broker, "/api/policies/%2F/p", &body).status, 201);
    assert_eq!(put(&broker, "/api/policies/%2F/p", &body).status, 204);
    let shown = json!({"vhost": "/", "name": "p", "pattern": "^q1", "apply-to": "all",
                       "definition": {"max-length": 3}, "priority": 2});
    guest(&broker, "GET", "/api/policies/%2F/p", None).is(200, &shown);
    guest(&broker, "GET", "/api/policies", None).is(200, &json!([shown]));
    guest(&broker, "GET", "/api/operator-policies/%2F", None).is(200, &json!([]));
    let over = json!({"pattern": "", "definition": {"max-length": 2}, "apply-to": "queues"});
    assert_eq!(put(&broker, "/api/operator-policies/%2F/o", &over).status, 201);
    let queue = guest(&broker, "GET", "/api/queues/%2F/q1", None).body;
    assert_eq!(queue["policy"], "p");
    assert_eq!(queue["operator_policy"], "o");
    assert_eq!(queue["effective_policy_definition"], json!({"max-length": 2}));
    let exchange = guest(&broker, "GET", "/api/exchanges/%2F/q1x", None).body;
    assert_eq!(exchange["policy"], "p");
    let other = guest(&broker, "GET", "/api/exchanges/%2F/amq.topic", None).body;
    assert_eq!(other.get("policy"), None);
    assert_eq!(guest(&broker, "DELETE", "/api/policies/%2F/p", None).status, 204);
    assert_eq!(guest(&broker, "DELETE", "/api/policies/%2F/p", None).status, 404);
    let queue = guest(&broker, "GET", "/api/queues/%2F/q1", None).body;
    assert_eq!(queue["policy"], json!(null));
    assert_eq!(queue["effective_policy_definition"], json!({"max-length": 2}));
}

#[test]
fn a_policy_that_will_not_do_is_refused_in_rabbitmqs_words() {
    let broker = FakeBroker::start();
    let refused = |definition: serde_json::Value, reason: &str| {
        let body = json!({"pattern": "^q", "definition": definition});
        let reason = format!("Validation failed\n\n{reason}\n");
        put(&broker, "/api/policies/%2F/p", &body)
            .is(400, &json!({"error": "bad_request", "reason": reason}));
    };
    refused(json!({"message-ttl": -1}), "-1 is not a valid message TTL");
    refused(
        json!({"foo": "bar"}),
        "[{<<\"foo\">>,<<\"bar\">>}] are not recognised policy settings",
    );
    put(&broker, "/api/policies/%2F/p", &json!({"pattern": "x"}))
        .is(400, &json!({"error": "bad_request", "reason": "[{key_missing,definition}]"}));
    assert_eq!(put(&broker, "/api/policies/nowhere/p", &json!({})).status, 404);
}

#[test]
fn topic_permissions_are_cleared_one_by_one_or_all_and_there_must_be_some() {
    let broker = FakeBroker::start();
    let of_guest = "/api/topic-permissions/%2F/guest";
    for exchange in ["a", "b", "c"] {
        put(&broker, of_guest, &json!({"exchange": exchange, "write": "^w", "read": "^r"}));
    }
    let left = || -> Vec<String> {
        let listed = guest(&broker, "GET", of_guest, None);
        let exchanges = listed.body.as_array().into_iter().flatten();
        exchanges.map(|one| one["exchange"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let clear = |path: &str| guest(&broker, "DELETE", path, None).status;
    assert_eq!(clear("/api/topic-permissions/%2F/guest/a"), 204);
    assert_eq!(left(), ["b", "c"]);
    assert_eq!(clear("/api/topic-permissions/%2F/guest?exchange=b"), 204);
    assert_eq!(left(), ["c"]);
    assert_eq!(clear("/api/topic-permissions/%2F/guest/nothing"), 204);
    assert_eq!(clear(of_guest), 204);
    assert_eq!((clear(of_guest), clear("/api/topic-permissions/%2F/guest/c")), (404, 404));
}

#[test]
fn each_tag_may_do_what_it_is_for() {
    let broker = FakeBroker::start();
    let all = Some([".*"; 3]);
    for tag in ["management", "policymaker", "monitoring", "administrator"] {
        broker.world().add_user(tag, &[tag], all);
    }
    broker.world().add_user("outsider", &["policymaker"], None);
    let body = json!({"pattern": "^q", "definition": {"max-length": 3}}).to_string();
    let put = |name: &str, path: &str, body: &str| {
        send(&broker, &basic(name, "p"), "PUT", path, &[], Some(body)).status
    };
    for (name, policy, operator, limit) in [
        ("management", 401, 401, 401),
        ("monitoring", 401, 401, 401),
        ("policymaker", 201, 401, 401),
        ("administrator", 204, 201, 204),
        ("outsider", 401, 401, 401),
    ] {
        assert_eq!(put(name, "/api/policies/%2F/p", &body), policy, "{name}");
        assert_eq!(put(name, "/api/operator-policies/%2F/p", &body), operator, "{name}");
        let value = "{\"value\": 5}";
        assert_eq!(put(name, "/api/vhost-limits/%2F/max-queues", value), limit, "{name}");
        assert_eq!(put(name, "/api/user-limits/guest/max-channels", value), limit, "{name}");
    }
    for (name, policies, permissions, nodes, definitions) in [
        ("management", 401, 401, 401, 401),
        ("monitoring", 401, 401, 200, 401),
        ("policymaker", 200, 401, 401, 401),
        ("administrator", 200, 200, 200, 200),
    ] {
        // Whoever sees the vhost sees what it is subject to.
        let get = |path: &str| user(&broker, name, "GET", path).status;
        for path in ["/api/policies", "/api/operator-policies/%2F", "/api/user-limits"] {
            assert_eq!(get(path), 200, "{name} {path}");
        }
        let operator = if name == "administrator" { 200 } else { 401 };
        assert_eq!(get("/api/operator-policies/%2F/p"), operator, "{name}");
        assert_eq!(get("/api/policies/%2F/p"), policies, "{name}");
        assert_eq!(get("/api/topic-permissions"), permissions, "{name}");
        assert_eq!(get("/api/nodes"), nodes, "{name}");
        assert_eq!(get("/api/definitions"), definitions, "{name}");
        assert_eq!(get("/api/queues/%2F"), 200, "{name}");
    }
}

#[test]
fn limits_are_set_one_by_one_and_listed_where_there_are_any() {
    let broker = FakeBroker::start();
    guest(&broker, "GET", "/api/vhost-limits", None).is(200, &json!([]));
    put(&broker, "/api/vhost-limits/%2F/max-queues", &json!({"value": 5}));
    put(&broker, "/api/vhost-limits/%2F/max-connections", &json!({"value": -1}));
    let both = json!([{"vhost": "/", "value": {"max-connections": -1, "max-queues": 5}}]);
    guest(&broker, "GET", "/api/vhost-limits/%2F", None).is(200, &both);
    guest(&broker, "DELETE", "/api/vhost-limits/%2F/max-connections", None);
    let one = json!([{"vhost": "/", "value": {"max-queues": 5}}]);
    guest(&broker, "GET", "/api/vhost-limits", None).is(200, &one);
    put(&broker, "/api/user-limits/guest/max-channels", &json!({"value": 3}));
    let one = json!([{"user": "guest", "value": {"max-channels": 3}}]);
    guest(&broker, "GET", "/api/user-limits", None).is(200, &one);
    assert_eq!(guest(&broker, "GET", "/api/user-limits/nobody", None).status, 404);
    put(&broker, "/api/vhost-limits/%2F/max-queues", &json!({"value": "many"})).is(
        400,
        &json!({"error": "bad_request", "reason": "Validation failed\n\nmax-queues should be a \
                number, actually was <<\"many\">>\n"}),
    );
    let unknown = put(&broker, "/api/vhost-limits/%2F/max-bogus", &json!({"value": 1}));
    assert_eq!(unknown.status, 400);
    assert!(unknown.body["reason"].to_string().contains("Unrecognised terms"), "{}", unknown.body);
    for _ in 0..5 {
        put(&broker, "/api/queues/%2F/q", &json!({}));
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(put(&broker, &format!("/api/queues/%2F/{name}"), &json!({})).status, 201);
    }
    put(&broker, "/api/queues/%2F/e", &json!({})).is(
        400,
        &json!({"error": "bad_request", "reason": "cannot declare queue 'e' in vhost '/': queue \
                limit in vhost '/' (5) is reached"}),
    );
}

#[test]
fn passwords_may_come_as_any_of_the_three_hashes() {
    let broker = FakeBroker::start();
    let hashed = |algorithm: &str, hash: &str| {
        let name = algorithm.rsplit('_').next().unwrap_or_default();
        let body = json!({"password_hash": hash, "hashing_algorithm": algorithm,
                          "tags": "management"});
        let answer = put(&broker, &format!("/api/users/{name}"), &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let shown = guest(&broker, "GET", &format!("/api/users/{name}"), None).body;
        assert_eq!(
            (&shown["password_hash"], &shown["hashing_algorithm"]),
            (&json!(hash), &json!(algorithm))
        );
        let whoami = |password: &str| {
            send(&broker, &basic(name, password), "GET", "/api/whoami", &[], None).status
        };
        assert_eq!(whoami("test12"), 200, "{algorithm}");
        assert_eq!(whoami("test13"), 401, "{algorithm}");
    };
    // Salt 90 8d c6 0a and the digest of salt and `test12`.
    hashed("rabbit_password_hashing_sha256", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    hashed("rabbit_password_hashing_md5", MD5);
    hashed("rabbit_password_hashing_sha512", SHA512);
    let short = json!({"password_hash": "AAAA", "tags": ""});
    assert_eq!(put(&broker, "/api/users/x", &short).status, 400);
}

const MD5: &str = "kI3GChNpte2FApYFXScl+0dIluk=";
const SHA512: &str =
    "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=";

#[test]
fn definitions_of_one_broker_make_another_like_it() {
    let (from, to) = (FakeBroker::start(), FakeBroker::start());
    let text = include_str!("definitions.json");
    guest(&from, "POST", "/api/definitions", Some(text)).is(204, &json!(null));
    let exported = guest(&from, "GET", "/api/definitions", None);
    assert_eq!(exported.status, 200);
    let mut expected: serde_json::Value = serde_json::from_str(text).expect("a document");
    expected["product_version"] = json!(env!("CARGO_PKG_VERSION"));
    let keys = expected.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for key in keys {
        assert_eq!(exported.body[&key], expected[&key], "{key}");
    }
    let document = exported.body.to_string();
    for _ in 0..2 {
        guest(&to, "POST", "/api/definitions", Some(&document)).is(204, &json!(null));
        assert_eq!(guest(&to, "GET", "/api/definitions", None).body, exported.body);
    }
    // What a vhost holds can be put into another one.
    let part = guest(&from, "GET", "/api/definitions/orders", None).body.to_string();
    assert!(!part.contains("\"vhost\""), "{part}");
    put(&to, "/api/vhosts/copy", &json!({}));
    guest(&to, "POST", "/api/definitions/copy", Some(&part)).is(204, &json!(null));
    assert_eq!(
        guest(&to, "GET", "/api/definitions/copy", None).body["queues"],
        guest(&from, "GET", "/api/definitions/orders", None).body["queues"],
    );
}

#[test]
fn a_document_that_makes_no_sense_changes_nothing() {
    let broker = FakeBroker::start();
    let before = guest(&broker, "GET", "/api/definitions", None).body;
    for document in [
        json!({"vhosts": [{"name": "v"}], "queues": [{"name": "q"}]}),
        json!({"vhosts": [{"name": "v"}], "queues": 5}),
        json!({"users": [{"name": "u", "password_hash": "!"}]}),
        json!({"vhosts": [{"name": "v"}], "parameters": [{"component": "shovel", "vhost": "v",
               "name": "s", "value": {}}]}),
    ] {
        let answer = guest(&broker, "POST", "/api/definitions", Some(&document.to_string()));
        assert_eq!(answer.status, 400, "{document}");
        assert_eq!(guest(&broker, "GET", "/api/definitions", None).body, before);
    }
    assert_eq!(guest(&broker, "POST", "/api/definitions", Some("{")).status, 400);
}

#[test]
fn one_queue_is_looked_for_without_copying_all_of_them() {
    let broker = FakeBroker::start();
    put(&broker, "/api/queues/%2F/q", &json!({}));
    let queue = guest(&broker, "GET", "/api/queues/%2F/q", None);
    assert_eq!((queue.status, &queue.body["name"]), (200, &json!("q")));
    assert_eq!(guest(&broker, "GET", "/api/queues/%2F/other", None).status, 404);
    assert_eq!(broker.world().whole_copies, 0);
}
