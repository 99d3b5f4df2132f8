//! Who is let in, and what they may see and do.

use serde_json::json;

use super::super::auth::login;
use super::super::errors::ApiError;
use super::*;

fn login_failed() -> Value {
    json!({"error": "not_authorized", "reason": "Login failed"})
}

fn not_authorised(reason: &str) -> Value {
    json!({"error": "not_authorised", "reason": reason})
}

#[test]
fn a_stranger_is_asked_to_log_in() {
    let broker = FakeBroker::start();
    let answer = send(&broker, "", "GET", "/api/overview", &[], None);
    answer.is(401, &Value::Null);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"RabbitMQ Management\""));
    assert_eq!(answer.header("x-haremq-node"), None);
    let answer = send(&broker, &basic("guest", "bad"), "GET", "/api/overview", &[], None);
    answer.is(401, &login_failed());
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"RabbitMQ Management\""));
    let answer = send(&broker, &basic("nobody", "guest"), "GET", "/api/overview", &[], None);
    answer.is(401, &login_failed());
    let answer = send(&broker, &basic("guest", ""), "GET", "/api/overview", &[], None);
    answer.is(401, &login_failed());
    let answer = send(&broker, "Basic !!", "GET", "/api/overview", &[], None);
    assert_eq!(answer.status, 400);
    let answer = send(&broker, "Digest x", "GET", "/api/overview", &[], None);
    answer.is(401, &login_failed());
}

#[test]
fn every_path_needs_a_login() {
    let broker = FakeBroker::start();
    for (method, path) in [
        ("GET", "/api/whoami"),
        ("GET", "/api/nodes"),
        ("GET", "/api/haremq/status"),
        ("GET", "/api/vhosts"),
        ("PUT", "/api/vhosts/v"),
        ("DELETE", "/api/vhosts/%2F"),
        ("GET", "/api/users"),
        ("PUT", "/api/users/u"),
        ("PATCH", "/api/users/guest"),
        ("DELETE", "/api/users/guest"),
        ("GET", "/api/users/guest/permissions"),
        ("GET", "/api/permissions"),
        ("PUT", "/api/permissions/%2F/guest"),
        ("DELETE", "/api/permissions/%2F/guest"),
        ("GET", "/api/exchanges"),
        ("PUT", "/api/exchanges/%2F/x"),
        ("GET", "/api/queues/%2F"),
        ("PUT", "/api/queues/%2F/q"),
        ("DELETE", "/api/queues/%2F/q"),
        ("DELETE", "/api/queues/%2F/q/contents"),
        ("GET", "/api/bindings"),
        ("POST", "/api/bindings/%2F/e/x/q/q"),
        ("GET", "/api/connections"),
        ("DELETE", "/api/connections/x"),
        ("GET", "/api/channels"),
        ("GET", "/api/consumers"),
    ] {
        let answer = send(&broker, "", method, path, &[], None);
        assert_eq!(answer.status, 401, "{method} {path}");
    }
}

#[test]
fn the_operators_token_makes_an_administrator() {
    let broker = FakeBroker::start();
    let header = format!("Bearer {}", broker.token.expose());
    let answer = send(&broker, &header, "GET", "/api/whoami", &[], None);
    answer.is(200, &json!({"name": "operator", "tags": ["administrator"]}));
    let answer = send(&broker, "Bearer guess", "GET", "/api/whoami", &[], None);
    answer.is(401, &login_failed());
}

#[test]
fn guest_logs_in_from_loopback_only() {
    let broker = FakeBroker::start();
    let accounts = {
        let mut world = broker.world();
        world.add_user("admin", &["administrator"], None);
        let mut accounts = haremq_engine::topology::Topology::new();
        for change in world.topology.snapshot() {
            accounts.apply(&change);
        }
        std::sync::Arc::new(accounts)
    };
    assert!(login(accounts.clone(), "guest", b"guest", true).is_ok());
    let refused = login(accounts.clone(), "guest", b"guest", false);
    assert_eq!(refused.err(), Some(ApiError::LoginFailed));
    assert!(login(accounts, "admin", b"p", false).is_ok());
}

#[test]
fn a_user_without_a_tag_is_known_but_not_let_in() {
    let broker = FakeBroker::start();
    broker.world().add_user("none", &["custom"], Some([".*"; 3]));
    user(&broker, "none", "GET", "/api/whoami").is(401, &not_authorised("Not management user"));
}

#[test]
fn management_users_see_their_vhosts_and_themselves() {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        world.add_user("man", &["management"], None);
        world.add_user("mon", &["monitoring"], None);
        world.add_user("own", &["management"], Some(["", ".*", "x"]));
        world.add_queue("q", Default::default(), [1, 0]);
        world.add_connection(7, "guest");
    }
    let sight = not_authorised("User not authorised to access virtual host");
    user(&broker, "man", "GET", "/api/queues/%2F").is(401, &sight);
    user(&broker, "man", "GET", "/api/queues").is(200, &json!([]));
    user(&broker, "man", "GET", "/api/vhosts").is(200, &json!([]));
    user(&broker, "man", "GET", "/api/connections").is(200, &json!([]));
    let admin = not_authorised("Not administrator user");
    for path in ["/api/users", "/api/permissions", "/api/vhosts/%2F", "/api/users/man"] {
        user(&broker, "man", "GET", path).is(401, &admin);
        user(&broker, "mon", "GET", path).is(401, &admin);
    }
    user(&broker, "man", "GET", "/api/nodes").is(401, &not_authorised("Not monitor user"));
    assert_eq!(user(&broker, "mon", "GET", "/api/nodes").status, 200);
    let seen = user(&broker, "mon", "GET", "/api/connections?columns=user");
    seen.is(200, &json!([{"user": "guest"}]));
    let seen = user(&broker, "own", "GET", "/api/queues/%2F?columns=name");
    seen.is(200, &json!([{"name": "q"}]));
    let name = "/api/connections/127.0.0.1:50168%20-%3E%20127.0.0.1:5672";
    let object = not_authorised("User not authorised to access object");
    user(&broker, "man", "GET", name).is(401, &object);
    user(&broker, "mon", "DELETE", name).is(401, &object);
    assert_eq!(broker.world().closed, []);
}

#[test]
fn changes_need_the_permissions_of_the_amqp_method() {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        world.add_user("own", &["management"], Some(["^mine", ".*", "x"]));
        world.add_queue("theirs", Default::default(), [1, 0]);
        world.add_queue("mine", Default::default(), [1, 0]);
    }
    let refused = not_authorised("Access refused.");
    user(&broker, "own", "PUT", "/api/queues/%2F/new").is(401, &refused);
    user(&broker, "own", "DELETE", "/api/queues/%2F/theirs").is(401, &refused);
    user(&broker, "own", "DELETE", "/api/queues/%2F/mine/contents").is(401, &refused);
    user(&broker, "own", "PUT", "/api/exchanges/%2F/new").is(401, &refused);
    user(&broker, "own", "POST", "/api/bindings/%2F/e/amq.fanout/q/mine").is(401, &refused);
    assert_eq!(user(&broker, "own", "DELETE", "/api/queues/%2F/mine").status, 204);
    assert!(broker.world().topology.queue("/", "theirs").is_some());
}

#[test]
fn a_changed_password_holds_from_the_answer_on() {
    let broker = FakeBroker::start();
    let body = r#"{"password":"new","tags":"administrator"}"#;
    assert_eq!(guest(&broker, "PUT", "/api/users/guest", Some(body)).status, 204);
    guest(&broker, "GET", "/api/whoami", None).is(401, &login_failed());
    let answer = send(&broker, &basic("guest", "new"), "GET", "/api/whoami", &[], None);
    assert_eq!(answer.status, 200);
}

#[test]
fn logging_in_does_not_cost_the_shards_a_copy_each_time() {
    let broker = FakeBroker::start();
    for _ in 0..5 {
        assert_eq!(guest(&broker, "GET", "/api/whoami", None).status, 200);
    }
    assert_eq!(broker.world().definitions_asked, 1);
}
