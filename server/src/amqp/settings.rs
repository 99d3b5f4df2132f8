//! What the operator set for every connection, fixed while the broker runs.

use std::sync::OnceLock;

use haremq_engine::stamp::Stamps;

use crate::sasl::Mechanism;

/// Limits and facts shared by all connections of a shard (behind an `Rc`).
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Octets of a whole frame, offered in connection.tune (behaviour A12).
    pub frame_max: u32,
    /// Channels open at one time (behaviour A32).
    pub channel_max: u16,
    /// Offered heartbeat interval (behaviour A18); 0 offers none.
    pub heartbeat_s: u16,
    /// Largest message body in octets (behaviour A45).
    pub max_message_size: u64,
    /// Octets of publishes that one transaction may hold back until its commit.
    pub max_transaction_size: u64,
    /// How long a delivery may wait for its acknowledgement where its queue says nothing
    /// (behaviour B18); 0: for ever.
    pub consumer_timeout_ms: u64,
    /// Connections of the whole broker (behaviour B61); `None`: any number.
    pub connection_max: Option<u64>,
    /// Channels of the whole broker; `None`: any number.
    pub channel_max_per_node: Option<u64>,
    /// Consumers of one channel (behaviour B21); `None`: any number.
    pub consumer_max_per_channel: Option<u64>,
    /// Ways to log in, in the order in which they are offered (behaviour A3, B62).
    pub mechanisms: Vec<Mechanism>,
    /// Who comes in by ANONYMOUS; `None`: nobody.
    pub anonymous_login_user: Option<String>,
    /// Headers that messages get from the broker (behaviour B12).
    pub stamps: Stamps,
    /// From the first octet, TLS included, to connection.open-ok (behaviour A26).
    pub handshake_timeout_ms: u64,
    /// Silence before the close that follows a refused handshake (behaviour A7-A10).
    pub login_failure_delay_ms: u64,
    /// How long a close of ours may stay unanswered, and how long a client whose close was
    /// answered may keep its socket (behaviour A22).
    pub closing_timeout_ms: u64,
    /// Unsent octets of output from which on no further input is taken.
    pub output_high_water_bytes: usize,
    /// Users that may log in from loopback addresses only (behaviour A25).
    pub loopback_users: Vec<String>,
    /// `cluster_name` of the server properties (behaviour A4).
    pub cluster_name: String,
    /// This broker's own version, shown in `platform`.
    pub version: String,
    /// What clients are told of the broker, made of the above when the first one comes.
    pub server_properties: Once,
}

/// Octets that are the same for every connection.
#[derive(Clone, Debug, Default)]
pub struct Once(OnceLock<Box<[u8]>>);

impl Once {
    /// What `make` returned the first time.
    pub fn get(&self, make: impl FnOnce() -> Vec<u8>) -> &[u8] {
        self.0.get_or_init(|| make().into())
    }
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        ConnectionSettings {
            frame_max: 131_072,
            channel_max: 2_047,
            heartbeat_s: 60,
            max_message_size: 128 * 1024 * 1024,
            max_transaction_size: 256 * 1024 * 1024,
            consumer_timeout_ms: 1_800_000,
            connection_max: None,
            channel_max_per_node: None,
            consumer_max_per_channel: None,
            mechanisms: Mechanism::DEFAULT.to_vec(),
            anonymous_login_user: None,
            stamps: Stamps::default(),
            handshake_timeout_ms: 10_000,
            login_failure_delay_ms: 3_000,
            closing_timeout_ms: 30_000,
            output_high_water_bytes: 1024 * 1024,
            loopback_users: vec!["guest".to_owned()],
            cluster_name: "haremq@localhost".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_properties: Once::default(),
        }
    }
}
