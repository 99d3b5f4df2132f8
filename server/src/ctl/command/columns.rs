//! Columns of the lists: their names, and where their values are in what the port answers.
//!
//! A name that rabbitmqctl knows and HareMQ has nothing real for is accepted and shown empty, as
//! rabbitmqctl shows what is undefined.

use serde_json::Value;

use super::super::term::Term;

/// One column.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    read: fn(&Value) -> Term,
}

impl Column {
    pub(super) fn of(&self, row: &Value) -> Term {
        (self.read)(row)
    }
}

macro_rules! column {
    ($name:literal) => {
        Column { name: $name, read: |_| Term::Nothing }
    };
    ($name:literal, $kind:ident) => {
        Column { name: $name, read: |row| Term::$kind(&row[$name]) }
    };
    ($name:literal, $kind:ident, $($step:literal)/+) => {
        Column { name: $name, read: |row| Term::$kind(&row$([$step])+) }
    };
}

pub(super) const QUEUES: &[Column] = &[
    column!("arguments", table),
    column!("auto_delete", scalar),
    column!("consumer_capacity"),
    column!("consumer_utilisation"),
    column!("consumers", scalar),
    column!("disk_reads"),
    column!("disk_writes"),
    column!("durable", scalar),
    Column {
        name: "effective_policy_definition",
        read: |row| Term::json(&row["effective_policy_definition"]),
    },
    column!("exclusive", scalar),
    column!("exclusive_consumer_pid"),
    column!("exclusive_consumer_tag"),
    column!("head_message_timestamp"),
    column!("leader"),
    column!("members"),
    column!("memory"),
    column!("message_bytes", scalar),
    column!("message_bytes_persistent"),
    column!("message_bytes_ram"),
    column!("message_bytes_ready"),
    column!("message_bytes_unacknowledged"),
    column!("messages", scalar),
    column!("messages_persistent"),
    column!("messages_ram"),
    column!("messages_ready", scalar),
    column!("messages_ready_ram"),
    column!("messages_unacknowledged", scalar),
    column!("messages_unacknowledged_ram"),
    column!("name", text),
    column!("online"),
    column!("operator_policy", text),
    column!("owner_pid", pid),
    column!("pid", pid),
    column!("policy", text),
    column!("slave_pids"),
    column!("state", text),
    column!("synchronised_slave_pids"),
    column!("type", text),
];

pub(super) const EXCHANGES: &[Column] = &[
    column!("arguments", table),
    column!("auto_delete", scalar),
    column!("durable", scalar),
    column!("internal", scalar),
    column!("name", text),
    column!("policy", text),
    column!("type", text),
];

pub(super) const BINDINGS: &[Column] = &[
    column!("arguments", table),
    column!("destination_kind", text, "destination_type"),
    column!("destination_name", text, "destination"),
    column!("routing_key", text),
    Column { name: "source_kind", read: |_| Term::Text("exchange".to_owned()) },
    column!("source_name", text, "source"),
];

pub(super) const CONNECTIONS: &[Column] = &[
    column!("auth_mechanism", text),
    column!("channel_max", scalar),
    column!("channels", scalar),
    column!("client_properties", table),
    column!("connected_at", scalar),
    column!("frame_max", scalar),
    column!("host", address),
    column!("name", text),
    column!("peer_cert_issuer", text),
    column!("peer_cert_subject", text),
    column!("peer_cert_validity", text),
    column!("peer_host", address),
    column!("peer_port", scalar),
    column!("pid", pid),
    column!("port", scalar),
    Column { name: "protocol", read: |_| Term::Version([0, 9, 1]) },
    column!("recv_cnt", scalar),
    column!("recv_oct", scalar),
    column!("send_cnt", scalar),
    column!("send_oct", scalar),
    column!("send_pend"),
    column!("ssl", scalar),
    column!("ssl_cipher", text),
    column!("ssl_hash", text),
    column!("ssl_key_exchange", text),
    column!("ssl_protocol", text),
    column!("state", text),
    column!("timeout", scalar),
    column!("user", text),
    column!("vhost", text),
];

pub(super) const CHANNELS: &[Column] = &[
    column!("acks_uncommitted", scalar),
    column!("confirm", scalar),
    column!("connection", pid),
    column!("consumer_count", scalar),
    column!("global_prefetch_count", scalar),
    column!("messages_unacknowledged", scalar),
    column!("messages_uncommitted", scalar),
    column!("messages_unconfirmed", scalar),
    column!("name", text),
    column!("number", scalar),
    column!("pid", pid),
    column!("prefetch_count", scalar),
    column!("transactional", scalar),
    column!("user", text),
    column!("vhost", text),
];

pub(super) const CONSUMERS: &[Column] = &[
    column!("ack_required", scalar),
    column!("active", scalar),
    column!("activity_status", text),
    column!("arguments", table),
    column!("channel_pid", pid, "channel_details" / "pid"),
    column!("consumer_tag", text),
    column!("prefetch_count", scalar),
    column!("queue_name", text, "queue" / "name"),
];

pub(super) const VHOSTS: &[Column] = &[
    column!("cluster_state"),
    column!("default_queue_type", text),
    column!("description", text),
    column!("name", text),
    column!("protected_from_deletion", scalar),
    column!("tags", words),
    column!("tracing", scalar),
];

pub(super) const USERS: &[Column] = &[column!("user", text, "name"), column!("tags", words)];

pub(super) const PERMISSIONS: &[Column] = &[
    column!("user", text),
    column!("vhost", text),
    column!("configure", text),
    column!("write", text),
    column!("read", text),
];
