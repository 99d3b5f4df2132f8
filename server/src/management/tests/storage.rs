//! What logs hold and take.

use serde_json::json;

use super::*;

#[test]
fn what_each_log_holds_and_takes_is_shown() {
    let broker = FakeBroker::start();
    let answer = guest(&broker, "GET", "/api/haremq/storage", None);
    assert_eq!(answer.status, 200);
    let shards = answer.body["shards"].as_array().expect("shards");
    assert_eq!(answer.body["disk_used"], json!(50_000_000 * shards.len()));
    assert_eq!(answer.body["live"], json!(20_000_000 * shards.len()));
    for (number, shard) in shards.iter().enumerate() {
        assert_eq!(shard["shard"], number);
        assert_eq!((&shard["live"], &shard["segments"]), (&json!(20_000_000), &json!(2)));
        let index = ["memory_index", "index_paged", "index_file", "index_file_refusals"];
        assert_eq!(index.map(|name| shard[name].as_u64()), [500, 300, 4096, 0].map(Some));
    }
    let nodes = guest(&broker, "GET", "/api/nodes", None);
    assert_eq!(&nodes.body[0]["storage"], &answer.body["shards"]);
}

#[test]
fn storage_is_for_monitoring_users() {
    let broker = FakeBroker::start();
    broker.world().add_user("plain", &["management"], None);
    assert_eq!(user(&broker, "plain", "GET", "/api/haremq/storage").status, 401);
}
