//! How much there may be in the whole broker (behaviour B21, B61), by RabbitMQ's names.

/// `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NodeLimits {
    /// `connection_max`
    pub connections: Option<u64>,
    /// `channel_max_per_node`
    pub channels: Option<u64>,
    /// `consumer_max_per_channel`
    pub consumers_per_channel: Option<u64>,
    /// `vhost_max`
    pub vhosts: Option<u64>,
    /// `cluster_queue_limit`
    pub queues: Option<u64>,
    /// `cluster_exchange_limit`; those that are there by themselves count, too.
    pub exchanges: Option<u64>,
}
