//! Latencies of the broker and of each shard.

use serde_json::json;

use super::*;

#[test]
fn latencies_of_all_shards_add_up_and_each_is_shown() {
    let broker = FakeBroker::start();
    let answer = guest(&broker, "GET", "/api/haremq/latency", None);
    assert_eq!(answer.status, 200);
    let shards = answer.body["shards"].as_array().expect("shards").len() as u64;
    assert!(shards > 0);
    assert_eq!(answer.body["latency"]["commit"]["count"], 10 * shards);
    for shard in answer.body["shards"].as_array().expect("shards") {
        let commit = &shard["latency"]["commit"];
        assert_eq!((&commit["count"], &commit["p50_us"]), (&json!(10), &json!(100)));
        let max_us = commit["max_us"].as_u64().expect("a number");
        assert!((5_000..5_100).contains(&max_us), "two digits of 5000: {max_us}");
        assert_eq!(shard["latency"]["deliver_to_ack"], json!({"count": 0}));
        assert_eq!(shard["connections_arrived"], 3);
    }
}

#[test]
fn latencies_are_for_monitoring_users() {
    let broker = FakeBroker::start();
    broker.world().add_user("plain", &["management"], None);
    assert_eq!(user(&broker, "plain", "GET", "/api/haremq/latency").status, 401);
}
